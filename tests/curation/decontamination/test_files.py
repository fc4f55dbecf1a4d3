import gzip
import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from curation.decontamination import Detector, Item, Layout, benchmarks, build, load, read_set, save
from schemas.problems import Problem

QUESTION = "Why does moss grow mostly on the shaded side of old stone walls in the north?"
ITEMS = [Item("quiz", "moss", QUESTION), Item("quiz", "tiny", "Why?")]


def test_an_index_comes_back(tmp_path):
    save(build(ITEMS), tmp_path / "index")
    index = load(tmp_path / "index")
    assert benchmarks(index) == {"quiz": {"items": 2, "protected": 1}}
    (hits,) = Detector(index).find([f"He asked: {QUESTION}"])
    assert [(hit.benchmark, hit.item, hit.score) for hit in hits] == [("quiz", "moss", 1)]
    # the same bytes again
    save(build(ITEMS), tmp_path / "again")
    for path in (tmp_path / "index").iterdir():
        assert path.read_bytes() == (tmp_path / "again" / path.name).read_bytes()


def test_a_damaged_index_is_refused(tmp_path):
    with pytest.raises(Problem, match="is no index"):
        load(tmp_path)
    save(build(ITEMS), tmp_path)
    data = bytearray((tmp_path / "words.npy").read_bytes())
    data[-1] ^= 1
    (tmp_path / "words.npy").write_bytes(data)
    with pytest.raises(Problem, match=r"words\.npy: is damaged"):
        load(tmp_path)
    manifest = json.loads((tmp_path / "index.json").read_text())
    (tmp_path / "index.json").write_text(json.dumps({**manifest, "version": 99}))
    with pytest.raises(Problem, match="version 99"):
        load(tmp_path)
    (tmp_path / "index.json").write_text("[" * 9)
    with pytest.raises(Problem, match="is no index"):
        load(tmp_path)


@pytest.mark.parametrize(
    ("benchmark", "row", "item"),
    [
        (
            "mmlu",
            {"question": "Q?", "choices": ["one", "two"], "answer": 1, "subject": "s"},
            ("0", "Q?", ("one", "two"), ""),
        ),
        (
            "arc-challenge",
            {
                "id": "M_1",
                "question": {"stem": "Q?", "choices": [{"text": "one"}, {"text": "two"}]},
            },
            ("M_1", "Q?", ("one", "two"), ""),
        ),
        (
            "ARC_easy",
            {"id": "M_1", "question": "Q?", "choices": {"text": ["one"], "label": ["A"]}},
            ("M_1", "Q?", ("one",), ""),
        ),
        (
            "HumanEval",
            {"task_id": "HumanEval/0", "prompt": "def f():", "canonical_solution": "  pass"},
            ("HumanEval/0", "def f():", (), "  pass"),
        ),
        (
            "hellaswag",
            {"ind": 4, "activity_label": "Run", "ctx": "A man", "endings": ["runs", "sits"]},
            ("4", "Run\nA man", ("runs", "sits"), ""),
        ),
        (
            "truthfulqa",
            {"question": "Q?", "best_answer": "B", "mc1_targets": {"choices": ["x", "y"]}},
            ("0", "Q?", ("x", "y"), "B"),
        ),
        # the fields of the default, whatever the name
        ("gsm8k", {"id": 7, "text": "Q?", "answer": "A"}, ("7", "Q?", (), "A")),
        ("ours", {"text": "T", "question": "Q?", "choices": ["x"]}, ("0", "T\nQ?", ("x",), "")),
    ],
)
def test_layouts(tmp_path, benchmark, row, item):
    (tmp_path / "set.jsonl").write_text(json.dumps(row) + "\n")
    assert list(read_set(tmp_path / "set.jsonl", benchmark)) == [Item(benchmark, *item)]


def test_formats(tmp_path):
    rows = [{"question": "One?"}, {"question": "Two?"}]
    lines = "".join(f"{json.dumps(row)}\n\n" for row in rows).encode()
    (tmp_path / "a.jsonl.gz").write_bytes(gzip.compress(lines))
    (tmp_path / "b.json").write_text(json.dumps(rows))
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "c.parquet")
    for name in ("a.jsonl.gz", "b.json", "c.parquet"):
        assert [one.text for one in read_set(tmp_path / name, "ours")] == ["One?", "Two?"]
    whole = {"examples": [{"input": "In", "target": "valid"}]}
    (tmp_path / "d.json").write_text(json.dumps(whole))
    assert list(read_set(tmp_path / "d.json", "bbh")) == [Item("bbh", "0", "In", (), "valid")]


def test_fields_of_a_users_own(tmp_path):
    (tmp_path / "set.jsonl").write_text('{"q": {"de": "Frage"}, "key": 3}')
    with pytest.raises(Problem, match=r"row 1: no text in text, question, but q, key"):
        list(read_set(tmp_path / "set.jsonl", "ours"))
    layout = Layout(("q.de",), id=("key",))
    assert list(read_set(tmp_path / "set.jsonl", "ours", layout)) == [Item("ours", "3", "Frage")]


@pytest.mark.parametrize("data", [b"", b"{", b"[1]", b'"text"', b"\xff\xfe", b"[" * 100_000])
def test_what_is_no_set(tmp_path, data):
    (tmp_path / "set.jsonl").write_bytes(data)
    with pytest.raises(Problem, match=r"set\.jsonl"):
        list(read_set(tmp_path / "set.jsonl", "ours"))
    with pytest.raises(Problem, match="cannot be read"):
        list(read_set(tmp_path / "none.parquet", "ours"))
