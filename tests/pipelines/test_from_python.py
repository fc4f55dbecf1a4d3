"""The script in pipelines/README.md makes and reads a run as it says, without the command line."""

import re
from pathlib import Path

import pytest

from pipelines.run import Run
from tests.conftest import REPOSITORY


def test_the_script_of_the_readme(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    readme = (REPOSITORY / "pipelines/README.md").read_text("utf-8")
    (script,) = re.findall(r"```python\n(.*?)```", readme, re.DOTALL)
    lines = [line for line in script.splitlines() if line.strip()]
    assert len(lines) <= 15
    monkeypatch.chdir(REPOSITORY)
    folder = tmp_path / "mine"
    exec(compile(script.replace("runs/mine", str(folder)), "README.md", "exec"), {})
    printed = capsys.readouterr().out.splitlines()
    run = Run.open(str(folder))
    assert run.is_finished
    stages = run.ledger
    assert printed[:1] == [
        f"extract: {stages['extract']['kept']} of {stages['extract']['records']} kept"
    ]
    short = stages["filter"]["rejected"]["gopher_below_alpha_threshold"]
    told = [int(line.split()[0]) for line in printed if "too few words of letters" in line]
    assert sum(told) == short > 0
    assert printed[-1] == f"{run.shards.splits['train'].tokens} tokens to train on"
    # all that did not come through has a row, with the reason that the ledger counts
    for stage, counts in stages.items():
        reasons = [
            row for batch in run.rejections(stage, columns=["reason"])
            for row in batch["reason"].to_pylist()
        ] if stage != "tokenize" else []  # fmt: skip
        assert {reason: reasons.count(reason) for reason in reasons} == counts["rejected"], stage
    kept = sum(batch.num_rows for batch in run.documents("curate"))
    assert kept == stages["curate"]["kept"]
    for stage in ("extract", "filter", "deduplicate"):
        assert (
            sum(b.num_rows for b in run.documents(stage, ["id", "text"])) == stages[stage]["kept"]
        )
