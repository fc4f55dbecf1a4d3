"""Jobs as Beam pipelines: on Beam's own runner, behind a job server, or on Dataflow.

`direct` is Beam's FnApiRunner, the others are reached through Beam's job API. Python workers are
processes: Beam's own pool on this machine starts them where nothing else is said. A job runs in a
thread of its own; the calling thread shows progress and watches the workers: FnApiRunner and Prism
wait for ever for one that was killed.
"""

from __future__ import annotations

import json
import logging
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from subprocess import Popen

import apache_beam as beam
import psutil
from apache_beam.options.pipeline_options import PipelineOptions, PortableOptions
from apache_beam.runners.portability.fn_api_runner import FnApiRunner
from apache_beam.runners.portability.portable_runner import PortableRunner
from apache_beam.transforms.environments import ExternalEnvironment

from pipelines.engines.graph import build
from pipelines.engines.installed import is_here, missing
from pipelines.engines.jobs import Job, JobFailed, WorkerLost, ignore, last_line
from pipelines.engines.local import ONE_THREAD
from pipelines.engines.processes import free_port, here, started
from pipelines.engines.servers import Server, serving
from pipelines.engines.troubles import trouble
from schemas.engine import EngineSettings, RunnerName

# Engines that do the work of a worker that is lost anew; the others wait for it.
_DO_AGAIN = ("spark", "flink", "dataflow")
_KEPT = 20_000  # milliseconds that a worker of an executor waits for more of the same job
_READER = "wait_until_finish_read"
_CANCELLING = 30  # seconds that a job has to be handed over and cancelled
_RUNNING = "[while running '"  # what Beam adds to an error of a step


class Session:
    """What stays from one job of a run to the next: the pool that starts Python workers, and the
    job server, if the engine has one."""

    def __init__(
        self,
        runner: RunnerName,
        workers: int,
        settings: EngineSettings,
        log: Path | None,
        show: Callable[[str], None],
    ) -> None:
        """What programs print goes to the end of `log`; `show` is told the engine's own page.

        Raises Problem for what keeps the engine from running, JobFailed if it does not start.
        """
        self.runner, self.workers, self.settings, self.show = runner, workers, settings, show
        self.server = Server("")
        self._pool: Popen[bytes] | None = None
        self._environment: list[str] = []
        with ExitStack() as stack:
            self.log = log or Path(stack.enter_context(_scratch())) / "log"
            self._before = self.log.stat().st_size if self.log.exists() else 0
            try:
                if runner in ("prism", "spark", "flink"):
                    self.server = stack.enter_context(serving(runner, settings, workers, self.log))
                else:
                    for problem in missing(runner, settings):
                        raise problem
                if runner != "dataflow":
                    self._start_workers(stack)
            except JobFailed as error:
                raise self._trouble(error) from None
            self.close = stack.pop_all().close
        if self.server.console:
            show(self.server.console)

    def run(self, job: Job, watch: Callable[[], None], scratch: Path | None, name: str) -> None:
        """Run a job to its end, calling `watch` several times a second.

        Chunks that are shuffled stand in the folder `scratch`, if it is given. Raises Problem for
        what the user can mend, JobFailed if the job fails otherwise or a worker dies. If this
        thread is interrupted, the job is cancelled.
        """
        running: list[beam.runners.runner.PipelineResult] = []
        failure: list[BaseException] = []
        # not the thread's own end: it counts as ended once a join is interrupted
        over = threading.Event()

        def work() -> None:
            try:
                running.append(pipeline.run())
                if self.runner == "dataflow":
                    self.show(_page(self.settings, running[0].job_id()))
                running[0].wait_until_finish()
            except BaseException as error:  # handed to the calling thread
                failure.append(error)
            finally:
                over.set()

        with ExitStack() as stack:
            stack.enter_context(_quiet(over))
            words = [*self._words(name), *self._environment]
            if scratch is not None:
                words.append(f"--shuffle_folder={scratch}")
            options = PipelineOptions([*words, *self.settings.options])
            pipeline = beam.Pipeline(runner=self._runner(options), options=options)
            build(job, pipeline, deal=self.runner != "direct" or self.workers > 1)
            if self.runner != "direct":  # whose job is no more than its workers
                stack.callback(_cancel, over, running)
            threading.Thread(target=work, name="job", daemon=True).start()
            while not over.wait(0.1):
                watch()
                is_lost = self._is_lost(self._pool)
                # a job that is at its end stops its workers, one that failed says more itself
                if is_lost and not over.wait(15):
                    raise WorkerLost
        if failure:
            trouble = self._trouble(failure[0])
            # a job may notice a lost worker first, and stops its workers where a step has failed
            is_step = _RUNNING in str(failure[0])
            is_over = self._pool is not None and self._pool.poll() is not None
            if is_over or (
                isinstance(trouble, JobFailed) and not is_step and self._is_lost(self._pool)
            ):
                trouble = WorkerLost()
            raise trouble from failure[0]

    def _words(self, name: str) -> list[str]:
        """Beam's options for the engine."""
        words = ["--no_save_main_session", f"--direct_num_workers={self.workers}"]
        asked = self.settings
        if self.runner == "dataflow":
            words += [
                f"--project={asked.project}", f"--region={asked.region}", f"--job_name={name}",
                f"--temp_location={asked.temp}", f"--max_num_workers={self.workers}",
                "--experiments=use_runner_v2",
            ]  # fmt: skip
            if asked.staging is not None:
                words.append(f"--staging_location={asked.staging}")
            if asked.image is not None:
                words.append(f"--sdk_container_image={asked.image}")
        elif self.runner != "direct":
            words.append(f"--job_endpoint={self.server.endpoint}")
        if self.runner in ("spark", "flink"):
            is_own = is_here(asked.master) and asked.job_endpoint is None
            processes = self.workers if is_own else asked.processes
            words += [
                f"--sdk_worker_parallelism={processes}", f"--environment_cache_millis={_KEPT}",
                f"--job_name={name}",
            ]  # fmt: skip
            if self.runner == "flink" and is_own:
                words.append(f"--parallelism={self.workers}")
        return words

    def _start_workers(self, stack: ExitStack) -> None:
        """Name what starts Python workers to Beam: a pool on this machine, if none was given."""
        asked = self.settings
        kind, config = asked.environment, asked.pool
        if kind == "DOCKER":
            config = asked.image
        elif kind == "PROCESS":
            config = json.dumps({"command": asked.command})
        if self.runner in ("direct", "prism") or (kind == "EXTERNAL" and config is None):
            kind, port = "EXTERNAL", free_port()
            config = f"localhost:{port}"
            name = "apache_beam.runners.worker.worker_pool_main"
            command = [sys.executable, "-P", "-m", name, f"--service_port={port}"]
            what = "the pool of worker processes"
            pool = started(command, port, self.log, here(**ONE_THREAD), what)
            self._pool = stack.enter_context(pool)
        self._environment = [f"--environment_type={kind}"]
        if config is not None:
            self._environment.append(f"--environment_config={config}")

    def _runner(self, options: PipelineOptions) -> beam.runners.PipelineRunner:
        """Beam's runner by its own name: its `DirectRunner` may choose Prism, a download."""
        if self.runner == "dataflow":
            from apache_beam.runners.dataflow.dataflow_runner import DataflowRunner

            return DataflowRunner()
        if self.runner != "direct":
            # its own PrismRunner installs signal handlers, which only a main thread can
            return PortableRunner()
        environment = ExternalEnvironment.from_options(options.view_as(PortableOptions))
        return FnApiRunner(default_environment=environment)

    def _is_lost(self, pool: Popen[bytes] | None) -> bool:
        """Whether the pool was killed, or a worker that nobody will replace."""
        if pool is None:
            return False
        if pool.poll() is not None:
            return True
        if self.runner in _DO_AGAIN:
            return False
        try:
            found = psutil.Process(pool.pid).children(recursive=True)
            return any(child.status() == psutil.STATUS_ZOMBIE for child in found)
        except psutil.NoSuchProcess:  # one that ended while it was looked at
            return False

    def _trouble(self, error: BaseException) -> Exception:
        """What the failure of the engine or of a job comes to, in our own words."""
        said = ""
        with suppress(OSError), self.log.open("rb") as file:
            file.seek(self._before)
            said = file.read().decode(errors="replace")
        known = trouble(self.runner, f"{error}\n{said}")
        return known or JobFailed(last_line(error))


def _page(settings: EngineSettings, job: str) -> str:
    console = "https://console.cloud.google.com/dataflow/jobs"
    return f"{console}/{settings.region}/{job}?project={settings.project}"


def _cancel(over: threading.Event, running: list[beam.runners.runner.PipelineResult]) -> None:
    """Cancel a job that is still running, which takes an engine seconds at most; one that is just
    being handed over is waited for."""

    def cancel() -> None:
        while not running and not over.wait(0.1):
            pass
        with suppress(Exception):  # it may have ended by now
            running[0].cancel()

    if not over.is_set():
        asked = threading.Thread(target=cancel, name="cancel", daemon=True)
        asked.start()
        asked.join(_CANCELLING)


@contextmanager
def _scratch() -> Iterator[str]:
    with tempfile.TemporaryDirectory(prefix="gristmill-") as folder:
        yield folder


@contextmanager
def _quiet(over: threading.Event) -> Iterator[None]:
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
        # a job whose workers are gone ends soon, or never; Beam reads its messages until the end
        ended = over.wait(2)
        if ended and not any(each.name == _READER for each in threading.enumerate()):
            root.setLevel(level)
            threading.excepthook = hook
