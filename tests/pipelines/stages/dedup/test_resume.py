"""The stage goes on where it was killed, in any of its steps, and gives the same."""

import json
from pathlib import Path

import pytest

from tests.runs import DEMO, kill_group, mill, receipts, start, wait_for

STAGE = """
deduplicate:
  url: newest
  normalised: true
  near: {bands: 30, rows: 4, verify_by: shingles}
  spans: {lines: true, substring: {tokens: 30}}
"""


def made(run: Path) -> dict[str, list]:
    """What the receipts of the stage say was written, by path."""
    return {
        path: [
            receipt["kept"],
            *sorted([file["kind"], file["digest"]] for file in receipt["files"]),
        ]
        for path, receipt in receipts(run).items()
        if path.startswith("deduplicate/")
    }


@pytest.mark.slow
def test_killed_in_every_step_and_resumed(finished: Path, sample: Path, tmp_path: Path) -> None:
    """SIGKILL to the whole group after the first receipt of each step."""
    recipe = tmp_path / "recipe.yaml"
    inputs = f"inputs: [{{source: web, root: {sample}, files: ['*.warc.gz']}}]"
    recipe.write_text(f"extends: {DEMO}\n{inputs}\n{STAGE}")
    mill(tmp_path / "whole", "--parent", str(finished), recipe=recipe)
    whole = made(tmp_path / "whole")
    steps = [
        json.loads(path.read_text())["step"]
        for path in sorted(
            (tmp_path / "whole" / "deduplicate").rglob("manifest.json"),
            key=lambda path: path.stat().st_mtime_ns,
        )
    ]
    assert len(steps) >= 12, steps
    output = tmp_path / "run"
    for step in steps:
        process = start(
            "run", str(recipe), "--output", str(output), "--quiet", "--parent", str(finished)
        )
        wait_for(
            lambda step=step, process=process: (
                any((output / step / "receipts").glob("[!.]*.json")) or process.poll() is not None
            ),
            120,
            f"a receipt of {step}",
        )
        kill_group(process)
        before = {path: receipt["attempt"] for path, receipt in receipts(output).items()}
        assert any(path.startswith(f"{step}/receipts/") for path in before)
    mill(output, "--parent", str(finished), recipe=recipe)
    assert made(output) == whole
    # what was done before the last kill was not done again
    assert before.items() <= {p: r["attempt"] for p, r in receipts(output).items()}.items()
