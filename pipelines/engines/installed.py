"""What engines need of this machine: where it is, what of it is missing, and how it is had."""

from __future__ import annotations

import hashlib
import importlib.util
import json
import os
import re
import shutil
import subprocess
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from importlib.metadata import version
from pathlib import Path

from pipelines.engines.processes import answers, here
from schemas.engine import EngineSettings, RunnerName
from schemas.problems import Problem
from schemas.stores import cache_folder

POM = Path(__file__).with_name("pom.xml")
SERVERS = {
    "spark": "org.apache.beam.runners.spark.SparkJobServerDriver",
    "flink": "org.apache.beam.runners.flink.FlinkJobServerDriver",
}
INSTALLABLE = ("prism", *SERVERS)
JAVA = (11, 17)  # Java versions that Spark 3.5 and Flink 1.19 run on
OLDEST = (2, 70)  # Beam of a job server: older ones were not tried
_POOL = "python -m apache_beam.runners.worker.worker_pool_main --service_port="
_LOCAL = re.compile(r"\[?local\b")


def folder() -> Path:
    """Where `install` puts things."""
    return cache_folder() / "engines"


def file_of(runner: str) -> Path:
    """Where the engine's program or job server is, once installed."""
    return folder() / (runner if runner == "prism" else f"{runner}-job-server.jar")


def missing(runner: RunnerName, settings: EngineSettings) -> Iterator[Problem]:
    """What keeps an engine from running jobs from here, with the commands that mend it."""
    if runner in SERVERS:
        if settings.job_endpoint is None:
            yield from _raised(java)
            yield from _raised(lambda: job_server(runner, settings))
            yield from _raised(lambda: _check_master(runner, settings))
        elif not answers(settings.job_endpoint):
            yield Problem(
                "nobody answers there", f"job-endpoint {settings.job_endpoint}",
                "start the job server, or leave it out, and one is started",
            )  # fmt: skip
        yield from _raised(lambda: _check_pool(settings))
    elif runner == "prism":
        yield from _raised(prism)
    elif runner == "dataflow":
        yield from _dataflow(settings)


def java() -> str:
    """The Java that job servers run on. Raises Problem if there is none, or another version."""
    home = os.environ.get("JAVA_HOME")
    program = str(Path(home) / "bin" / "java") if home else shutil.which("java")
    mend = f"install OpenJDK {JAVA[-1]} (package openjdk-{JAVA[-1]}-jre-headless), or set JAVA_HOME"
    if program is None or not os.access(program, os.X_OK):
        raise Problem("there is no Java", program or "PATH", mend)
    said = subprocess.run([program, "-version"], capture_output=True, text=True)  # noqa: S603
    found = re.search(r'version "(?:1\.)?(\d+)', said.stderr)
    if found is None or not JAVA[0] <= int(found[1]) <= JAVA[-1]:
        line = (said.stderr.splitlines() or ["it says nothing"])[0]
        raise Problem(f"is not Java {JAVA[0]} to {JAVA[-1]} ({line})", program, mend)
    return program


def job_server(runner: str, settings: EngineSettings) -> Path:
    """The engine's job server. Raises Problem if it is not there, or is another one."""
    mend = f"`gristmill engines install {runner}`"
    if settings.job_server_jar is None:
        return _checked(runner, mend)
    path = Path(settings.job_server_jar)
    where = f"job-server-jar {path}"
    try:
        with zipfile.ZipFile(path) as jar:
            classes = set(jar.namelist())
            said = jar.read("org/apache/beam/sdk/sdk.properties").decode()
    except (OSError, zipfile.BadZipFile, KeyError):
        raise Problem(f"is no job server of Beam for {runner}", where, mend) from None
    if f"{SERVERS[runner].replace('.', '/')}.class" not in classes:
        raise Problem(f"is no job server of Beam for {runner}", where, mend)
    found = re.search(r"^version=(\d+)\.(\d+)\S*", said, re.MULTILINE)
    newest = version("apache-beam")
    if found is None or not OLDEST <= (int(found[1]), int(found[2])) <= _numbers(newest):
        told = found[0].partition("=")[2] if found else "no version"
        least = ".".join(map(str, OLDEST))
        raise Problem(f"is of Beam {told}, and not of {least} to {newest}", where, mend)
    return path


def prism() -> Path:
    """Prism's program: the one in the cache, or of the PATH. Raises Problem if there is none."""
    if not file_of("prism").exists() and (found := shutil.which("prism")):
        return Path(found)
    return _checked("prism", "`gristmill engines install prism`")


def is_here(master: str | None) -> bool:
    """Whether a master is inside the job server."""
    return master is None or _LOCAL.match(master) is not None


def install(runner: str, spark: str | None = None) -> Path:
    """Build what the engine needs into the cache, in place of what is there.

    `spark`: another version of Spark than the tested one, that of a cluster. Raises Problem if a
    program that builds it is missing, or does not succeed.
    """
    target = file_of(runner)
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".install-", dir=target.parent) as scratch:
        build = _build_prism if runner == "prism" else _build_server
        made = build(Path(scratch), runner, spark)
        record = {"sha256": _digest(made)}
        made.replace(target)
    _record(target).write_text(json.dumps(record) + "\n")
    return target


def _build_prism(scratch: Path, *_: str | None) -> Path:
    module = f"github.com/apache/beam/sdks/v2/go/cmd/prism@v{version('apache-beam')}"
    _run(
        ["go", "install", module], scratch, "Go 1.24 or newer (package golang)",
        GOBIN=str(scratch),
    )  # fmt: skip
    return scratch / "prism"


def _build_server(scratch: Path, runner: str, spark: str | None) -> Path:
    java()
    shutil.copy(POM, scratch / "pom.xml")
    command = ["mvn", "-B", "-q", "-ntp", "-P", runner, "package"]
    if spark is not None:
        command.append(f"-Dspark.version={spark}")
    _run(command, scratch, "Maven (package maven)")
    made = scratch / "target" / "job-server.jar"
    job_server(runner, EngineSettings(job_server_jar=str(made)))
    return made


def _run(command: list[str], scratch: Path, needs: str, **more: str) -> None:
    if shutil.which(command[0]) is None:
        raise Problem(f"there is no `{command[0]}`", "PATH", f"install {needs}")
    done = subprocess.run(  # noqa: S603
        command, cwd=scratch, env=here(**more), capture_output=True, text=True
    )
    if done.returncode:
        said = (done.stderr + done.stdout).strip().splitlines()
        told = next((line for line in said if "ERROR" in line), said[-1] if said else "")
        raise Problem(f"failed: {told}", f"`{' '.join(command)}`", "look after the network")


def _checked(runner: str, mend: str) -> Path:
    """What was installed, as it was then."""
    path = file_of(runner)
    if not path.exists():
        raise Problem(f"is not installed for {runner}", str(path), mend)
    try:
        known = json.loads(_record(path).read_text())["sha256"]
    except (OSError, ValueError, KeyError):
        known = None
    if _digest(path) != known:
        raise Problem("is not what was installed: its checksum is another", str(path), mend)
    return path


def _record(path: Path) -> Path:
    return path.with_name(f"{path.name}.json")


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _numbers(text: str) -> tuple[int, int]:
    major, minor, *_ = text.split(".")
    return int(major), int(minor)


def _raised(check: Callable[[], object]) -> Iterator[Problem]:
    try:
        check()
    except Problem as problem:
        yield problem


def _check_master(runner: str, settings: EngineSettings) -> None:
    """Raise Problem if the master of a cluster does not answer."""
    address = (settings.master or "").removeprefix("spark://").removeprefix("http://").rstrip("/")
    # others, such as `yarn`, have no address
    if not is_here(settings.master) and ":" in address and not address.startswith("k8s"):
        hosts = address.split(",")
        if not any(answers(host) for host in hosts):
            raise Problem(
                f"no master of {runner} answers there", f"master {settings.master}",
                "start the cluster, or name another one",
            )  # fmt: skip


def _check_pool(settings: EngineSettings) -> None:
    """Raise Problem if a pool of workers on a host that can be seen from here does not answer."""
    pool = settings.pool
    if pool is None or settings.environment != "EXTERNAL":
        return
    is_own = pool.rpartition(":")[0] in ("localhost", "127.0.0.1")
    if is_own and (settings.job_endpoint or not is_here(settings.master)):
        return  # of each machine of the cluster
    if not answers(pool):
        raise Problem(
            "no pool of workers answers there", f"engine.pool {pool}",
            f"start one, with gristmill in its Python: `{_POOL}{pool.rpartition(':')[2]}`",
        )  # fmt: skip


def _dataflow(settings: EngineSettings) -> Iterator[Problem]:
    names = ("google.cloud.storage", "google.auth", "apitools")
    if not all(_is_there(name) for name in names):
        yield Problem("Beam's classes for Google Cloud are not installed", "dataflow",
                      "`pip install 'gristmill[dataflow]'`")  # fmt: skip
    else:
        import google.auth
        from google.auth.exceptions import DefaultCredentialsError

        try:
            google.auth.default()
        except DefaultCredentialsError:
            yield Problem("there are no credentials of Google Cloud", "dataflow",
                          "`gcloud auth application-default login`, or set "
                          "GOOGLE_APPLICATION_CREDENTIALS")  # fmt: skip
    for key in ("project", "region", "temp"):
        if getattr(settings, key) is None:
            yield Problem("is not given", f"engine.{key}", "say it in the recipe")


def _is_there(name: str) -> bool:
    try:
        return importlib.util.find_spec(name) is not None
    except ModuleNotFoundError:
        return False
