"""The commands of the page on a Slurm of this machine: the shards of one run, and a training on two
nodes that is told to stop and goes on."""

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.deploy.slurm import slurm
from tests.runs import DEMO, REPOSITORY, shards, wait_for

pytestmark = pytest.mark.engine

PAGE = (REPOSITORY / "deploy" / "slurm" / "README.md").read_text("utf-8")
(COMMANDS,) = re.findall(r"```sh\n(.*?)```", PAGE, re.DOTALL)
# nodes here are small
SMALLER = {
    "sbatch ": "sbatch --cpus-per-task=1 --mem=2000 ",
    "--nodes=4 --gpus-per-node=8": "--nodes=2",
    "--preset 1b": "--preset tiny --steps 60 --set checkpoint.every=1000",
}


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """A Slurm whose jobs find `gristmill` and `python`."""
    folder = tmp_path_factory.mktemp("slurm")
    with slurm(folder) as environment:
        bin_ = folder / "bin"
        bin_.mkdir()
        for name, words in (("python", ""), ("gristmill", "-m pipelines.commands.main")):
            (bin_ / name).write_text(f'#!/bin/sh\nexec "{sys.executable}" {words} "$@"\n')
            (bin_ / name).chmod(0o755)
        yield {
            **environment,
            "PATH": f"{bin_}:{environment['PATH']}",
            "PYTHONPATH": str(REPOSITORY),
            "CUDA_VISIBLE_DEVICES": "",
        }


def test_the_page_s_jobs_mill_a_crawl_and_train(
    cluster: dict[str, str], finished: Path, tmp_path: Path
) -> None:
    def told(*words: str) -> str:
        done = subprocess.run(words, env=cluster, cwd=tmp_path, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    def logs() -> str:
        return "\n".join(f"{p.name}: {p.read_text()}" for p in tmp_path.glob("slurm-*.out"))

    recipe = yaml.safe_load(DEMO.read_text())
    del recipe["inputs"]
    (tmp_path / "mine.yaml").write_text(yaml.safe_dump(recipe))
    (tmp_path / "crawl").symlink_to(DEMO.parent / "sample")
    (tmp_path / "deploy").symlink_to(REPOSITORY / "deploy")
    commands = COMMANDS
    for words, fewer in SMALLER.items():
        assert words in commands
        commands = commands.replace(words, fewer)
    training = told("bash", "-euc", commands).rsplit(maxsplit=1)[-1]

    log = tmp_path / "models" / "mine" / "steps.jsonl"

    def lines(kind: str) -> list[dict[str, Any]]:
        found = [json.loads(line) for line in log.read_text().splitlines()] if log.exists() else []
        return [line for line in found if line["kind"] == kind]

    wait_for(lambda: lines("step") or "rror" in logs(), 400, "a first step")
    assert lines("step"), logs()
    told("scancel", "--signal=USR1", "--batch", training)  # as Slurm does near the time limit
    wait_for(lambda: told("squeue", "--noheader") == "", 200, "the end of all jobs")
    assert shards(tmp_path / "runs" / "mine") == shards(finished)
    first, second = (line["step"] for line in lines("start"))
    assert (first, second > 0) == (0, True), logs()
    assert [line["step"] for line in lines("step")] == list(range(1, 61))
