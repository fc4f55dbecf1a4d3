"""Job servers: what stands between Beam and an engine."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from pipelines.engines.installed import SERVERS, is_here, java, job_server, missing, prism
from pipelines.engines.processes import free_port, started
from schemas.engine import EngineSettings, RunnerName

# What Spark and Flink look into, which Java 17 asks to be opened.
_OPEN = (
    *("java.lang", "java.lang.invoke", "java.lang.reflect", "java.io", "java.net", "java.nio"),
    *("java.util", "java.util.concurrent", "java.util.concurrent.atomic", "sun.nio.ch"),
    *("sun.nio.cs", "sun.security.action", "sun.util.calendar"),
)


@dataclass(frozen=True)
class Server:
    """A job server: where it listens, and the engine's own page, if it has one that is known."""

    endpoint: str
    console: str = ""


@contextmanager
def serving(
    runner: RunnerName, settings: EngineSettings, workers: int, log: Path
) -> Iterator[Server]:
    """The engine's job server: the one that was named, or one that is started, and stopped
    afterwards. Raises the first Problem that keeps it from running."""
    for problem in missing(runner, settings):
        raise problem
    if settings.job_endpoint is not None and runner in SERVERS:
        yield Server(settings.job_endpoint)
        return
    port = free_port()
    with tempfile.TemporaryDirectory(prefix="gristmill-") as scratch:
        environment = dict(os.environ)
        if runner == "prism":
            command = [str(prism()), f"--job_port={port}", "--serve_http=false", "--log_kind=text"]
            console = ""
        else:
            command, console = _java(runner, settings, workers, port, scratch)
            if is_here(settings.master) or "127.0.0.1" in str(settings.master):
                environment["SPARK_LOCAL_IP"] = "127.0.0.1"
        what = f"the job server of {runner}"
        with started(command, port, log, environment, what, Path(scratch)):
            yield Server(f"localhost:{port}", console)


def _java(
    runner: str, settings: EngineSettings, workers: int, port: int, scratch: str
) -> tuple[list[str], str]:
    """The command of a job server in Java, and the engine's page."""
    jar = job_server(runner, settings)
    page = free_port()
    properties = {"java.io.tmpdir": scratch, "user.home": scratch}
    if runner == "spark":
        properties |= {"spark.ui.port": str(page), "spark.ui.showConsoleProgress": "false"}
        # a task of a local master is tried again as on a cluster
        master = settings.master or f"local[{workers},4]"
        words, console = f"--spark-master-url={master}", f"http://localhost:{page}"
    else:
        master = settings.master or "[local]"
        words, console = f"--flink-master={master}", "" if is_here(master) else f"http://{master}"
    properties |= settings.properties
    return [
        java(),
        f"-Xmx{settings.heap}",
        "-XX:+UseSerialGC",
        *(f"--add-opens=java.base/{name}=ALL-UNNAMED" for name in _OPEN),
        *(f"-D{name}={value}" for name, value in properties.items()),
        *("-cp", str(jar), SERVERS[runner], words, f"--job-port={port}", "--artifact-port=0"),
        *("--expansion-port=0", f"--artifacts-dir={scratch}/artifacts"),
    ], console
