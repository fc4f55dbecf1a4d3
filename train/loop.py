"""A training run, from its first step or from where it was left, to the last."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from types import FrameType

import torch

from train import checkpoint, optim, parallel
from train.data import Rows, ShardReader, prefetched, token_bytes
from train.evaluate import evaluate
from train.history import History
from train.job import Job, begin
from train.mesh import World
from train.objective import Objective
from train.plot import plot_loss
from train.schedule import learning_rate
from train.step import Batch, Feed, micro_rows, train_step


def train(job: Job, world: World) -> int:
    """Train to the last step. Returns 0, or the signal that ended it early, after a checkpoint.

    Everything that processes must agree on is reduced over all of them; nothing is decided by
    one alone.
    """
    config, order, manifest = job.config, job.order, job.manifest
    lanes = order.lanes_of(world.data_rank, world.data_size)
    reader = ShardReader(job.shards, manifest, "train", held_groups=lanes.stop - lanes.start + 1)
    held_out = _validation_reader(job)
    model = parallel.build(config, manifest.tokenizer.vocabulary, world)
    optimizer = optim.build(model, config.optimizer)
    step, position, tokens_seen = 0, 0, 0
    if job.resumed:
        checkpoint.restore(job, job.resumed, model, optimizer, world)
        step, position, tokens_seen = job.resumed.step, job.resumed.position, job.resumed.tokens
    saved = step
    history = None
    if world.rank == 0:
        begin(job)
        history = History(job, world, model, step)
    micro = micro_rows(order.batch_rows // world.data_size, config.micro_rows)
    tokenizer = manifest.tokenizer
    feed = Feed(
        Objective(config.objective, tokenizer.vocabulary, tokenizer.padding),
        world.device,
        micro,
        len(reader.source_names),
        varlen=model.backend == "varlen",
    )
    per_lane = order.batch_rows // order.lanes

    def load(position: int) -> Batch:
        rows = order.batch(position)[lanes]
        parts = [reader.read(int(lane[0]), int(lane[-1]) + 1) for lane in rows]
        return feed.batch(Rows.concatenate(parts), position + lanes.start * per_lane)

    ahead = range(position, position + (job.steps - step) * order.batch_rows, order.batch_rows)
    with _stop_signals() as stop, closing(prefetched(load, ahead)) as batches:
        for batch in batches:
            # A sum on the host, which does not wait for the device.
            stopping = world.all_reduce(torch.tensor(bool(stop.signal), dtype=torch.int64))
            if stopping:
                break
            counts = torch.tensor([batch.num_labels, batch.num_tokens, *batch.labels])
            num_labels, num_tokens, *labels = world.sum_rows(counts).tolist()
            rate = learning_rate(step, job.steps, config.optimizer)
            outcome = train_step(
                model,
                optimizer,
                batch,
                num_labels=num_labels,
                micro=micro,
                rate=rate,
                clip=config.optimizer.clip,
                world=world,
                every_pass=config.parallel.reduce_every_pass,
            )
            step, tokens_seen = step + 1, tokens_seen + num_tokens
            if history:
                history.add(
                    outcome,
                    step=step,
                    epoch=order.epoch(position),
                    first_row=position,
                    rows=order.batch_rows,
                    lr=rate,
                    tokens=num_tokens,
                    labels=num_labels,
                    sources=dict(zip(reader.source_names, labels, strict=True)),
                    tokens_seen=tokens_seen,
                )
            position += order.batch_rows

            last = step == job.steps
            to_evaluate = held_out and (last or step % config.evaluation.every == 0)
            to_save = last or step % config.checkpoint.every == 0
            if history and (to_evaluate or to_save or step % config.log_every == 0):
                history.flush()
            if held_out and to_evaluate:
                limit = config.evaluation.rows
                scores = evaluate(model, held_out, world, feed, limit=limit)
                if history:
                    history.validation(step, tokens_seen, scores)
            if to_save:
                record = job.record(step, position, tokens_seen)
                checkpoint.save(job, record, model, optimizer, world)
                saved = step
            if history and (to_evaluate or to_save):
                history.restart_clock()
    if history:
        history.close()
    if step > saved:
        record = job.record(step, position, tokens_seen)
        checkpoint.save(job, record, model, optimizer, world)
    if history:
        plot_loss(job.output)
    return 0 if step == job.steps else stop.signal or signal.SIGTERM


def _validation_reader(job: Job) -> ShardReader | None:
    split = job.manifest.splits.get("validation")
    if split is None or split.rows == 0:
        return None
    tokenizer = job.manifest.tokenizer
    sizes = token_bytes(job.shards / tokenizer.path, tokenizer.vocabulary)
    return ShardReader(job.shards, job.manifest, "validation", token_bytes=sizes)


@dataclass
class _Stop:
    """The signal that asks this process to stop, or 0."""

    signal: int = 0


@contextmanager
def _stop_signals() -> Iterator[_Stop]:
    """Note SIGTERM and SIGINT instead of dying of them: a second SIGINT is an interrupt again."""
    stop = _Stop()

    def note(number: int, frame: FrameType | None) -> None:  # noqa: ARG001
        if number == signal.SIGINT:
            signal.signal(signal.SIGINT, signal.default_int_handler)
        stop.signal = number

    before = {number: signal.signal(number, note) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
