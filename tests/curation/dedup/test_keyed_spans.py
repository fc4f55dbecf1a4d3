import json
from itertools import groupby

import numpy as np
import pyarrow.parquet as pq
import pytest

from curation.dedup.keyed_spans import Lines, firsts, sentences
from curation.dedup.words import normalise
from tests.conftest import REPOSITORY
from tests.runs import dedup_files

TABLES = REPOSITORY / "tests" / "data" / "mixture" / "tables.jsonl"

TEXT = "Read more\n\nOne café opened. It closed! Who knew?\nNobody did.\n\n— * —\nread  MORE…\n"
STORY = "One café opened. It closed! Who knew?"


def texts_of(texts, spans):
    return [texts[text][start:end] for text, start, end in zip(*spans.spans, strict=True)]


def test_spans():
    found = Lines([TEXT]).lines()
    assert texts_of([TEXT], found) == ["Read more", STORY, "Nobody did.", "read  MORE…"]
    assert found.keys[0] == found.keys[3]
    assert len(set(found.keys.tolist())) == 3
    whole = Lines([TEXT]).paragraphs()
    assert texts_of([TEXT], whole) == ["Read more", f"{STORY}\nNobody did.", "— * —\nread  MORE…"]
    assert whole.keys[0] == whole.keys[2] == found.keys[0]
    story = f"{STORY} Nobody did. "
    runs = sentences([story], 3)
    assert texts_of([story], runs) == [STORY, "It closed! Who knew? Nobody did."]
    other = sentences(["nothing", "It CLOSED? Who knew! nobody did."], 3)
    assert other.spans.texts.tolist() == [1]
    assert other.keys[0] == runs.keys[1]
    for text in ("", "\n…\n"):
        for none in (Lines([text]).lines(), Lines([text]).paragraphs(), sentences([text], 3)):
            assert [len(part) for part in (*none.spans, none.keys)] == [0] * 4
    assert not len(Lines([]).lines().keys)


def test_spans_of_many_texts_are_those_of_each(manual):
    words = iter(manual)
    texts = ["", "\n\n", "one"]
    for number in range(40):
        lines = [" ".join(next(words) for _ in range(number % 7)) for _ in range(number % 11)]
        texts.append("\n".join(lines))
    texts.append("字" * 300_000 + "\nshort\n" + "字" * 300_000)
    for find in (
        lambda texts: Lines(texts).lines(),
        lambda texts: Lines(texts).paragraphs(),
        lambda texts: sentences(texts, 2),
    ):
        together = find(texts)
        for number, text in enumerate(texts):
            own = find([text])
            here = together.where(together.spans.texts == number)
            assert here.keys.tolist() == own.keys.tolist()
            assert texts_of(texts, here) == texts_of([text], own)
    # equal keys are equal words
    for found in (Lines(texts).lines(), Lines(texts).paragraphs()):
        by_key = {}
        for key, text in zip(found.keys.tolist(), texts_of(texts, found), strict=True):
            assert by_key.setdefault(key, normalise(text)) == normalise(text)
        assert len(by_key) == len(set(by_key.values()))


@pytest.mark.parametrize("seed", range(3))
def test_firsts(seed):
    rng = np.random.default_rng(seed)
    keys = rng.integers(0, 30, 200).astype(np.uint64)
    order = rng.permutation(200).astype(np.uint64)
    rows = sorted(zip(keys.tolist(), order.tolist(), strict=True))
    smallest = [next(own) for _, own in groupby(rows, key=lambda row: row[0])]
    found = firsts(keys, order)
    assert list(zip(keys[found].tolist(), order[found].tolist(), strict=True)) == smallest
    assert not len(firsts(keys[:0], order[:0]))


def keys_of(*lines):
    return [Lines([line]).lines().keys.tolist() for line in lines]


def test_what_differs_in_a_number_is_no_repeat():
    for one, other in (
        ("1950 | 2,536 | 412", "1960 | 3,034 | 498"),
        ("2 + 3 = 5", "4 + 1 = 5"),
        ("Psalm 12", "Psalm 13"),
        ("Change | 5", "Change | -5"),
        ("Change | 5", "Change | \u22125"),
        ("आय १२", "आय १३"),
        ("1.5", "15"),
    ):
        first, second = keys_of(one, other)
        assert first != second, (one, other)
    for one, other in (
        ("PSALM 12.", "psalm, 12"),
        ("आय १२", "आय 12"),
        ("1950-1960", "1950 1960"),
        ("Minus \u22125", "minus -5"),
    ):
        first, second = keys_of(one, other)
        assert first == second, (one, other)


@pytest.mark.parametrize("spans", ["lines", "paragraphs", "sentences=1", "bloom=3"])
def test_tables_sums_and_numbered_headings_are_not_cut(spans, tmp_path):
    texts = {row["id"]: row["text"] for row in map(json.loads, TABLES.read_text().splitlines())}
    wide = "\n".join(
        f"{year} " + " ".join(str(year * n % 977) for n in range(20)) for year in range(1900, 1950)
    )
    other = "\n".join(
        f"{year} " + " ".join(str(year * n % 971) for n in range(20)) for year in range(1950, 1990)
    )
    rows = [*texts.items(), ("wide", wide), ("other", other)]
    (tmp_path / "in.jsonl").write_text(
        "".join(json.dumps({"id": id_, "text": text}) + "\n" for id_, text in rows)
    )
    dedup_files(
        [str(tmp_path / "in.jsonl")], str(tmp_path / "out.parquet"), near="none", spans=spans
    )
    for row in pq.read_table(tmp_path / "out.parquet").to_pylist():
        assert row["kept"]
        assert row["cut"] == []
