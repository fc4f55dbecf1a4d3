import io
from collections import Counter
from datetime import UTC, datetime
from itertools import pairwise

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from curation.extraction.charset import decode
from curation.readers import Damage
from curation.readers.parquet import check_parquet, read_parquet
from curation.readers.parquet_footer import read_footer
from schemas.inputs import LAYOUTS, Columns
from schemas.problems import Problem

LIMIT = 1 << 20


def write(table, rows=100, **options):
    stream = io.BytesIO()
    pq.write_table(table, stream, row_group_size=rows, **options)
    return stream.getvalue()


def read(data, start=0, end=None, columns=Columns(), most=LIMIT):  # noqa: B008
    end = len(data) if end is None else end
    return list(read_parquet(io.BytesIO(data), start, end, columns=columns, max_record_bytes=most))


def texts(count):
    return [f"Text {number} " + "words and more " * (number % 50) for number in range(count)]


def test_rows_and_row_groups():
    data = write(pa.table({"text": texts(1000), "other": list(range(1000))}), 90)
    whole = read(data)
    assert [item.text for item in whole] == texts(1000)
    assert [item.offset for item in whole] == list(range(1000))
    assert {(item.offset_kind, item.length) for item in whole} == {("row", 1)}
    for pieces in (2, 3, 50, 200):
        edges = [len(data) * piece // pieces for piece in range(pieces + 1)]
        split = [read(data, *edge) for edge in pairwise(edges)]
        assert [item for part in split for item in part] == whole
        # a row group is in one split
        assert all(part[0].offset % 90 == 0 for part in split if part)


def test_fineweb_columns():
    row = {
        "text": ["A text.", "Another."],
        "id": ["<urn:uuid:1>", "<urn:uuid:2>"],
        "dump": ["CC-MAIN-2024-10"] * 2,
        "url": ["http://a.example/", None],
        "date": ["2024-02-21T01:02:03Z", "soon"],
        "file_path": ["s3://a/b.warc.gz"] * 2,
        "language": ["en", "de"],
        "language_score": [0.9, 0.8],
        "token_count": [3, 2],
    }
    data = write(pa.table(row))
    check_parquet(io.BytesIO(data), "x", LAYOUTS["fineweb"])
    first, second = read(data, columns=LAYOUTS["fineweb"])
    assert (first.url, first.language) == ("http://a.example/", "en")
    assert first.crawled == datetime(2024, 2, 21, 1, 2, 3, tzinfo=UTC)
    assert (second.url, second.language, second.crawled) == (None, "de", None)


def test_structs_timestamps_and_dictionaries():
    table = pa.table(
        {
            "body": pa.array(["A", "A"]).dictionary_encode(),
            "meta": [{"url": "http://a.example/"}, None],
            "when": pa.array([datetime(2024, 1, 1)] * 2, pa.timestamp("us")),
        }
    )
    columns = Columns(text="body", url="meta.url", crawled="when")
    data = write(table)
    check_parquet(io.BytesIO(data), "x", columns)
    first, second = read(data, columns=columns)
    assert (first.url, second.url) == ("http://a.example/", None)
    assert first.crawled == datetime(2024, 1, 1, tzinfo=UTC)


def test_rows_without_text():
    data = write(pa.table({"text": ["a", None, "b" * (LIMIT + 1), "c"]}))
    assert [item.kind for item in read(data)] == ["text", "no_text", "too_large", "text"]
    assert [(item.offset, item.length) for item in read(data)] == [(n, 1) for n in range(4)]


def test_a_damaged_row_group_costs_its_rows():
    data = bytearray(write(pa.table({"text": texts(400)}), 100, compression="zstd"))
    meta = pq.ParquetFile(io.BytesIO(bytes(data))).metadata
    chunk = meta.row_group(1).column(0)
    start = chunk.dictionary_page_offset
    data[start : start + chunk.total_compressed_size] = b"\x07" * chunk.total_compressed_size
    found = read(bytes(data))
    damage = [item for item in found if isinstance(item, Damage)]
    assert [(item.kind, item.offset, item.length, item.unit) for item in damage] == [
        ("corrupt_parquet", 100, 100, "row")
    ]
    assert [item.text for item in found if not isinstance(item, Damage)] == [
        text for number, text in enumerate(texts(400)) if not 100 <= number < 200
    ]


def test_a_bad_value_costs_its_row():
    text = pa.array([b"a", b"\xff\xfe", b"c"], pa.binary()).view(pa.string())
    found = read(write(pa.table({"text": text})))
    assert [item.kind for item in found] == ["text", "bad_row", "text"]
    assert [item.offset for item in found] == [0, 1, 2]


def test_what_cannot_be_read_is_refused():
    data = write(pa.table({"text": ["a"], "n": [1]}))
    with pytest.raises(Problem, match=r"in/a.parquet: not a whole Parquet file"):
        check_parquet(io.BytesIO(data[:-3]), "in/a.parquet", Columns())
    with pytest.raises(Problem, match=r"not a whole Parquet file"):
        read(data[:-3])
    with pytest.raises(Problem, match=r"in/a.parquet: no column `u` \(for `url`\); .* text, n"):
        check_parquet(io.BytesIO(data), "in/a.parquet", Columns(url="u"))
    with pytest.raises(Problem, match=r"`n` is a column of int64, not of strings"):
        check_parquet(io.BytesIO(data), "in/a.parquet", Columns(text="n"))


KINDS = {
    "string_view": pa.string_view(),
    "binary": pa.binary(),
    "large_binary": pa.large_binary(),
    "binary_view": pa.binary_view(),
    "large_string": pa.large_string(),
    "dictionary": pa.dictionary(pa.int32(), pa.string()),
    "JSON": pa.json_(pa.string()),
    "large JSON": pa.json_(pa.large_string()),
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("column", ["text", "doc.text"])
def test_text_of_any_kind(kind, column):
    values = pa.array(["naïve", None, '{"a": 1}'], pa.string())
    if kind == "dictionary":
        values = values.dictionary_encode()
    elif "JSON" in kind:
        values = pa.ExtensionArray.from_storage(KINDS[kind], values.cast(KINDS[kind].storage_type))
    else:
        values = values.cast(KINDS[kind])
    if column == "doc.text":
        values = pa.StructArray.from_arrays([values], ["text"])
    data = write(pa.table({column.partition(".")[0]: values}), store_schema=True)
    columns = Columns(text=column)
    check_parquet(io.BytesIO(data), "a.parquet", columns)
    found = read(data, columns=columns)
    assert [getattr(item, "text", None) for item in found] == ["naïve", None, '{"a": 1}']
    assert found[1].kind == "no_text"


def test_bytes_that_are_not_utf_8_cost_their_row():
    data = write(pa.table({"text": pa.array([b"a", b"\xff", b"b"]), "url": [b"u", b"v", b"w"]}))
    found = read(data, columns=Columns(url="url"))
    assert [item.kind for item in found] == ["text", "bad_row", "text"]
    assert [item.url for item in found if not isinstance(item, Damage)] == ["u", "w"]


@pytest.mark.parametrize("column", ["text", "doc.text"])
@pytest.mark.parametrize(
    ("values", "name", "mend"),
    [
        ([["a", "b"]], "list<", "array_to_string"),
        ([{"a": "b"}], "struct<", "array_to_string"),
        ([1], "int64", "name the right one"),
    ],
)
def test_columns_that_are_no_text_are_named(column, values, name, mend):
    array = pa.array(values)
    if column == "doc.text":
        array = pa.StructArray.from_arrays([array], ["text"])
    data = write(pa.table({column.partition(".")[0]: array}))
    with pytest.raises(Problem) as refused:
        check_parquet(io.BytesIO(data), "in/a.parquet", Columns(text=column))
    assert str(refused.value).startswith(f"in/a.parquet: `{column}` is a column of {name}")
    assert mend in str(refused.value)


def test_html_in_rows():
    pages = ["<p>é", "<p>Мельница"]
    data = write(
        pa.table(
            {
                "body": [pages[0].encode("cp1252"), pages[1].encode("cp1251")],
                "charset": ["windows-1252", "windows-1251"],
            }
        )
    )
    columns = Columns(html="body", charset="charset")
    check_parquet(io.BytesIO(data), "a.parquet", columns)
    found = read(data, columns=columns)
    assert [decode(item.payload, item.charset)[0] for item in found] == pages
    assert {(item.kind, item.content_type) for item in found} == {("page", "text/html")}


def test_a_row_says_its_row_group():
    data = write(pa.table({"text": texts(25)}), rows=10)
    found = read(data)
    assert [(item.offset, item.group) for item in found] == [(row, row // 10) for row in range(25)]


def test_the_footer_says_what_pyarrow_says(tmp_path):
    path = tmp_path / "a.parquet"
    rows = [
        {"url": f"http://a/{n}" if n % 3 else None, "m": {"a": n, "b": [1, 2]}} for n in range(50)
    ]
    pq.write_table(pa.Table.from_pylist(rows), path, row_group_size=7, compression="zstd")
    metadata = pq.read_metadata(path)
    with path.open("rb") as stream:
        groups = read_footer(stream)
    assert [group.rows for group in groups] == [7] * 7 + [1]
    for number, group in enumerate(groups):
        theirs = metadata.row_group(number)
        for at, chunk in enumerate(group.chunks):
            column = theirs.column(at)
            first = column.dictionary_page_offset or column.data_page_offset
            found = (column.path_in_schema, first, column.total_uncompressed_size)
            assert (chunk.path, chunk.offset, chunk.size) == found


def test_a_damaged_footer_ends_no_process():
    """One that pyarrow's `RowGroupMetaData.column` ends the process on."""
    rows = [{"url": f"http://a/{n}" if n % 3 else None, "text": "t" * n} for n in range(40)]
    stream = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(rows), stream, row_group_size=10)
    data = stream.getvalue()
    footer = len(data) - 8 - int.from_bytes(data[-8:-4], "little")
    found = Counter()
    for at in range(footer, len(data) - 8):
        for value in (0, 0x4C, 0xFF):
            broken = io.BytesIO(data[:at] + bytes([value]) + data[at + 1 :])
            try:
                check_parquet(broken, "a", Columns())
                items = list(
                    read_parquet(broken, 0, 1 << 30, columns=Columns(), max_record_bytes=99)
                )
            except Problem:
                found["refused"] += 1
            else:
                found.update(type(item).__name__ for item in items)
    assert set(found) == {"refused", "Record", "Damage"}
