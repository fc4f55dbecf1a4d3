"""A training run, from its first step or from where it was left, to the last."""

from __future__ import annotations

import gc
import itertools
import json
import signal
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from types import FrameType
from typing import NamedTuple

import torch
from tokenizers import Tokenizer

from schemas.problems import Problem
from train import metrics, optim, parallel
from train.agree import agreed, gathered
from train.checkpoint import Checkpointer
from train.data import Prefetched, ShardReader, check_digests, token_bytes
from train.evaluate import evaluate
from train.guard import Diverged, Guard, Monitor
from train.history import History
from train.job import Job, Record, Rollback, begin, rollbacks
from train.mesh import World
from train.objective import Objective
from train.order import Window
from train.origin import is_hf, record_of, start_from
from train.report import write_report
from train.schedule import learning_rate
from train.step import Batch, Feed, micro_rows, train_step
from train.tasks import answer, read_questions
from train.trace import segments


class Verdict(NamedTuple):
    """What rank 0 finds at the end of a window of steps."""

    window: Window | None  # to pass over, after going back to before it
    healthy: bool
    flags: int
    first_flag: int


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
    return 0 if run.step == job.steps else asked.stop or signal.SIGTERM


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
        self.held_out = _validation_reader(job)
        files = map(Path, config.evaluation.tasks)
        self.tasks = {path.name: read_questions(path) for path in files}
        self.tokenizer = Tokenizer.from_file(str(job.shards / manifest.tokenizer.path))
        self.model = parallel.build(config, manifest.tokenizer.vocabulary, world)
        self.optimizer = optim.build(self.model, config.optimizer)
        self.monitor = Monitor(config.guard, world.device)
        self.guard = Guard(config.guard, job.order.batch_rows)
        self.checkpointer = Checkpointer(job, world, self.model, self.optimizer, self.monitor)
        self.rollbacks = agreed(world, lambda: rollbacks(job.checkpoints))
        tokenizer, rows = manifest.tokenizer, job.order.batch_rows // world.data_size
        self.feed = Feed(
            Objective(config.objective, tokenizer.vocabulary, tokenizer.padding),
            world.device,
            micro_rows(rows, min(config.micro_rows, rows // world.size_of("pipe"))),
            len(self.reader.source_names),
            varlen=self.model.backend == "varlen",
        )
        self.step = self.position = self.tokens = 0
        resumed = self.checkpointer.restore()
        if resumed is None:
            self._take_origin()
        self._continue_from(resumed)
        self.saved = self.step
        self.history: History | None = None

        def open_output() -> None:
            begin(job)
            self.checkpointer.tidy()
            self.history = History(job, world, self.model, resumed)

        agreed(world, open_output)

    def advance(self, asked: Asked) -> Window | None:
        """Train until the last step, or until a signal asks to stop.

        Returns rows that must be passed over to go on, if the loss has left its course.
        """
        job, world, config, order = self.job, self.world, self.job.config, self.job.order
        windows = [(entry.start, entry.stop) for entry in self.rollbacks]
        positions = order.ahead(self.position, windows)
        ahead = itertools.islice(positions, job.steps - self.step)
        minutes = config.checkpoint.minutes
        gc.collect()
        gc.freeze()  # what lives as long as the run is not looked through again
        with closing(Prefetched(self._load, ahead)) as batches:
            self.batches = batches
            for position, batch in batches:
                due = minutes is not None and time.monotonic() - self.saved_at > 60 * minutes
                to_save = asked.save or (due and world.rank == 0)
                # A sum on the host, which does not wait for the device.
                wishes = torch.tensor([bool(asked.stop), to_save], dtype=torch.int64)
                stopping, to_save = world.all_reduce(wishes).tolist()
                if stopping:
                    break
                counts = torch.tensor([batch.num_labels, batch.num_tokens, *batch.labels])
                num_labels, num_tokens, *labels = world.sum_rows(counts).tolist()
                rate = learning_rate(self.step, job.steps, config.optimizer)
                outcome = train_step(
                    self.model,
                    self.optimizer,
                    batch,
                    num_labels=num_labels,
                    micro=self.feed.micro,
                    rate=rate,
                    clip=config.optimizer.clip,
                    monitor=self.monitor,
                    world=world,
                    every_pass=config.parallel.reduce_every_pass,
                )
                self.step, self.tokens = self.step + 1, self.tokens + num_tokens
                if self.history:
                    self.history.add(
                        outcome,
                        step=self.step,
                        epoch=order.epoch(position),
                        first_row=position,
                        rows=order.batch_rows,
                        lr=rate,
                        tokens=num_tokens,
                        labels=num_labels,
                        sources=dict(zip(self.reader.source_names, labels, strict=True)),
                        tokens_seen=self.tokens,
                    )
                self.position = position + order.batch_rows

                last = self.step == job.steps
                to_evaluate = last or self.step % config.evaluation.every == 0
                to_save = to_save or last or self.step % config.checkpoint.every == 0
                if not (to_evaluate or to_save or self.step % config.log_every == 0):
                    continue
                verdict = self._judge(to_save=to_save)
                if verdict.window:
                    return verdict.window
                if self.held_out and to_evaluate:
                    self._evaluate(self.held_out)
                if to_save:
                    self._save(verdict)
                    asked.save = False
        if self.step > self.saved:
            verdict = self._judge(to_save=True)
            if verdict.window:
                return verdict.window
            self._save(verdict)
        return None

    def go_back(self, window: Window) -> None:
        """Return to before some rows, which are passed over. Raises Diverged if too often."""
        most = self.job.config.guard.rollbacks
        start, stop = window
        # Where the trouble goes on behind the last window, this one is longer by that.
        stop += sum(entry.stop - entry.start for entry in self.rollbacks if entry.stop == start)
        rollback = Rollback(start=start, stop=stop, step=self.step, to_step=0)
        if len(self.rollbacks) >= most:
            self.checkpointer.give_up(rollback.start)
            raise Diverged(
                f"the loss left its course before step {self.step}, or weights are not finite, and "
                f"training has gone back {len(self.rollbacks)} times (guard.rollbacks is {most}). "
                "The last healthy checkpoint is kept. A smaller optimizer.lr or a longer warmup "
                "may help; guard.patience, guard.spikes and guard.rollbacks say what is borne"
            )
        record = self.checkpointer.go_back(rollback, self.rollbacks)
        if record is None:
            self.model.initialize(self.job.config.seed)
            self.optimizer.restart()
            self.monitor.reset()
            self._take_origin()
        rollback.to_step = record.step if record else 0
        agreed(self.world, lambda: self._note_passed_over(rollback))
        self.rollbacks.append(rollback)
        self._continue_from(record)
        self.saved = self.step
        if self.history:
            self.history.go_back(rollback, len(self.rollbacks))

    def end(self) -> None:
        """Wait for the last checkpoint; draw the curve."""
        self.checkpointer.wait()
        if self.history:
            self.history.close()
            write_report(self.job.output)
            self.checkpointer.store()

    def _note_passed_over(self, rollback: Rollback) -> None:
        """Append what the rows of a window hold to `passed-over.jsonl`."""
        order = self.job.order
        positions = range(rollback.start, rollback.stop, order.batch_rows)
        rows = sorted({int(row) for position in positions for row in order.batch(position).flat})
        with (self.job.output / "passed-over.jsonl").open("a", encoding="utf-8") as file:
            for segment in segments(self.reader, rows):
                fields = {"rollback": len(self.rollbacks) + 1, **asdict(segment)}
                known = {name: value for name, value in fields.items() if value is not None}
                file.write(json.dumps(known) + "\n")

    def _take_origin(self) -> None:
        """Take the weights that the run starts from, if it does. Raises Problem."""
        path = self.job.origin
        if path is None:
            return
        if not is_hf(path):
            files = self.checkpointer.damaged(path, record_of(path))
            if files:
                raise Problem(f"{path}: damaged: {', '.join(files)}")
        start_from(path, self.model)

    def _continue_from(self, record: Record | None) -> None:
        self.step = record.step if record else 0
        self.position = record.position if record else 0
        self.tokens = record.tokens if record else 0
        self.guard.flags = record.flags if record else 0
        self.guard.first = record.first_flag if record else 0
        self.saved_at = time.monotonic()

    def _load(self, position: int) -> tuple[int, Batch]:
        order, lanes = self.job.order, self.lanes
        rows = self.reader.take(order.batch(position)[lanes].ravel())
        first = position + lanes.start * (order.batch_rows // order.lanes)
        return position, self.feed.batch(rows, first)

    def _judge(self, *, to_save: bool) -> Verdict:
        """Write the log, and let rank 0 say whether the steps in it were healthy.

        Raises Problem if the last checkpoint could not be written.
        """
        finite = self.checkpointer.weights_are_finite() if to_save else True
        last = self.step == self.job.steps

        def judge() -> Verdict:
            steps = self.history.flush(self.batches.take_waited()) if self.history else []
            if failure := self.checkpointer.failure():
                raise Problem(failure)
            window = self.guard.judge(steps, last=last, finite=finite)
            return Verdict(window, self.guard.healthy, self.guard.flags, self.guard.first)

        return agreed(self.world, judge)

    def _evaluate(self, reader: ShardReader) -> None:
        limit = self.job.config.evaluation.rows
        scores = evaluate(self.model, reader, self.world, self.feed, limit=limit)
        if self.history:
            self.history.validation(self.step, self.tokens, scores)
        for name, questions in self.tasks.items():
            accuracy = answer(
                self.model,
                questions,
                self.tokenizer,
                self.world,
                settings=self.job.manifest.tokenizer,
                length=self.job.manifest.sequence_length,
                micro=self.feed.micro,
            )
            if self.history:
                self.history.task(self.step, name, accuracy)

    def _save(self, verdict: Verdict) -> None:
        record = self.job.record(self.step, self.position, self.tokens)
        record.healthy, record.flags = verdict.healthy, verdict.flags
        record.first_flag = verdict.first_flag
        start = time.monotonic()
        self.checkpointer.save(record)
        self.saved, self.saved_at = self.step, time.monotonic()
        if self.history:
            self.history.checkpoint(self.step, self.saved_at - start)


def _check(job: Job, world: World) -> None:
    """Raise Problem if a file of the shards is not what the manifest says."""
    part = slice(world.rank, None, world.size)
    wrong = [
        text
        for found in gathered(world, check_digests(job.shards, job.manifest, part))
        for text in found
    ]

    def tell() -> None:
        if wrong:
            raise Problem(f"{'; '.join(wrong)}: make the shards again, or copy them again")
        metrics.show_progress("all files of the shards are as the manifest says")

    agreed(world, tell)


def _validation_reader(job: Job) -> ShardReader | None:
    split = job.manifest.splits.get("validation")
    if split is None or split.rows == 0:
        return None
    tokenizer = job.manifest.tokenizer
    sizes = token_bytes(job.shards / tokenizer.path, tokenizer.vocabulary)
    return ShardReader(job.shards, job.manifest, "validation", token_bytes=sizes, cache=job.cache)


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
