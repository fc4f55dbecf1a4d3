from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from schemas.problems import Problem
from tests.train.conftest import Run
from train import parallel
from train.config import load


def test_two_ranks_give_the_gradient_of_one_and_skip_together(run: Run, small_yaml: Path) -> None:
    script = Path(__file__).with_name("two_ranks.py")
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    finished = subprocess.run(
        [*torchrun, "--nproc-per-node", "2", str(script), str(run.path), str(small_yaml)],
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert finished.returncode == 0, finished.stderr[-4000:]


def test_flex_on_a_cpu_is_refused() -> None:
    with pytest.raises(Problem, match="attention=flex does not train on a CPU"):
        parallel.build(load("tiny", {"attention": "flex"}), 256, parallel.start())
