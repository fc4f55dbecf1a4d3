"""The same shards on engines with workers of their own: no job leans on one process."""

import json
import shutil
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import grpc
import psutil
import pytest
import yaml
from apache_beam.portability.api import beam_job_api_pb2 as jobs
from apache_beam.portability.api import beam_job_api_pb2_grpc as job_service

from pipelines.engines.installed import missing
from pipelines.engines.processes import free_port, here, started
from pipelines.engines.servers import serving
from pipelines.run import Run
from schemas.engine import EngineSettings, RunnerName
from tests.pipelines.engines.clusters import spark_cluster
from tests.runs import (
    DEMO,
    balanced,
    count_receipts,
    gristmill,
    mill,
    receipts,
    shards,
    start,
    wait_for,
)

pytestmark = pytest.mark.engine
MARK = "GRISTMILL_TEST"


def needs(runner: RunnerName) -> None:
    """Skip, and say what is missing, if the engine cannot run here."""
    for problem in missing(runner, EngineSettings()):
        pytest.skip(f"{problem}")


@pytest.fixture(autouse=True)
def _mark(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a test starts can be told from what others do."""
    monkeypatch.setenv(MARK, str(tmp_path))


def same(run: Path, finished: Path) -> None:
    """The run made what the local engine makes, and left no process behind."""
    assert shards(run) == shards(finished)
    assert set(receipts(run)) == set(receipts(finished))
    assert balanced(run) == balanced(finished)
    assert left_over(run.parent) == []


def marked(folder: Path) -> list[psutil.Process]:
    """The processes that the test in this folder has started."""
    found = psutil.process_iter(["environ", "cmdline"])
    return [each for each in found if (each.info["environ"] or {}).get(MARK) == str(folder)]


def left_over(folder: Path) -> list[list[str]]:
    """Their commands."""
    return [each.info["cmdline"] for each in marked(folder)]


@pytest.mark.parametrize("runner", ["prism", "spark", "flink"])
def test_every_engine_makes_the_same_shards(
    finished: Path, tmp_path: Path, runner: RunnerName
) -> None:
    needs(runner)
    mill(tmp_path / "run", "--runner", runner, "--workers", "2")
    same(tmp_path / "run", finished)
    assert 5 <= jobs_of(tmp_path / "run") <= 10
    assert jobs_of(finished) == 0
    assert Run.open(str(tmp_path / "run")).verify().unknown == []


def jobs_of(run: Path) -> int:
    """The jobs of an engine that the report tells of."""
    report = json.loads((run / "report" / "report.json").read_text())
    return sum(each["jobs"] for each in report["usage"] if not each["step"])


@pytest.fixture(scope="module")
def spark(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, list[psutil.Process]]]:
    """A standalone cluster of Spark on loopback: its master's address, and its two workers."""
    needs("spark")
    with spark_cluster(tmp_path_factory.mktemp("spark")) as cluster:
        yield cluster


@pytest.fixture
def on_cluster(tmp_path: Path, spark: tuple[str, list[psutil.Process]]) -> Path:
    """The demo recipe for the cluster."""
    recipe = tmp_path / "cluster.yaml"
    engine = {
        "runner": "spark",
        "master": spark[0],
        "processes": 1,
        "properties": {"spark.executor.memory": "512m", "spark.driver.host": "127.0.0.1"},
    }
    demo = yaml.safe_load(DEMO.read_text())
    demo["inputs"][0]["root"] = str(DEMO.parent / "sample")
    recipe.write_text(yaml.safe_dump({**demo, "engine": engine}))
    return recipe


def test_a_worker_of_a_spark_cluster_is_killed_and_another_engine_goes_on(
    finished: Path,
    tmp_path: Path,
    spark: tuple[str, list[psutil.Process]],
    on_cluster: Path,
) -> None:
    """With its executor, in the middle of a job: the cluster does its work anew."""
    output = tmp_path / "run"
    words = ["--until", "deduplicate", "--progress", "json"]
    process = start("run", str(on_cluster), "--output", str(output), *words)
    wait_for(lambda: count_receipts(output) >= 1, 120, "a first receipt")
    for each in [*spark[1][0].children(recursive=True), spark[1][0]]:
        each.kill()
    _, err = process.communicate(timeout=590)
    assert process.returncode == 0, err
    events = [json.loads(line) for line in err.splitlines() if line.startswith("{")]
    consoles = [each["url"] for each in events if each["event"] == "EngineConsole"]
    assert consoles[0].startswith("http://localhost:")
    jobs = [each["steps"] for each in events if each["event"] == "JobBegun"]
    assert jobs[:2] == [["extract"], ["filter"]]
    assert len(jobs) <= 7, jobs
    mill(output, "--workers", "2")
    same(output, finished)


def test_the_driver_is_killed_on_the_cluster_and_then_the_pool_of_workers(
    finished: Path, tmp_path: Path, on_cluster: Path
) -> None:
    """The first ends the run, which is started again; after the second it goes on by itself."""
    output = tmp_path / "run"
    # not only up to the first jobs: the pool has to be missed
    words = ["run", str(on_cluster), "--output", str(output), "--until", "deduplicate"]
    process = start(*words)
    wait_for(lambda: count_receipts(output) >= 1, 120, "a first receipt")
    process.kill()
    process.communicate()
    wait_for(lambda: left_over(tmp_path) == [], 60, "the end of what the driver started")
    done = receipts(output)
    process = start(*words)
    wait_for(lambda: count_receipts(output) > len(done), 120, "another receipt")
    pool = [each for each in marked(tmp_path) if "worker_pool_main" in " ".join(each.cmdline())]
    for each in pool:
        each.kill()
    _, err = process.communicate(timeout=590)
    assert process.returncode == 0, err
    assert "a worker process died: the job begins again" in err
    assert "Traceback" not in err
    mill(output, "--workers", "2")
    for path, receipt in done.items():
        assert receipts(output)[path]["attempt"] == receipt["attempt"]
    same(output, finished)
    run = Run.open(str(output))
    run.verify(clean=True)
    found = run.verify()
    assert (found.faults, found.left_over, found.unknown) == ([], {}, [])


def test_prism_goes_on_with_a_run_of_another_engine_in_many_passes(
    finished: Path, tmp_path: Path
) -> None:
    needs("prism")
    shutil.copytree(finished, tmp_path / "run")
    for stage in ("deduplicate", "curate", "tokenizer", "tokenize", "mix", "shards", "report"):
        shutil.rmtree(tmp_path / "run" / stage)
    mill(tmp_path / "run", "--runner", "prism", "--memory", "2M")
    assert shards(tmp_path / "run") == shards(finished)


def test_a_run_goes_on_when_a_worker_of_prism_is_killed(finished: Path, tmp_path: Path) -> None:
    needs("prism")
    output = tmp_path / "run"
    process = start("run", str(DEMO), "--output", str(output), "--runner", "prism")

    def workers() -> list[psutil.Process]:
        children = psutil.Process(process.pid).children(recursive=True)
        return [c for c in children if "SdkHarness" in " ".join(c.cmdline())]

    wait_for(lambda: count_receipts(output) >= 1, 60, "a first receipt")
    workers()[0].kill()
    _, err = process.communicate(timeout=300)
    assert process.returncode == 0, err
    assert "a worker process died: the job begins again" in err
    assert "Traceback" not in err
    same(output, finished)


def test_a_pool_without_gristmill_is_told(tmp_path: Path) -> None:
    """One message, and no job that is begun again."""
    needs("spark")
    (tmp_path / "sitecustomize.py").write_text(
        "import sys\nclass Without:\n    def find_spec(self, name, *_):\n"
        "        if name == 'pipelines':\n"
        "            raise ModuleNotFoundError(f'No module named {name!r}')\n"
        "sys.meta_path.insert(0, Without())\n"
    )
    port = free_port()
    module = "apache_beam.runners.worker.worker_pool_main"
    command = [sys.executable, "-P", "-m", module, f"--service_port={port}"]
    environment = {**here(), "PYTHONPATH": str(tmp_path)}
    demo = yaml.safe_load(DEMO.read_text())
    demo["inputs"][0]["root"] = str(DEMO.parent / "sample")
    demo["engine"] = {"runner": "spark", "pool": f"localhost:{port}"}
    (tmp_path / "demo.yaml").write_text(yaml.safe_dump(demo))
    with started(command, port, tmp_path / "log", environment, "the pool"):
        output = str(tmp_path / "run")
        done = gristmill("run", str(tmp_path / "demo.yaml"), "--output", output, "--quiet")
    assert done.returncode == 2, done.stderr
    assert "--runner spark: its workers' Python has no gristmill: install" in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_an_interrupt_cancels_the_job_on_the_engine(finished: Path, tmp_path: Path) -> None:
    """On a job server that stays; and the same command goes on from what is done."""
    needs("spark")
    output = tmp_path / "run"
    with serving("spark", EngineSettings(), 2, tmp_path / "server.log") as server:
        words = ["--runner", "spark", "--job-endpoint", server.endpoint, "--workers", "2"]
        process = start("run", str(DEMO), "--output", str(output), *words)
        wait_for(lambda: count_receipts(output) >= 1, 120, "a first receipt")
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=60)
        assert process.returncode == 130, err
        assert err.endswith("gristmill: interrupted; the same command goes on from what is done\n")
        assert "Traceback" not in err
        with grpc.insecure_channel(server.endpoint) as channel:
            told = job_service.JobServiceStub(channel).GetJobs(jobs.GetJobsRequest())
        states = [jobs.JobState.Enum.Name(job.state) for job in told.job_info]
        assert states[-1] == "CANCELLED"
        assert set(states[:-1]) <= {"DONE"}
        assert left_over(tmp_path), "the job server"
        wait_for(
            lambda: all("JobServer" in " ".join(command) for command in left_over(tmp_path)),
            10,
            "the end of all but the job server",
        )
    assert left_over(tmp_path) == []
    mill(output, "--workers", "2")
    assert shards(output) == shards(finished)
