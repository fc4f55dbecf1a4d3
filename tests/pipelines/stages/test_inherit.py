"""A run with a parent takes over tasks of `extract` and `filter` whose files are unchanged."""

import shutil
from pathlib import Path
from typing import Any

import pytest

from pipelines.recipes.loading import resolve
from pipelines.recipes.mistakes import RecipeError
from pipelines.run import Run
from schemas.problems import Problem
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


def test_finished_runs_are_mixed_without_being_done_again(source: Path, tmp_path: Path) -> None:
    """Two runs over a source each give the shards of one run over both, duplicates between them
    found; nothing is extracted or filtered, and the runs may be gone later."""
    (tmp_path / "other").mkdir()
    shutil.copy(SAMPLE / NAMES[1], tmp_path / "other" / "second.warc.gz")  # duplicates
    shutil.copy(SAMPLE / NAMES[2], tmp_path / "other" / "third.warc.gz")
    inputs = [
        {"source": "web", "root": str(source), "files": ["*.warc.gz"]},
        {"source": "more", "root": str(tmp_path / "other"), "files": ["*.warc.gz"]},
    ]
    runs = []
    for item in inputs:
        name = f"run-{item['source']}"
        run = Run.create(
            resolve(name, {**RECIPE, "inputs": [item]}, tmp_path), str(tmp_path / name)
        )
        run.go(until="filter")
        runs.append(run)
    mix = {"mix": {**RECIPE["mix"], "tokens": 8000, "weights": {"web": 1, "more": 1}}}
    given = {"inputs": [{"run": f"run-{item['source']}"} for item in inputs]}
    mixed = Run.create(
        resolve("mixed", {**RECIPE, **mix, **given}, tmp_path), str(tmp_path / "mixed")
    )
    mixed.go()
    own = {
        receipt["attempt"] for run in runs for receipt in receipts(Path(run.folder.url)).values()
    }
    for path, receipt in receipts(tmp_path / "mixed").items():
        assert (receipt["attempt"] in own) == (path.split("/")[0] in ("extract", "filter"))
    balanced(tmp_path / "mixed")
    whole = Run.create(
        resolve("whole", {**RECIPE, **mix, "inputs": inputs}, tmp_path), str(tmp_path / "whole")
    )
    whole.go()
    assert shards(tmp_path / "mixed") == shards(tmp_path / "whole")
    assert mixed.ledger == whole.ledger
    assert mixed.ledger["deduplicate"]["rejected"]["exact"] > 10
    for run in runs:
        shutil.rmtree(run.folder.url)
    assert not mixed.verify().faults
    mixed.go()


def test_runs_over_snapshots_of_one_source(source: Path, tmp_path: Path) -> None:
    for name in NAMES[:2]:
        (tmp_path / name[:9]).mkdir()
        shutil.move(source / name, tmp_path / name[:9] / name)
        inputs = [{"source": "web", "root": str(tmp_path / name[:9]), "files": ["*.warc.gz"]}]
        value = {**RECIPE, "inputs": inputs}
        Run.create(resolve(name, value, tmp_path), str(tmp_path / f"run-{name[:9]}")).go(
            until="filter"
        )
    given = {**RECIPE, "inputs": [{"run": f"run-{name[:9]}"} for name in NAMES[:2]]}
    mixed = Run.create(resolve("mixed", given, tmp_path), str(tmp_path / "mixed"))
    mixed.go()
    both = [{"source": "web", "root": str(tmp_path), "files": ["web-*/*.warc.gz"]}]
    whole = Run.create(
        resolve("whole", {**RECIPE, "inputs": both}, tmp_path), str(tmp_path / "whole")
    )
    whole.go()
    assert mixed.ledger == whole.ledger
    shutil.copytree(tmp_path / f"run-{NAMES[0][:9]}", tmp_path / "copy")
    again = {**RECIPE, "inputs": [{"run": f"run-{NAMES[0][:9]}"}, {"run": "copy"}]}
    with pytest.raises(Problem, match="another input has the file web-00000"):
        Run.create(resolve("again", again, tmp_path), str(tmp_path / "again"))


def test_a_run_that_cannot_be_an_input_is_told(source: Path, tmp_path: Path) -> None:
    inputs = [{"source": "web", "root": str(source), "files": ["*.warc.gz"]}]
    with pytest.raises(Problem, match="no run here"):
        resolve("none", {**RECIPE, "inputs": {"run": "nowhere"}}, tmp_path)
    run = Run.create(resolve("one", {**RECIPE, "inputs": inputs}, tmp_path), str(tmp_path / "one"))
    given = {**RECIPE, "inputs": {"run": "one"}}
    with pytest.raises(Problem, match="finish this run before it is an input"):
        Run.create(resolve("early", given, tmp_path), str(tmp_path / "early"))
    run.go(until="filter")
    other = {**given, "filter": {"chain": [{"rules": "gopher_repetition"}]}}
    with pytest.raises(Problem, match="was filtered, or signed for deduplication, otherwise"):
        Run.create(resolve("other", other, tmp_path), str(tmp_path / "other")).go()
    with pytest.raises(RecipeError, match="two inputs have the source `web`"):
        resolve("twice", {**given, "inputs": [{"run": "one"}, *inputs]}, tmp_path)
