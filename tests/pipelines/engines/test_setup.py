"""Engines that are set up wrongly: one message, which names the mend, and exit status 2."""

import re
import signal
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from pipelines.engines import installed
from pipelines.engines.processes import answers, free_port
from pipelines.engines.troubles import trouble
from schemas.engine import EngineSettings
from schemas.problems import Problem
from tests.runs import DEMO, REPOSITORY, gristmill, wait_for


def refused(tmp_path: Path, *words: str, **environment: str) -> str:
    """What `gristmill run` says as it refuses to begin."""
    output = str(tmp_path / "run")
    done = gristmill("run", str(DEMO), "--output", output, *words, "--quiet", **environment)
    assert done.returncode == 2, done.stderr
    assert "Traceback" not in done.stderr
    assert len(done.stderr.splitlines()) == 1
    return done.stderr


def program(folder: Path, name: str, says: str) -> Path:
    """A program that says one thing on standard error."""
    path = folder / name
    path.write_text(f"#!/bin/sh\necho '{says}' >&2\n")
    path.chmod(0o755)
    return path


def jar(path: Path, version: str, name: str = installed.SERVERS["spark"]) -> Path:
    """A jar with the class of a job server, which says that it is of this version of Beam."""
    with zipfile.ZipFile(path, "w") as file:
        file.writestr(f"{name.replace('.', '/')}.class", b"")
        file.writestr("org/apache/beam/sdk/sdk.properties", f"version={version}\nbuild.date=\n")
    return path


def test_an_unknown_runner_is_refused_with_the_closest(tmp_path: Path) -> None:
    assert "did you mean `spark`?" in refused(tmp_path, "--runner", "sparc")


def test_no_java(tmp_path: Path) -> None:
    said = refused(tmp_path, "--runner", "spark", JAVA_HOME=str(tmp_path))
    assert f"{tmp_path}/bin/java: there is no Java: install OpenJDK 17" in said


@pytest.mark.parametrize("says", ['openjdk version "1.8.0_402"', 'openjdk version "24.0.1"', "x"])
def test_another_java(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, says: str) -> None:
    (tmp_path / "bin").mkdir()
    program(tmp_path / "bin", "java", says)
    monkeypatch.setenv("JAVA_HOME", str(tmp_path))
    with pytest.raises(Problem, match=re.escape(f"is not Java 11 to 17 ({says}): install OpenJDK")):
        installed.java()


def test_java_17_will_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "bin").mkdir()
    made = program(tmp_path / "bin", "java", 'openjdk version "17.0.15" 2025-04-15')
    monkeypatch.setenv("JAVA_HOME", str(tmp_path))
    assert installed.java() == str(made)


def test_a_job_server_that_is_not_installed_or_was_changed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    mend = "`gristmill engines install flink`"
    with pytest.raises(Problem, match=f"is not installed for flink: {mend}"):
        installed.job_server("flink", EngineSettings())
    path = installed.file_of("flink")
    path.parent.mkdir(parents=True)
    path.write_bytes(b"other")
    Path(f"{path}.json").write_text('{"sha256": "0"}')
    with pytest.raises(Problem, match="its checksum is another"):
        installed.job_server("flink", EngineSettings())


@pytest.mark.parametrize("version", ["2.40.0", "2.69.1", "9.0.0"])
def test_a_job_server_of_another_version(tmp_path: Path, version: str) -> None:
    path = jar(tmp_path / "server.jar", version)
    with pytest.raises(Problem, match=f"is of Beam {version}, and not of 2.70 to "):
        installed.job_server("spark", EngineSettings(job_server_jar=str(path)))


def test_a_job_server_of_another_engine_or_none(tmp_path: Path) -> None:
    good = jar(tmp_path / "server.jar", "2.70.0")
    assert installed.job_server("spark", EngineSettings(job_server_jar=str(good))) == good
    (tmp_path / "no.jar").write_text("no")
    for runner, path in (
        ("flink", good),
        ("spark", tmp_path / "no.jar"),
        ("spark", tmp_path / "x"),
    ):
        with pytest.raises(Problem, match=f"is no job server of Beam for {runner}"):
            installed.job_server(runner, EngineSettings(job_server_jar=str(path)))


def test_what_does_not_answer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A master, a job server, a pool of workers: asked before anything is begun."""
    address = f"127.0.0.1:{free_port()}"
    said = refused(tmp_path, "--runner", "flink", "--job-endpoint", address)
    assert f"--job-endpoint {address}: nobody answers there: start the job server" in said
    found = list(installed.missing("spark", EngineSettings(master=f"spark://{address}")))
    assert "no master of spark answers there" in str(found[-1])
    monkeypatch.setattr(installed, "answers", lambda address: address == "there:1")
    behind = EngineSettings(job_endpoint="there:1", pool="localhost:2")
    assert list(installed.missing("spark", behind)) == []
    monkeypatch.undo()
    for master, told in ((None, 1), (f"spark://{address}", 0)):
        # behind `localhost` each machine of a cluster has a pool of its own
        engine = EngineSettings(master=master, pool=f"localhost:{address.rpartition(':')[2]}")
        said = " ".join(map(str, installed.missing("spark", engine)))
        assert said.count("no pool of workers answers there") == told


def test_what_dataflow_wants() -> None:
    said = [str(each) for each in installed.missing("dataflow", EngineSettings(region="eu"))]
    assert "engine.project: is not given: say it in the recipe" in said
    assert not [each for each in said if "region" in each]


@pytest.mark.parametrize(
    ("said", "what"),
    [
        ("ModuleNotFoundError: No module named 'pipelines.runs'", "workers' Python has no gristm"),
        ("Application has been killed. Reason: All masters are unresponsive! Giving up.", "master"),
        ("java.io.InvalidClassException: org.apache.spark.rpc.X; local class", "another version"),
        ("java.lang.OutOfMemoryError: Java heap space", "too little memory"),
        ("Problem: /runs/a: the run's folder is not seen by a worker on w1: put", "not seen by a"),
    ],
)
def test_what_engines_say_of_a_wrong_set_up(said: str, what: str) -> None:
    found = trouble("spark", f"26/11/30 ERROR x\n{said}\n\tat y")
    assert found is not None
    assert what in str(found)
    assert trouble("spark", "ValueError: of a step") is None


HOLDER = """
import os, sys, time
from pathlib import Path
from pipelines.engines.processes import started
port = int(sys.argv[1])
serve = [sys.executable, "-m", "http.server", "--bind", "127.0.0.1", sys.argv[1]]
with started(serve, port, Path(sys.argv[2]), os.environ, "a server"):
    time.sleep(60)
"""


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL])
def test_a_program_ends_with_what_wants_it(tmp_path: Path, how: signal.Signals) -> None:
    """Also if that is killed: no Java is left behind."""
    port = free_port()
    words = [sys.executable, "-c", HOLDER, str(port), str(tmp_path / "log")]
    holder = subprocess.Popen(words, cwd=REPOSITORY, stderr=subprocess.DEVNULL)
    wait_for(lambda: answers(f"127.0.0.1:{port}"), 60, "the server")
    holder.send_signal(how)
    holder.wait(30)
    wait_for(lambda: not answers(f"127.0.0.1:{port}"), 10, "the end of the server")
