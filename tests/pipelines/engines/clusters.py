"""Clusters on loopback, as processes of this machine."""

import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from pipelines.engines.installed import java
from pipelines.engines.processes import answers, free_port
from tests.runs import wait_for


@contextmanager
def spark_cluster(scratch: Path) -> Iterator[tuple[str, list[psutil.Process]]]:
    """A master and two workers from the jars of pyspark: where it is, and the workers."""
    home = Path(pytest.importorskip("pyspark", reason="`make test-engines` installs it").__file__)
    master = f"127.0.0.1:{free_port()}"
    classes = "org.apache.spark.deploy"
    host = ["-h", "127.0.0.1", "--webui-port", "0"]
    environment = {
        **os.environ,
        "SPARK_HOME": str(home.parent),
        "SPARK_LOCAL_IP": "127.0.0.1",
        "SPARK_SCALA_VERSION": "2.12",  # as Spark's own scripts say it to its launcher
    }
    started: list[subprocess.Popen[bytes]] = []

    def run(name: str, *words: str) -> None:
        command = [java(), "-Xmx256m", "-XX:+UseSerialGC", "-cp", f"{home.parent}/jars/*"]
        log = (scratch / f"{len(started)}.log").open("wb")
        started.append(
            subprocess.Popen(
                [*command, f"{classes}.{name}", *host, *words],
                stdout=log, stderr=log, env=environment, start_new_session=True, cwd=scratch,
            )
        )  # fmt: skip

    try:
        run("master.Master", "-p", master.rpartition(":")[2])
        wait_for(lambda: answers(master), 60, "Spark's master")
        for number in range(2):
            run("worker.Worker", "-c", "1", "-m", "1g", "-d", str(scratch / f"worker-{number}"),
                f"spark://{master}")  # fmt: skip
        log = scratch / "0.log"
        wait_for(lambda: log.read_text().count("Registering worker") == 2, 60, "Spark's workers")
        yield f"spark://{master}", [psutil.Process(each.pid) for each in started[1:]]
    finally:
        for each in started:
            os.killpg(each.pid, signal.SIGKILL)
            each.wait()
