"""Equal digests: a part stands for all that it has of one, and the answer is as if it did not."""

import json
import random
from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from pipelines.commands import dedup
from tests.runs import dedup_files, receipts

pytestmark = pytest.mark.usefixtures("several_parts")

WORDS = [f"word{number}" for number in range(300)]


def rows(count: int) -> list[dict[str, str]]:
    """Some texts in many copies, some URLs with several texts; each at a time of its own."""
    draw = random.Random(3)
    days = draw.sample(range(1, 4000), count)
    made = []
    for number, day in enumerate(days):
        text = " ".join(random.Random(draw.choice([1, 1, 1, 2, number + 10])).choices(WORDS, k=40))
        text = draw.choice([text, text.upper(), text])
        url = f"http://example.org/{draw.randrange(count)}"
        date = (datetime(2010, 1, 1, tzinfo=UTC) + timedelta(days=day)).isoformat()
        made.append({"id": f"{number:04d}", "text": text, "url": url, "date": date})
    return made


def answer(folder: Path, out: Path, **options: object) -> tuple[set, Counter]:
    """Clusters with what is kept of each, and how the records ended."""
    ends = dedup_files([str(folder)], str(out), **options)
    clusters: dict[tuple[str, str], set[str]] = {}
    for line in out.read_text().splitlines():
        row = json.loads(line)
        clusters.setdefault((row["representative"], row["cluster"]), set()).add(row["id"])
    return {(kept, frozenset(ids)) for (kept, _), ids in clusters.items()}, ends


def test_a_digest_has_no_more_rows_than_there_are_parts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dedup, "_INNER", ())
    made = rows(400)
    asked = {"url": "newest", "normalised": True, "keep": "oldest", "near": "none"}
    found = []
    for parts in (1, 2, 7):
        folder, index = tmp_path / str(parts), str(tmp_path / f"index-{parts}")
        folder.mkdir()
        for part in range(parts):
            lines = [json.dumps(row) + "\n" for row in made[part::parts]]
            (folder / f"{part}.jsonl").write_text("".join(lines))
        found.append(answer(folder, tmp_path / f"{parts}.jsonl", index=index, **asked))
        sent = {"exact": 0, "normalised": 0}
        for path, receipt in receipts(Path(index)).items():
            if (level := path.split("/")[1]) in sent:
                sent[level] += receipt["counts"]["documents"]
        alone = [{row["text"] for row in made[part::parts]} for part in range(parts)]
        assert 0 < sent["exact"] <= sum(map(len, alone)) < 300
        assert 0 < sent["normalised"] < sent["exact"]
    assert {"url", "exact", "normalised"} <= set(found[0][1])
    assert found[1] == found[0] == found[2]
    # of each text the oldest of those that no newer page of their URL replaced
    newest: dict[str, dict[str, str]] = {}
    for row in sorted(made, key=lambda row: row["date"]):
        newest[row["url"]] = row
    oldest: dict[str, str] = {}
    for row in sorted(newest.values(), key=lambda row: row["date"]):
        oldest.setdefault(row["text"].lower(), row["id"])
    assert {kept for kept, _ in found[0][0]} == set(oldest.values())
