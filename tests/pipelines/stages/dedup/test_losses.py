"""An engine that loses what it shuffles is found out."""

import json
import random
from pathlib import Path

import pytest

from pipelines.engines import runners
from pipelines.engines.jobs import ByKey, Job, JobFailed, Receive, run_here
from tests.runs import dedup_files

pytestmark = pytest.mark.usefixtures("several_parts")


class Lose:
    """Nothing of what comes."""

    def process(self, element: object) -> list[object]:
        return []


@pytest.mark.parametrize(
    ("shuffle", "step"),
    [
        ("keys", "deduplicate/candidates"),
        ("requests", "deduplicate/near"),
        ("members", "deduplicate/near"),
        ("spans", "deduplicate/repeated"),
        ("repeated", "deduplicate"),
    ],
)
def test_lost_rows_are_no_answer(
    shuffle: str, step: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = [f"w{number}" for number in range(400)]
    random.Random(1).shuffle(words)
    for number in range(2):
        own = [*words[:200], f"other{number}"] if number else words[:200]
        pages = [" ".join(own), "The same footer stands here.\n" + " ".join(words[200 + number :])]
        rows = [{"id": f"{number}{at}", "text": text} for at, text in enumerate(pages)]
        rows.append({"id": f"{number}c", "text": f"The same footer stands here.\nOf {number}"})
        (tmp_path / f"{number}.jsonl").write_text("\n".join(map(json.dumps, rows)) + "\n")

    def losing(job: Job, receive: Receive, scratch: Path | None) -> None:
        for at, each in enumerate(job.steps):
            if isinstance(each, ByKey) and each.label == shuffle:
                job = Job(job.items, [*job.steps[:at], Lose(), *job.steps[at:]])
        run_here(job, receive, scratch)

    monkeypatch.setattr(runners, "run_here", losing)
    with pytest.raises(JobFailed, match=f"^{step}: .*came out of the engine's shuffle"):
        dedup_files([str(tmp_path / "*.jsonl")], str(tmp_path / "out.parquet"), spans="lines")
