import gzip
import json
import runpy
import sys
from itertools import pairwise
from pathlib import Path

import pytest

from curation.extraction import Extractor, Page
from curation.readers.warc import read_warc
from schemas.extract import Extract

FOLDER = Path(__file__).parent / "data"


def records(path):
    with path.open("rb") as stream:
        return list(read_warc(stream, 0, path.stat().st_size, max_record_bytes=9 << 20))


def test_sample_is_small(sample):
    assert sum(path.stat().st_size for path in sample.iterdir()) < 5 << 20


def test_sample_has_what_its_readme_says(sample):
    with gzip.open(sample / "sample.gold.jsonl.gz", "rt", encoding="utf-8") as lines:
        gold = [json.loads(line) for line in lines]
    assert len(gold) == 104
    assert len({row["record_id"] for row in gold}) == len({row["url"] for row in gold}) == 104
    assert {row["language"] for row in gold} >= {"en", "de", "fr", "ru", "ja", "zh", "ar", "hi"}
    types = {row["page_type"] for row in gold}
    assert types >= {
        *("article", "forum", "product", "listing", "documentation", "collection", "service"),
        "spam",
    }
    ids = {row["id"] for row in gold}
    assert sum("copy_of" in row and row["copy_of"] in ids for row in gold) == 6
    assert [row["warc"] for row in gold if row.get("damaged")] == ["web-00000.warc.gz"]
    assert all(row["licence"] for row in gold if not row["id"].startswith("odd-"))


def test_copies_are_extracted_alike(sample):
    with gzip.open(sample / "sample.gold.jsonl.gz", "rt", encoding="utf-8") as lines:
        gold = {row["url"]: row for row in map(json.loads, lines)}
    texts = {}
    for path in sorted(sample.glob("*.warc.gz")):
        for record in records(path):
            if record.kind == "response":
                row = gold[record.url]
                if "copy_of" in row or any(
                    one.get("copy_of") == row["id"] for one in gold.values()
                ):
                    result = Extractor(Extract()).extract(record)
                    assert isinstance(result, Page)
                    texts[row["id"]] = result.text
    assert len(texts) == 12
    for name, text in texts.items():
        original, _, how = name.partition("#")
        if how == "exact":
            assert text == texts[original]
        elif how == "near":
            first, second = ({*pairwise(one.split())} for one in (text, texts[original]))
            assert 0.85 < len(first & second) / len(first | second) < 1


@pytest.mark.corpus
def test_sample_can_be_made_again(sample, corpus, tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["make_sample.py", str(corpus), str(tmp_path)])
    monkeypatch.syspath_prepend(str(FOLDER))
    runpy.run_path(str(FOLDER / "make_sample.py"), run_name="__main__")
    for path in sorted(tmp_path.glob("*.warc.gz")):
        # not the bytes: another zlib compresses the constructed pages in another way
        ours, theirs = records(path), records(sample / path.name)
        assert [(one.kind, one.inner) for one in ours] == [(one.kind, one.inner) for one in theirs]
        assert [getattr(one, "payload", None) for one in ours] == [
            getattr(one, "payload", None) for one in theirs
        ]
    gold = gzip.decompress((tmp_path / "sample.gold.jsonl.gz").read_bytes())
    assert gold == gzip.decompress((sample / "sample.gold.jsonl.gz").read_bytes())
