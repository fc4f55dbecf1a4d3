"""The chains of a run: what is passed by stays as it is, and what is rejected after deduplication
is known, with its cluster."""

import json
from pathlib import Path
from typing import Any

import pytest

from pipelines.recipes.loading import names, resolve
from pipelines.recipes.mistakes import RecipeError
from pipelines.report.collect import collect
from pipelines.run import Run
from pipelines.runs.documents import read
from pipelines.runs.events import Event, PassedBy, Unredacted, Warned
from schemas.inputs import Input

CODE = 'LIMIT = "0123456789"\n\n\ndef grind(grain):\n    return {\n        "x": grain,\n    }\n'
ROW = "Kept as it is :\n\n  call  info@mill-of-the-valley.org\t or write\n}\n"
TEX = "\\documentclass{article}\r\n\\begin{document} % to jane@mail-of-jane.org, 10.1.2.77\n}\n"
PAGE = f"<html><body><article><p>{'The miller opens the sluice. ' * 40}</p></article></body></html>"
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


def text(number: int, size: int = 60) -> str:
    steps = (number * 7 + at * (at % (number + 2) + 1) for at in range(size))
    return " ".join(f"{WORDS[step % len(WORDS)]}{step % 11}" for step in steps) + "."


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("inputs")
    copies = [text(0)] * 3 + [text(1)] * 2 + [text(number) for number in range(2, 8)]
    rows = [{"text": each} for each in copies]
    (folder / "web.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (folder / "rows.jsonl").write_text(json.dumps({"text": ROW}) + "\n")
    (folder / "grind.py").write_text(CODE)
    return folder


def recipe(folder: Path, **more: Any) -> dict[str, Any]:
    return {
        "inputs": [
            {"source": "web", "root": str(folder), "files": ["web.jsonl"], "columns": "fineweb"},
            {"source": "rows", "root": str(folder), "files": ["rows.jsonl"]},
            {"source": "code", "root": str(folder), "files": ["grind.py"], "format": "code"},
        ],
        "deduplicate": {"near": None},
        **more,
    }


def test_the_kinds_of_inputs() -> None:
    def kind(**given: Any) -> str:
        format_ = given.pop("of")
        return Input(source="a", root="r", files=("f",), **given).kind_of(format_)

    assert kind(of="warc") == kind(of="html") == kind(of="jsonl", columns="fineweb") == "web"
    assert kind(of="parquet", columns="redpajama_v2") == "web"
    assert kind(of="code") == "code"
    assert kind(of="jsonl") == kind(of="text") == kind(of="csv") == "other"
    assert kind(of="text", columns="fineweb") == "other"
    assert kind(of="warc", kind="papers") == "papers"


def test_steps_for_the_web_leave_code_and_rows_as_they_are(inputs: Path, tmp_path: Path) -> None:
    web = {"kinds": ["web"]}
    chain = [{"edit": "c4_lines", **web}, {"languages": {"en": 0.99}, **web}]
    redact = [{"redact": ["EMAIL_ADDRESS", "PHONE_NUMBER"], **web}]
    given = recipe(inputs, filter={"chain": chain}, curate={"chain": redact})
    run = Run.create(resolve("kinds", given, inputs), str(tmp_path / "run"))
    run.go(until="curate")
    texts = {
        row["source"]: row["text"]
        for batch in run.documents("curate", ["source", "text"])
        for row in batch.to_pylist()
    }
    assert texts["code"] == CODE
    assert texts["rows"] == ROW
    kinds = {
        (row["source"], row["kind"], row["format"])
        for batch in read(run.context, "extract", ["source", "kind", "format"])
        for row in batch.to_pylist()
    }
    assert kinds == {("web", "web", "jsonl"), ("rows", "other", "jsonl"), ("code", "code", "code")}


@pytest.mark.parametrize("name", names())
def test_a_bundled_recipe_gives_code_tex_and_rows_back(name: str, tmp_path: Path) -> None:
    """Those for the web byte for byte; `mixture` has chains of their own for some."""
    given = {
        "page.html": PAGE,
        "grind.py": CODE,
        "mills.tex": TEX,
        "rows.jsonl": json.dumps({"text": ROW}) + "\n",
    }
    for file, content in given.items():
        (tmp_path / file).write_text(content, newline="")
    kinds = {"page.html": "web", "grind.py": "code", "mills.tex": "papers", "rows.jsonl": "other"}
    listed = [
        {"source": kind, "root": str(tmp_path), "files": [file]} for file, kind in kinds.items()
    ]
    listed[2]["kind"] = "qa"
    more = {"inputs": listed, "mix": {"weights": None, "tokens": None}}
    events: list[Event] = []
    run = Run.create(resolve("x", {"extends": name, **more}, tmp_path), str(tmp_path / "run"))
    run.go(listener=events.append, until="curate")
    texts = {
        row["source"]: row["text"]
        for batch in run.documents("curate", ["source", "text"])
        for row in batch.to_pylist()
    }
    assert {source: texts[source] for source in ("code", "papers", "other")} == {
        "code": CODE,
        "papers": TEX,
        "other": ROW,
    }
    told = [event for event in events if isinstance(event, PassedBy)]
    assert {"code", "papers", "other"} <= set(told[0].sources) | set(told[-1].sources)
    (bare,) = [event for event in events if isinstance(event, Unredacted)]
    assert {"papers", "other"} <= set(bare.sources)


def test_steps_that_pass_sources_by_are_told_before_the_first_stage(
    inputs: Path, tmp_path: Path
) -> None:
    web = {"kinds": ["web"]}
    chain = [
        {"edit": "c4_lines", **web},
        {"languages": {"en": 0.1}, **web},
        {"rules": "bad_words", "sources": ["rows"]},
    ]
    given = recipe(inputs, filter={"chain": chain}, curate={"chain": [{"redact": ["IP_ADDRESS"]}]})
    events: list[Event] = []
    run = Run.create(resolve("told", given, inputs), str(tmp_path / "run"))
    run.go(listener=events.append, until="extract")
    run.go(listener=events.append, until="extract")  # and not again
    assert [event for event in events if isinstance(event, PassedBy | Unredacted)] == [
        PassedBy("filter", ("edit c4_lines", "languages en > 0.1"), ("rows", "code")),
        PassedBy("filter", ("rules bad_words",), ("web", "code")),
    ]
    assert isinstance(events[0], PassedBy)
    report = collect(run)
    assert [item["sources"] for item in report["passed_by"]] == [["rows", "code"], ["web", "code"]]
    assert report["unredacted"] == []


def test_a_chain_that_applies_to_no_input_is_a_mistake(inputs: Path, tmp_path: Path) -> None:
    chain = [{"edit": "c4_lines", "kinds": ["papers"]}, {"rules": "bad_words", "kinds": ["books"]}]
    said = r"filter\.chain: applies to no input: its steps are for books, papers"
    with pytest.raises(RecipeError, match=said):
        Run.create(resolve("kinds", recipe(inputs, filter={"chain": chain}), inputs), str(tmp_path))
    assert not list(tmp_path.iterdir())
    # of one step it is none: the recipe may be used for other inputs
    chain[0] = {"edit": "c4_lines"}
    resolve("kinds", recipe(inputs, filter={"chain": chain}), inputs)


def test_spans_are_cut_if_only_by_default(inputs: Path) -> None:
    spans = {"near": None, "spans": {"lines": True}}
    found = resolve("spans", recipe(inputs, deduplicate=spans), inputs).curate.chain
    assert [step.KEY for step in found] == ["cut", "redact"]
    own = {"chain": [{"cut": {"least_words": 7}}]}
    (cut,) = resolve("spans", recipe(inputs, deduplicate=spans, curate=own), inputs).curate.chain
    assert cut.title() == "cut (least_words 7)"


def test_what_is_rejected_after_deduplication_takes_its_cluster_along(
    inputs: Path, tmp_path: Path
) -> None:
    least = {"signal": "gopher.words", "operator": ">=", "threshold": 70, "reason": "too_short"}
    table = {"rules": {"name": "own", "rules": [least]}, "sources": ["web"]}
    given = recipe(
        inputs, filter={"chain": []}, curate={"chain": [table]}, splits={"part_bytes": 600}
    )
    events: list[Event] = []
    run = Run.create(resolve("late", given, inputs), str(tmp_path / "run"))
    run.go(listener=events.append, until="curate")
    assert len(run.context.receipts("curate")) > 1
    # 3 + 2 copies and 6 others came, 1 + 1 + 6 are left, and all of them are rejected
    lost = [receipt.counts["clusters_lost"] for receipt in run.context.receipts("curate")]
    assert sum(item["clusters"] for item in lost) == 2
    assert sum(item["documents"] for item in lost) == 3
    assert run.ledger["curate"] == {"records": 10, "kept": 2, "rejected": {"too_short": 8}}
    (warned,) = [event for event in events if isinstance(event, Warned)]
    assert warned.what.startswith("2 documents that deduplication kept for 3 others")
    rows = [row for batch in run.rejections("curate") for row in batch.to_pylist()]
    assert {(row["reason"], row["value"], row["detail"]) for row in rows} == {
        ("too_short", "60", "gopher.words >= 70")
    }
