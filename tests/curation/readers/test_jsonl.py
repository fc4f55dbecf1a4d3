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

from curation.extraction.charset import decode
from curation.readers import Damage
from curation.readers.jsonl import check_jsonl, read_jsonl
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
        assert [item.inner for item in found] == [item.offset for item in whole]
        assert {item.offset for item in found} == {0}
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
