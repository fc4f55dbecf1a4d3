import gzip
import io
import json
import tarfile
import zipfile

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard

from curation.readers.formats import HEAD_BYTES, check, detect, is_splittable, read
from schemas.inputs import Columns
from schemas.problems import Problem

LIMIT = 1 << 20
WARC = (
    b"WARC/1.0\r\nWARC-Type: conversion\r\nContent-Type: text/plain\r\nContent-Length: 4\r\n\r\n"
    b"word\r\n\r\n"
)


def parquet():
    stream = io.BytesIO()
    pq.write_table(pa.table({"text": ["word"]}), stream)
    return stream.getvalue()


def tar():
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as archive:
        info = tarfile.TarInfo("a.txt")
        info.size = 4
        archive.addfile(info, io.BytesIO(b"word"))
    return stream.getvalue()


def zipped():
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr("a.txt", "word")
    return stream.getvalue()


LINE = json.dumps({"text": "word"}).encode()
FILES = [
    ("a.warc", WARC, "warc", True),
    ("a.warc.wet.gz", gzip.compress(WARC), "warc", True),
    ("a.jsonl", LINE, "jsonl", True),
    ("a.json.gz", gzip.compress(LINE), "jsonl", False),
    ("a.jsonl.zst", zstandard.compress(LINE), "jsonl", False),
    ("a.parquet", parquet(), "parquet", True),
    ("a.csv", b"n,text\n1,word\n", "csv", False),
    ("a.tsv.gz", gzip.compress(b"n\ttext\n1\tword\n"), "tsv", False),
    ("a.tar", tar(), "tar", False),
    ("a.tgz", gzip.compress(tar()), "tar", False),
    ("a.tar.zst", zstandard.compress(tar()), "tar", False),
    ("a.zip", zipped(), "zip", True),
    ("a.html", b"word", "html", False),
    ("a.md", b"word", "text", False),
    ("src/Makefile", b"word", "code", False),
]


@pytest.mark.parametrize(("name", "data", "format", "splittable"), FILES, ids=[f[0] for f in FILES])
def test_every_format(name, data, format, splittable):  # noqa: A002
    assert detect(name, data[:HEAD_BYTES]) == format
    stream = io.BytesIO(data)
    check(format, name, stream, Columns(), LIMIT)
    if format != "warc":
        assert is_splittable(format, stream) == splittable
    (record,) = read(format, name, stream, 0, len(data), max_record_bytes=LIMIT)
    assert (record.text or record.payload.decode()) == "word"
    assert list(read(format, name, stream, len(data), len(data) + 1, max_record_bytes=LIMIT)) == []


@pytest.mark.parametrize(
    ("name", "head", "format"),
    [
        ("a.bin", parquet(), "parquet"),
        ("export", gzip.compress(WARC), "warc"),
        ("a.jsonl", parquet(), "parquet"),
        ("a.txt", WARC, "warc"),
        ("page", b"\n<!DOCTYPE html><p>", "html"),
        ("rows", b'{"text": 1}', "jsonl"),
        ("a.html", b'{"text": 1}', "html"),
        ("a.gz", gzip.compress(tar()), "tar"),
        ("a.warc.gz", gzip.compress(WARC)[:4], "warc"),
        ("a.warc.gz", b"", "warc"),
    ],
)
def test_detect(name, head, format):  # noqa: A002
    assert detect(name, head) == format


@pytest.mark.parametrize(("name", "head"), [("a", b""), ("a.pdf", b"%PDF-1.7"), ("a.gz", b"\x1f")])
def test_what_cannot_be_told_is_asked_for(name, head):
    with pytest.raises(Problem, match=f"{name}: neither its name nor its first bytes"):
        detect(name, head)
