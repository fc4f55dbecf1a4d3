"""A mixture of unlike sources: what a chain is not for comes out of the mill as it went in."""

import gzip
import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from curation.edits import EDITS
from curation.lines import normalised
from curation.measures import View
from pipelines.recipes.loading import load, resolve
from pipelines.run import Run
from tests.runs import REPOSITORY, balanced, gristmill

TRIAL = REPOSITORY / "tests/data/trial.yaml"


def rows(path: Path) -> dict[str, str]:
    """Texts by the user's ids, of those a reader takes."""
    opened = gzip.open if path.suffix == ".gz" else open
    with opened(path, "rt", encoding="utf-8", newline="") as lines:
        return {row["id"]: row["text"] for row in map(json.loads, lines)}


def curated(run: Run) -> dict[str, dict[str, str]]:
    """Texts by source and the user's ids."""
    found: dict[str, dict[str, str]] = {}
    for batch in run.documents("curate", ["source", "user_id", "text"]):
        for row in batch.to_pylist():
            found.setdefault(row["source"], {})[row["user_id"]] = row["text"]
    return found


def by_own_chain(text: str) -> str:
    """A paper as the edits of its own chain leave it."""
    view = View(normalised(text))
    for name in ("latex", "page_furniture", "references"):
        view = EDITS[name](view).view
    return text if view.text == normalised(text) else view.text


@pytest.fixture(scope="module")
def trial(tmp_path_factory: pytest.TempPathFactory) -> tuple[Run, str]:
    folder = tmp_path_factory.mktemp("trial") / "run"
    result = gristmill("run", str(TRIAL), "--output", str(folder))
    assert result.returncode == 0, result.stderr
    balanced(folder)
    return Run.open(str(folder)), result.stderr


def test_code_books_and_questions_come_out_as_they_went_in(trial: tuple[Run, str]) -> None:
    texts, data = curated(trial[0]), TRIAL.with_suffix("")
    code = rows(data / "code.jsonl")
    assert texts["code"] == {name: code[name] for name in ("alphabet.js", "address.py", "mill.c")}
    assert texts["books"] == rows(data / "books.jsonl")
    assert texts["qa"] == rows(data / "qa.jsonl")
    (paper,) = texts["papers"].values()
    (source,) = rows(data / "papers.jsonl").values()
    assert paper == by_own_chain(source)
    assert "\\href{mailto:stacks@zzmill.example}{stacks@zzmill.example}" in paper
    reasons = trial[0].ledger["filter"]["rejected"]
    assert (reasons["code_mean_line"], reasons["code_licence"]) == (1, 1)


def test_what_applies_to_what_is_said_first(trial: tuple[Run, str]) -> None:
    said = trial[1]
    first = said.index("filter: not for code, papers, books, qa: languages en > 0.65, de > 0.7;")
    assert said.index("personal data is replaced by no step: code, papers, books, qa") > first
    assert said.index("extract  ") > first
    assert "filter: not for web, papers, books, qa: rules starcoder; rules code_licence" in said


def test_the_web_is_still_judged_and_redacted(trial: tuple[Run, str]) -> None:
    run = trial[0]
    signals = [
        row
        for batch in run.rejections("filter", columns=["source", "reason"])
        for row in batch.to_pylist()
        if row["source"] == "web"
    ]
    assert {"language", "gopher_below_alpha_threshold"} & {row["reason"] for row in signals}


def test_the_trial_on_the_sources(corpus: Path, tmp_path: Path) -> None:
    """Thousands of files of code, sections of papers, chapters and questions."""
    given: dict[str, Any] = yaml.safe_load(TRIAL.read_text("utf-8"))
    for item in given["inputs"]:
        item["root"] = str(corpus / "sources")
        item["files"] = [f"{item['source']}.jsonl.gz"]
        item["kind"] = item["source"]
    given.pop("expect")
    given["filter"]["chain"][1]["rules"] = str(TRIAL.parent / "trial/own.yaml")
    # near and equal documents are left out: they say nothing of what is changed
    given["deduplicate"] = {"near": None}
    run = Run.create(resolve("trial", given, tmp_path), str(tmp_path / "run"))
    run.go(until="curate")
    texts = curated(run)
    least = {"code": 1000, "books": 700, "papers": 500, "qa": 2000}
    for source, number in least.items():
        sources = rows(corpus / f"sources/{source}.jsonl.gz")
        assert len(texts[source]) >= number
        for name, text in texts[source].items():
            whole = by_own_chain(sources[name]) if source == "papers" else sources[name]
            assert text == whole, name


def test_the_trial_is_a_valid_recipe() -> None:
    assert load(str(TRIAL), files=True).mix.weights["qa"] == 5  # type: ignore[index]
