"""The mill: plans the tasks of a step, has the engine do them, and closes the step."""

from __future__ import annotations

import json
import re
import shutil
import time
import uuid
from collections.abc import Callable, Iterable, Iterator, Sequence, Sized
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from itertools import pairwise
from pathlib import Path

from pipelines.engines.jobs import Barrier, Job, JobFailed, Step, WorkerLost
from pipelines.engines.runners import Engine, Runner
from pipelines.runs import quarantine
from pipelines.runs.closing import Plan, close, compaction, freeze
from pipelines.runs.events import (
    EngineConsole,
    JobBegun,
    Listener,
    StepBegun,
    StepFinished,
    StepProgress,
    Warned,
    ignore,
)
from pipelines.runs.receipts import Task, receipt_keys
from pipelines.runs.steps import Context, Execute, Manifest, Work, read_manifest
from pipelines.runs.store import Folder
from schemas.problems import Problem


@dataclass(frozen=True)
class Stretch:
    """A step whose tasks are planned from what the steps before it have made.

    `plan` and `work` are functions of a module, so that workers import them by name.
    """

    step: str
    mark: str
    plan: Plan
    work: Work


class _Onward:
    """Closes a step and plans the next one, in the middle of a job."""

    def __init__(self, context: Context, before: Stretch, after: Stretch) -> None:
        self.context, self.before, self.after = context, before, after

    def process(self, _: None) -> list[str]:
        """The tasks of the next step."""
        run, after = self.context.run, self.after
        if not run.exists(f"{self.before.step}/manifest.json"):
            close(run, self.before.step)
        tasks = freeze(run, after.step, after.mark, partial(after.plan, self.context))
        return _largest_first(tasks)


class _Lost(JobFailed):
    """A job failed, and no task has said why; `died`: a worker process did."""

    def __init__(self, message: str, *, died: bool) -> None:
        super().__init__(message)
        self.died = died


@dataclass
class _Tally:
    """The tasks of a step that have receipts, as far as is known."""

    receipts: Callable[[], set[str]]  # listed
    keys: set[str]
    report: Callable[[int], None]
    done: set[str] = field(default_factory=set)
    _next: float = 0.0

    def receive(self, key: str) -> None:
        """A task answered that it has one."""
        self.done.add(key)
        now = time.monotonic()
        if now >= self._next or len(self.done) == len(self.keys):
            self.report(len(self.done))
            self._next = now + 0.1

    def look(self) -> None:
        """List them, which takes a fiftieth of the time at most."""
        begun = time.monotonic()
        if begun >= self._next:
            self.list()
            ended = time.monotonic()
            self._next = ended + max(0.5, 49 * (ended - begun))

    def list(self) -> None:
        """List them now."""
        self.done |= self.receipts() & self.keys
        self.report(len(self.done))


@dataclass
class Mill:
    """Runs steps of one run on an engine."""

    context: Context
    engine: Engine
    splits: list[Task]
    listener: Listener = ignore

    def __post_init__(self) -> None:
        self._begun = 0
        self._runner = Runner(
            self.engine, self._log(), lambda url: self.listener(EngineConsole(url))
        )

    @property
    def run(self) -> Folder:
        """The run's folder."""
        return self.context.run

    def close(self) -> None:
        """Let the engine's workers and programs end."""
        self._runner.close()

    def plan(self, step: str, fingerprint: str, tasks: Callable[[], Sequence[Task]]) -> list[Task]:
        """The frozen tasks of a step; `tasks` is asked only the first time.

        Raises Problem if the step was begun under another fingerprint.
        """
        return freeze(self.run, step, fingerprint, tasks)

    def do(self, step: str, work: Work, tasks: Sequence[Task]) -> Manifest:
        """Do the tasks that have no receipt yet: one element a task, one receipt a task."""

        def build(waiting: Sequence[Task]) -> Job:
            return Job(_largest_first(waiting), [Execute(self.context, step, work)])

        return self.jobs(step, [tasks], build)

    def chain(self, stretches: Sequence[Stretch]) -> Manifest:
        """Do steps of which each is planned when the one before is closed; the last's manifest.

        An engine whose jobs take long to start does them in one job, with barriers between.
        """
        if self.engine.starts_fast:
            for each in stretches:
                plan = partial(each.plan, self.context)
                manifest = self.do(each.step, each.work, self.plan(each.step, each.mark, plan))
            return manifest
        first, last = stretches[0], stretches[-1]
        if not self.run.exists(f"{last.step}/manifest.json"):
            tasks = self.plan(first.step, first.mark, partial(first.plan, self.context))
            steps: list[Step | Barrier] = [Execute(self.context, first.step, first.work)]
            for before, after in pairwise(stretches):
                steps.append(Barrier(after.step, _Onward(self.context, before, after)))
                steps.append(Execute(self.context, after.step, after.work))
            names = [each.step for each in stretches]
            tally = _Tally(
                lambda: self._closed(names), set(names), self._reporting(last.step, names)
            )
            with self._shown(last.step, tally):
                self._job(names, Job(_largest_first(tasks), steps), tally)
            close(self.run, last.step)
        return read_manifest(self.run, last.step)

    def _closed(self, steps: Iterable[str]) -> set[str]:
        return {step for step in steps if self.run.exists(f"{step}/manifest.json")}

    def jobs(
        self,
        step: str,
        passes: Sequence[Sequence[Task]],
        build: Callable[[Sequence[Task]], Job],
        *,
        small: bool = False,
    ) -> Manifest:
        """Run one job a pass, which gives those tasks their receipts; write the manifest.

        `build` is given the tasks of the pass that have no receipt yet. `small`
        keeps jobs of next to no work inside this process, where the engine can.
        """
        if self.run.exists(f"{step}/manifest.json"):
            return read_manifest(self.run, step)
        keys = {task.key for tasks in passes for task in tasks}
        tally = _Tally(lambda: receipt_keys(self.run, step), keys, self._reporting(step, keys))
        tally.done = tally.receipts() & keys
        waiting = [[task for task in tasks if task.key not in tally.done] for tasks in passes]
        jobs = [tasks for tasks in waiting if tasks]
        with self._shown(step, tally):
            for number, tasks in enumerate(jobs, 1):
                more = compaction(self.run, step, len(keys)) if number == len(jobs) else []
                self._again(step, tasks, build, more, tally, small=small)
            if tally.done != keys:  # an engine may carry nothing back
                tally.list()
        if missing := sorted(keys - tally.done):
            raise JobFailed(
                f"{step}: the job ended, but these tasks have no receipt: {missing[:5]}"
            )
        return close(self.run, step)

    def _again(
        self,
        step: str,
        tasks: Sequence[Task],
        build: Callable[[Sequence[Task]], Job],
        more: Sequence[Step | Barrier],
        tally: _Tally,
        *,
        small: bool,
    ) -> None:
        """Run a job; again after the death of a worker, as long as tasks are done meanwhile, or
        begun that were not."""
        # code of the user's own may end its process
        apart, before = bool(self.context.recipe.code) and not small, None
        while tasks:
            job, alone = build(tasks), len(tasks) == 1
            job = Job(job.items, [*job.steps, *more])
            try:
                self._job([step], job, tally, small=small, alone=alone, apart=apart)
                return
            except _Lost as lost:
                tally.list()
                begun = quarantine.begun(self.context, step)
                now = (len(tally.done), begun)
                if now == before or not (begun or lost.died):
                    raise JobFailed(str(lost)) from None
                what = (
                    "a worker process died: the job begins again, and looks at records one by one"
                )
                self.listener(Warned(what, f"{self.run.url}/{step}", ""))
                before, tasks = now, [task for task in tasks if task.key not in tally.done]

    @contextmanager
    def _shown(self, step: str, tally: _Tally) -> Iterator[None]:
        self.listener(StepBegun(step, len(tally.keys), len(tally.done)))
        try:
            yield
        finally:
            self.listener(StepFinished(step))

    def _reporting(self, step: str, tasks: Sized) -> Callable[[int], None]:
        return lambda done: self.listener(StepProgress(step, len(tasks), done))

    def _job(self, steps: Sequence[str], job: Job, tally: _Tally, **how: bool) -> None:
        # the folder of a run on a disk is seen by all workers, as the run is
        has_disk = self.run.local is not None or self.engine.has_one_disk
        scratch = (self.run / steps[0]).scratch() if has_disk else None
        name = "-".join(["gristmill", *re.findall("[a-z0-9]+", steps[-1])])
        if self.engine.runner != "local" and not self.engine.runs_here(**how):
            self._begun += 1
            self.listener(JobBegun(tuple(steps), self._begun))
            self.run.create(f"{steps[-1]}/jobs/{uuid.uuid4().hex}", self.engine.runner.encode())
        try:
            self._runner.run(job, tally.receive, tally.look, scratch, name=name, **how)
        except Problem:
            for step in steps:
                (self.run / f"{step}/failures").remove()
            raise
        except JobFailed as error:
            raise self._explain(steps, error) from None
        finally:
            if scratch is not None:
                shutil.rmtree(scratch, ignore_errors=True)

    def _log(self) -> Path | None:
        return None if self.run.local is None else self.run.local / "workers.log"

    def _explain(self, steps: Sequence[str], error: JobFailed) -> Exception:
        """The error of the task that failed, if one left word of it, or the engine's."""
        again = "The same command goes on from what is done"
        for step in steps:
            folder = self.run / f"{step}/failures"
            words = [json.loads(folder.read(name)) for name in folder.names()]
            folder.remove()
            for word in words:
                if word["user"]:
                    return Problem(word["message"])
            if words:
                trace = "\n".join(word["trace"] for word in words)
                self.run.replace(f"{step}/failure.txt", trace.encode())
                return JobFailed(
                    f"{step}: task {words[0]['task']} failed: {words[0]['message']} "
                    f"(traces in {self.run.url}/{step}/failure.txt). {again}"
                )
        log = f" (its last words may be in {self._log()})" if self._log() else ""
        said = f"{steps[-1]}: {error}{log}. {again}"
        return _Lost(said, died=isinstance(error, WorkerLost))


def _largest_first(tasks: Sequence[Task]) -> list[str]:
    """Tasks as elements of a job: the largest are begun first, so that none is left to the end."""
    ordered = sorted(tasks, key=lambda task: (-task.size, task.key))
    return [task.to_json() for task in ordered]
