"""A training run, from its first step or from where it was left, to the last."""

from __future__ import annotations

import gc
import itertools
import json
import signal
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import NoReturn

import torch
from tokenizers import Tokenizer

from schemas.problems import Problem
from train import guard, metrics, parallel, tasks
from train.checkpoint import Checkpointer
from train.data import Prefetched, ShardReader, check_digests, token_bytes
from train.evaluate import evaluate
from train.history import History
from train.job import Job, Progress, Record, Rollback, begin, rollbacks
from train.mesh import World
from train.objective import Objective
from train.order import Window
from train.origin import start_from
from train.report import write_report
from train.schedule import learning_rate
from train.step import Batch, Feed, Trainer, micro_rows
from train.trace import segments


def train(job: Job, world: World) -> int:
    """Train to the last step. Returns 0, or the signal that ended it early, after a checkpoint.

    Everything that processes must agree on is summed over all of them, or decided by rank 0.
    Raises Diverged if the loss leaves its course more often than `guard.rollbacks`.
    """
    run = Run(job, world)
    with _signals() as asked:
        while (window := run.advance(asked)) is not None:
            run.go_back(window)
    run.end()
    return 0 if run.is_done else asked.stop or signal.SIGTERM


class Run:
    """The parts of a run, and how far it is."""

    def __init__(self, job: Job, world: World) -> None:
        """Build the model, and load the newest checkpoint if there is one. Raises Problem."""
        self.job, self.world = job, world
        config, manifest = job.config, job.manifest
        if job.check and not job.cache:  # which always checks what it fetches
            _check(job, world)
        self.lanes = job.order.lanes_of(world.data_rank, world.data_size)
        held = self.lanes.stop - self.lanes.start + 1
        self.reader = ShardReader(job.shards, manifest, "train", held_groups=held, cache=job.cache)
        tokenizer = manifest.tokenizer
        path = job.shards / tokenizer.path
        self.held_out: ShardReader | None = None
        if job.has_validation:
            sizes = token_bytes(path, tokenizer.vocabulary)
            self.held_out = ShardReader(job.shards, manifest, "validation", sizes, cache=job.cache)
        length, bpe = manifest.sequence_length, Tokenizer.from_file(str(path))
        self.tasks = {
            name.name: tasks.pack(tasks.read_questions(name), bpe, tokenizer, length)
            for name in map(Path, config.evaluation.tasks)
        }
        model = parallel.build(config, tokenizer.vocabulary, world)
        self.trainer = Trainer(config, model, world)
        self.checkpointer = Checkpointer(job, self.trainer)
        self.rollbacks = world.agreed(lambda: rollbacks(job.checkpoints))
        rows = job.order.batch_rows // world.data_size
        micro = micro_rows(rows, min(config.micro_rows, rows // world.size_of("pipe")))
        objective = Objective(config.objective, tokenizer.vocabulary, tokenizer.padding)
        sources, varlen = len(self.reader.source_names), model.backend == "varlen"
        self.feed = Feed(objective, world.device, micro, sources, varlen)
        resumed = self.checkpointer.restore()
        if resumed is None:
            self._take_origin()
        self._continue_from(resumed)
        self.history: History | None = None

        def open_output() -> None:
            begin(job)
            self.checkpointer.tidy()
            self.history = History(job, world, model, resumed)

        world.agreed(open_output)

    @property
    def is_stopped(self) -> bool:
        """Whether validations have not improved for too long."""
        patience = self.job.config.evaluation.patience
        return patience is not None and self.at.worse >= patience

    @property
    def is_done(self) -> bool:
        """Whether there is nothing left to train."""
        return self.is_stopped or self.at.step == self.job.steps

    def advance(self, asked: Asked) -> Window | None:
        """Train until the last step, or until a signal asks to stop.

        Returns rows that must be passed over to go on, if the loss has left its course.
        """
        job, at = self.job, self.at
        windows = [(entry.start, entry.stop) for entry in self.rollbacks]
        left = 0 if self.is_stopped else job.steps - at.step
        ahead = itertools.islice(job.order.ahead(at.position, windows), left)
        gc.collect()
        gc.freeze()  # what lives as long as the run is not looked through again
        with closing(Prefetched(self._load, ahead)) as batches:
            self.batches = batches
            for position, batch in batches:
                stopping, to_save = self._wishes(asked)
                if stopping:
                    break
                self._step(position, batch)
                step, evaluation = self.at.step, job.config.evaluation
                last = step == job.steps
                to_evaluate = last or step % evaluation.every == 0
                to_save = to_save or last or step % job.config.checkpoint.every == 0
                to_save = to_save or (to_evaluate and evaluation.patience is not None)
                if not (to_evaluate or to_save or step % job.config.log_every == 0):
                    continue
                if window := self._judge(to_save=to_save):
                    return window
                if self.held_out and to_evaluate:
                    self._evaluate(self.held_out)
                if to_save:
                    self._save()
                    asked.save = False
                if self.is_stopped:
                    break
        if self.at.step > self.saved:
            if window := self._judge(to_save=True):
                return window
            self._save()
        return None

    def go_back(self, window: Window) -> None:
        """Return to before some rows, which are passed over. Raises Diverged if too often."""
        start, stop = window
        # Where the trouble goes on behind the last window, this one is longer by that.
        stop += sum(entry.stop - entry.start for entry in self.rollbacks if entry.stop == start)
        rollback = Rollback(start=start, stop=stop, step=self.at.step, to_step=0)
        if len(self.rollbacks) >= self.job.config.guard.rollbacks:
            self.checkpointer.give_up(rollback.start)
            self.world.agreed(self._diverged)
        record = self.checkpointer.go_back(rollback, self.rollbacks)
        if record is None:
            self.trainer.restart(self.job.config.seed)
            self._take_origin()
        self.world.agreed(lambda: self._note_passed_over(rollback))
        self.rollbacks.append(rollback)
        self._continue_from(record)
        if self.history:
            self.history.go_back(rollback, len(self.rollbacks))

    def end(self) -> None:
        """Wait for the last checkpoint; draw the curve."""
        self.checkpointer.wait()
        if self.history:
            if self.is_stopped:
                self.history.stopped(self.at)
            self.history.close()
            write_report(self.job.output)
            self.checkpointer.store()

    def _diverged(self) -> NoReturn:
        raise guard.Diverged(
            f"the loss left its course before step {self.at.step}, or weights are not finite, and "
            f"training has gone back {len(self.rollbacks)} times, all that guard.rollbacks allows. "
            "The last healthy checkpoint is kept. A smaller optimizer.lr or a longer warmup may "
            "help; guard.patience, .spikes and .rollbacks say what is borne"
        )

    def _note_passed_over(self, rollback: Rollback) -> None:
        """Append what the rows of a window hold to `passed-over.jsonl`."""
        order = self.job.order
        positions = range(rollback.start, rollback.stop, order.batch_rows)
        rows = sorted({int(row) for position in positions for row in order.batch(position).flat})
        with (self.job.output / "passed-over.jsonl").open("a", encoding="utf-8") as file:
            for segment in segments(self.reader, rows):
                file.write(json.dumps({"rollback": len(self.rollbacks) + 1, **segment}) + "\n")

    def _take_origin(self) -> None:
        """Take the weights that the run starts from, if it does. Raises Problem."""
        if self.job.origin:
            start_from(self.job.origin, self.trainer.model, self.world)

    def _continue_from(self, record: Record | None) -> None:
        known = record.model_dump(include={*Progress.model_fields}) if record else {}
        self.at = Progress(**known)
        self.saved, self.saved_at = self.at.step, time.monotonic()

    def _load(self, position: int) -> tuple[int, Batch]:
        order, lanes = self.job.order, self.lanes
        rows = self.reader.take(order.batch(position)[lanes].ravel())
        first = position + lanes.start * (order.batch_rows // order.lanes)
        return position, self.feed.batch(rows, first)

    def _wishes(self, asked: Asked) -> tuple[bool, bool]:
        """Whether any process was asked to stop, or to save."""
        minutes = self.job.config.checkpoint.minutes
        due = minutes is not None and time.monotonic() - self.saved_at > 60 * minutes
        to_save = asked.save or (due and self.world.rank == 0)
        # A sum on the host, which does not wait for the device.
        wishes = torch.tensor([bool(asked.stop), to_save], dtype=torch.int64)
        stopping, saving = self.world.all_reduce(wishes).tolist()
        return bool(stopping), bool(saving)

    def _step(self, position: int, batch: Batch) -> None:
        job, at = self.job, self.at
        counts = torch.tensor([batch.num_tokens, *batch.labels])
        num_tokens, *labels = self.world.sum_rows(counts).tolist()
        rate = learning_rate(at.step, job.steps, job.config.optimizer)
        outcome = self.trainer.step(batch, sum(labels), rate)
        at.step, at.tokens = at.step + 1, at.tokens + num_tokens
        at.position = position + job.order.batch_rows
        if self.history:
            self.history.add(
                outcome,
                step=at.step,
                epoch=job.order.epoch(position),
                first_row=position,
                rows=job.order.batch_rows,
                lr=rate,
                tokens=num_tokens,
                labels=sum(labels),
                sources=dict(zip(self.reader.source_names, labels, strict=True)),
                tokens_seen=at.tokens,
            )

    def _judge(self, *, to_save: bool) -> Window | None:
        """Write the log, and let rank 0 say whether the steps in it were healthy.

        Returns rows to pass over. Raises Problem if the last checkpoint could not be written.
        """
        finite = self.checkpointer.weights_are_finite() if to_save else True

        def judge() -> tuple[Window | None, Progress]:
            steps = self.history.flush(self.batches.take_waited()) if self.history else []
            self.checkpointer.check()
            last = self.at.step == self.job.steps
            return guard.judge(self.at, steps, self.job.config.guard, last, finite), self.at

        window, self.at = self.world.agreed(judge)
        return window

    def _evaluate(self, reader: ShardReader) -> None:
        model, at = self.trainer.model, self.at
        limit = self.job.config.evaluation.rows
        scores = evaluate(model, reader, self.world, self.feed, limit=limit)
        loss = self.world.agreed(lambda: scores[""].loss)
        if at.best is None or loss < at.best:
            at.best, at.best_step, at.worse = loss, at.step, 0
        else:
            at.worse += 1
        if self.history:
            self.history.validation(at, scores)
        for name, task in self.tasks.items():
            accuracy = tasks.answer(model, task, self.world, self.feed)
            if self.history:
                self.history.task(at.step, name, accuracy)

    def _save(self) -> None:
        start = time.monotonic()
        self.checkpointer.save(self.job.record(self.at))
        self.saved, self.saved_at = self.at.step, time.monotonic()
        if self.history:
            self.history.checkpoint(self.at.step, self.saved_at - start)


def _check(job: Job, world: World) -> None:
    """Raise Problem if a file of the shards is not what the manifest says."""
    own = check_digests(job.shards, job.manifest, slice(world.rank, None, world.size))
    wrong = "; ".join(itertools.chain(*world.gathered(own)))

    def tell() -> None:
        if wrong:
            raise Problem(f"{wrong}: make the shards again, or copy them again")
        metrics.show_progress("all files of the shards are as the manifest says")

    world.agreed(tell)


@dataclass
class Asked:
    """What signals have asked this process for."""

    stop: int = 0  # the signal, or 0
    save: bool = False


@contextmanager
def _signals() -> Iterator[Asked]:
    """Note SIGTERM and SIGINT instead of dying of them, and SIGUSR1, which asks for a checkpoint.

    A second SIGINT is an interrupt again.
    """
    asked = Asked()

    def note(number: int, frame: FrameType | None) -> None:  # noqa: ARG001
        if number == signal.SIGUSR1:
            asked.save = True
            return
        if number == signal.SIGINT:
            signal.signal(signal.SIGINT, signal.default_int_handler)
        asked.stop = number

    numbers = (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1)
    before = {number: signal.signal(number, note) for number in numbers}
    try:
        yield asked
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
