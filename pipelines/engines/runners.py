"""Engines by name, with settings that work, and one way to run a job on any of them.

A job runs in a thread of its own; the calling thread shows progress and watches the workers:
Beam's local runner waits for ever for a worker process that was killed. `direct` with one worker
is a loop in this process; with more it is Beam's FnApiRunner, `prism` is Beam's engine in Go.
"""

from __future__ import annotations

import logging
import os
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal

from pipelines.engines.jobs import Job, run_here
from schemas.problems import Problem

RunnerName = Literal["direct", "prism"]
RUNNERS: tuple[RunnerName, ...] = ("direct", "prism")


class JobFailed(Exception):
    """A job ended without doing its work; the message says why."""


@dataclass(frozen=True)
class Engine:
    """What runs the jobs. None of it decides an output byte."""

    runner: RunnerName = "direct"
    workers: int = 1
    # Bytes that a shuffle may hold, all workers together; passes are cut to fit.
    memory: int = 2 << 30

    def __post_init__(self) -> None:
        if self.runner not in RUNNERS:
            raise Problem(f"not known; one of {', '.join(RUNNERS)}", f"runner {self.runner}")
        if self.workers < 1:
            raise Problem("at least 1", f"workers {self.workers}")


def run_job(
    engine: Engine,
    job: Job,
    watch: Callable[[], None] = lambda: None,
    log: Path | None = None,
    scratch: Path | None = None,
) -> None:
    """Run a job to its end, calling `watch` several times a second.

    What worker processes print goes to the end of `log`; chunks that are shuffled stand in the
    folder `scratch`, if it is given. Raises JobFailed if the job fails or a
    worker process dies.
    """
    failure: list[BaseException] = []

    with (
        _quiet(),
        _started(engine, log, scratch) as (run, lost_worker),
        _quiet_threads(lost_worker),
    ):

        def work() -> None:
            try:
                run(job)
            except BaseException as error:  # handed to the calling thread
                failure.append(error)

        thread = threading.Thread(target=work, name="job", daemon=True)
        thread.start()
        try:
            while thread.is_alive():
                thread.join(0.05)
                watch()
                if lost_worker():
                    # a job that is at its end stops its workers, one that failed says more itself
                    thread.join(5)
                    if thread.is_alive():
                        raise JobFailed("a worker process died")
        except BaseException:
            _end_children()
            raise
    if failure:
        raise JobFailed(_last_line(failure[0])) from failure[0]


@contextmanager
def _started(
    engine: Engine, log: Path | None, scratch: Path | None
) -> Iterator[tuple[Callable[[Job], None], Callable[[], bool]]]:
    """What runs a job on the engine, and what tells whether a worker process died."""
    if engine.runner == "direct" and engine.workers == 1:
        yield partial(run_here, scratch=scratch), _never
        return
    import apache_beam
    from apache_beam.options.pipeline_options import PipelineOptions

    from pipelines.engines import beam

    sink = str(log) if log is not None else os.devnull
    common = ["--no_save_main_session", f"--direct_num_workers={engine.workers}"]
    if scratch is not None:
        common.append(f"--shuffle_folder={scratch}")
    if engine.runner == "direct":
        from apache_beam.runners.portability.fn_api_runner import FnApiRunner

        from pipelines.engines.workers import ForkedEnvironment, parent

        lost_worker = parent().died.is_set
        # by its own name: `DirectRunner` may choose Prism, which is a download
        runner = FnApiRunner(default_environment=ForkedEnvironment(sink))
        pipeline = apache_beam.Pipeline(runner=runner, options=PipelineOptions(common))
        yield partial(beam.run, pipeline=pipeline), lost_worker
        return
    binary = os.environ.get("GRISTMILL_PRISM") or shutil.which("prism")
    if binary is None:
        raise Problem(
            "no `prism` in PATH",
            "runner prism",
            "`make engines` installs it; or name the file by the variable GRISTMILL_PRISM",
        )
    # Beam's own PrismRunner installs signal handlers, which only a main thread can
    job_port, pool_port = _free_port(), _free_port()
    pool_command = "apache_beam.runners.worker.worker_pool_main"
    with Path(sink).open("ab") as output:
        server = subprocess.Popen(  # noqa: S603
            [binary, f"--job_port={job_port}", "--serve_http=false", "--log_kind=text"],
            stdout=output,
            stderr=output,
        )
        pool = subprocess.Popen(  # noqa: S603
            [sys.executable, "-P", "-m", pool_command, f"--service_port={pool_port}"],
            # the pool starts its workers as `python`
            env={**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"},
            stdout=output,
            stderr=output,
        )
    options = [
        *common,
        "--runner=PortableRunner",
        f"--job_endpoint=localhost:{job_port}",
        # LOOPBACK would run the work in threads of this process
        "--environment_type=EXTERNAL",
        f"--environment_config=localhost:{pool_port}",
    ]
    try:
        _wait_for_port(job_port, server)
        _wait_for_port(pool_port, pool)
        pipeline = apache_beam.Pipeline(options=PipelineOptions(options))
        yield partial(beam.run, pipeline=pipeline), lambda: _lost_worker(pool)
    finally:
        for process in (pool, server):
            _end(process.pid)
            process.wait()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _wait_for_port(port: int, process: subprocess.Popen[bytes]) -> None:
    for _ in range(300):
        if process.poll() is not None:
            raise JobFailed("the engine or its pool of worker processes did not start")
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.1)
    raise JobFailed("the engine or its pool of worker processes does not answer")


def _lost_worker(pool: subprocess.Popen[bytes]) -> bool:
    """Whether the pool, or a worker that it started, was killed."""
    import psutil

    if pool.poll() is not None:
        return True
    return any(
        child.status() == psutil.STATUS_ZOMBIE for child in psutil.Process(pool.pid).children()
    )


def _never() -> bool:
    return False


@contextmanager
def _quiet_threads(lost_worker: Callable[[], bool]) -> Iterator[None]:
    """No traces of the engine's threads whose worker process died; some of them end later."""
    before = threading.excepthook

    def hook(args: threading.ExceptHookArgs) -> None:
        if not lost_worker() and "Rpc" not in type(args.exc_value).__name__:
            before(args)

    threading.excepthook = hook
    try:
        yield
    finally:
        if not lost_worker():
            threading.excepthook = before


@contextmanager
def _quiet() -> Iterator[None]:
    """No log of Beam's on the terminal: failures reach the user in our own words."""
    root = logging.getLogger()
    before = root.level
    root.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        root.setLevel(before)


def _end_children() -> None:
    """Kill all processes that this one started: workers, engine, pool."""
    _end(os.getpid(), itself=False)


def _end(pid: int, *, itself: bool = True) -> None:
    import psutil

    try:
        process = psutil.Process(pid)
        found = process.children(recursive=True)
    except psutil.NoSuchProcess:
        return
    for item in [*found, process] if itself else found:
        try:
            item.kill()
        except psutil.NoSuchProcess:
            continue


def _last_line(error: BaseException) -> str:
    lines = [line for line in str(error).strip().splitlines() if line.strip()]
    return lines[-1].strip() if lines else type(error).__name__
