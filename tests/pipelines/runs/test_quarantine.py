"""Records that end the process that works on them: each is left out and told, the rest is done."""

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from pipelines.engines.installed import missing
from pipelines.look.why import stories, tell
from pipelines.recipes.loading import resolve
from pipelines.run import Run
from pipelines.runs import quarantine
from pipelines.runs.quarantine import Care
from pipelines.runs.receipts import Task
from pipelines.runs.splits import read_split
from pipelines.runs.steps import Context
from pipelines.runs.store import Folder
from schemas.engine import EngineSettings, RunnerName
from schemas.problems import Problem
from tests.runs import balanced, gristmill, shards

DEADLY = """
import os
from curation.measures import Measure


def measure(view):
    if "DEADLY" in view.text:
        os._exit(7)
    return {"characters": len(view.text)}


def rows(stream):
    for line in stream.read().decode().splitlines():
        if line == "LAST":
            os._exit(7)
        yield {"text": line}


def articles(html, tree):
    if b"DEADLY" in (html if isinstance(html, bytes) else html.encode()):
        os._exit(7)
    return tree.body.text()


MEASURE = Measure("own", 1, {"characters": "Characters."}, measure)
rows.version = articles.version = 1
"""
TEXT = "The miller number {} opens the sluice before dawn, and lets the water run over the wheel."


@pytest.fixture(scope="module")
def recipe(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A recipe whose measure, reader and engine end their process at a record each."""
    folder = tmp_path_factory.mktemp("deadly")
    (folder / "deadly.py").write_text(DEADLY)
    rows = [{"text": TEXT.format(number)} for number in range(60)]
    rows[41]["text"] += " DEADLY"
    (folder / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    own = [TEXT.format(f"of line {number}") for number in range(9)]
    (folder / "own.lines").write_text("\n".join([*own[:6], "LAST", *own[6:]]))
    for name in ("one", "DEADLY"):
        page = f"<html><body><p>{TEXT.format(name)}</p></body></html>"
        (folder / f"{name}.html").write_text(page)
    path = folder / "recipe.yaml"
    path.write_text(yaml.safe_dump({
        "name": "deadly",
        "inputs": [
            {"source": "rows", "root": ".", "files": ["rows.jsonl"]},
            {"source": "lines", "root": ".", "files": ["*.lines"], "reader": "deadly:rows"},
            {"source": "pages", "root": ".", "files": ["*.html"]},
        ],
        "extract": {"engine": "deadly:articles", "languages": []},
        "filter": {"measures": ["deadly:MEASURE"], "chain": [{"rules": {"name": "own", "rules": [
            {"signal": "own.characters", "operator": ">=", "threshold": 9, "reason": "short"},
        ]}}]},
        "deduplicate": {"near": None},
        "tokenizer": {"train": {"vocabulary": 384}},
        "mix": {"sequence_length": 64},
    }))  # fmt: skip
    return path


def mill(recipe: Path, output: Path, *words: str) -> str:
    """`gristmill run`, which must succeed; what it says on standard error."""
    paths = os.pathsep.join([str(recipe.parent), os.environ.get("PYTHONPATH", "")])
    words = ("run", str(recipe), "--output", str(output), *words)
    done = gristmill(*words, PYTHONPATH=paths)
    assert done.returncode == 0, done.stderr
    return done.stderr


def test_deadly_records_are_quarantined_with_any_workers(recipe: Path, tmp_path: Path) -> None:
    said = [mill(recipe, tmp_path / str(workers), "--workers", str(workers)) for workers in (1, 2)]
    assert all("a worker process died: the job begins again" in each for each in said)
    assert shards(tmp_path / "1") == shards(tmp_path / "2")
    ledger = balanced(tmp_path / "1")
    assert ledger == balanced(tmp_path / "2")
    # of the file that the reader dies of, what comes before; pages have a sandbox of their own
    assert ledger["extract"]["rejected"] == {"crash": 1, "damaged_quarantined": 1}
    assert ledger["extract"]["kept"] == 60 + 6 + 1
    assert ledger["filter"]["rejected"] == {"quarantined": 1}
    assert ledger["curate"]["kept"] == 59 + 6 + 1
    run = Run.open(str(tmp_path / "1"))
    run.verify(clean=True)
    found = run.verify()
    assert (found.faults, found.left_over, found.unknown) == ([], {}, [])
    lost = {
        row["reason"]: row
        for stage in ("extract", "filter")
        for batch in run.rejections(stage)
        for row in batch.to_pylist()
    }
    place = lost["damaged_quarantined"]
    assert (place["file"], place["offset"], place["offset_kind"]) == ("own.lines", 6, "row")
    (story,) = stories(run, lost["quarantined"]["id"])
    assert story.end == "rejected by filter: quarantined"
    told = tell(story)
    assert f"file                     {recipe.parent}/rows.jsonl" in told
    assert "not measured short" in " ".join(told.split())
    report = json.loads((tmp_path / "1" / "report" / "report.json").read_text())
    assert "quarantined" in json.dumps(report)
    # done once, and never again
    assert "died" not in mill(recipe, tmp_path / "1")


def test_more_than_the_recipe_allows_for_is_loud(recipe: Path, tmp_path: Path) -> None:
    rows = [json.loads(line) for line in (recipe.parent / "rows.jsonl").read_text().splitlines()]
    for row in rows[20:22]:
        row["text"] += " DEADLY"
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (tmp_path / "deadly.py").write_text(DEADLY)
    value = yaml.safe_load(recipe.read_text())
    value["inputs"] = value["inputs"][:1]
    (tmp_path / "recipe.yaml").write_text(yaml.safe_dump(value))
    words = ["run", str(tmp_path / "recipe.yaml"), "--output", str(tmp_path / "run")]
    words += ["--until", "filter"]
    done = gristmill(*words, PYTHONPATH=str(tmp_path))
    assert done.returncode == 2, done.stderr
    assert "more than `expect.quarantined` allows for in the whole stage" in done.stderr
    for share, status in ((0.05, 0), (0.01, 2)):
        value["expect"] = {"quarantined": share}
        (tmp_path / "recipe.yaml").write_text(yaml.safe_dump(value))
        done = gristmill(*words, PYTHONPATH=str(tmp_path))
        assert done.returncode == status, done.stderr
    assert "`expect.quarantined` is 0.05, and must be at most 0.01" in done.stderr


@pytest.fixture
def care(recipe: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Care]:
    """An attempt at the task of the rows, after another that was killed."""
    monkeypatch.syspath_prepend(str(recipe.parent))
    value: dict[str, Any] = yaml.safe_load(recipe.read_text())
    value["inputs"] = value["inputs"][:1]
    run = Run.create(resolve("rows", value, str(recipe.parent)), str(tmp_path / "run"))
    context = Context(Folder(str(tmp_path / "run")), run.recipe)
    (task,) = run.plan()
    with Care(context, "extract", task) as first:
        assert not first.is_apart
        with Care(context, "extract", task) as second:
            assert second.is_apart
            yield second
    assert quarantine.begun(context, "extract") == []


def test_a_deadly_record_of_a_file_that_can_be_cut_costs_itself(
    care: Care, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is found by ranges of bytes, two of them one after the other too."""
    lines = (Path(care._context.recipe.inputs[0].root) / "rows.jsonl").read_bytes().splitlines()
    starts = [sum(len(line) + 1 for line in lines[:at]) for at in range(len(lines))]
    deadly = {starts[0], starts[7], starts[8], starts[59]}

    def reads(piece: dict[str, Any], most: int | None = None) -> bool:
        assert most is None
        return not any(piece["start"] <= start < piece["end"] for start in deadly)

    monkeypatch.setattr(care, "_reads", reads)
    records = [record for _, record in care.read()]
    lost = {r.offset for r in records if getattr(r, "kind", "") == "quarantined"}
    assert lost == deadly
    assert sorted(record.offset for record in records) == starts


def test_what_ended_for_another_reason_is_read(care: Care, monkeypatch: pytest.MonkeyPatch) -> None:
    answers = iter([False, *[True] * 40])
    monkeypatch.setattr(care, "_reads", lambda *_: next(answers))
    (task,) = [care._task]
    assert list(care.read()) == list(read_split(care._context.recipe, Task("", task.spec)))


class Halve:
    """Counts rows; ends its process at a number."""

    def process(self, element: list[int]) -> Iterator[int]:
        if 5 in element:
            os._exit(1)
        yield len(element)


def test_rows_are_halved_until_one_is_left(care: Care) -> None:
    assert list(care.rows(Halve(), list(range(8)))) == [
        ([0, 1, 2, 3], 4),
        ([4], 1),
        ([5], None),
        ([6, 7], 2),
    ]
    care._most = 1
    with pytest.raises(Problem, match="2 records of one task have ended the process"):
        list(care.rows(Halve(), [5]))


@pytest.mark.engine
@pytest.mark.parametrize("runner", ["prism", "spark", "flink"])
def test_engines_quarantine_the_same(recipe: Path, tmp_path: Path, runner: RunnerName) -> None:
    """Spark does a lost task anew itself, the others end the job, which is begun again."""
    for problem in missing(runner, EngineSettings()):
        pytest.skip(f"{problem}")
    found = []
    for name in ("local", runner):
        words = ["--runner", name, "--workers", "2", "--until", "filter"]
        mill(recipe, tmp_path / name, *words)
        found.append({k: v.digest for k, v in Run.open(str(tmp_path / name)).stages.items()})
    assert found[0] == found[1]
