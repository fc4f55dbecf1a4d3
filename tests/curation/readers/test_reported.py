"""Inputs after public reports of faults in other tools (`tests/data/rows`), through extraction."""

import pytest

from curation.extraction import Extractor, Page
from curation.readers.formats import HEAD_BYTES, check, detect, read
from schemas.extract import Extract, Rights
from schemas.inputs import Columns

LIMIT = 1 << 22
MILL = "The old water mill beside the river"


@pytest.fixture(scope="module")
def extractor():
    return Extractor(Extract(rights=Rights(opt_outs=())))


@pytest.mark.parametrize(
    ("name", "columns", "rows", "contains", "lacks"),
    [
        ("array.json", {}, 2, MILL, "{"),
        ("semicolon.csv", {}, 2, MILL, ";"),
        ("binary.parquet", {}, 1, MILL, "b'"),
        ("view.parquet", {}, 1, MILL, "b'"),
        ("codings.warc", {}, 12, MILL, "\ufffd"),
        ("cut_in_character.html", {}, 1, "century – and its wheel", "в"),
        ("unicode_label.html", {}, 1, "moud le blé depuis le dix-septième siècle", "\ufffd"),
        (
            *("html_column.jsonl", {"html": "html", "url": "url"}, 1),
            *("and every grain is surely ground", "<p>"),
        ),
    ],
)
def test_reported(extractor, sample, name, columns, rows, contains, lacks):
    path = sample.parent / "rows" / name
    asked = Columns(**columns)
    with path.open("rb") as stream:
        format_ = detect(name, stream.read(HEAD_BYTES))
        check(format_, name, stream, asked, LIMIT)
        size = path.stat().st_size
        items = list(read(format_, name, stream, 0, size, max_record_bytes=LIMIT, columns=asked))
    pages = [extractor.extract(item) for item in items]
    assert [page for page in pages if not isinstance(page, Page)] == []
    assert len(pages) >= rows
    assert any(contains in page.text for page in pages)
    assert not any(lacks in page.text for page in pages)
    if columns:
        assert items[0].url
        assert {(page.charset, page.flaw) for page in pages} == {("utf-8", None)}
