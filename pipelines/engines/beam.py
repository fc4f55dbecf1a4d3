"""Jobs as Beam pipelines, on the engines that Beam brings to one machine.

`direct` is Beam's FnApiRunner, `prism` its engine in Go. The workers of both are started by Beam's
own pool of worker processes. A job runs in a thread of its own; the calling thread shows progress
and watches the workers: FnApiRunner waits for ever for one that was killed.
"""

from __future__ import annotations

import argparse
import logging
import os
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import apache_beam as beam
import psutil
from apache_beam.options.pipeline_options import DirectOptions, PipelineOptions, PortableOptions
from apache_beam.runners.portability.fn_api_runner import FnApiRunner
from apache_beam.runners.portability.portable_runner import PortableRunner
from apache_beam.transforms.environments import ExternalEnvironment

from pipelines.engines.jobs import (
    Barrier,
    ByKey,
    Job,
    JobFailed,
    Spill,
    Step,
    Unspill,
    ignore,
    last_line,
)
from pipelines.engines.local import ONE_THREAD, end
from schemas.problems import Problem


class ShuffleOptions(PipelineOptions):
    """Where the engine's workers have one disk, a folder on it for what they shuffle."""

    @classmethod
    def _add_argparse_args(cls, parser: argparse.ArgumentParser) -> None:
        parser.add_argument("--shuffle_folder")


class Do(beam.DoFn):
    """A step of a job."""

    def __init__(self, step: Step) -> None:
        """`step` does all of the work."""
        self.step = step

    def process(self, element: Any) -> Iterable[Any]:
        """`element`: of the step."""
        return self.step.process(element)


class Then(beam.DoFn):
    """What goes on after a barrier."""

    def __init__(self, step: Step) -> None:
        """`step`: the barrier's."""
        self.step = step

    def process(self, _: None, count: int) -> Iterable[Any]:  # noqa: ARG002 - waited for
        """`count`: of the elements that came to the barrier."""
        return self.step.process(None)


def build(job: Job, pipeline: beam.Pipeline) -> None:
    """Build the job on an empty pipeline."""
    elements = pipeline | beam.Create(job.items, reshuffle=False)
    if pipeline.options.view_as(DirectOptions).direct_num_workers > 1:
        elements = elements | beam.Reshuffle()
    for number, step in enumerate(job.steps):
        if isinstance(step, ByKey):
            elements = _grouped(elements, step)
        elif isinstance(step, Barrier):
            elements = _after(elements, step)
        else:
            elements = elements | f"{number}: {type(step).__name__}" >> beam.ParDo(Do(step))


def _after(elements: beam.PCollection, barrier: Barrier) -> beam.PCollection:
    label, count = barrier.label, beam.combiners.CountCombineFn()
    # a side input is there only when all of it is, also if it is nothing
    all_ = elements | f"{label}: wait" >> beam.CombineGlobally(count).as_singleton_view()
    once = elements.pipeline | f"{label}: once" >> beam.Create([None], reshuffle=False)
    then = once | f"{label}: then" >> beam.ParDo(Then(barrier.then), all_)
    return then | f"{label}: deal" >> beam.Reshuffle()


def _grouped(chunks: beam.PCollection, by: ByKey) -> beam.PCollection:
    folder, label = chunks.pipeline.options.view_as(ShuffleOptions).shuffle_folder, by.label
    if folder is not None:  # before they are flattened, which would send them
        chunks = chunks | f"{label}: to disk" >> beam.ParDo(Do(Spill(folder)))
    if empty := [(key, b"") for key in by.keys]:
        none = chunks.pipeline | f"{label}: all keys" >> beam.Create(empty, reshuffle=False)
        chunks = (chunks, none) | f"{label}: with empty ones" >> beam.Flatten()
    groups = chunks | f"{label}: by key" >> beam.GroupByKey()
    if folder is not None:
        groups = groups | f"{label}: from disk" >> beam.ParDo(Do(Unspill(folder)))
    return groups


def run(
    job: Job,
    runner: str,
    workers: int,
    watch: Callable[[], None],
    log: Path | None = None,
    scratch: Path | None = None,
) -> None:
    """Run a job to its end, calling `watch` several times a second.

    `runner` is `direct` or `prism`; what workers print goes to the end of `log`; chunks that are
    shuffled stand in the folder `scratch`. Raises JobFailed if the job fails or a worker dies.
    """
    failure: list[BaseException] = []

    def work() -> None:
        try:
            pipeline.run().wait_until_finish()
        except BaseException as error:  # handed to the calling thread
            failure.append(error)

    thread = threading.Thread(target=work, name="job", daemon=True)
    with ExitStack() as stack:
        stack.enter_context(_quiet(thread))
        sink = stack.enter_context(Path(log or os.devnull).open("ab"))
        pool, port = stack.enter_context(_pool(sink.fileno()))
        words = [f"--direct_num_workers={workers}", "--no_save_main_session"]
        words += ["--environment_type=EXTERNAL", f"--environment_config=localhost:{port}"]
        if scratch is not None:
            words.append(f"--shuffle_folder={scratch}")
        if runner == "prism":
            words.append(stack.enter_context(_prism(sink.fileno())))
        options = PipelineOptions(words)
        pipeline = beam.Pipeline(runner=_runner(runner, options), options=options)
        build(job, pipeline)
        thread.start()
        while thread.is_alive():
            thread.join(0.1)
            watch()
            if _is_lost(pool):
                # a job that is at its end stops its workers, one that failed says more itself
                thread.join(5)
                if thread.is_alive():
                    raise JobFailed("a worker process died")
    if failure:
        raise JobFailed(last_line(failure[0])) from failure[0]


def _runner(name: str, options: PipelineOptions) -> beam.runners.PipelineRunner:
    """Beam's runner by its own name: its `DirectRunner` may choose Prism, which is a download."""
    if name == "prism":
        return PortableRunner()
    environment = ExternalEnvironment.from_options(options.view_as(PortableOptions))
    return FnApiRunner(default_environment=environment)


@contextmanager
def _pool(sink: int) -> Iterator[tuple[subprocess.Popen[bytes], int]]:
    """Beam's pool, which starts the workers that an engine asks for, and its port."""
    port = _free_port()
    name = "apache_beam.runners.worker.worker_pool_main"
    environment = {
        **os.environ,
        # the pool starts its workers as `python`
        "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")]),
        "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
        **ONE_THREAD,
    }
    command = [sys.executable, "-P", "-m", name, f"--service_port={port}"]
    with _started(command, sink, port, environment) as process:
        yield process, port


@contextmanager
def _prism(sink: int) -> Iterator[str]:
    """Prism, and the option that names it."""
    binary = os.environ.get("GRISTMILL_PRISM") or shutil.which("prism")
    if binary is None:
        raise Problem(
            "no `prism` in PATH",
            "runner prism",
            "`make engines` installs it; or name the file by the variable GRISTMILL_PRISM",
        )
    # Beam's own PrismRunner installs signal handlers, which only a main thread can
    port = _free_port()
    command = [binary, f"--job_port={port}", "--serve_http=false", "--log_kind=text"]
    with _started(command, sink, port, dict(os.environ)):
        yield f"--job_endpoint=localhost:{port}"


@contextmanager
def _started(
    command: Sequence[str], sink: int, port: int, environment: dict[str, str]
) -> Iterator[subprocess.Popen[bytes]]:
    """A process that answers on a port; it and all that it has started are ended afterwards."""
    process = subprocess.Popen(command, env=environment, stdout=sink, stderr=sink)  # noqa: S603
    try:
        _wait_for_port(port, process)
        yield process
    finally:
        end(process.pid)
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


def _is_lost(pool: subprocess.Popen[bytes]) -> bool:
    """Whether the pool, or a worker that it started, was killed."""
    if pool.poll() is not None:
        return True
    try:
        children = psutil.Process(pool.pid).children()
        return any(child.status() == psutil.STATUS_ZOMBIE for child in children)
    except psutil.NoSuchProcess:  # one that ended while it was looked at
        return False


@contextmanager
def _quiet(job: threading.Thread) -> Iterator[None]:
    """Failures reach the user in our own words: no log of Beam's, no traces of its threads.

    Where a job still waits for a worker that is lost, it stays so.
    """
    root = logging.getLogger()
    level, hook = root.level, threading.excepthook
    root.setLevel(logging.CRITICAL)
    threading.excepthook = ignore
    try:
        yield
    finally:
        if job.ident is not None:
            job.join(2)  # its workers are gone: it ends soon, or never
        if not job.is_alive():
            root.setLevel(level)
            threading.excepthook = hook
