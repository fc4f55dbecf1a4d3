"""What deduplication is said to take, against what it takes."""

from pathlib import Path

import pytest

from pipelines.commands.dedup import near_of
from pipelines.engines.runners import Engine
from pipelines.recipes.loading import to_yaml
from pipelines.runs.mill import Mill
from pipelines.runs.receipts import Task
from pipelines.runs.steps import Context
from pipelines.runs.store import Folder
from pipelines.stages.dedup import stage as deduplicate
from pipelines.stages.dedup.cost import plan
from schemas.recipe import Recipe
from tests.benchmarks.dedup_scale import PART, disk, make
from tests.runs import gristmill


@pytest.mark.parametrize("near", ["fineweb", "nemo", "40,4,5"])
def test_the_disk_is_what_was_planned(tmp_path: Path, near: str) -> None:
    total = 20_000
    asked = {"name": "cost", "deduplicate": {"exact": False, "near": near_of(near)}}
    recipe = Recipe.model_validate(asked)
    run = Folder(str(tmp_path / "run"))
    run.create("recipe.yaml", to_yaml(recipe).encode())
    mill = Mill(Context(run, recipe), Engine(), [])
    assert total < PART
    task = Task("all", {"first": 0, "count": total, "total": total})
    mill.do("filter", make, mill.plan("filter", "made", lambda: [task]))
    deduplicate.run(mill, "deduplicate", "made")
    planned = plan(recipe.deduplicate, total, 6000, 1, 1 << 30)
    assert disk(run, "filter") == pytest.approx(planned.signature_bytes, rel=0.1)
    steps = ["", "/candidates", "/near", "/labels"]
    taken = sum(disk(run, f"deduplicate{step}") for step in steps)
    assert taken == pytest.approx(planned.other_bytes, rel=0.2)


def test_a_plan_grows_with_what_is_asked() -> None:
    recipe = Recipe(name="cost").deduplicate
    one, ten = (plan(recipe, count, 6000, 1, 1 << 30) for count in (10**7, 10**8))
    assert ten[:4] == pytest.approx([10 * value for value in one[:4]])
    assert ten.memory == one.memory
    assert (one.passes, ten.passes) == (5, 42)
    two = plan(recipe, 10**7, 6000, 2, 1 << 30)
    assert two.sign_seconds == one.sign_seconds / 2
    assert one.cluster_seconds / 2 < two.cluster_seconds < one.cluster_seconds


def test_the_command() -> None:
    result = gristmill(
        "plan", "dedup", "1e8", "--near", "nemo", "--workers", "4", "--memory", "16G"
    )
    assert result.returncode == 0, result.stderr
    assert "memory of all processes" in result.stdout
    assert "4 passes over keys" in result.stdout
    wrong = gristmill("plan", "dedup", "0")
    assert wrong.returncode == 2
    assert "DOCUMENTS" in wrong.stderr
