"""All levels of deduplication in a run, and a run against an earlier one."""

from pathlib import Path

import pytest

from tests.runs import DEMO, balanced, mill

SAMPLE = Path(__file__).resolve().parents[3] / "data" / "sample"
LEVELS = """
deduplicate:
  scope: global
  url: newest
  normalised: true
  near: {{bands: 20, rows: 5, shingle_characters: 24, verify_by: {by}}}
  keep: fineweb.line_punct_ratio
  prefer: [web]
  index: true
  against: [{against}]
"""


def recipe(folder: Path, by: str, against: str = "") -> Path:
    inputs = f"inputs: [{{source: web, root: {SAMPLE}, files: ['*.warc.gz']}}]"
    path = folder / f"{by}.yaml"
    path.write_text(f"extends: {DEMO}\n{inputs}\n{LEVELS.format(by=by, against=against)}")
    return path


@pytest.mark.slow
def test_all_levels_and_a_run_against_it(finished: Path, tmp_path: Path) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    mill(first, "--parent", str(finished), recipe=recipe(tmp_path, "shingles"))
    ledger = balanced(first)["deduplicate"]
    plain = balanced(finished)["deduplicate"]
    assert {"exact", "near"} <= set(ledger["rejected"])
    # every copy is among those that the demo's own recipe finds, or is of the same URL
    assert sum(ledger["rejected"].values()) >= sum(plain["rejected"].values())
    again = recipe(tmp_path, "signatures", str(first))
    mill(second, "--parent", str(first), recipe=again)
    ledger = balanced(second)["deduplicate"]
    assert ledger["kept"] == 0
    assert ledger["rejected"]["against"] == ledger["records"] - ledger["rejected"].get("url", 0)
