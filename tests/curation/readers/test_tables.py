import csv
import gzip
import io

import pytest

from curation.readers import Damage
from curation.readers.tables import check_table, read_table
from schemas.inputs import Columns
from schemas.problems import Problem

LIMIT = 1 << 20
COLUMNS = Columns(text="body", url="link")


def read(data, dialect="csv", most=LIMIT, start=0):
    return list(
        read_table(
            io.BytesIO(data),
            start,
            len(data),
            dialect=dialect,
            columns=COLUMNS,
            max_record_bytes=most,
        )
    )


def write(rows, delimiter=","):
    stream = io.StringIO()
    csv.writer(stream, delimiter=delimiter).writerows(rows)
    return stream.getvalue().encode()


ROWS = [
    ["link", "body", "n"],
    ["http://a.example/", "one line", "1"],
    ["http://b.example/", 'two\r\nlines, with "quotes"', "2"],
    ["", "", "3"],
    ["http://d.example/", "naïve ☃\ttab", "4"],
]


@pytest.mark.parametrize(("dialect", "delimiter"), [("csv", ","), ("tsv", "\t")])
@pytest.mark.parametrize("pack", [bytes, lambda data: gzip.compress(data, mtime=0)])
def test_rows(dialect, delimiter, pack):
    plain = b"\xef\xbb\xbf" + write(ROWS, delimiter)
    data = pack(plain)
    check_table(io.BytesIO(data), "x", dialect, COLUMNS)
    found = read(data, dialect)
    assert [(item.url or "", item.text) for item in found] == [(row[0], row[1]) for row in ROWS[1:]]
    # every row stands where it says
    for item in found:
        start = item.inner if data is not plain else item.offset
        (row,) = csv.reader(
            io.StringIO(plain[start : start + item.length].decode(), newline=""),
            delimiter=delimiter,
        )
        assert row[1] == item.text
    assert not read(data, dialect, start=1)


def test_bad_rows_cost_themselves():
    lines = [
        b"link,body,n\n",
        b"http://a.example/,good,1\n",
        b"too,few\n",
        b"\n",
        b"http://a.example/,\xff,1\n",
        b"http://a.example/," + b"a" * 3000 + b",1\n",
        b"http://a.example/,good,2\n",
    ]
    found = read(b"".join(lines), most=2000)
    assert [item.kind for item in found] == ["text", "bad_row", "bad_row", "too_large", "text"]
    assert [item.length for item in found] == [len(lines[at]) for at in (1, 2, 4, 5, 6)]
    assert "2 fields, not 3" in found[1].detail


def test_a_quote_that_is_not_closed_is_bounded():
    good = b"http://a.example/,good,1\n"
    data = b'link,body,n\nhttp://a.example/,"open,1\n' + good * 200
    found = read(data, most=1000)
    assert found[0].kind == "bad_row"
    assert found[0].length < 2000
    texts = [item.text for item in found[1:]]
    assert texts == ["good"] * len(texts)
    assert len(texts) > 150


def test_broken_bytes():
    data = gzip.compress(write(ROWS * 500), mtime=0)
    found = read(data[: len(data) // 2])
    assert isinstance(found[-1], Damage)
    assert found[-1].kind == "truncated"
    assert len({(item.offset, item.offset_kind) for item in found}) == len(found)


def test_check():
    with pytest.raises(Problem, match=r"in/a.csv: no column `body` \(for `text`\); there are a"):
        check_table(io.BytesIO(b"a,b\n1,2\n"), "in/a.csv", "csv", COLUMNS)
    with pytest.raises(Problem, match=r"in/a.csv: has no header"):
        check_table(io.BytesIO(b""), "in/a.csv", "csv", COLUMNS)
