from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from schemas.problems import Problem
from tests.conftest import REPOSITORY
from tests.train.conftest import Run
from train import mesh, parallel
from train.config import Parallel, load

# What each launch tries, one case after the other. One process has the same numbers.
FOUR = (
    "parallel.tensor=1",
    "parallel.zero=2,parallel.reduce_every_pass=true,optimizer.name=muon",
    "parallel.replicate=2,optimizer.name=adafactor",
    "parallel.tensor=2,optimizer.name=muon,model.qk_norm=true",
    "parallel.tensor=2,parallel.context=2,model.tied=true,optimizer.name=lion",
    "parallel.pipe=2,parallel.context=2,optimizer.name=sgd",
)
EIGHT = (
    "parallel.pipe=2,parallel.tensor=2",
    "parallel.replicate=2,parallel.context=2,parallel.tensor=2,optimizer.name=muon",
)


def launch(processes: int, run: Run, config: Path, *cases: str) -> None:
    script = Path(__file__).with_name("meshes.py")
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    finished = subprocess.run(
        [
            *torchrun,
            "--nproc-per-node",
            str(processes),
            str(script),
            str(run.path),
            str(config),
            *cases,
        ],
        capture_output=True,
        text=True,
        timeout=600,
        cwd=REPOSITORY,
        env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(REPOSITORY)},
    )
    assert finished.returncode == 0, finished.stderr[-6000:]


def test_four_processes_train_as_one_and_skip_together(run: Run, small_yaml: Path) -> None:
    launch(4, run, small_yaml, *FOUR)


def test_eight_processes_in_three_dimensions_train_as_one(run: Run, small_yaml: Path) -> None:
    launch(8, run, small_yaml, *EIGHT)


def test_flex_on_a_cpu_is_refused() -> None:
    with pytest.raises(Problem, match="attention=flex does not train on this device"):
        parallel.build(load("tiny", {"attention": "flex"}), 256, mesh.start())


def test_a_mesh_takes_all_processes() -> None:
    settings = Parallel(pipe=2, replicate=1, context=1, tensor=2, zero=3, reduce_every_pass=False)
    assert settings.mesh(8) == (2, 1, 2, 1, 2)
    with pytest.raises(Problem, match=r"6 processes cannot stand .* use a multiple of 4"):
        settings.mesh(6)
