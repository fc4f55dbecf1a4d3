"""Seeded fuzz of the readers: real records, damaged in many ways, in every format.

    python -m tests.benchmarks.fuzz_readers --count 100000 --seed 1

Nothing may crash or go on without end, and what is yielded must balance: places are unique and
in order, nothing overlaps, nothing but blank lines lies between, and any two ranges give what
the whole gives. Limits are counts of reads and of items, so a run is the same on any machine.
"""

from __future__ import annotations

import argparse
import csv
import gzip
import io
import json
import random
import tarfile
import time
import zipfile
import zlib
from collections import Counter
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import zstandard
from fastwarc.stream_io import Lz4Writer

from curation.readers import Damage, Record
from curation.readers.formats import check, is_splittable, read
from curation.readers.lines import open_text
from curation.readers.warc import read_warc
from schemas.inputs import Columns, Format
from schemas.problems import Problem

SAMPLE = Path(__file__).parents[1] / "data" / "sample"
LIMIT = 1 << 17
COLUMNS = Columns(url="url")
TOKENS = [
    *(b"WARC/1.0\r\n", b"\r\n\r\n", b"\n\n", b"\r\nWARC/1.1\r\nWARC-Type: response\r\n"),
    *(b"Content-Length: 99999999999\r\n", b"Content-Length: 0\r\n", b"Content-Encoding: br\r\n"),
    *(b"Transfer-Encoding: chunked\r\n", b"ffffffff\r\n", b"\x1f\x8b\x08", b"\x28\xb5\x2f\xfd"),
    *(b"\x04\x22\x4d\x18", b"\x50\x2a\x4d\x18\xff\xff\xff\xff", b"PK\x01\x02", b"PK\x03\x04"),
    *(
        b"\nhttp://a.example/ 10.0.0.1 20080430204825 text/html 99999999\n",
        b"\nHTTP/1.1 200 OK\r\n",
    ),
    *(
        b"PAR1",
        b"ustar",
        b'"',
        b'{"text":',
        b"[{",
        b"}]",
        b'\\"',
        b"\xff\xff\xff\xff",
        b"\0" * 512,
        b"77777777777\0",
    ),
]


class Counted(io.BytesIO):
    """A stream that refuses to be read more often than any sound reader needs."""

    calls = 0

    def read(self, size: int | None = -1, /) -> bytes:
        """Read, and count."""
        self.calls += 1
        if self.calls > 1000 + len(self.getbuffer()):
            raise AssertionError("a reader reads without end")
        return super().read(size)


def seeds() -> list[tuple[Format, str, bytes]]:
    """Small sound files of every format, of real records: format, name and bytes."""
    records, rows = _sample()
    whole = b"".join(records)
    arc = [
        f"{row['url']} 10.0.0.1 20080430204825 text/html {len(block)}\n".encode() + block + b"\n"
        for row in rows
        if (block := b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n\r\n" + row["text"].encode())
    ]
    lines = b"".join(json.dumps(row).encode() + b"\n" for row in rows)
    table = io.StringIO()
    csv.writer(table).writerows([["url", "text"], *((row["url"], row["text"]) for row in rows)])
    parquet = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(rows), parquet, row_group_size=3)
    binary = io.BytesIO()
    table_of = pa.Table.from_pylist(rows)
    for name in ("url", "text"):
        at = table_of.schema.get_field_index(name)
        table_of = table_of.set_column(at, name, table_of[name].cast(pa.large_binary()))
    pq.write_table(table_of, binary, row_group_size=3)
    tar = io.BytesIO()
    with tarfile.open(fileobj=tar, mode="w") as archive:
        for number, row in enumerate(rows):
            info = tarfile.TarInfo(f"{number}/{'name' * 30}.html")
            info.size = len(row["text"].encode())
            archive.addfile(info, io.BytesIO(row["text"].encode()))
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as files:
        for number, row in enumerate(rows):
            files.writestr(f"{number}.html", row["text"])
    return [
        ("warc", "plain", whole),
        ("warc", "members", b"".join(gzip.compress(record, mtime=0) for record in records)),
        ("warc", "single", gzip.compress(whole, mtime=0)),
        ("warc", "zstd", b"".join(zstandard.compress(record) for record in records)),
        ("warc", "lz4", b"".join(_lz4(record) for record in records)),
        ("warc", "blocks", _blocks(whole)),
        ("arc", "plain", b"".join(arc)),
        ("arc", "members", b"".join(gzip.compress(record, mtime=0) for record in arc)),
        ("arc", "single", gzip.compress(b"".join(arc), mtime=0)),
        ("arc", "blocks", _blocks(b"".join(arc))),
        ("jsonl", "plain", lines),
        ("jsonl", "gzip", gzip.compress(lines[:9000], mtime=0) + gzip.compress(lines[9000:])),
        ("jsonl", "zstd", zstandard.compress(lines)),
        ("jsonl", "UTF-16", lines.decode().encode("utf-16")),
        ("jsonl", "list", json.dumps(rows).encode()),
        (
            "jsonl",
            "objects over lines",
            "\n".join(json.dumps(row, indent=1) for row in rows).encode(),
        ),
        ("jsonl", "list, gzip", gzip.compress(json.dumps(rows, indent=1).encode(), mtime=0)),
        ("csv", "UTF-16", table.getvalue().replace(",", ";").encode("utf-16-le")),
        ("csv", "plain", table.getvalue().encode()),
        ("csv", "gzip", gzip.compress(table.getvalue().encode(), mtime=0)),
        ("parquet", "plain", parquet.getvalue()),
        ("parquet", "bytes", binary.getvalue()),
        ("tar", "plain", tar.getvalue()),
        ("tar", "gzip", gzip.compress(tar.getvalue(), mtime=0)),
        ("zip", "plain", packed.getvalue()),
        ("html", "gzip", gzip.compress(rows[0]["text"].encode(), mtime=0)),
    ]


def _blocks(data: bytes) -> bytes:
    """gzip members that mind no record."""
    return b"".join(
        gzip.compress(data[at : at + 3000], mtime=0) for at in range(0, len(data), 3000)
    )


def _sample() -> tuple[list[bytes], list[dict[str, str]]]:
    """Some records of the sample as they stand, and the text of their pages."""
    data = gzip.decompress((SAMPLE / "web-00001.warc.gz").read_bytes())
    records, rows = [], []
    for item in read_warc(io.BytesIO(data), 0, len(data), max_record_bytes=1 << 20):
        if item.length > 6000 or len(records) == 24:
            continue
        records.append(data[item.offset : item.offset + item.length])
        if isinstance(item, Record) and item.kind == "response":
            rows.append({"url": item.url or "", "text": item.payload.decode("utf-8", "replace")})
    chunked = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Encoding: gzip\r\n\r\n"
    body = gzip.compress(rows[0]["text"].encode(), mtime=0)
    chunked += b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body)
    head = b"WARC/1.1\r\nWARC-Type: response\r\nContent-Length: %d\r\n\r\n" % len(chunked)
    return [*records, head + chunked + b"\r\n\r\n"], rows


def _lz4(data: bytes) -> bytes:
    stream = io.BytesIO()
    writer = Lz4Writer(stream)
    writer.write(data)
    writer.close()
    return stream.getvalue()


def mutate(data: bytes, rng: random.Random, other: bytes) -> bytes:
    """Some of the ways in which files are damaged, some times."""
    broken = bytearray(data)
    for _ in range(rng.choice((1, 1, 2, 5, 30))):
        at = rng.randrange(len(broken) + 1)
        length = rng.choice((1, 2, 8, 100, 3000))
        match rng.randrange(7):
            case 0:
                broken[at : at + 1] = rng.randbytes(1)
            case 1:
                del broken[at : at + length]
            case 2:
                broken[at:at] = rng.randbytes(length)
            case 3:
                broken[at : at + length] = bytes(min(length, len(broken) - at))
            case 4:
                broken[at:at] = rng.choice(TOKENS)
            case 5:
                start = rng.randrange(len(other))
                broken[at:at] = other[start : start + length]
            case _:
                if rng.random() < 0.3:
                    del broken[at:]
    return bytes(broken)


def records_of(format_: Format, data: bytes, start: int, end: int) -> list[Record | Damage]:
    """What a reader yields, no more often than there are bytes."""
    stream = Counted(data)
    items: list[Record | Damage] = []
    for item in read(
        format_, "a.html", stream, start, end, max_record_bytes=LIMIT, columns=COLUMNS
    ):
        items.append(item)
        assert len(items) <= len(data) + 1, "a reader yields without end"
    return items


def examine(format_: Format, data: bytes, rng: random.Random) -> Counter[str]:
    """Read damaged bytes and check what comes; counts of what was yielded."""
    try:
        check(format_, "a", Counted(data), COLUMNS, LIMIT)
    except Problem:
        refused = True
    else:
        refused = False
    try:
        items = records_of(format_, data, 0, max(1, len(data)))
    except Problem:
        return Counter(["refused"])
    keys = [(item.offset, item.offset_kind) for item in items]
    assert len(set(keys)) == len(keys), "two of one place"
    for item in items:
        assert item.length >= 0
        assert isinstance(item, Damage) or len(item.payload) <= LIMIT
    for item, after in pairwise(items):
        assert (item.offset, item.inner) < (after.offset, after.inner), "out of order"
        if item.inner == after.inner == 0 and format_ != "zip":
            assert item.offset + item.length <= after.offset, "overlap"
    if format_ in ("warc", "arc") or (
        format_ == "jsonl" and open_text(Counted(data), LIMIT).unit == "byte"
    ):
        # of JSON also what stands between the objects of a list
        between = (
            b"\r\n\t " if format_ != "jsonl" else b"\r\n\t\v\f ,[]\x1c\x1d\x1e\x1f\xef\xbb\xbf"
        )
        for gap in _gaps(items, data):
            assert not gap.strip(between), "bytes that nothing accounts for"
    if data and is_splittable(format_, io.BytesIO(data)) and rng.random() < 0.3:
        cut = rng.randrange(len(data) + 1)
        parts = records_of(format_, data, 0, cut) + records_of(format_, data, cut, len(data))
        assert [_key(item) for item in parts] == [_key(item) for item in items], "split"
    return Counter(
        [("damage" if isinstance(item, Damage) else "record") for item in items]
        + ["refused"] * refused
    )


def _key(item: Record | Damage) -> tuple[Any, ...]:
    return item.offset, item.inner, item.length, item.kind, getattr(item, "payload", None)


def _gaps(items: list[Record | Damage], data: bytes) -> Iterator[bytes]:
    """The bytes of a file that is read by its own bytes, between what was yielded; of gzip
    members what they inflate to."""
    if any(item.inner for item in items):
        return
    at = 0
    for start, end in [
        *((item.offset, item.offset + item.length) for item in items),
        (len(data), len(data)),
    ]:
        gap = data[at:start]
        at = end
        while gap.startswith(b"\x1f\x8b\x08"):
            member = zlib.decompressobj(31)
            yield member.decompress(gap, 1 << 20)
            gap = member.unused_data
        if not gap.startswith((b"\x28\xb5\x2f\xfd", b"\x04\x22\x4d\x18")) and b"*M\x18" not in gap:
            yield gap


def fuzz(count: int, seed: int) -> Counter[str]:
    """Examine so many damaged files; AssertionError names the case that fails."""
    rng = random.Random(seed)
    files = seeds()
    total: Counter[str] = Counter()
    for number in range(count):
        format_, name, data = files[number % len(files)]
        broken = mutate(data, rng, rng.choice(files)[2])
        try:
            total.update(examine(format_, broken, rng))
        except Exception as error:
            raise AssertionError(f"seed {seed}, case {number} ({format_} {name})") from error
    return total


def main() -> None:
    """Fuzz, and print what came of it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    begun = time.perf_counter()
    total = fuzz(options.count, options.seed)
    seconds = time.perf_counter() - begun
    print(f"{options.count} damaged files in {seconds:.0f} s: {dict(total)}")


if __name__ == "__main__":
    main()
