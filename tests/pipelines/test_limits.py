"""Before a run and after its stages: tries of a few records, sources that are too small, and what
a recipe expects."""

import json
from pathlib import Path
from typing import Any

import pytest

from pipelines.recipes.loading import resolve
from pipelines.recipes.mistakes import RecipeError
from pipelines.report.collect import collect
from pipelines.report.report import write_report
from pipelines.run import Run
from pipelines.runs.documents import read
from pipelines.runs.events import Event, Limited, Warned
from schemas.problems import Problem
from tests.conftest import SAMPLE
from tests.runs import gristmill

WORDS = [
    "mill",
    "river",
    "stone",
    "flour",
    "grain",
    "wheel",
    "sack",
    "dawn",
    "baker",
    "cart",
    "winter",
    "sluice",
    "pond",
    "roof",
]


def text(number: int) -> str:
    return " ".join(f"{WORDS[(number * 7 + at * at) % 14]}{at % 9}" for at in range(60)) + "."


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name, numbers in (("a", range(20)), ("b", range(20, 60))):
        rows = [json.dumps({"text": text(number), "id": f"{name}{number}"}) for number in numbers]
        (tmp_path / f"{name}.jsonl").write_text("\n".join(rows) + "\n{broken\n")
    return tmp_path


def recipe(folder: Path, **more: Any) -> dict[str, Any]:
    rows = {"source": "rows", "root": str(folder), "files": ["*.jsonl"]}
    return {
        "inputs": [rows],
        "deduplicate": {"near": None},
        "curate": {"chain": []},
        "tokenizer": {"train": {"vocabulary": 512}},
        "mix": {"sequence_length": 64, "validation": {"tokens": 100}},
        **more,
    }


@pytest.mark.parametrize(("limit", "kept"), [(7, 7), (20, 20), (21, 20), (30, 29), (1000, 60)])
def test_the_first_records_of_a_source_and_no_more(
    folder: Path, several_parts: None, limit: int, kept: int
) -> None:
    """The 21st record is damaged; it counts."""
    events: list[Event] = []
    given = recipe(folder, limit=limit)
    run = Run.create(resolve("try", given, folder), str(folder / "run"))
    run.go(listener=events.append, until="extract")
    ids = [row for batch in read(run.context, "extract", ["user_id"]) for row in batch["user_id"]]
    names = [f"a{number}" for number in range(20)] + [f"b{number}" for number in range(20, 60)]
    assert sorted(map(str, ids)) == sorted(names[:kept])
    assert run.ledger["extract"]["records"] == min(limit, 62)
    assert Limited(limit) in events


def test_requests_do_not_count_among_the_first_records(tmp_path: Path) -> None:
    web = {"source": "web", "root": str(SAMPLE), "files": ["*.warc.gz"]}
    run = Run.create(resolve("try", {"inputs": [web], "limit": 5}, tmp_path), str(tmp_path / "run"))
    run.go(until="extract")
    rejected = run.ledger["extract"]["rejected"]
    assert run.ledger["extract"]["records"] - rejected.get("not_a_page", 0) == 5


def test_a_try_is_a_run_of_its_own_and_says_so(folder: Path) -> None:
    full, short = (resolve("try", recipe(folder, **more), folder) for more in ({}, {"limit": 9}))
    run = Run.create(short, str(folder / "short"))
    run.go(until="extract")
    with pytest.raises(Problem, match=r"limit: 9 there, null now"):
        Run.create(full, str(folder / "short"))
    # nor does a full run take anything over from it
    child = Run.create(
        full.model_copy(update={"parent": str(folder / "short")}), str(folder / "full")
    )
    assert child.go(until="extract")["extract"].home == ""
    assert child.ledger["extract"]["records"] == 62
    assert collect(run)["recipe"]["limit"] == 9
    write_report(str(folder / "short"), str(folder / "report"))
    assert "only the first 9 records of each source" in (folder / "report/index.html").read_text()


def test_a_try_from_the_command_line(folder: Path) -> None:
    (folder / "r.yaml").write_text(json.dumps({"name": "r", **recipe(folder)}))
    run = str(folder / "run")
    result = gristmill("run", str(folder / "r.yaml"), "--output", run, "--limit", "8")
    assert result.returncode == 0, result.stderr
    assert "only the first 8 records of each source are read" in result.stderr
    assert "limit: 8" in (folder / "run/recipe.yaml").read_text()


def test_sources_that_cannot_reach_their_share_are_named_before_the_first_stage(
    folder: Path,
) -> None:
    (folder / "large.jsonl").write_text((folder / "b.jsonl").read_text() * 9)
    listed = [
        {"source": name, "root": str(folder), "files": [f"{name}.jsonl"]} for name in ("a", "large")
    ]
    mix = {"tokens": 20_000, "weights": {"a": 1, "large": 1}, "max_epochs": 1}
    given = recipe(folder, inputs=listed, mix=mix)
    events: list[Event] = []
    run = Run.create(resolve("small", given, folder), str(folder / "run"))
    run.go(listener=events.append, until="extract")
    (warned,) = [event for event in events if isinstance(event, Warned)]
    assert warned.where == "source a"
    assert "10,000 tokens are asked of it" in warned.what
    assert events.index(warned) < 3
    mix["max_epochs"] = 4
    more = Run.create(
        resolve("small", recipe(folder, inputs=listed, mix=mix), folder), f"{folder}/2"
    )
    events.clear()
    more.go(listener=events.append, until="extract")
    assert not [event for event in events if isinstance(event, Warned)]


SHORT = {"signal": "gopher.words", "operator": ">=", "threshold": 70, "reason": "few"}


@pytest.mark.parametrize(
    ("expect", "stage", "said"),
    [
        (
            {"survival": {"filter": [0.5, 1]}},
            "filter",
            "`expect.survival.filter` is 0, and must be at",
        ),
        ({"reasons": {"filter": {"few": [0, 0.5]}}}, "filter", "`expect.reasons.filter.few` is 1,"),
        ({"survival": {"extract": [None, 0.9]}}, "extract", "must be at most 0.9"),
        ({"tokens": {"rows": [1e9, None]}}, "tokenize", "must be at least 1e+09"),
    ],
)
def test_a_run_ends_after_the_stage_that_is_not_as_expected(
    folder: Path, expect: dict[str, Any], stage: str, said: str
) -> None:
    rules = [{"rules": {"name": "own", "rules": [SHORT]}}] if stage == "filter" else []
    given = recipe(folder, filter={"chain": rules})
    run = Run.create(resolve("x", {**given, "expect": expect}, folder), str(folder / "run"))
    for _ in range(2):  # and again, as long as it is so
        with pytest.raises(Problem) as error:
            run.go()
        assert said in error.value.what
        assert error.value.where.endswith(f"run/{stage}")
        assert list(run.stages)[-1] == stage
    # the ranges decide nothing else: with others the run goes on
    again = Run.create(resolve("x", given, folder), str(folder / "run"))
    if stage != "filter":
        assert "mix" in again.go()


def test_what_is_expected_in_range_lets_a_run_pass(folder: Path) -> None:
    expect = {
        "survival": {"extract": [0.9, 1], "filter": [1, 1]},
        "reasons": {"extract": {"damaged_bad_json": [0, 1]}},
        "tokens": {"rows": [100, 1e6]},
    }
    Run.create(resolve("x", recipe(folder, expect=expect), folder), str(folder / "run")).go()


def test_what_cannot_be_expected_is_a_mistake(folder: Path) -> None:
    expect = {
        "survival": {"filter": [1, 0]},
        "tokens": {"rws": [0, 1]},
        "reasons": {"filter": {"fw": [0, 1]}},
    }
    chain = {"chain": [{"rules": {"name": "own", "rules": [SHORT]}}]}
    with pytest.raises(RecipeError) as error:
        resolve("x", recipe(folder, expect=expect, filter=chain), folder)
    assert [path for path, _ in error.value.mistakes] == [
        "expect.survival.filter",
        "expect.tokens.rws",
        "expect.reasons.filter.fw",
    ]
    assert "did you mean `few`" in str(error.value)
