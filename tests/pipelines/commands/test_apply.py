"""`gristmill apply`, and commands that fit together."""

import json
import os
import subprocess
import sys

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.runs import REPOSITORY, gristmill

FOOTER = "All of it may be copied and passed on, as long as these three lines stay.\n" * 3
TEXTS = {
    "one": "The miller opens the sluice before dawn and lets the water run.\n",
    "copy": "The miller opens the sluice before dawn and lets the water run.\n",
    "other": f"Of the nine bridges seven were open again by the winter.\n{FOOTER}",
    "last": f"Stone comes from the quarry at the lake, which was flooded.\n{FOOTER}",
}


def lines(text):
    return [json.loads(line) for line in text.splitlines()]


def write(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(path)


@pytest.fixture
def pages(tmp_path):
    rows = [{"id": name, "text": text, "by": name.upper()} for name, text in TEXTS.items()]
    return write(tmp_path / "pages.jsonl", rows)


def test_clusters_and_cuts_are_applied(pages, tmp_path):
    table, lost = str(tmp_path / "clusters.parquet"), tmp_path / "lost.jsonl"
    words = ("--output", table, "--spans", "lines", "--quiet")
    assert gristmill("dedup", pages, *words).returncode == 0
    out = tmp_path / "unique.parquet"
    result = gristmill("apply", table, pages, "--output", str(out), "--rejected", str(lost))
    assert result.returncode == 0, result.stderr
    rows = {row["id"]: row for row in pq.read_table(out).to_pylist()}
    assert list(rows) == ["one", "other", "last"] or list(rows) == ["copy", "other", "last"]
    assert {row["by"] for row in rows.values()} == {name.upper() for name in rows}
    # of the lines that both have, one has a copy of each left
    ends = [rows[name]["text"].count("All of it") for name in ("other", "last")]
    assert sorted(ends) == [0, 1]
    assert rows["last"]["text"].startswith("Stone comes from the quarry")
    ((name, stage, reason),) = [
        (row["id"], row["stage"], row["reason"]) for row in lines(lost.read_text())
    ]
    assert (name, stage, reason) == (({"one", "copy"} - set(rows)).pop(), "apply", "exact")
    assert "1 exact" in result.stderr


def test_verdicts_rejections_and_cuts_of_a_run(pages, tmp_path):
    verdicts = write(
        tmp_path / "verdicts.jsonl",
        [{"id": "one", "kept": True}, {"id": "other", "kept": False, "reasons": ["short"]}],
    )
    kept = gristmill("apply", verdicts, pages, "--output", "-")
    assert [row["id"] for row in lines(kept.stdout)] == ["one"]
    assert "2 not_in_table" in kept.stderr
    ids = [bytes([at]) * 16 for at in range(4)]
    named = [{"id": each.hex(), "text": "0123456789"} for each in ids]
    source = write(tmp_path / "named.jsonl", named)
    pq.write_table(pa.table({"id": ids[:1], "reason": ["near"]}), tmp_path / "drops.parquet")
    kept = gristmill("apply", f"{tmp_path}/drops.parquet", source, "--output", "-", "--quiet")
    assert [row["id"] for row in lines(kept.stdout)] == [each.hex() for each in ids[1:]]
    cuts = pa.table({"id": [ids[1], ids[1], ids[2]], "start": [0, 7, 0], "end": [2, 9, 10]})
    pq.write_table(cuts, tmp_path / "cuts.parquet")
    kept = gristmill("apply", f"{tmp_path}/cuts.parquet", source, "--output", "-")
    assert [row["text"] for row in lines(kept.stdout)] == ["0123456789", "234569", "0123456789"]
    assert "1 cut_whole" in kept.stderr


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ([{"id": "one", "x": 1}], "is no table of verdicts"),
        ([{"id": "one", "kept": True}] * 2, "`one` stands twice"),
        ([{"id": "nobody", "kept": True}], "none of its ids"),
        ([[1]], "no JSON object"),
        ([{"id": "one", "kept": True, "cut": [{"start": 1}]}], "the row of `one` cannot be read"),
    ],
)
def test_tables_that_say_nothing(pages, tmp_path, rows, said):
    table, out = write(tmp_path / "table.jsonl", rows), tmp_path / "out.jsonl"
    result = gristmill("apply", table, pages, "--output", str(out))
    assert (result.returncode, said in result.stderr, out.exists()) == (2, True, False)
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize(
    "words",
    [
        ["extract"],
        ["filter", "--rules", "mc4"],
        ["language"],
        ["dedup"],
        ["classifier", "score", "bad_words:en"],
        ["apply", "TABLE"],
    ],
    ids=lambda words: words[0],
)
def test_nothing_is_written_over_what_is_read(pages, tmp_path, words):
    """Be it under another name, by a link, or as one of a folder."""
    words = [
        write(tmp_path / "table", [{"id": "one", "kept": 1}]) if w == "TABLE" else w for w in words
    ]
    before = (tmp_path / "pages.jsonl").read_bytes()
    folder = tmp_path / "folder"
    folder.mkdir()
    os.link(pages, folder / "hard.jsonl")
    (tmp_path / "soft.jsonl").symlink_to(pages)
    for given, outputs in (
        (pages, ["--output", f"{folder}/../pages.jsonl"]),
        (pages, ["--output", f"{tmp_path}/soft.jsonl"]),
        (str(folder), ["--output", pages]),
        (pages, ["--output", "-", "--rejected", f"{folder}/hard.jsonl"]),
        (pages, ["--output", f"{tmp_path}/a.jsonl", "--rejected", f"{tmp_path}/a.jsonl"]),
    ):
        result = gristmill(*words, given, *outputs)
        assert result.returncode == 2, (outputs, result.stderr)
        assert "is read too" in result.stderr or "is to be written twice" in result.stderr
    assert (tmp_path / "pages.jsonl").read_bytes() == before


def test_ids_and_columns_go_through_pipes(tmp_path):
    """extract | filter | dedup and apply: by the ids that `extract` gives."""
    sample = REPOSITORY / "tests" / "data" / "sample" / "web-00000.warc.gz"
    mill = f"{sys.executable} -m pipelines.commands.main"
    pages, kept, table = (tmp_path / f"{name}.jsonl" for name in ("pages", "kept", "table"))
    script = (
        f"{mill} extract web={sample} --output - --quiet | tee {pages} | "
        f"{mill} filter --rules gopher_quality - --output - --rejected {tmp_path}/lost.jsonl "
        f"--quiet | tee {kept} | {mill} dedup - --output {table} --quiet"
    )
    subprocess.run(["bash", "-o", "pipefail", "-c", script], check=True, cwd=REPOSITORY)
    extracted = {row["id"]: row for row in lines(pages.read_text())}
    passed = lines(kept.read_text())
    assert 0 < len(passed) < len(extracted)
    assert [row["id"] for row in lines(table.read_text())] == [row["id"] for row in passed]
    lost = {row["id"] for row in lines((tmp_path / "lost.jsonl").read_text())}
    assert lost | {row["id"] for row in passed} == extracted.keys()
    for row in passed:
        other = extracted[row["id"]]
        same = set(other) - {"language", "language_score"}
        assert {name: row[name] for name in same} == {name: other[name] for name in same}
        assert row["source"] == "web"
