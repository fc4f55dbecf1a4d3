import random
import tracemalloc

import numpy as np
import pytest

from curation.dedup import runs
from curation.dedup.runs import repeated_runs, tokens


def test_tokens():
    text = " One  café,\u00a0二三 x\u3000ไทย!\n"
    values, starts, ends = tokens(text)
    found = [text[start:end] for start, end in zip(starts, ends, strict=True)]
    assert found == ["One", "café,", "二", "三", "x", "ไ", "ท", "ย", "!"]
    assert len(set(values.tolist())) == len(found)
    again, starts, ends = tokens("café, one x One")
    assert again[[0, 2, 3]].tolist() == values[[1, 4, 0]].tolist()
    assert again[1] != again[3]  # as it is written
    assert tokens("One x")[0].tolist() == values[[0, 4]].tolist()
    for nothing in ("", " \n"):
        assert [len(column) for column in tokens(nothing)] == [0, 0, 0]


def brute(values, lengths, size):
    """Tokens in windows that stand earlier too."""
    covered, earlier, first = set(), set(), 0
    for length in lengths:
        for at in range(first, first + length - size + 1):
            window = tuple(values[at : at + size])
            if window in earlier:
                covered.update(range(at, at + size))
            earlier.add(window)
        first += length
    return covered


@pytest.mark.parametrize("size", [2, 7, 50])
@pytest.mark.parametrize("bound", [1 << 10, 1 << 22])
def test_repeated_runs_are_those_of_every_window(manual, monkeypatch, size, bound):
    monkeypatch.setattr(runs, "_HASHED", bound)
    monkeypatch.setattr(runs, "_SORTED", bound)
    rng = random.Random(size)
    documents = []
    for _ in range(60):
        start = rng.randrange(2500)
        documents.append(manual[start : start + rng.choice([0, 1, 49, 50, 51, 200])])
    each = [tokens(" ".join(words))[0] for words in documents]
    values, lengths = np.concatenate(each), np.array(list(map(len, each)))
    starts, ends = repeated_runs(values, lengths, size)
    covered = [at for start, end in zip(starts, ends, strict=True) for at in range(start, end)]
    assert len(covered) == len(set(covered))
    assert set(covered) == brute(values.tolist(), lengths.tolist(), size)
    assert len(covered) > 100
    assert len(repeated_runs(values[:0], lengths[:0], size)[0]) == 0


def test_memory_of_repeated_runs_is_bounded_by_tokens(monkeypatch):
    monkeypatch.setattr(runs, "_HASHED", 1 << 14)
    monkeypatch.setattr(runs, "_SORTED", 1 << 14)
    values = np.random.default_rng(0).integers(0, 1 << 32, 1_000_000, np.uint32)
    values[500_000:510_000] = values[:10_000]
    tracemalloc.start()
    starts, ends = repeated_runs(values, np.full(1000, 1000), 50)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert (ends - starts).tolist() == [1000] * 10
    assert peak < 15 * len(values)  # and the tokens themselves, 4 bytes each
