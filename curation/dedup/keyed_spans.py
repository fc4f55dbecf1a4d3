"""Spans of texts that repeat as a whole: lines, paragraphs, runs of sentences.

Each has a key, a 64-bit hash of its words (see `curation.dedup.words`): case, diacritics and
punctuation make no difference; numbers do, so that rows of tables, sums and numbered headings are
not taken for repeats. A span without a word has none and is never cut. Lines as in
C4 and CCNet (whose paragraphs are lines), paragraphs parted by blank lines, three sentences as in
FineWeb's experiments.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from curation.dedup import letters, words
from curation.dedup.nodes import Words
from curation.dedup.spans import Spans

Index = npt.NDArray[np.int64]


class KeyedSpans(NamedTuple):
    """Spans of some texts, in order: where they stand, [n], and their keys, uint64 [n]."""

    spans: Spans
    keys: Words

    def where(self, wanted: npt.NDArray[np.bool_]) -> KeyedSpans:
        """Some of them, by bool [n]."""
        return KeyedSpans(Spans(*(column[wanted] for column in self.spans)), self.keys[wanted])


class Lines:
    """The lines of some texts, blank ones too, with the hashes of their words."""

    def __init__(self, texts: Sequence[str]) -> None:
        r"""A line is what stands between `\n`."""
        found = [empty := (np.empty(0, np.uint64), np.empty(0, np.int64))]
        lengths = [empty[1]]
        counts: list[int] = []
        loose: list[tuple[int, int]] = []  # lines that begin with marks, and how many
        for batch in words.batches(texts):
            split = [text.split("\n") for text in batch]
            lines = list(chain.from_iterable(split))
            before = sum(map(len, lengths))
            loose += [(before + at, skipped) for at, skipped in letters.loose(lines)]
            lengths.append(np.fromiter(map(len, lines), np.int64, len(lines)))
            counts += map(len, split)
            fits = len(batch) > 1 or len(batch[0]) < words.BATCH
            found.append(words.hashes(lines, numbers=True) if fits else hashed(lines))
        widths, height = np.concatenate(lengths), np.array(counts, np.int64)
        text = np.repeat(np.arange(len(texts)), height)
        after = np.cumsum(widths + 1)
        before = np.append(0, after)[np.cumsum(height) - height]  # characters of earlier texts
        ends = after - 1 - np.repeat(before, height)
        starts = ends - widths
        for number, skipped in loose:
            starts[number] += skipped
        self.spans = Spans(text, starts, ends)
        # hashes of all words, uint64; how many each line has, int64 [lines]
        self.words = np.concatenate([hashes for hashes, _ in found])
        self.counts = np.concatenate([own for _, own in found])

    def lines(self) -> KeyedSpans:
        """The lines that have a word."""
        there = self.counts > 0
        spans = Spans(*(column[there] for column in self.spans))
        return KeyedSpans(spans, _keys(self.words, self.counts[there]))

    def paragraphs(self) -> KeyedSpans:
        """What blank lines part, if it has a word."""
        texts, starts, ends = self.spans
        filled = ends > starts
        goes_on = np.zeros(len(texts), np.bool_)
        goes_on[1:] = filled[1:] & filled[:-1] & (texts[1:] == texts[:-1])
        first = np.flatnonzero(filled & ~goes_on)
        if not len(first):
            return KeyedSpans(Spans(first, first, first), self.words[:0])
        ends_here = filled & ~np.append(goes_on[1:], False)
        counts = np.add.reduceat(self.counts, first)
        there = counts > 0
        spans = Spans(texts[first][there], starts[first][there], ends[ends_here][there])
        return KeyedSpans(spans, _keys(self.words, counts[there]))


def sentences(texts: Sequence[str], size: int) -> KeyedSpans:
    """Every run of `size` sentences (spaCy's, see `View`) that have a word, of one text."""
    from curation.measures import View

    split = [View(text).sentences for text in texts]
    flat = list(chain.from_iterable(split))
    lengths = np.fromiter(map(len, flat), np.int64, len(flat))
    counts = np.fromiter(map(len, split), np.int64, len(split))
    text = np.repeat(np.arange(len(texts)), counts)
    after = np.cumsum(lengths)
    starts = after - lengths - np.append(0, after)[np.repeat(np.cumsum(counts) - counts, counts)]
    # the white space around a sentence, which is the sentence's, stays
    ends = starts + np.fromiter((len(part.rstrip()) for part in flat), np.int64, len(flat))
    starts += lengths - np.fromiter((len(part.lstrip()) for part in flat), np.int64, len(flat))
    hashes, own = hashed(flat)
    there = own > 0
    text, starts, ends = text[there], starts[there], ends[there]
    keys = _keys(hashes, own[there])
    count = max(len(keys) - size + 1, 0)
    whole = keys[:count].copy()
    for at in range(1, size):
        whole = whole * words.FACTOR + keys[at : at + count]
    inside = text[:count] == text[len(keys) - count :]
    spans = Spans(text[:count], starts[:count], ends[len(keys) - count :])
    found = KeyedSpans(spans, words.mix(whole)).where(inside)
    return found.where(_within_letters(texts, found.spans))


def _within_letters(texts: Sequence[str], spans: Spans) -> npt.NDArray[np.bool_]:
    """Take the parts of characters off the ends of spans, in place; which are left, bool [n]."""
    numbers, firsts = np.unique(spans.texts, return_index=True)
    lasts = np.append(firsts, len(spans.texts))[1:]
    for number, first, last in zip(numbers, firsts, lasts, strict=True):
        own = slice(first, last)
        spans.starts[own], spans.ends[own] = letters.inside(
            texts[number], spans.starts[own], spans.ends[own]
        )
    return spans.starts < spans.ends


def hashed(texts: Sequence[str]) -> tuple[Words, Index]:
    """Hashes of the words of texts, uint64, and how many each has, int64 [n]."""
    found = [words.hashes(batch, numbers=True) for batch in words.batches(texts)]
    hashes = np.concatenate([np.empty(0, np.uint64), *(pair[0] for pair in found)])
    return hashes, np.concatenate([np.empty(0, np.int64), *(pair[1] for pair in found)])


def _keys(hashes: Words, counts: Index) -> Words:
    """Hash of consecutive runs of words, by how many each has, which is at least one."""
    if not len(counts):
        return np.empty(0, np.uint64)
    starts = np.cumsum(counts) - counts
    places = np.arange(len(hashes)) - np.repeat(starts, counts)
    powers = np.full(int(counts.max()), words.FACTOR)
    powers[0] = 1
    np.multiply.accumulate(powers, out=powers)
    return words.mix(np.add.reduceat(hashes * powers[places], starts))


def firsts(keys: Words, order: Words) -> Index:
    """Of the spans with an equal key the one with the smallest `order` (uint64 [n], distinct),
    as indices in the order of keys."""
    by = np.lexsort((order, keys))
    new = np.ones(len(keys), np.bool_)
    new[1:] = keys[by[1:]] != keys[by[:-1]]
    return by[new]
