import random

import numpy as np
import pytest

from curation.dedup.spans import (
    Bloom,
    cut,
    lines,
    paragraphs,
    repeated_runs,
    repeats,
    seen_lines,
    sentences,
)

TEXT = "Read more\n\nOne café opened. It closed! Who knew?\nNobody did.\n\n— * —\nread  MORE…\n"


def texts_of(text, pieces):
    return [text[start:end] for start, end in zip(pieces.starts, pieces.ends, strict=True)]


def test_pieces():
    found = lines(TEXT)
    story = "One café opened. It closed! Who knew?"
    assert texts_of(TEXT, found) == ["Read more", story, "Nobody did.", "read  MORE…"]
    assert found.keys[0] == found.keys[3]
    assert len(set(found.keys.tolist())) == 3
    whole = paragraphs(TEXT)
    assert texts_of(TEXT, whole) == ["Read more", f"{story}\nNobody did.", "— * —\nread  MORE…"]
    assert whole.keys[0] == whole.keys[2] == found.keys[0]
    runs = sentences(f"{story} Nobody did.")
    assert [run.strip() for run in texts_of(f"{story} Nobody did.", runs)] == [
        story,
        "It closed! Who knew? Nobody did.",
    ]
    assert sentences("It CLOSED? Who knew! nobody did.").keys[0] == runs.keys[1]
    for kind in (lines, paragraphs, sentences):
        assert [len(part) for part in kind("")] == [0, 0, 0]
        assert [len(part) for part in kind("\n…\n")] == [0, 0, 0]


def test_long_pieces_are_known_by_their_words():
    text = "字" * 300_000 + "\nshort\n" + "字" * 300_000
    found = lines(text)
    assert found.keys[0] == found.keys[2] != found.keys[1]


def test_repeats_are_all_but_the_first_in_order():
    keys = np.array([5, 5, 7, 5, 7, 9], np.uint64)
    order = np.array([3, 1, 4, 1, 4, 0], np.uint64)
    places = np.array([0, 8, 2, 3, 1, 0])
    assert repeats(keys, order, places).tolist() == [True, True, True, False, False, False]
    again = np.array([4, 2, 0, 5, 1, 3])
    assert (repeats(keys[again], order[again], places[again])[np.argsort(again)]
            == repeats(keys, order, places)).all()  # fmt: skip
    assert len(repeats(keys[:0], order[:0], places[:0])) == 0


def test_cut():
    found = lines(TEXT)
    assert cut(TEXT, found.starts[[0, 3]], found.ends[[0, 3]]) == (
        "One café opened. It closed! Who knew?\nNobody did.\n\n— * —"
    )
    assert cut("abcdef", np.array([1, 2, 0]), np.array([3, 4, 2])) == "ef"
    assert cut(TEXT, np.array([], int), np.array([], int)) == TEXT


def test_a_bloom_filter_forgets_nothing_and_invents_little():
    rng = np.random.default_rng(0)
    keys = rng.integers(0, 1 << 63, 200_000).astype(np.uint64)
    bloom = Bloom(100_000, 0.01)
    assert bloom.bits == 1 << 20
    bloom.add(keys[:100_000])
    assert bloom.has(keys[:100_000]).all()
    assert bloom.has(keys[100_000:]).mean() < 0.011


def test_lines_whose_ngrams_were_seen(manual):
    bloom = Bloom(1_000_000)
    plain = " ".join(manual).split()
    one, other, third = (" ".join(plain[start : start + 60]) for start in (0, 1000, 2000))
    assert len(seen_lines(f"{one}\n{other}", bloom).keys) == 0
    changed = other.split(" ")
    changed[0] = "else"
    text = f"{third}\n{' '.join(changed)}\n{one} {third}\nsmall"
    (seen,) = texts_of(text, seen_lines(text, bloom))
    assert seen == " ".join(changed)
    assert texts_of("Small!", seen_lines("Small!", bloom)) == ["Small!"]
    # the first line of a text is not seen because of the second
    assert len(seen_lines("new words here\nnew words here", bloom).keys) == 0


def brute(tokens, lengths, size):
    """Tokens in windows that stand earlier too."""
    covered, seen, first = set(), set(), 0
    for length in lengths:
        for at in range(first, first + length - size + 1):
            window = tuple(tokens[at : at + size])
            if window in seen:
                covered.update(range(at, at + size))
            seen.add(window)
        first += length
    return covered


@pytest.mark.parametrize("size", [1, 2, 7, 50])
def test_repeated_runs_are_those_of_every_window(manual, size):
    rng = random.Random(size)
    vocabulary = {word: number for number, word in enumerate(dict.fromkeys(manual))}
    documents = []
    for _ in range(60):
        start = rng.randrange(2500)
        documents.append(manual[start : start + rng.choice([0, 1, 49, 50, 51, 200])])
    tokens = np.array([vocabulary[word] for words in documents for word in words], np.uint32)
    lengths = np.array([len(words) for words in documents])
    starts, ends = repeated_runs(tokens, lengths, size)
    covered = [at for start, end in zip(starts, ends, strict=True) for at in range(start, end)]
    assert len(covered) == len(set(covered))
    assert set(covered) == brute(tokens.tolist(), lengths.tolist(), size)
    assert len(covered) > 100
    assert len(repeated_runs(tokens[:0], lengths[:0], size)[0]) == 0
