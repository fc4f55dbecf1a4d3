"""A run with a parent takes over tasks of `extract` and `filter` whose files are unchanged."""

import shutil
from pathlib import Path
from typing import Any

import pytest

from pipelines.recipes.loading import resolve
from pipelines.run import Run
from tests.conftest import SAMPLE
from tests.runs import balanced, count_receipts, receipts, shards

NAMES = sorted(path.name for path in SAMPLE.glob("*.warc.gz"))
RECIPE: dict[str, Any] = {
    "extract": {"engine": "resiliparse"},
    "filter": {"chain": [{"rules": "gopher_quality"}]},
    "deduplicate": {"near": None},
    "splits": {"bytes": 1 << 20, "part_bytes": 20_000},
    "tokenizer": {"train": {"vocabulary": 512, "sample_bytes": 1 << 20}},
    "mix": {"sequence_length": 64, "validation": {"tokens": 100}},
}


def mill(folder: Path, name: str, source: Path, parent: Run | None = None, **over: Any) -> Run:
    inputs = [{"source": "web", "root": str(source), "files": ["*.warc.gz"]}]
    value = {**RECIPE, "inputs": inputs, **over}
    if parent is not None:
        value["parent"] = parent.folder.url
    run = Run.create(resolve("grows", value, folder), str(folder / name))
    run.go()
    balanced(folder / name)
    return run


def made_here(run: Run, parent: Run) -> dict[str, int]:
    """Tasks that this run did itself, by stage: their attempts are none of the parent's."""
    theirs = {receipt["attempt"] for receipt in receipts(Path(parent.folder.url)).values()}
    counts = dict.fromkeys(("extract", "filter"), 0)
    for path, receipt in receipts(Path(run.folder.url)).items():
        stage = path.split("/")[0]
        if stage in counts and receipt["attempt"] not in theirs:
            counts[stage] += 1
    return counts


@pytest.fixture
def source(tmp_path: Path) -> Path:
    (tmp_path / "crawl").mkdir()
    for name in NAMES[:2]:
        shutil.copy(SAMPLE / name, tmp_path / "crawl" / name)
    return tmp_path / "crawl"


def test_one_more_file_costs_one_more_file(source: Path, tmp_path: Path) -> None:
    parent = mill(tmp_path, "parent", source)
    tasks = len(parent.context.tasks("extract"))
    shutil.copy(SAMPLE / NAMES[2], source / NAMES[2])
    child = mill(tmp_path, "child", source, parent)
    new = len(child.context.tasks("extract")) - tasks
    assert new >= 1
    done = made_here(child, parent)
    assert done["extract"] == new
    assert 1 <= done["filter"] < len(child.context.tasks("filter"))
    # it is the run that all files give at once, and stands without its parent
    whole = mill(tmp_path, "whole", source)
    assert shards(tmp_path / "child") == shards(tmp_path / "whole")
    shutil.rmtree(tmp_path / "parent")
    assert not child.verify().faults
    assert list(Run.open(str(tmp_path / "child")).documents("filter", ["id"]))
    assert whole.ledger["extract"] == child.ledger["extract"]


def test_a_changed_file_and_a_missing_one_are_not_taken_over(source: Path, tmp_path: Path) -> None:
    parent = mill(tmp_path, "parent", source)
    shutil.copy(SAMPLE / NAMES[2], source / NAMES[0])  # other bytes under this name
    (source / NAMES[1]).unlink()
    child = mill(tmp_path, "child", source, parent)
    assert made_here(child, parent)["extract"] == len(child.context.tasks("extract"))
    whole = mill(tmp_path, "whole", source)
    assert shards(tmp_path / "child") == shards(tmp_path / "whole")
    assert whole.ledger["filter"] == child.ledger["filter"]


def test_other_rules_take_over_extraction_alone(source: Path, tmp_path: Path) -> None:
    parent = mill(tmp_path, "parent", source)
    shutil.copy(SAMPLE / NAMES[2], source / NAMES[2])
    child = mill(
        tmp_path, "child", source, parent, filter={"chain": [{"rules": "gopher_repetition"}]}
    )
    done = made_here(child, parent)
    assert done["extract"] < len(child.context.tasks("extract"))
    assert done["filter"] == len(child.context.tasks("filter"))
    other = mill(tmp_path, "other", source, parent, extract={"engine": "trafilatura"})
    assert made_here(other, parent)["extract"] == len(other.context.tasks("extract"))


def test_nothing_new_takes_over_whole_stages(source: Path, tmp_path: Path) -> None:
    parent = mill(tmp_path, "parent", source)
    child = mill(tmp_path, "child", source, parent)
    assert child.stages["extract"].home == parent.folder.url
    assert count_receipts(tmp_path / "child/extract") == 0
