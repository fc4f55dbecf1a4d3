"""What is made of each file of the hostile set, and why: `hostile.csv`."""

import csv
import io
import json
import tracemalloc
from collections import Counter
from itertools import pairwise
from pathlib import Path

import pytest

from curation.readers import Damage, Record
from curation.readers.arc import check_arc, read_arc
from curation.readers.warc import check_warc, read_warc
from schemas.problems import Problem

LIMIT = 9 << 20
with Path(__file__).with_name("hostile.csv").open(newline="", encoding="utf-8") as lines:
    TABLE = list(csv.DictReader(lines))


def read(data, start=0, end=None, reader=read_warc):
    end = len(data) if end is None else end
    return list(reader(io.BytesIO(data), start, end, max_record_bytes=LIMIT))


def count(names):
    return " ".join(f"{name}={number}" for name, number in sorted(Counter(names).items()))


@pytest.mark.corpus
def test_the_table_is_whole(corpus):
    with (corpus / "warc-hostile" / "INDEX.jsonl").open(encoding="utf-8") as lines:
        index = [json.loads(line)["file"] for line in lines]
    assert len(index) == 153
    assert sorted(index) == [row["file"] for row in TABLE]
    assert all(row["why"] for row in TABLE)


@pytest.mark.corpus
@pytest.mark.parametrize("row", TABLE, ids=[row["file"] for row in TABLE])
def test_hostile_file(corpus, row):
    data = (corpus / "warc-hostile" / row["file"]).read_bytes()
    is_arc = ".arc" in row["file"]
    reader, check = (read_arc, check_arc) if is_arc else (read_warc, check_warc)
    found = read(data, reader=reader)
    if row["refused_as"]:
        with pytest.raises(Problem) as refused:
            check_warc(io.BytesIO(data), row["file"])
        assert str(refused.value) == (
            f"{row['file']}: not a WARC file, it looks like {row['refused_as']}: "
            "take it out of `files`"
        )
        assert not [item for item in found if isinstance(item, Record)]
        return
    check(io.BytesIO(data), row["file"])
    records = [item for item in found if isinstance(item, Record)]
    assert count(item.kind for item in records) == row["records"]
    assert count(item.flaw for item in records if item.flaw) == row["flaws"]
    assert count(item.kind for item in found if isinstance(item, Damage)) == row["damage"]
    assert len({(item.offset, item.offset_kind) for item in found}) == len(found)
    for item, after in pairwise(found):
        # what follows another begins after it, in the file or in the member that both are in
        if item.offset == after.offset:
            assert after.inner >= item.inner + (item.length if isinstance(item, Record) else 0)
        else:
            assert after.offset > item.offset
    for pieces in (2, 5):
        edges = [len(data) * piece // pieces for piece in range(pieces + 1)]
        split = [item for start, end in pairwise(edges) for item in read(data, start, end, reader)]
        assert split == found


@pytest.mark.corpus
@pytest.mark.parametrize(
    "name",
    ["c-expanding.warc.gz", "c-length-huge.warc", "c-huge-header.warc.gz", "servo-sohu.warc.gz"],
)
def test_memory_is_bounded(corpus, name):
    data = (corpus / "warc-hostile" / name).read_bytes()
    tracemalloc.start()
    for item in read_warc(io.BytesIO(data), 0, len(data), max_record_bytes=1 << 20):
        assert item.length
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 16 << 20


@pytest.mark.corpus
def test_bodies_whose_coding_lies(corpus):
    folder = corpus / "warc-hostile"
    (page,) = {item.payload for item in read((folder / "c-encodings.warc.gz").read_bytes())}
    plain, brotli, cut, chunks, unknown, unnamed = (
        item.payload for item in read((folder / "c-encodings-lying.warc.gz").read_bytes())
    )
    assert plain == brotli == unknown == unnamed == page
    assert page.startswith(cut)
    assert page.startswith(chunks)
    assert len(cut) > len(page) // 3
    assert len(chunks) > len(page) // 3


@pytest.mark.corpus
def test_salvaged_pages_are_whole(corpus):
    folder = corpus / "warc-hostile"
    sound = {item.url: item.payload for item in read((folder / "c-control.warc.gz").read_bytes())}
    for name in ("huge", "missing", "negative", "too-long", "too-short"):
        for item in read((folder / f"c-length-{name}.warc").read_bytes()):
            assert item.payload == sound[item.url]
    for item in read((folder / "c-lf-only.warc").read_bytes()):
        assert item.payload == sound[item.url].replace(b"\r\n", b"\n")
