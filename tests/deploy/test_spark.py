"""submit.sh: what it says of a wrong set-up, and a run behind spark-submit."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from pipelines.engines.installed import file_of
from pipelines.engines.processes import free_port
from tests.pipelines.engines.test_engines import needs
from tests.runs import DEMO, REPOSITORY, receipts

SUBMIT = REPOSITORY / "deploy" / "spark" / "submit.sh"


def submitted(*words: str, **environment: str) -> "subprocess.CompletedProcess[str]":
    known = {**os.environ, "JOB_PORT": str(free_port()), **environment}
    return subprocess.run([SUBMIT, *words], env=known, capture_output=True, text=True)


def test_a_wrong_set_up_is_told(tmp_path: Path) -> None:
    jar = tmp_path / "server.jar"
    said = submitted("--master", "yarn", "fineweb")
    assert said.returncode == 2
    assert said.stderr.startswith("usage: submit.sh [OPTIONS of spark-submit] -- RECIPE")
    words = ("--master", "yarn", "--", "fineweb", "--output", "run")
    said = submitted(*words, JOB_SERVER=str(jar))
    assert said.returncode == 2
    assert f"{jar}: is not there: `gristmill engines install spark`" in said.stderr
    jar.touch()
    said = submitted(*words, JOB_SERVER=str(jar), SPARK_HOME=str(tmp_path))
    assert (said.returncode, said.stderr) == (2, "submit.sh: SPARK_HOME: is no Spark\n")
    (tmp_path / "bin").mkdir()
    program = tmp_path / "bin" / "spark-submit"
    program.write_text("#!/bin/sh\necho no such master; exit 1\n")
    program.chmod(0o755)
    said = submitted(*words, JOB_SERVER=str(jar), SPARK_HOME=str(tmp_path))
    assert (said.returncode, said.stderr) == (1, "no such master\n")


@pytest.mark.engine
def test_a_run_behind_spark_submit(tmp_path: Path, finished: Path) -> None:
    needs("spark")
    spark = pytest.importorskip("pyspark", reason="`make test-engines` installs it").__file__
    program = tmp_path / "gristmill"
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m pipelines.commands.main "$@"\n')
    program.chmod(0o755)
    recipe = yaml.safe_load(DEMO.read_text())
    recipe["inputs"][0]["root"] = str(DEMO.parent / "sample")
    (tmp_path / "mine.yaml").write_text(yaml.safe_dump({**recipe, "engine": {"processes": 1}}))
    run = tmp_path / "run"
    said = submitted(
        *("--master", "local[2]", "--conf", "spark.ui.enabled=false", "--"),
        *(str(tmp_path / "mine.yaml"), "--output", str(run), "--until", "filter"),
        JOB_SERVER=str(file_of("spark")), SPARK_HOME=str(Path(spark).parent),
        PATH=f"{tmp_path}:{os.environ['PATH']}", PYTHONPATH=str(REPOSITORY),
        SPARK_LOCAL_IP="127.0.0.1",
    )  # fmt: skip
    assert said.returncode == 0, said.stderr
    here, there = receipts(finished), receipts(run)
    assert {name.partition("/")[0] for name in there} == {"extract", "filter"}
    for name, made in there.items():
        assert made["files"] == here[name]["files"]
