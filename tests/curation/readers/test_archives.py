import gzip
import io
import random
import struct
import tarfile
import zipfile
from itertools import pairwise

import pytest
import zstandard

from curation.readers import Damage
from curation.readers.archives import check_zip, read_tar, read_zip
from schemas.problems import Problem

LIMIT = 1 << 20
MIT = b"Permission is hereby granted, free of charge, to any person obtaining a copy"
FILES = {
    "site/index.html": b"<!doctype html><p>one",
    "site/" + "long/" * 60 + "page.htm": b"<p>two",
    "../../etc/passwd": b"root",
    "/abs/a.md": b"# three",
    "repo/LICENSE": MIT,
    "repo/src/a.py": b"print()\n",
    "repo/src/b.c": b"// SPDX-License-Identifier: ISC\n",
    "repo/src/naïve.txt": b"four",
    "empty.txt": b"",
    "image.png": b"\x89PNG\r\n",
}


def tar(files=FILES, **options):
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w", **options) as archive:
        folder = tarfile.TarInfo("folder")
        folder.type = tarfile.DIRTYPE
        archive.addfile(folder)
        link = tarfile.TarInfo("link")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        archive.addfile(link)
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return stream.getvalue()


def zipped(files=FILES, method=zipfile.ZIP_DEFLATED):
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", method) as archive:
        archive.mkdir("folder")
        for name, data in files.items():
            archive.writestr(name, data)
    return stream.getvalue()


def read(data, reader=read_tar, start=0, end=None):
    end = len(data) if end is None else end
    return list(reader(io.BytesIO(data), start, end, max_record_bytes=LIMIT))


def check_records(found):
    assert [item.payload for item in found] == list(FILES.values())
    assert [item.kind for item in found] == [
        "page", "page", "page", "text", "text", "text", "text", "text", "text", "page"
    ]  # fmt: skip
    assert [item.content_type for item in found][:4] == [
        "text/html",
        "text/html",
        "",
        "text/markdown",
    ]
    assert [item.language for item in found][5:7] == ["Python", "C"]
    assert len({(item.offset, item.offset_kind) for item in found}) == len(found)


@pytest.mark.parametrize("layout", [tarfile.PAX_FORMAT, tarfile.GNU_FORMAT])
def test_tar(layout):
    plain = tar(format=layout)
    found = read(plain)
    check_records(found)
    for item in found:
        assert item.payload in plain[item.offset : item.offset + item.length]
    assert not read(plain, start=1)
    for pack in (lambda data: gzip.compress(data, mtime=0), zstandard.compress):
        packed = read(pack(plain))
        check_records(packed)
        assert [item.offset for item in packed] == [item.offset for item in found]
        assert {item.offset_kind for item in packed} == {"inflated"}


def test_damaged_tar():
    files = {f"{number}.txt": b"%d" % number * 2000 for number in range(20)}
    plain = tar(files)
    whole = read(plain)
    assert len(whole) == 20
    broken = bytearray(plain)
    broken[whole[7].offset + 20] ^= 0xFF
    found = read(bytes(broken))
    assert found[:7] == whole[:7]
    assert found[8:] == whole[8:]
    assert (found[7].kind, found[7].offset) == ("corrupt_tar", whole[7].offset)
    assert found[7].length == whole[7].length
    cut = read(plain[: whole[9].offset + 600])
    assert cut[:9] == whole[:9]
    assert cut[9].kind == "truncated"
    packed = gzip.compress(plain, mtime=0)
    cut = read(packed[: len(packed) // 2])
    assert cut[-1].kind == "truncated"
    assert all(item.payload == whole[at].payload for at, item in enumerate(cut[:-1]))
    # a file that is too large costs itself
    found = read(tar({"a.txt": b"a", "b.txt": bytes(LIMIT + 1), "c.txt": b"c"}))
    assert [item.kind for item in found] == ["text", "too_large", "text"]
    found = read(gzip.compress(tar({"a.txt": b"a", "b.txt": bytes(64 << 20)})))
    assert [item.kind for item in found] == ["text", "too_large"]
    rng = random.Random(1)
    assert [item.kind for item in read(rng.randbytes(5000))] == ["corrupt_tar"]


def test_tar_sizes_that_lie():
    for size in (b"77777777777\0", b"\xff" * 12, b"\x80" + b"\xff" * 11):
        data = bytearray(tar({"a.txt": b"a" * 600, "b.txt": b"b"}))
        at = read(bytes(data))[0].offset
        data[at + 124 : at + 136] = size
        data[at + 148 : at + 156] = b" " * 8
        data[at + 148 : at + 156] = b"%06o\0 " % sum(data[at : at + 512])
        found = read(bytes(data))
        assert isinstance(found[0], Damage)
        assert found[0].kind in ("corrupt_tar", "truncated")


def test_zip():
    data = zipped()
    check_zip(io.BytesIO(data), "x")
    found = read(data, read_zip)
    check_records(found)
    assert [item.licence for item in found][5:7] == ["MIT", "ISC"]
    for pieces in (2, 7):
        edges = [len(data) * piece // pieces for piece in range(pieces + 1)]
        assert [item for edge in pairwise(edges) for item in read(data, read_zip, *edge)] == found


@pytest.mark.parametrize(("pack", "reader"), [(tar, read_tar), (zipped, read_zip)])
def test_what_stands_compressed_in_an_archive(pack, reader):
    page = b"<!doctype html><p>one"
    files = {
        "a.html.gz": gzip.compress(page),
        "b.py.zst": zstandard.compress(b"print()\n"),
        "c.gz": b"<p>not compressed",
        "d.html.gz": gzip.compress(random.Random(1).randbytes(4000))[:-100],
        "e.txt.gz": gzip.compress(bytes(LIMIT + 1)),
        "f.warc.gz": b"",
        "g/rows.jsonl": b"{}",
        "h.zip": b"PK",
    }
    found = read(pack(files), reader)
    assert [(item.kind, item.payload) for item in found[:3]] == [
        ("page", page),
        ("text", b"print()\n"),
        ("page", b"<p>not compressed"),
    ]
    assert found[1].language == "Python"
    assert [item.kind for item in found[3:]] == ["truncated", "too_large", *["unreadable"] * 3]
    assert found[6].detail == "g/rows.jsonl: jsonl inside an archive: unpack it"
    assert len({(item.offset, item.offset_kind) for item in found}) == len(files)


def test_damaged_zip():
    files = {f"{number}.txt": random.Random(number).randbytes(3000) for number in range(9)}
    data = zipped(files)
    whole = read(data, read_zip)
    broken = bytearray(data)
    middle = whole[4].offset + 1500
    broken[middle : middle + 9] = bytes(9)
    found = read(bytes(broken), read_zip)
    assert found[:4] == whole[:4]
    assert found[5:] == whole[5:]
    assert (found[4].kind, found[4].offset) == ("corrupt_zip", whole[4].offset)
    with pytest.raises(Problem, match=r"in/a.zip: its directory cannot be read"):
        check_zip(io.BytesIO(data[:-30]), "in/a.zip")
    with pytest.raises(Problem, match="its directory cannot be read"):
        read(data[:-30], read_zip)
    # sizes that lie
    lying = bytearray(data)
    entry = lying.rindex(b"PK\x01\x02")
    struct.pack_into("<L", lying, entry + 24, 10)
    assert read(bytes(lying), read_zip)[-1].kind == "corrupt_zip"
    # an unknown method, and an encrypted file
    for at, value in ((10, 77), (8, 1)):
        odd = bytearray(data)
        struct.pack_into("<H", odd, entry + at, value)
        last = read(bytes(odd), read_zip)[-1]
        assert last.kind == "corrupt_zip"


def test_zip_bombs():
    found = read(zipped({"a.txt": bytes(64 << 20), "b.txt": b"b"}), read_zip)
    assert [item.kind for item in found] == ["too_large", "text"]
    many = zipped({f"{number}.txt": bytes(LIMIT) for number in range(40)})
    kinds = [item.kind for item in read(many, read_zip)]
    allowed = (LIMIT + 200 * len(many)) // LIMIT
    assert kinds == ["text"] * allowed + ["too_large"] * (40 - allowed)
    assert 0 < allowed < 40
    # ranges do not decide what is too much
    middle = len(many) // 2
    halves = (*read(many, read_zip, 0, middle), *read(many, read_zip, middle))
    assert [item.kind for item in halves] == kinds
    twice = zipped({f"{number}.txt.gz": gzip.compress(bytes(LIMIT)) for number in range(40)})
    assert {item.kind for item in read(twice, read_zip)} == {"too_large"}
