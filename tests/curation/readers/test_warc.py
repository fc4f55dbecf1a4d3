import gzip
import io
import json
import os
import random
import zlib
from collections import Counter
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path

import pytest
import zstandard
from fastwarc.stream_io import Lz4Writer
from fastwarc.warc import ArchiveIterator

from curation.readers import Damage, Record
from curation.readers.warc import check_warc, is_splittable, read_warc
from schemas.problems import Problem

SAMPLE = Path(__file__).parents[2] / "data" / "sample"
LIMIT = 9 << 20


def read(data, start=0, end=None, most=LIMIT):
    end = len(data) if end is None else end
    return list(read_warc(io.BytesIO(data), start, end, max_record_bytes=most))


def places(items):
    return [(item.offset, item.inner, item.length, type(item), item.kind) for item in items]


def split_everywhere(data, cuts, most=LIMIT):
    edges = [0, *sorted(cuts), len(data)]
    return [item for start, end in pairwise(edges) for item in read(data, start, end, most)]


def warc_record(block, *, url="http://a.example/", kind="response", length=None):
    head = (
        f"WARC/1.0\r\nWARC-Type: {kind}\r\nWARC-Target-URI: {url}\r\n"
        f"WARC-Date: 2026-02-14T12:00:00Z\r\nContent-Type: application/http\r\n"
        f"Content-Length: {len(block) if length is None else length}\r\n\r\n"
    )
    return head.encode() + block + b"\r\n\r\n"


def page(text):
    return b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n\r\n" + text


def members(*records):
    return b"".join(gzip.compress(record, mtime=0) for record in records)


@pytest.fixture(scope="module")
def files():
    return {path.name: path.read_bytes() for path in sorted(SAMPLE.glob("*.warc.gz"))}


@pytest.fixture(scope="module")
def gold():
    with gzip.open(SAMPLE / "sample.gold.jsonl.gz", "rt", encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]


def test_sample_has_every_record(files, gold):
    for name, data in files.items():
        lines = [line for line in gold if line["warc"] == name]
        damaged = [line for line in lines if line.get("damaged")]
        items = read(data)
        responses = [item for item in items if item.kind == "response"]
        assert [item.url for item in responses] == [
            line["url"] for line in lines if line not in damaged
        ]
        counts = Counter(item.kind for item in items)
        assert counts["request"] == counts["metadata"] == len(lines)
        assert counts["warcinfo"] == 1
        assert counts["corrupt_gzip"] == len(damaged)
        # no byte of the file is left out
        assert sum(item.length for item in items) == len(data)
        assert [item.offset for item in items[1:]] == [
            item.offset + item.length for item in items[:-1]
        ]


def test_agrees_with_fastwarc(files):
    data = files["web-00001.warc.gz"]
    theirs = []
    for record in ArchiveIterator(io.BytesIO(data)):
        # of a request it gives the body alone, of which there is none
        payload = b"" if record.headers["WARC-Type"] == "request" else record.reader.read()
        theirs.append((record.stream_pos, record.headers["WARC-Type"], payload, record.record_date))
    ours = [
        (item.offset, item.kind, b"" if item.kind == "request" else item.payload, item.crawled)
        for item in read(data)
    ]
    assert ours == theirs


def test_fields_of_a_response(files):
    url = "https://www.nsf.gov/science-matters/climate-change-problem-solvers-startups-solutions"
    items = [item for data in files.values() for item in read(data)]
    (record,) = [item for item in items if item.kind == "response" and item.url == url]
    assert record.status == 200
    assert record.content_type == "text/html"
    assert record.charset == "UTF-8"
    assert record.crawled.tzinfo == UTC
    assert record.payload.lstrip()[:9].lower() == b"<!doctype"
    assert record.offset_kind == "byte"


@pytest.mark.parametrize("pieces", [2, 3, 10, 97])
def test_any_partition_gives_each_record_once(files, pieces):
    for data in files.values():
        cuts = [len(data) * piece // pieces for piece in range(1, pieces)]
        assert split_everywhere(data, cuts) == read(data)


def test_cuts_beside_and_inside_every_member(files):
    data = files["web-00002.warc.gz"]
    whole = read(data)
    for item in whole[::15]:
        for cut in (item.offset - 1, item.offset, item.offset + 1, item.offset + item.length // 2):
            if 0 < cut < len(data):
                assert split_everywhere(data, [cut]) == whole


def test_uncompressed(files):
    plain = gzip.decompress(files["web-00001.warc.gz"])
    whole = read(plain)
    packed = read(files["web-00001.warc.gz"])
    assert [item.payload for item in whole] == [item.payload for item in packed]
    assert sum(item.length for item in whole) == len(plain)
    rng = random.Random(1)
    cuts = [rng.randrange(len(plain)) for _ in range(5)]
    assert split_everywhere(plain, cuts) == whole
    assert not is_splittable(io.BytesIO(plain))


def test_one_member_over_many_records(files):
    plain = gzip.decompress(files["web-00001.warc.gz"])
    data = gzip.compress(plain, 1, mtime=0)
    assert not is_splittable(io.BytesIO(data))
    assert is_splittable(io.BytesIO(files["web-00001.warc.gz"]))
    items = read(data)
    assert [item.payload for item in items] == [item.payload for item in read(plain)]
    assert {item.offset for item in items} == {0}
    assert len({(item.offset, item.offset_kind) for item in items}) == len(items)
    assert [item.inner for item in items] == [item.offset for item in read(plain)]


def zstd(*records, dictionary=None):
    packed = zstandard.ZstdCompressor(write_checksum=True, dict_data=dictionary)
    return b"".join(packed.compress(record) for record in records)


def lz4(*records):
    frames = []
    for record in records:
        stream = io.BytesIO()
        writer = Lz4Writer(stream)
        writer.write(record)
        writer.close()
        frames.append(stream.getvalue())
    return b"".join(frames)


def skippable(data, number=0):
    return bytes([0x50 + number]) + b"\x2a\x4d\x18" + len(data).to_bytes(4, "little") + data


@pytest.fixture(scope="module")
def records(files):
    plain = gzip.decompress(files["web-00001.warc.gz"])
    return [plain[item.offset : item.offset + item.length] for item in read(plain)]


@pytest.mark.parametrize(("pack", "damage"), [(zstd, "corrupt_zstd"), (lz4, "corrupt_lz4")])
def test_zstandard_and_lz4(records, pack, damage):
    plain = read(b"".join(records))
    data = pack(*records)
    whole = read(data)
    assert [item.payload for item in whole] == [item.payload for item in plain]
    assert sum(item.length for item in whole) == len(data)
    assert {item.inner for item in whole} == {0}
    check_warc(io.BytesIO(data), "x")
    assert is_splittable(io.BytesIO(data))
    for pieces in (2, 7):
        cuts = [len(data) * piece // pieces for piece in range(1, pieces)]
        assert split_everywhere(data, cuts) == whole
    # as one frame
    single = read(pack(b"".join(records)))
    assert [item.payload for item in single] == [item.payload for item in plain]
    assert not is_splittable(io.BytesIO(pack(b"".join(records))))
    # damage costs the frame it is in
    for at in (3, len(whole) - 1):
        item = whole[at]
        broken = bytearray(data)
        # LZ4 frames have no checksum of their blocks here: what breaks is the first length
        start = item.offset + (item.length // 2 if pack is zstd else 7)
        broken[start : start + 4] = b"\x77" * 4
        found = read(bytes(broken))
        assert found[:at] == whole[:at]
        assert found[at + 1 :] == whole[at + 1 :]
        assert (found[at].offset, found[at].length) == (item.offset, item.length)
        assert found[at].kind in (damage, "truncated")
    cut = whole[-1].offset + whole[-1].length // 2
    assert read(data[:cut])[:-1] == whole[:-1]
    assert read(data[:cut])[-1].kind == "truncated"
    rest = read(data + b"some text")
    assert rest[:-1] == whole
    assert rest[-1].kind == damage
    # frames without data are passed over
    assert [item.payload for item in read(skippable(b"note") + data + skippable(b""))] == [
        item.payload for item in plain
    ]


@pytest.mark.parametrize("packed", [False, True])
def test_zstandard_dictionary(records, packed):
    samples = [
        gzip.compress(bytes([n]) * n, mtime=0) * 9 + record[:900]
        for n, record in enumerate(records[:200])
    ]
    dictionary = zstandard.train_dictionary(1 << 12, samples)
    content = dictionary.as_bytes()
    frame = skippable(zstandard.compress(content) if packed else content, 13)
    data = frame + zstd(*records, dictionary=dictionary)
    found = read(data)
    assert [item.payload for item in found] == [item.payload for item in read(b"".join(records))]
    cuts = [len(data) * piece // 5 for piece in range(1, 5)]
    assert split_everywhere(data, cuts) == found
    broken = data.replace(content[:64], bytes(64)) if not packed else data[:8] + b"x" + data[9:]
    assert all(isinstance(item, Damage) for item in read(broken))


def test_zstandard_bomb(records):
    bomb = warc_record(page(b" " * (64 << 20)))
    found = read(zstd(records[0], bomb, records[1]), most=1 << 20)
    assert [isinstance(item, Record) for item in found] == [True, False, True]
    assert found[1].kind == "too_large"


def test_flipped_bytes_cost_one_record(files):
    data = files["web-00001.warc.gz"]
    whole = read(data)
    rng = random.Random(2)
    for at in rng.sample(range(len(whole)), 20):
        item = whole[at]
        broken = bytearray(data)
        first = item.offset + rng.randrange(item.length)
        for place in range(first, min(first + 32, item.offset + item.length)):
            broken[place] ^= 0xA5
        found = read(bytes(broken))
        assert found[:at] == whole[:at]
        assert found[at + 1 :] == whole[at + 1 :]
        assert isinstance(found[at], Damage)
        assert (found[at].offset, found[at].length) == (item.offset, item.length)
        assert found[at].kind == "corrupt_gzip"
        cuts = [item.offset - 1, item.offset + 1, item.offset + item.length]
        assert split_everywhere(bytes(broken), [cut for cut in cuts if cut > 0]) == found


def test_missing_bytes_in_the_middle(files):
    data = files["web-00000.warc.gz"]
    whole = read(data)
    lost = whole[40].offset + 30, whole[42].offset + 70
    found = read(data[: lost[0]] + data[lost[1] :])
    assert [item.kind for item in found[38:42]] == [
        *(item.kind for item in whole[38:40]),
        "corrupt_gzip",
        whole[43].kind,
    ]
    assert [item.kind for item in found[41:]] == [item.kind for item in whole[43:]]


def test_file_cut_short(files):
    data = files["web-00001.warc.gz"]
    whole = read(data)
    for cut in (len(data) - 1, len(data) * 2 // 3, whole[5].offset + 3):
        found = read(data[:cut])
        *records, last = found
        assert records == whole[: len(records)]
        assert isinstance(last, Damage)
        assert last.kind == "truncated"
        assert last.offset + last.length == cut
        assert split_everywhere(data[:cut], [cut // 2, cut - 2]) == found
    plain = gzip.decompress(data)
    cut = len(plain) - 1000
    *records, last = read(plain[:cut])
    assert [item.kind for item in records] == [item.kind for item in whole[: len(records)]]
    assert last.kind == "truncated"


def test_archive_inside_a_record_is_not_taken_for_records():
    rng = random.Random(3)
    noise = [rng.randbytes(rng.randrange(100, 3000)) for _ in range(400)]
    inner = members(*(warc_record(page(part), url="http://forged.example/") for part in noise))
    assert len(inner) > 1 << 19
    records = [warc_record(page(rng.randbytes(3000))) for _ in range(200)]
    outer = gzip.compress(warc_record(page(inner)), 0, mtime=0)
    assert outer.count(b"\x1f\x8b\x08") == 401  # the archive is stored as it is
    data = members(*records[:100]) + outer + members(*records[100:])
    whole = read(data)
    assert len(whole) == 201
    assert {item.url for item in whole} == {"http://a.example/"}
    cuts = [len(data) * piece // 40 for piece in range(1, 40)]
    assert split_everywhere(data, cuts) == whole
    plain = b"".join(records[:3]) + warc_record(page(b"\r\n\r\n" + warc_record(page(b"forged"))))
    assert len(read(plain)) == 4
    assert split_everywhere(plain, [len(plain) - 60]) == read(plain)


@pytest.mark.parametrize("length", ["+300", "-700", "99_999_999_999_999", "-1", "many", ""])
def test_a_wrong_length_costs_nothing_if_the_next_record_is_clear(length):
    good = [warc_record(page(b"<p>%d" % number * 50)) for number in range(4)]
    text = b"<p>" + b"text " * 400
    if length in ("+300", "-700"):
        length = len(page(text)) + int(length)
    bad = warc_record(page(text), length=length)
    for data in (b"".join([good[0], bad, *good[1:]]), members(good[0], bad, *good[1:])):
        found = read(data)
        assert [item.kind for item in found] == ["response"] * 5
        assert [item.flaw for item in found] == [None, "wrong_length", None, None, None]
        assert found[1].payload == text
        assert sum(item.length for item in found) == len(data)
        assert split_everywhere(data, [len(good[0]) + 5, len(data) // 2]) == found


def test_a_wrong_length_costs_its_record_if_its_end_is_not_clear():
    good = warc_record(page(b"<p>good"))
    bad = warc_record(page(b"<p>" + b"text " * 400), length=-1)
    headless = warc_record(b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n\r\n", length=4000)
    for data, kinds in (
        (good + bad[:-4] + b"\r\n" + good, ["response", "wrong_length", "response"]),
        (good + headless + good, ["response", "wrong_length", "response"]),
        (good + bad[:-4], ["response", "wrong_length"]),
        (good + warc_record(page(b"cut"), length=99)[:-4], ["response", "truncated"]),
        (good + warc_record(b"", length=-1) + good, ["response", "wrong_length", "response"]),
    ):
        found = read(data)
        assert [item.kind for item in found] == kinds
        assert sum(item.length for item in found) == len(data)
    # what is read to find the end is bounded, too
    large = warc_record(page(os.urandom(3 << 20)), length=-1)
    found = read(good + large + good, most=1 << 20)
    assert [item.kind for item in found] == ["response", "wrong_length", "response"]


def test_large_records_and_bombs_are_refused():
    small = warc_record(page(b"<p>small"))
    large = warc_record(page(os.urandom(3 << 20)))
    bomb = warc_record(page(b" " * (64 << 20)))
    coded = page(gzip.compress(b" " * (4 << 20)))
    coded = warc_record(coded.replace(b"\r\n\r\n", b"\r\nContent-Encoding: gzip\r\n\r\n", 1))
    for data in (members(small, large, bomb, coded, small), small + large + coded + small):
        found = read(data, most=1 << 20)
        kinds = [item.kind for item in found]
        assert kinds == ["response", *["too_large"] * (len(found) - 2), "response"]
        assert sum(item.length for item in found) == len(data)
    assert len(read(members(small, large, bomb, coded, small), most=1 << 20)) == 5


def test_garbage_after_the_last_record(files):
    data = files["web-00001.warc.gz"]
    found = read(data + b"\0" * 600 + b"some text")
    assert found[:-1] == read(data)
    assert found[-1] == Damage(len(data), 609, 0, "corrupt_gzip", "incorrect header check")


def test_header_without_version_or_type():
    good = warc_record(page(b"<p>good"))
    bad = good.replace(b"WARC/1.0", b"WARS/1.0", 1)
    untyped = good.replace(b"WARC-Type: response\r\n", b"", 1)
    found = read(good + bad + good + untyped + good)
    assert [item.kind for item in found] == [
        "response",
        "bad_header",
        "response",
        "bad_header",
        "response",
    ]


def test_dates():
    for text, time in (
        ("2026-02-14T12:00:00Z", datetime(2026, 2, 14, 12, tzinfo=UTC)),
        ("2026-02-14T12:00:00.123456789Z", datetime(2026, 2, 14, 12, 0, 0, 123456, tzinfo=UTC)),
        ("2026-02-14T12:00:00+02:00", datetime(2026, 2, 14, 10, tzinfo=UTC)),
        ("yesterday", None),
        ("0001-01-01T00:00:00+14:00", None),
    ):
        data = warc_record(page(b"")).replace(b"2026-02-14T12:00:00Z", text.encode())
        (record,) = read(data)
        assert record.crawled == time


@pytest.mark.parametrize(
    ("data", "looks"),
    [
        (b"", "an empty file"),
        (b"\r\n\r\n\n", "blank lines"),
        (gzip.compress(b"<!DOCTYPE html><html>", mtime=0), "a gzip file of HTML or XML"),
        (b'{"url": "http://a.example/"}', "JSON"),
        (b"PAR1....", "a Parquet file"),
        (b"filedesc://a.arc 0.0.0.0 20260214 text/plain 77\n", "an ARC file"),
        (gzip.compress(b"", mtime=0), "a damaged or empty gzip file"),
        (b"url,text\n", "text that begins 'url,text"),
    ],
)
def test_what_is_no_warc_is_named(data, looks):
    with pytest.raises(Problem, match="in/x.warc.gz: not a WARC file, it looks like " + looks):
        check_warc(io.BytesIO(data), "in/x.warc.gz")


def test_a_damaged_first_record_is_still_a_warc(files):
    data = bytearray(files["web-00001.warc.gz"])
    data[0] ^= 0xFF
    check_warc(io.BytesIO(data), "x")
    found = read(bytes(data))
    assert found[0].kind == "corrupt_gzip"
    assert found[1:] == read(files["web-00001.warc.gz"])[1:]


def test_random_damage_never_raises(files):
    data = files["web-00002.warc.gz"][:60_000]
    plain = gzip.decompress(files["web-00001.warc.gz"])[:60_000]
    rng = random.Random(4)
    for base in (data, plain):
        for _ in range(60):
            broken = bytearray(base)
            for _ in range(rng.randrange(1, 40)):
                at = rng.randrange(len(broken))
                broken[at : at + rng.randrange(3)] = rng.randbytes(rng.randrange(5))
            found = read(bytes(broken))
            cut = rng.randrange(len(broken))
            assert split_everywhere(bytes(broken), [cut]) == found


@pytest.mark.corpus
def test_all_web_pages(corpus):
    total: Counter[str] = Counter()
    for path in sorted((corpus / "web").glob("*.warc.gz")):
        with path.open("rb") as stream:
            assert is_splittable(stream)
            check_warc(stream, path.name)
            size = path.stat().st_size
            found = list(read_warc(stream, 0, size, max_record_bytes=LIMIT))
            assert sum(item.length for item in found) == size
            assert all(isinstance(item, Record) for item in found)
            total.update(item.kind for item in found)
            cuts = [size * piece // 5 for piece in range(6)]
            split = [
                item.offset
                for start, end in pairwise(cuts)
                for item in read_warc(stream, start, end, max_record_bytes=LIMIT)
            ]
            assert split == [item.offset for item in found]
    assert total == {"response": 2234, "request": 2234, "metadata": 2234, "warcinfo": 5}


@pytest.mark.corpus
def test_encodings_give_the_same_text(corpus):
    data = (corpus / "warc-hostile/c-encodings.warc.gz").read_bytes()
    found = read(data)
    assert len(found) == 7
    assert len({item.payload for item in found}) == 1
    lying = read((corpus / "warc-hostile/c-encodings-lying.warc.gz").read_bytes())
    assert len(lying) == 6
    assert all(item.payload for item in lying)


def test_members_hold_what_zlib_says(files):
    data = files["web-00000.warc.gz"]
    for item in read(data)[:20]:
        inflated = zlib.decompress(data[item.offset : item.offset + item.length], 31)
        assert inflated.startswith(b"WARC/1.0\r\n")
        assert item.payload in inflated
