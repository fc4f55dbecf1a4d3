import numpy as np
import pytest

from curation.dedup.bloom import Bloom, bits_for, capacity, grams, hashes_for, seen
from curation.dedup.keyed_spans import Lines
from curation.dedup.windows import windows
from curation.dedup.words import hashes


@pytest.mark.parametrize("share", [0.01, 0.1])
def test_a_bloom_filter_forgets_nothing_and_invents_no_more_than_it_may(share):
    rng = np.random.default_rng(0)
    bits = bits_for((1 << 17) + 5)
    assert bits == 1 << 20
    members = capacity(bits, share)
    keys = rng.integers(0, 1 << 63, 2 * members).astype(np.uint64)
    bloom = Bloom(bits, hashes_for(share))
    assert not bloom.has(keys).any()
    assert bloom.false_share() == 0
    bloom.add(keys[:members])
    assert bloom.has(keys[:members]).all()
    wrong = bloom.has(keys[members:]).mean()
    assert wrong == pytest.approx(share, rel=0.1)
    assert bloom.false_share() == pytest.approx(wrong, rel=0.05)


def test_windows_are_hashes_of_runs():
    rng = np.random.default_rng(1)
    values = rng.integers(0, 3, 400).astype(np.uint64)
    for size in (1, 2, 5, 13, 50):
        found = windows(values, size)
        runs = [tuple(values[at : at + size].tolist()) for at in range(len(values) - size + 1)]
        by_hash = dict(zip(found.tolist(), runs, strict=True))
        assert [by_hash[key] for key in found.tolist()] == runs
        assert len(by_hash) == len(set(runs))
    assert not len(windows(values[:4], 5))


def test_grams_stay_within_lines(manual):
    lines = [" ".join(manual[at : at + count]) for at, count in ((0, 40), (50, 5), (80, 13))]
    texts = ["\n".join(lines), "", lines[2], "only four words here", lines[0]]
    found = grams(Lines(texts), 13)
    assert len(found) == len(texts)
    for text, own in zip(texts, found, strict=True):
        expected = [line for line in text.split("\n") if len(hashes([line])[0]) >= 13]
        assert [text[s:e] for s, e in zip(own.starts, own.ends, strict=True)] == expected
        each = [windows(hashes([line])[0], 13) for line in expected]
        assert own.counts.tolist() == list(map(len, each))
        assert own.grams.tolist() == [gram for some in each for gram in some.tolist()]
    assert grams(Lines([]), 13) == []


def test_lines_whose_ngrams_were_seen(manual):
    bloom = Bloom(1 << 20, 7)
    plain = " ".join(manual).split()
    one, other, third, fourth = (
        " ".join(plain[start : start + 60]) for start in (0, 1000, 2000, 3000)
    )

    def cut(*lines, share=0.8):
        text = "\n".join(lines)
        (own,) = grams(Lines([text]), 13)
        starts, ends = seen(own, len(text), bloom, share)
        return [text[start:end] for start, end in zip(starts, ends, strict=True)]

    assert cut(one, other) == []
    changed = " ".join(["else", *other.split()[1:]])
    # n-grams of a line that goes are not added, those of one that stays are
    assert cut(third, changed, f"{one} {fourth}", "small") == [changed]
    assert cut("Small!") == []
    # a document with most of its n-grams goes whole, its new lines too
    document = [one, other, third, "a new line of a few words"]
    assert cut(*document) == ["\n".join(document)]
    # what repeats in one text is not seen
    new = " ".join(plain[4000:4060])
    assert cut(new, new) == []
    assert cut(f"{new} {fourth}", share=1.0) == []
