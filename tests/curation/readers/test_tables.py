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


def read(data, dialect="csv", most=LIMIT, start=0, columns=COLUMNS):
    return list(
        read_table(
            io.BytesIO(data),
            start,
            len(data),
            dialect=dialect,
            columns=columns,
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
        start = item.offset
        assert item.offset_kind == ("inflated" if data is not plain else "byte")
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


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|", "^", "\x01", ":", "~"])
@pytest.mark.parametrize("dialect", ["csv", "tsv"])
@pytest.mark.parametrize("first", ["", "named"])
def test_the_delimiter_is_found(delimiter, dialect, first):
    rows = write(ROWS, delimiter)
    data = f"sep={delimiter}\r\n".encode() + rows if first else rows
    check_table(io.BytesIO(data), "x", dialect, COLUMNS)
    found = read(data, dialect)
    assert [item.text for item in found] == [row[1] for row in ROWS[1:]]
    assert data[: found[0].offset] == data[: -sum(item.length for item in found)]


def test_the_delimiter_is_given():
    data = b"text,more;text\na;b\n"
    (found,) = read(data, columns=Columns(delimiter=";"))
    assert found.text == "b"
    with pytest.raises(Problem, match="no column `text`"):
        check_table(io.BytesIO(data), "in/a.csv", "csv", Columns(delimiter="|"))


def test_a_header_of_one_column():
    for header in (b"text", b"\n\ntext", b'"text"', b"\xef\xbb\xbftext"):
        (record,) = read(header + b"\na;b\n", columns=Columns())
        assert record.text == "a;b"


def test_a_column_that_no_delimiter_brings_out():
    with pytest.raises(Problem, match=r"no column `body` .* there are a, b, c:"):
        check_table(io.BytesIO(b"a;b;c\n1;2;3\n"), "in/a.csv", "csv", COLUMNS)


@pytest.mark.parametrize("codec", ["utf-16", "utf-16-le", "utf-16-be", "utf-8-sig"])
@pytest.mark.parametrize("pack", [bytes, lambda data: gzip.compress(data, mtime=0)])
def test_utf_16(codec, pack):
    plain = write(ROWS, ";").decode()
    found = read(pack(plain.encode(codec)))
    assert [item.text for item in found] == [row[1] for row in ROWS[1:]]


def test_lines_that_end_by_carriage_return():
    rows = [["link", "body"], ["a", "first, “row”"], ["", "second"]]
    data = write(rows, ",").replace(b"\r\n", b"\r")
    check_table(io.BytesIO(data), "x", "csv", COLUMNS)
    found = read(data)
    assert [item.text for item in found] == ["first, “row”", "second"]
    assert [data[item.offset :][: item.length][-1:] for item in found] == [b"\r", b"\r"]


def test_html_in_rows():
    columns = Columns(html="page", url="u")
    (record,) = read(b'u;page\nhttps://a.example/;"<p>a;b"\n', columns=columns)
    assert (record.kind, record.payload, record.url) == ("page", b"<p>a;b", "https://a.example/")
