"""Engines by name, with settings that work, and one way to run jobs on any of them.

`local` is a pool of processes, `direct` Beam's own runner on this machine; `prism`, `spark` and
`flink` are behind Beam's job API, and `dataflow` is a service. A job of one task, what takes next
to no time, and all jobs of one worker on this machine, are loops in this process.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from pipelines.engines.jobs import Job, JobFailed, Receive, ignore, last_line, run_here
from pipelines.engines.local import Pool, modules_of
from schemas.engine import RUNNERS, EngineSettings, RunnerName
from schemas.problems import Problem, full_disk

if TYPE_CHECKING:
    from pipelines.engines.beam import Session


@dataclass(frozen=True)
class Engine:
    """What runs the jobs. None of it decides an output byte."""

    runner: RunnerName = "local"
    workers: int = 1
    # Bytes that a shuffle may hold, all workers together; passes are cut to fit.
    memory: int = 2 << 30
    settings: EngineSettings = field(default_factory=EngineSettings)

    def __post_init__(self) -> None:
        if self.runner not in RUNNERS:
            raise Problem(f"not known; one of {', '.join(RUNNERS)}", f"runner {self.runner}")
        if self.workers < 1:
            raise Problem("at least 1", f"workers {self.workers}")

    @property
    def is_here(self) -> bool:
        """Whether it stands for this machine alone, whose small jobs can run in this process."""
        return self.runner in ("local", "direct")

    @property
    def has_one_disk(self) -> bool:
        """Whether all workers are sure to be on this machine."""
        return self.is_here or self.runner == "prism"

    def runs_here(self, *, small: bool = False, alone: bool = False, apart: bool = False) -> bool:
        """Whether a job is a loop of this process, see `Runner.run`."""
        return not apart and (alone or (self.is_here and (small or self.workers == 1)))

    @property
    def shuffles_on_disk(self) -> bool:
        """Whether a shuffle may be larger than memory: one job does all passes of a step."""
        return self.runner in ("spark", "flink", "dataflow")

    @property
    def starts_fast(self) -> bool:
        """Whether a job costs no more than its work, so that many are as good as one."""
        return self.runner == "local" or (self.is_here and self.workers == 1)


class Runner:
    """Runs jobs on an engine, one after another."""

    def __init__(
        self, engine: Engine, log: Path | None = None, show: Callable[[str], None] = ignore
    ) -> None:
        """What worker processes print goes to the end of `log`; `show` is told the address of the
        engine's own page."""
        self.engine, self._log, self._show = engine, log, show
        self._pool: Pool | None = None
        self._session: Session | None = None

    def run(
        self,
        job: Job,
        receive: Receive = ignore,
        watch: Callable[[], None] = lambda: None,
        scratch: Path | None = None,
        *,
        name: str = "job",
        small: bool = False,
        alone: bool = False,
        apart: bool = False,
    ) -> None:
        """Run a job to its end.

        `receive` is given what comes to a barrier and to the end; on Beam's engines, which carry
        nothing back, `watch` is called several times a second instead. Chunks that are shuffled
        stand in the folder `scratch`, if it is given. `small` keeps next to no work inside this
        process, where the engine is on this machine, and `alone`, one task, on any: an engine
        would take longer to begin; `apart` keeps what may end its process out of this one. `name`
        is what the engine calls the job.
        Raises Problem if a step does, or the disk is full, and JobFailed if the job fails otherwise
        or a worker process dies; a later job has new ones.
        """
        if self.engine.runs_here(small=small, alone=alone, apart=apart):
            try:
                run_here(job, receive, scratch)
            except Problem:
                raise
            except Exception as error:
                raise (full_disk(error) or JobFailed(last_line(error))) from error
        elif self.engine.runner == "local":
            if self._pool is None or not self._pool.is_open:
                self._pool = Pool(self.engine.workers, modules_of(job), self._log)
            self._pool.run(job, receive, scratch)
        else:
            if self._session is None:
                from pipelines.engines.beam import Session

                asked = self.engine
                self._session = Session(
                    asked.runner, asked.workers, asked.settings, self._log, self._show
                )
            try:
                self._session.run(job, watch, scratch, name)
            except JobFailed:
                self.close()
                raise

    def close(self) -> None:
        """Let the workers and the engine's programs end; a later job starts new ones."""
        if self._pool is not None:
            self._pool.close()
        if self._session is not None:
            self._session.close()
            self._session = None
