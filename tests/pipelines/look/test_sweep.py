"""`gristmill rules sweep`: what it foretells is what a rerun does."""

import copy
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from curation.verdicts import criteria
from pipelines.look import sweep
from pipelines.recipes.loading import load
from pipelines.run import Run
from schemas.filter import Filter
from schemas.problems import Problem
from tests.runs import DEMO, gristmill

ALPHA = "gopher_below_alpha_threshold"


@pytest.fixture(scope="module")
def run(finished: Path) -> Run:
    """The run of the demo."""
    return Run.open(str(finished))


def changed(run: Run, **thresholds: Any) -> dict[str, Any]:
    """The run's chain with other thresholds, by reason."""
    chain = copy.deepcopy(run.recipe.filter.model_dump(mode="json", exclude_unset=True))
    for step in chain["chain"]:
        for row in step["rules"]["rules"] if "rules" in step else ():
            row["threshold"] = thresholds.get(row["reason"], row.get("threshold"))
    return chain


def rerun(run: Run, folder: Path, chain: dict[str, Any]) -> Run:
    """A run of another chain, up to `filter`."""
    over = {"filter": chain, "parent": run.folder.url}
    other = Run.create(load(str(DEMO), over), str(folder))
    other.go(until="filter")
    return other


def test_a_rerun_keeps_what_the_sweep_says(run: Run, tmp_path: Path) -> None:
    found = sweep.sweep(run, ALPHA, [0.7, 0.8, 0.85])
    assert found.own == found.points[0.8]
    assert (found.documents, found.unmeasured, found.unknown) == (99, 0, 0)
    kept: dict[float, set[str]] = {}
    for value in (0.7, 0.85):
        other = rerun(run, tmp_path / str(value), changed(run, **{ALPHA: value}))
        assert other.stages["filter"].kept == found.points[value].total != found.own.total
        rows = [row for b in other.documents("filter") for row in b.to_pylist()]
        kept[value] = {row["id"] for row in rows}
        assert sum(found.points[value].bytes.values()) == sum(len(r["text"].encode()) for r in rows)
    own = {id_ for b in run.documents("filter", ["id"]) for id_ in b["id"].to_pylist()}
    sides = {"kept": kept[0.7] - own, "lost": own - kept[0.85]}
    assert len(found.samples) == 2 * sweep.SAMPLES
    for sample in found.samples:
        assert sample.id in sides[sample.change]
        assert "gopher.alpha_words is 0." in sample.why


def test_a_rerun_of_other_rules_keeps_what_is_said(run: Run, tmp_path: Path) -> None:
    chain = changed(run, **{ALPHA: 0.7, "gopher_short_doc": 200, "line_punct_ratio": 0.3})
    chain["chain"][0] = {"languages": {"en": 0.9, "ja": 0.1}}
    found = sweep.change(run, Filter.model_validate(chain))
    other = rerun(run, tmp_path / "other", chain)
    assert other.stages["filter"].kept == found.other.total
    assert found.own.total == run.stages["filter"].kept
    assert (found.untested, found.unmeasured, found.elsewhere, found.notes) == ([], 0, 0, [])
    before, after = (
        {id_ for b in each.documents("filter", ["id"]) for id_ in b["id"].to_pylist()}
        for each in (run, other)
    )
    assert sum(found.kept.values()) == len(after - before) > 0
    assert sum(found.lost.values()) == len(before - after) > 0
    for sample in found.samples:
        assert sample.id in (after - before if sample.change == "kept" else before - after)


def test_tokens_are_estimated_by_the_bytes_of_a_source(run: Run) -> None:
    own = sweep.sweep(run, ALPHA, [0.8]).own
    (receipt,) = run.context.receipts("mix")
    measured = receipt.counts["sources"]["web"]["tokens"]
    assert own.tokens is not None
    # before deduplication there is more; per byte it is the same
    curated = sum(r.counts["bytes"]["web"] for r in run.context.receipts("curate"))
    assert own.tokens["web"] / own.bytes["web"] == pytest.approx(measured / curated, rel=1e-4)


def test_what_is_not_measured_is_told(run: Run) -> None:
    other = Filter.model_validate(
        {
            "chain": [
                {
                    "rules": {
                        "name": "mine",
                        "rules": [
                            {"signal": "dolma.x", "operator": ">", "threshold": 1, "reason": "a"},
                            {
                                "signal": "gopher.words",
                                "operator": ">",
                                "threshold": 1,
                                "reason": "b",
                            },
                        ],
                    }
                }
            ]
        }
    )
    found = sweep.change(run, other)
    assert found.untested == ["mine.a: dolma.x > 1"]
    assert "after the edits c4_lines; not after none" in found.notes[0]
    assert found.other.total == 99


def test_rules_are_found_by_their_names(run: Run) -> None:
    chain = run.recipe.filter
    assert sweep.find_test(chain, f"gopher_quality.{ALPHA}").reason == ALPHA
    with pytest.raises(Problem, match=f"did you mean `{ALPHA}`"):
        sweep.find_test(chain, "gopher_below_alpha")
    with pytest.raises(Problem, match="no single number"):
        sweep.find_test(chain, "language")


def test_a_reason_that_stands_in_two_tables(run: Run) -> None:
    """Thresholds of one do not let through what the other rejects."""
    table = {"signal": "gopher.words", "operator": ">=", "reason": "short"}
    both = Filter.model_validate(
        {
            "chain": [
                {"rules": {"name": name, "rules": [{**table, "threshold": threshold}]}}
                for name, threshold in (("one", 50), ("two", 80))
            ]
        }
    )
    one, two = criteria(both)
    rows = pa.table(
        {
            "kept": [True, False, False],
            "reasons": [[], ["short"], ["short", "short"]],
            "gopher.words": [90.0, 60.0, 10.0],
            "language": pa.nulls(3, pa.string()),
        }
    )
    assert sweep._could(rows, two, [one]).tolist() == [True, True, False]
    with pytest.raises(Problem, match=r"give one\.short or two\.short"):
        sweep.find_test(both, "short")


def test_a_scope_passes_documents_by() -> None:
    chain = Filter.model_validate(
        {
            "chain": [
                {
                    "rules": {
                        "name": "t",
                        "rules": [
                            {"signal": "a.b", "operator": ">=", "threshold": 2, "reason": "r"}
                        ],
                    },
                    "sources": ["web"],
                    "languages": ["en"],
                }
            ]
        }
    )
    (test,) = criteria(chain)
    columns = {
        "a.b": pa.array([1.0, 3.0, None, None, 1.0]),
        "source": pa.array(["web", "web", "web", "books", "web"]),
        "language": pa.array(["en", "en", "en", "en", None]),
    }
    assert test.failed(columns).to_pylist() == [True, False, None, False, False]


def test_the_command(finished: Path) -> None:
    words = ("rules", "sweep", str(finished), "--rule", ALPHA, "--from", ".7", "--to", ".9")
    result = gristmill(*words, "--steps", "3")
    assert result.returncode == 0, result.stderr
    assert "before deduplication; tokens are estimated" in result.stdout
    found = json.loads(gristmill(*words, "--steps", "3", "--json").stdout)
    assert list(found["points"]) == ["0.7", "0.8", "0.9"]
    missing = gristmill(*words[:5])
    assert missing.returncode == 2
    assert "--from: is missing" in missing.stderr
    other = gristmill("rules", "sweep", str(finished), "--recipe", "gopher")
    assert "kept now, rejected before by" in other.stdout
