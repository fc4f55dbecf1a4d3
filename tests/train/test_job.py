from __future__ import annotations

from pathlib import Path

import pytest

from schemas.problems import Problem
from tests.train.conftest import Run
from train.config import Config, load
from train.job import prepare


@pytest.mark.parametrize(
    ("steps", "max_epochs", "epochs"), [(None, None, 1), (None, 3, 3), (10_000, 2, 2)]
)
def test_epochs_limit_the_steps(
    run: Run, tmp_path: Path, steps: int | None, max_epochs: int | None, epochs: int
) -> None:
    config = load("tiny", {"steps": steps, "max_epochs": max_epochs})
    job = prepare(run.path, tmp_path, config, 1)
    assert job.steps == epochs * (run.manifest.splits["train"].rows // 8)
    assert job.steps == epochs * job.order.steps_per_epoch


def test_steps_limit_the_steps_over_any_number_of_epochs(run: Run, tmp_path: Path) -> None:
    for steps in (7, 10_000):
        assert prepare(run.path, tmp_path, load("tiny", {"steps": steps}), 1).steps == steps


def test_the_run_may_be_given_by_its_folder_of_shards(
    run: Run, tmp_path: Path, small: Config
) -> None:
    assert prepare(run.shards, tmp_path, small, 2).shards == run.shards
    with pytest.raises(Problem, match=r"no shards/manifest\.json here"):
        prepare(tmp_path, tmp_path, small, 2)
