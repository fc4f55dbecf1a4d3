"""The extract stage over inputs of several formats, with block lists and rights."""

import json
from collections import Counter

import pytest

from pipelines.recipes.loading import load
from pipelines.recipes.saving import with_models
from pipelines.runs.parts import read_table
from pipelines.runs.splits import plan_splits
from pipelines.runs.steps import Context
from pipelines.runs.store import Folder
from pipelines.stages.extract import extract_split

TEXT = "The mill turns slowly, and the grain becomes flour. " * 10


def page(head=""):
    return f"<!DOCTYPE html><html><head>{head}</head><body><p>{TEXT}</p></body></html>"


@pytest.fixture
def inputs(tmp_path):
    """A folder of pages, one of rows, and a recipe over both."""
    pages = tmp_path / "pages"
    pages.mkdir()
    (pages / "plain.html").write_text(page())
    (pages / "free.html").write_text(
        page('<link rel="license" href="https://opensource.org/licenses/MIT">')
    )
    licence = "https://creativecommons.org/licenses/by/4.0/"
    (pages / "cc.html").write_text(page(f'<link rel="license" href="{licence}">'))
    (pages / "shy.html").write_text(page('<meta name="robots" content="noai, noimageai">'))
    (pages / "art.html").write_text(page('<meta name="robots" content="noimageai">'))
    (pages / "empty.html").write_text("")
    rows = [
        {"text": TEXT, "url": "https://good.example/"},
        {"text": TEXT, "url": "https://www.bad.example/page"},
        {"text": " ", "url": "https://good.example/empty"},
        {"text": 1},
    ]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (tmp_path / "blocked.txt").write_text("# bad places\nbad.example\n")
    (tmp_path / "recipe.yaml").write_text(
        "extends: fineweb\n"
        "inputs:\n"
        "  - {source: pages, root: pages, files: ['*.html']}\n"
        "  - {source: rows, root: ., files: [rows.jsonl], columns: fineweb}\n"
        "extract:\n"
        "  engine: resiliparse\n"
        "  favor: balanced\n"
        "  block: {domains: [{file: blocked.txt}]}\n"
    )
    return tmp_path


@pytest.fixture
def extracted(inputs):
    """Documents and rejections by source, and the receipts."""
    run = Folder(str(inputs / "run"))
    context = Context(run, with_models(load(str(inputs / "recipe.yaml")), run))
    receipts = [extract_split(context, "extract", task) for task in plan_splits(context.recipe)]
    tables = {
        kind: [
            row
            for receipt in receipts
            for row in read_table(run, receipt.file(kind).path).to_pylist()
        ]
        for kind in ("documents", "rejections")
    }
    return tables, receipts


def test_every_record_is_a_document_or_has_a_reason(extracted):
    tables, receipts = extracted
    assert sum(receipt.records for receipt in receipts) == 10
    assert Counter((row["source"], row["reason"]) for row in tables["rejections"]) == {
        ("pages", "opt_out_noai"): 1,
        ("pages", "empty_body"): 1,
        ("rows", "blocked_domain"): 1,
        ("rows", "empty_body"): 1,
        ("rows", "damaged_no_text"): 1,
    }
    assert Counter(row["source"] for row in tables["documents"]) == {"pages": 4, "rows": 1}
    assert len({row["id"] for kind in tables.values() for row in kind}) == 10


def test_what_pages_declare_is_stored_and_counted(extracted):
    tables, receipts = extracted
    declared = {
        row["file"]: (row["opt_outs"], row["licences"], row["engine"])
        for row in tables["documents"]
    }
    assert declared == {
        "plain.html": ([], [], "resiliparse"),
        "free.html": ([], ["mit"], "resiliparse"),
        "cc.html": ([], ["cc-by-4.0"], "resiliparse"),
        "art.html": (["noimageai"], [], "resiliparse"),
        "rows.jsonl": ([], [], None),
    }
    (pages,) = [receipt for receipt in receipts if receipt.records == 6]
    assert pages.counts["opt_outs"] == {"noimageai": 1}
    assert pages.counts["licences"] == {"cc-by-4.0": 1, "mit": 1}


def test_lists_are_frozen_with_the_run(inputs, extracted):
    (copy,) = (inputs / "run/models").glob("*-blocked.txt")
    assert copy.read_text() == "# bad places\nbad.example\n"
