import json

import pyarrow.parquet as pq
import pytest

from pipelines.commands.decontaminate import index_sets
from pipelines.run import Run
from schemas.problems import Problem
from tests.runs import gristmill

QUESTION = "Why does moss grow mostly on the shaded side of old stone walls in the north?"


def run(*words):
    done = gristmill("decontaminate", *words)
    return done.returncode, done.stderr


def write(path, rows):
    path.write_text("".join(f"{json.dumps(row)}\n" for row in rows), encoding="utf-8")
    return str(path)


def test_index_and_scan(tmp_path):
    quiz = write(tmp_path / "quiz.jsonl", [{"id": "m", "question": QUESTION}, {"question": "Why?"}])
    code = write(
        tmp_path / "he.jsonl", [{"task_id": "H/0", "prompt": "def f(x):\n  '''Doubles.'''"}]
    )
    index = str(tmp_path / "index")
    status, told = run("index", quiz, f"humaneval={code}", "--output", index)
    assert status == 0
    assert "2 quiz, 1 too short to be told" in told
    assert "1 humaneval" in told
    texts = [
        {"id": "a", "text": f"A reader asks: “{QUESTION.upper()}”"},
        {"id": 2, "text": "Moss grows on walls."},
    ]
    out = tmp_path / "hits.jsonl"
    pages = write(tmp_path / "pages.jsonl", texts)
    status, told = run("scan", "--index", index, pages, "--output", str(out))
    assert status == 0
    rows = [json.loads(line) for line in out.read_text(encoding="utf-8").splitlines()]
    assert [[value for name, value in row.items() if name != "text"] for row in rows] == [
        ["a", True, "quiz", "m", 1.0, 1.0, 16, 16 + len(QUESTION) - 1, 1],
        ["2", False, None, None, None, None, None, None, 0],
    ]
    assert "1 contaminated" in told
    assert "quiz: 1 items in 1 documents" in told


def test_fields_of_a_users_own(tmp_path):
    rows = [{"q": {"en": QUESTION}, "a": "b", "key": 5}]
    sets = write(tmp_path / "set.jsonl", rows)
    made = index_sets([f"own={sets}"], str(tmp_path / "index"), "text=q.en,id=key")
    assert made == {"own": {"items": 1, "protected": 1}}
    with pytest.raises(Problem, match="holds something: give a new folder"):
        index_sets([sets], str(tmp_path / "index"))


@pytest.mark.parametrize(
    ("name", "fields", "message"),
    [
        ("set.jsonl", None, "no text in text, question"),
        ("set.jsonl", "txt=a", "--fields txt=a: write"),
        ("set.jsonl", "id=a", "text=FIELD"),
        ("none.jsonl", None, r"none\.jsonl: cannot be read"),
    ],
)
def test_what_is_no_set(tmp_path, name, fields, message):
    write(tmp_path / "set.jsonl", [{"a": "b"}])
    with pytest.raises(Problem, match=message):
        index_sets([str(tmp_path / name)], str(tmp_path / "index"), fields)


def test_what_is_no_index(tmp_path):
    status, told = run("scan", "--index", str(tmp_path), "-", "--output", "-")
    assert status == 2
    assert "is no index of test items" in told


def test_check_tells_what_of_a_set_stands_in_a_finished_run(finished, tmp_path):
    run = Run.open(str(finished))
    columns = ("id", "url", "text")
    rows = [row for batch in run.documents("curate", columns) for row in batch.to_pylist()]
    longest = sorted(rows, key=lambda row: -len(row["text"]))[:5]
    # what no other document has, of which the words are written in another way
    items = [" ".join(row["text"].split()[30:60]).upper() for row in longest]
    lines = [{"id": row["id"], "question": text} for row, text in zip(longest, items, strict=True)]
    quiz = write(tmp_path / "quiz.jsonl", [*lines, {"id": "none", "question": QUESTION}])
    out = tmp_path / "found.parquet"
    status, told = run_check(str(finished), quiz, "--output", str(out))
    assert status == 0, told
    found = pq.read_table(out).to_pylist()
    assert {row["item"] for row in found} == {row["id"] for row in longest}
    texts = {row["id"]: row for row in rows}
    splits = {
        segment["document_id"].hex(): name
        for name in ("train", "validation")
        for path in (finished / "shards" / name).glob("*.parquet")
        for segments in pq.read_table(path, columns=["segments"])["segments"].to_pylist()
        for segment in segments
    }
    for row in found:
        assert row["split"] == splits.get(row["id"])
        assert row["url"] == texts[row["id"]]["url"]
        place = texts[row["id"]]["text"][row["start"] : row["end"]]
        assert (
            place.upper().split()[:5]
            == items[[r["id"] for r in longest].index(row["item"])].split()[:5]
        )
    assert any(row["item"] == row["id"] for row in found)
    assert "quiz: 5 of 6 items" in told
    (tmp_path / "run").mkdir()
    status, told = run_check(str(tmp_path / "run"), quiz)
    assert (status, "no run here" in told) == (2, True)


def run_check(*words):
    done = gristmill("decontaminate", "check", *words)
    return done.returncode, done.stderr
