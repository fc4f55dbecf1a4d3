import bz2
import gzip
import io
import json
import random
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path

import pytest
import zstandard
from pydantic import ValidationError

from curation.extraction.charset import decode
from curation.readers import Damage
from curation.readers.jsonl import check_jsonl, is_lines, read_jsonl
from curation.readers.warc import read_warc
from schemas.inputs import LAYOUTS, Columns
from schemas.problems import Problem

SAMPLE = Path(__file__).parents[2] / "data" / "sample"
LIMIT = 1 << 20


def read(data, start=0, end=None, columns=LAYOUTS["text"], most=LIMIT):
    end = len(data) if end is None else end
    return list(read_jsonl(io.BytesIO(data), start, end, columns=columns, max_record_bytes=most))


@pytest.fixture(scope="module")
def gold():
    data = (SAMPLE / "web-00001.warc.gz").read_bytes()
    pages = read_warc(io.BytesIO(data), 0, len(data), max_record_bytes=LIMIT)
    return [
        {"text": decode(item.payload, item.charset)[0], "url": item.url}
        for item in pages
        if item.kind == "response"
    ]


@pytest.fixture(scope="module")
def plain(gold):
    return b"".join(json.dumps(row, ensure_ascii=False).encode() + b"\n" for row in gold)


def test_every_line_is_a_record(gold, plain):
    found = read(plain, columns=Columns(url="url"))
    assert [(item.text, item.url) for item in found] == [(row["text"], row["url"]) for row in gold]
    assert {item.kind for item in found} == {"text"}
    assert sum(item.length for item in found) == len(plain)
    for item in found:
        assert json.loads(plain[item.offset :][: item.length])["text"] == item.text
        assert item.offset_kind == "byte"


def test_any_partition_gives_each_line_once(plain):
    whole = read(plain)
    rng = random.Random(1)
    ends = [item.offset for item in whole[1:]]
    for cuts in (
        [len(plain) // 2],
        rng.sample(range(len(plain)), 30),
        ends[:9],
        [end - 1 for end in ends[:9]],
        [end + 1 for end in ends[:9]],
    ):
        edges = [0, *sorted(cuts), len(plain)]
        assert [item for edge in pairwise(edges) for item in read(plain, *edge)] == whole
    # the last line may lack its end
    assert [item.text for item in read(plain[:-1])] == [item.text for item in whole]


@pytest.mark.parametrize("pack", [lambda data: gzip.compress(data, mtime=0), zstandard.compress])
def test_compressed(plain, pack):
    whole = read(plain)
    for data in (pack(plain), pack(plain[: len(plain) // 2]) + pack(plain[len(plain) // 2 :])):
        found = read(data)
        assert [item.text for item in found] == [item.text for item in whole]
        assert [item.offset for item in found] == [item.offset for item in whole]
        assert {(item.offset_kind, item.inner) for item in found} == {("inflated", 0)}
        assert not read(data, 1)


def test_damage_in_a_member_costs_its_lines(plain):
    whole = read(plain)
    texts = [item.text for item in whole]
    cuts = [0, *(item.offset for item in whole[8::8]), len(plain)]
    members = [gzip.compress(plain[start:end], mtime=0) for start, end in pairwise(cuts)]
    assert len(members) > 2
    for at in range(len(members)):
        broken = bytearray(members[at])
        broken[len(broken) // 2 : len(broken) // 2 + 40] = bytes(40)
        data = b"".join([*members[:at], bytes(broken), *members[at + 1 :]])
        found = read(data)
        kept = [item.text for item in found if not isinstance(item, Damage)]
        damage = {item.kind for item in found if isinstance(item, Damage)}
        # what was inflated before the break was noticed may be wrong
        assert {"corrupt_gzip"} <= damage <= {"corrupt_gzip", "bad_json"}
        assert kept[: 8 * at] == texts[: 8 * at]
        # the line after the break cannot be told from the end of the broken one
        after = texts[8 * (at + 1) + 1 :]
        assert kept[len(kept) - len(after) :] == after
        assert len({(item.offset, item.offset_kind) for item in found}) == len(found)
    cut = read(b"".join(members)[:-100])
    assert cut[-1].kind == "truncated"
    assert [item.text for item in cut[:-1]] == texts[: len(cut) - 1]


@pytest.mark.parametrize(
    ("line", "kind", "detail"),
    [
        (b'{"text": "cut', "bad_json", "Unterminated string"),
        (b"plain words", "bad_json", "Expecting value"),
        (b'["text"]', "bad_json", "a list, not an object"),
        (b'{"text": "\xff"}', "bad_json", "not UTF-8"),
        (b'{"text": ' + b"[" * 100_000, "bad_json", "nested too deep"),
        (b'{"text": ' + b"9" * 5000 + b"}", "bad_json", "digit"),
        (b'{"body": "a"}', "no_text", "`text` is not there"),
        (b'{"text": null}', "no_text", "`text` is not there"),
        (b'{"text": 5}', "no_text", "`text` is not a string"),
        (json.dumps({"text": "a" * (LIMIT + 1)}).encode(), "too_large", "of text"),
        (b'{"text": "' + b"a" * (17 * LIMIT) + b'"}', "too_large", "a line of"),
    ],
)
def test_a_bad_line_costs_that_line(line, kind, detail):
    good = b'{"text": "good"}\n'
    data = good + line + b"\r\n" + good
    first, bad, last = read(data)
    assert first.text == last.text == "good"
    assert (bad.kind, bad.offset, bad.length) == (kind, len(good), len(line) + 2)
    assert detail in bad.detail
    assert last.offset == len(good) + len(line) + 2


def test_odd_lines():
    data = b'\xef\xbb\xbf{"text": "a"}\n\n  \r\n{"text": "half \\ud800 pair"}\n{"text": ""}'
    assert [item.text for item in read(data)] == ["a", "half � pair", ""]
    assert read(b"") == []
    assert read(b"\n\n") == []


def test_bomb():
    data = gzip.compress(b'{"text": "a"}\n' + b" " * (64 << 20), mtime=0)
    first, bomb = read(data, most=1 << 20)
    assert first.text == "a"
    assert bomb.kind == "too_large"


def test_layouts():
    fineweb = {
        "text": "A text.",
        "id": "<urn:uuid:1>",
        "dump": "CC-MAIN-2024-10",
        "url": "http://a.example/",
        "date": "2024-02-21T01:02:03Z",
        "file_path": "s3://a/b.warc.gz",
        "language": "en",
        "language_score": 0.93,
        "token_count": 3,
    }
    native = {
        "url": "http://a.example/",
        "date_download": "2024-02-21T01:02:03Z",
        "digest": "sha1:A",
        "title": "A title",
        "raw_content": "A text.",
        "language": "en",
    }
    meta = {"url": native["url"], "date_download": native["date_download"], "language": "en"}
    hub = {"raw_content": "A text.", "doc_id": "1", "meta": json.dumps(meta)}
    for name, row in (
        ("fineweb", fineweb),
        ("redpajama_v2", native),
        ("redpajama_v2_hub", hub),
        ("redpajama_v2_hub", hub | {"meta": meta}),
    ):
        (record,) = read(json.dumps(row).encode(), columns=LAYOUTS[name])
        assert (record.text, record.url, record.language) == ("A text.", "http://a.example/", "en")
        assert record.crawled == datetime(2024, 2, 21, 1, 2, 3, tzinfo=UTC)
        assert record.title == (native["title"] if name == "redpajama_v2" else None)
    (odd,) = read(json.dumps(hub | {"meta": "{"}).encode(), columns=LAYOUTS["redpajama_v2_hub"])
    assert odd.url is None


def test_check(plain):
    check_jsonl(io.BytesIO(b"broken\n" + plain), "x", Columns(), LIMIT)
    with pytest.raises(Problem, match=r"in/a.jsonl: no text in the column `body`; .*text, url"):
        check_jsonl(io.BytesIO(plain), "in/a.jsonl", Columns(text="body"), LIMIT)
    for data in (b"", b"words\nwords\n", bz2.compress(plain)):
        with pytest.raises(Problem, match=r"in/a.jsonl: no JSON object"):
            check_jsonl(io.BytesIO(data), "in/a.jsonl", Columns(), LIMIT)


def test_digest(gold, plain):
    digests = [item.digest for item in read(plain + plain)]
    assert len(set(digests)) == len({row["text"] for row in gold})
    assert all(len(digest) == 16 for digest in digests)


ODD = '“{[,]}\\n\\"”'
ROWS = [{"id": at, "text": f"Row {at}: {ODD}", "m": {"id": 1}} for at in range(300)]
SHAPES = {
    "list": json.dumps(ROWS),
    "pretty list": json.dumps(ROWS, indent=2, ensure_ascii=False),
    "pretty objects": "\n".join(json.dumps(row, indent=4) for row in ROWS),
    "list a line": "[\n" + ",\n".join(map(json.dumps, ROWS)) + "\n]\n",
    "lists": "\n".join(json.dumps(ROWS[at : at + 7]) for at in range(0, 300, 7)),
    "CRLF": json.dumps(ROWS, indent=1).replace("\n", "\r\n"),
}


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("pack", [bytes, gzip.compress, zstandard.compress])
def test_objects_that_are_no_lines(shape, pack):
    plain = b"\xef\xbb\xbf" + SHAPES[shape].encode()
    data = pack(plain)
    check_jsonl(io.BytesIO(data), "a.json", Columns(), LIMIT)
    found = read(data)
    assert [item.text for item in found] == [row["text"] for row in ROWS]
    assert not is_lines(io.BytesIO(data))
    assert not read(data, 1)
    for item, row in zip(found, ROWS, strict=True):
        assert json.loads(plain[item.offset : item.offset + item.length]) == row
        assert item.offset_kind == ("byte" if pack is bytes else "inflated")


@pytest.mark.parametrize("shape", SHAPES)
def test_a_broken_object_costs_itself(shape):
    plain = SHAPES[shape].encode()
    spot = plain.index(b"Row 100")
    for broken in (
        plain[:spot] + b'"' + plain[spot:],
        plain[: spot - 1] + plain[spot:],
        plain[:spot] + b"\xff" + plain[spot:],
        plain[:spot] + b'", "x": [[{' + plain[spot:],
    ):
        found = read(broken)
        damage = [item for item in found if isinstance(item, Damage)]
        assert [item.kind for item in damage] == ["bad_json"]
        kept = [item.text for item in found if not isinstance(item, Damage)]
        assert kept == [row["text"] for row in ROWS if row["id"] != 100]
        assert damage[0].offset <= spot < damage[0].offset + damage[0].length
    cut = read(plain[: spot + 3])
    assert [item.text for item in cut[:-1]] == [row["text"] for row in ROWS[:100]]
    assert cut[-1].kind == "bad_json"


def test_a_list_in_a_broken_member(plain):
    data = json.dumps(ROWS).encode()
    parts = [bytearray(gzip.compress(data[at : at + 3000])) for at in range(0, len(data), 3000)]
    parts[2][len(parts[2]) // 2] ^= 0xFF
    found = read(b"".join(parts))
    assert [item.kind for item in found if isinstance(item, Damage)] == ["corrupt_gzip"]
    texts = {item.text for item in found if not isinstance(item, Damage)}
    assert texts < {row["text"] for row in ROWS}
    assert len(texts) > 200


def test_large_objects_of_a_list():
    rows = [{"text": "a" * 300_000}, {"text": "b" * (LIMIT + 1)}, {"text": "c"}] * 3
    found = read(json.dumps(rows, indent=1).encode())
    assert [item.kind for item in found] == ["text", "too_large", "text"] * 3
    long = [{"text": "a", "x": "y" * (17 * LIMIT)}, {"text": "b"}]
    assert [item.kind for item in read(json.dumps(long).encode())] == ["too_large", "text"]


@pytest.mark.parametrize(
    ("data", "kinds"),
    [
        (b"[]", []),
        (b'[1, 2, "a { b"]', ["bad_json"]),
        (b'[{"text": "a"}, null, {"text": "b"}] x', ["text", "bad_json", "text", "bad_json"]),
        (b'[[{"text": "a"}], [{"text": "b"}]]', ["text", "text"]),
        (b"[" * 100_000, []),
        (b'[{"a":' + b"[" * 100_000, ["bad_json"]),
        (b'[{"text": 1' + b"0" * 9000 + b"}]", ["bad_json"]),
        (b'[{}, {"text": "a"}]', ["no_text", "text"]),
    ],
)
def test_odd_lists(data, kinds):
    assert [item.kind for item in read(data)] == kinds


def test_a_broken_first_line_is_no_list(plain):
    for first in (b'{"text": "a', b'{"text": "a"', b"{", b'{"a": 1}}'):
        found = read(first + b"\n" + plain)
        assert isinstance(found[0], Damage)
        assert [item.text for item in found[1:]] == [item.text for item in read(plain)]


@pytest.mark.parametrize("codec", ["utf-16", "utf-16-le", "utf-16-be"])
@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_utf_16(plain, codec, pack):
    whole = read(plain)
    found = read(pack(plain.decode().encode(codec)))
    assert [(item.text, item.offset) for item in found] == [
        (item.text, item.offset) for item in whole
    ]
    assert {item.offset_kind for item in found} == {"inflated"}
    listed = read(pack(json.dumps(ROWS, indent=1).encode(codec)))
    assert [item.text for item in listed] == [row["text"] for row in ROWS]


def test_html_in_rows():
    columns = Columns(html="page.body", url="u", title="t")
    assert columns.text is None
    row = {"page": {"body": "<p>é\ud83d"}, "u": "https://a.example/", "t": "T"}
    (record,) = read(json.dumps(row).encode(), columns=columns)
    assert (record.kind, record.content_type, record.charset) == ("page", "text/html", "utf-8")
    assert record.payload.decode() == "<p>é\ufffd"
    assert (record.url, record.title, record.text) == ("https://a.example/", "T", None)
    (missing,) = read(b'{"text": "a"}', columns=columns)
    assert (missing.kind, missing.detail) == ("no_text", "`page.body` is not there")
    for wrong in ({"text": "a", "html": "b"}, {"text": None}, {"charset": "c"}):
        with pytest.raises(ValidationError):
            Columns(**wrong)
