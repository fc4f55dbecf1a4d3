"""ARC files: the sample's pages as the Internet Archive wrote captures until 2008."""

import gzip
import io
import random
from datetime import UTC, datetime
from itertools import pairwise

import pytest
import zstandard

from curation.readers import Damage, Record
from curation.readers.arc import check_arc, is_splittable, read_arc
from curation.readers.formats import HEAD_BYTES, detect, read
from curation.readers.warc import read_warc
from schemas.problems import Problem

LIMIT = 9 << 20
VERSION = "1 0 Example\nURL IP-address Archive-date Content-type Archive-length\n"


def arc_record(url, block, *, time="20080430204825", kind="text/html", length=None, end=b"\n"):
    size = len(block) if length is None else length
    return f"{url} 207.241.229.39 {time} {kind} {size}\n".encode() + block + end


def http(body, head="Content-Type: text/html; charset=utf-8"):
    return f"HTTP/1.1 200 OK\r\n{head}\r\n\r\n".encode() + body


@pytest.fixture(scope="module")
def pages(sample):
    data = (sample / "web-00001.warc.gz").read_bytes()
    items = read_warc(io.BytesIO(data), 0, len(data), max_record_bytes=LIMIT)
    return [item for item in items if item.kind == "response"][:20]


@pytest.fixture(scope="module")
def records(pages):
    first = arc_record("filedesc://a.arc", VERSION.encode(), kind="text/plain")
    dns = arc_record("dns:a.example", b"20080430204825\na.example 300 A 10.0.0.1", kind="text/dns")
    return [first, dns, *(arc_record(each.url, http(each.payload)) for each in pages)]


def read_all(data, start=0, end=None, most=LIMIT):
    end = len(data) if end is None else end
    return list(read_arc(io.BytesIO(data), start, end, max_record_bytes=most))


def test_fields(pages, records):
    data = b"".join(records)
    about, dns, *found = read_all(data)
    assert (about.kind, about.url, about.status) == ("warcinfo", "filedesc://a.arc", None)
    assert about.payload.decode() == VERSION
    assert (dns.kind, dns.content_type) == ("resource", "text/dns")
    assert dns.crawled == datetime(2008, 4, 30, 20, 48, 25, tzinfo=UTC)
    assert [(item.url, item.payload) for item in found] == [
        (page.url, page.payload) for page in pages
    ]
    assert {(item.kind, item.status, item.content_type, item.charset) for item in found} == {
        ("response", 200, "text/html", "utf-8")
    }
    assert [data[item.offset : item.offset + item.length] for item in found] == records[2:]


@pytest.mark.parametrize("pack", [gzip.compress, zstandard.compress])
@pytest.mark.parametrize("seed", range(2))
def test_any_partition_gives_each_record_once(records, pack, seed):
    data = b"".join(map(pack, records))
    whole = read_all(data)
    assert len(whole) == len(records)
    assert is_splittable(io.BytesIO(data))
    rng = random.Random(seed)
    edges = [0, *sorted(rng.randrange(len(data)) for _ in range(5)), len(data)]
    assert [item for a, b in pairwise(edges) for item in read_all(data, a, b)] == whole


def test_plain_and_one_member(records):
    plain = b"".join(records)
    single = gzip.compress(plain)
    assert not is_splittable(io.BytesIO(plain))
    assert not is_splittable(io.BytesIO(single))
    assert [item.digest for item in read_all(single)] == [item.digest for item in read_all(plain)]
    assert [item.inner for item in read_all(single)] == [item.offset for item in read_all(plain)]


@pytest.mark.parametrize("name", ["a.arc", "a.arc.gz", "a.warc", "a"])
def test_the_format_is_told(records, name):
    for data in (b"".join(records), b"".join(map(gzip.compress, records)), records[2]):
        assert detect(name, data[:HEAD_BYTES]) == "arc"
        check_arc(io.BytesIO(data), name)
        found = read("arc", name, io.BytesIO(data), 0, len(data), max_record_bytes=LIMIT)
        assert all(isinstance(item, Record) for item in found)


def test_what_is_none_is_named():
    with pytest.raises(Problem, match=r"a\.arc: not an ARC file, it looks like a WARC file"):
        check_arc(io.BytesIO(b"WARC/1.0\r\n"), "a.arc")


def test_a_broken_member_costs_its_record(records):
    packed = list(map(gzip.compress, records))
    for at in (0, 7, len(packed) - 1):
        broken = bytearray(packed[at])
        broken[len(broken) // 2] ^= 0xFF
        data = b"".join([*packed[:at], broken, *packed[at + 1 :]])
        found = read_all(data)
        assert [type(item) for item in found].count(Damage) == 1
        digests = [item.digest for item in found if isinstance(item, Record)]
        assert digests == [
            item.digest for item in read_all(b"".join([*packed[:at], *packed[at + 1 :]]))
        ]
        check_arc(io.BytesIO(data), "a.arc.gz")


def test_a_broken_line_costs_its_record(records):
    plain = [*records[:5], b"http://x " + records[5], *records[6:]]
    plain[5] = records[5].replace(b" 20080430204825 ", b" ", 1)
    found = read_all(b"".join(plain))
    assert [item.kind for item in found if isinstance(item, Damage)] == ["bad_header"]
    assert len(found) == len(records)


def test_lengths_that_are_wrong(pages):
    block = http(pages[0].payload)
    good = arc_record("http://b.example/", http(b"<p>after"))
    for length in (-1, "abc", len(block) - 7, len(block) + 9, 10**12):
        bad = arc_record("http://a.example/", block, length=length)
        first, second = read_all(bad + good)
        assert (first.payload, first.flaw) == (pages[0].payload, "wrong_length"), length
        assert (second.payload, second.flaw) == (b"<p>after", None)


@pytest.mark.parametrize("end", [b"\n", b"", b"\r\n", b"\n\n"])
def test_what_stands_between_records(pages, end):
    """Writers differ; page and place do not."""
    data = b"".join(arc_record(page.url, http(page.payload), end=end) for page in pages)
    assert [(item.payload, item.flaw) for item in read_all(data)] == [
        (page.payload, None) for page in pages
    ]


@pytest.mark.parametrize(
    ("line", "url", "kind", "time"),
    [
        ("http://a.example/x?q=a b c 1.2.3.4 20080430204825 text/html {}", "/x?q=a b c", 1, 1),
        ("http://a.example/ 1.2.3.4 20080430204825 text/html; charset=utf-8 {}", "/", 1, 1),
        ("http://a.example/ 2001:db8::1 20080430204825 text/html {}", "/", 1, 1),
        ("http://a.example/ 1.2.3.4 20080430204825 no-type {}", "/", 0, 1),
        ("http://a.example/ 1.2.3.4 20089930204825 text/html {}", "/", 1, 0),
        ("http://a.example/ 1.2.3.4 200804302048251234 text/html {}", "/", 1, 1),
        ("http://a.example/ 1.2.3.4 20080430204825 text/html 200 ABC - 99 b.arc {}", "/", 1, 1),
        ("https://a.example/ 1.2.3.4 20080430204825  {}", "/", 0, 1),
    ],
)
def test_lines(line, url, kind, time):
    block = b"HTTP/1.0 200 OK\r\n\r\n<p>text"
    data = line.format(len(block)).encode() + b"\n" + block + b"\n"
    (record,) = read_all(data)
    assert record.url.partition("a.example")[2] == url
    assert record.content_type == ("text/html" if kind else "")
    assert (record.crawled is not None) == bool(time)
    assert record.payload == b"<p>text"


def test_a_page_that_holds_records_is_one(records):
    inside = b"".join(records[:6])
    data = arc_record("http://a.example/", http(inside)) + records[4]
    assert next(item.payload for item in read_all(data)) == inside
    assert len(read_all(data)) == 2


def test_large_records(records):
    data = b"".join(map(gzip.compress, records))
    found = read_all(data, most=4000)
    assert {item.kind for item in found if isinstance(item, Damage)} == {"too_large"}
    assert len(found) == len(records)


# A record that is spread over gzip members, in both formats.


def warc_record(page):
    block = http(page.payload)
    head = f"WARC/1.0\r\nWARC-Type: response\r\nWARC-Target-URI: {page.url}\r\n"
    return f"{head}Content-Length: {len(block)}\r\n\r\n".encode() + block + b"\r\n\r\n"


def make_arc(page):
    return arc_record(page.url, http(page.payload))


@pytest.mark.parametrize(("make", "reader"), [(make_arc, read_arc), (warc_record, read_warc)])
@pytest.mark.parametrize("seed", range(3))
def test_a_record_spread_over_members(pages, make, reader, seed):
    """Cut in the header, in the block and before its end; in two or three parts."""
    rng = random.Random(seed)
    parts, starts = [], []
    for page in pages:
        record = make(page)
        starts.append(len(b"".join(map(gzip.compress, parts))))
        if rng.random() < 0.5:
            cuts = sorted(rng.sample([*range(1, 120), *range(len(record) - 5, len(record))], 2))
            parts += [record[: cuts[0]], record[cuts[0] : cuts[1]], record[cuts[1] :]]
        else:
            parts.append(record)
    data = b"".join(map(gzip.compress, parts))

    def found(start, end):
        return list(reader(io.BytesIO(data), start, end, max_record_bytes=LIMIT))

    whole = found(0, len(data))
    assert [(item.payload, item.flaw) for item in whole] == [(page.payload, None) for page in pages]
    assert [(item.offset, item.inner) for item in whole] == [(start, 0) for start in starts]
    edges = [0, *sorted(rng.randrange(len(data)) for _ in range(4)), len(data)]
    assert [item for a, b in pairwise(edges) for item in found(a, b)] == whole


@pytest.mark.parametrize(("make", "reader"), [(make_arc, read_arc), (warc_record, read_warc)])
def test_members_that_mind_no_record(pages, make, reader):
    """A file that was cut in blocks of 5,000 bytes before it was compressed."""
    plain = b"".join(map(make, pages))
    data = b"".join(gzip.compress(plain[at : at + 5000]) for at in range(0, len(plain), 5000))
    found = list(reader(io.BytesIO(data), 0, len(data), max_record_bytes=LIMIT))
    assert [item.payload for item in found] == [page.payload for page in pages]
    assert len({(item.offset, item.offset_kind) for item in found}) == len(found)
    halves = [
        item
        for a, b in ((0, len(data) // 2), (len(data) // 2, len(data)))
        for item in reader(io.BytesIO(data), a, b, max_record_bytes=LIMIT)
    ]
    assert halves == found


def test_a_part_that_is_lost_costs_its_record(pages):
    records = [warc_record(page) for page in pages[:5]]
    second = gzip.compress(records[2][200:])
    parts = [*map(gzip.compress, [*records[:2], records[2][:200]]), second]
    parts += map(gzip.compress, records[3:])
    broken = bytearray(second)
    broken[len(second) // 2 :] = bytes(len(second) - len(second) // 2)
    for data in (
        b"".join([*parts[:3], *parts[4:]]),
        b"".join([*parts[:3], bytes(broken), *parts[4:]]),
    ):
        items = list(read_warc(io.BytesIO(data), 0, len(data), max_record_bytes=LIMIT))
        kept = [item.payload for item in items if isinstance(item, Record)]
        assert kept == [page.payload for page in (*pages[:2], *pages[3:5])]
        assert [item.offset for item in items if isinstance(item, Damage)] == [
            len(b"".join(parts[:2]))
        ]
