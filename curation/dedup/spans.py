"""Repeated pieces of texts: lines, paragraphs, runs of sentences, n-grams, token runs.

What is cut is always a later occurrence of what stays elsewhere; "later" is an order that the
caller gives, never that of arrival. Lines as in C4, paragraphs as in CCNet, three sentences as in
FineWeb's experiments, n-grams in a Bloom filter as in DCLM's BFF, token runs as in K. Lee and
others, "Deduplicating Training Data Makes Language Models Better" (2021).
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from hashlib import blake2b
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from curation.dedup import words
from curation.dedup.nodes import Array, Words
from curation.measures import View

Index = npt.NDArray[np.int64]

_LINE = re.compile(r"[^\n]+")
_PARAGRAPH = re.compile(r"[^\n]+(?:\n[^\n]+)*")
_FACTOR = np.uint64(0xDA942042E4DD58B5)
# Windows that are compared token by token at once.
_COMPARED = 1 << 16


class Pieces(NamedTuple):
    """Pieces of a text: first character, the one after the last, and hash of the words; [n] each.

    A piece without a letter or number is in none.
    """

    starts: Index
    ends: Index
    keys: Words


def lines(text: str) -> Pieces:
    """The lines of a text."""
    return _pieces(text, _LINE)


def paragraphs(text: str) -> Pieces:
    """What blank lines part."""
    return _pieces(text, _PARAGRAPH)


def sentences(text: str, size: int = 3) -> Pieces:
    """Every run of `size` sentences (spaCy's, see `View`)."""
    parts = View(text).sentences
    ends = np.cumsum(np.fromiter(map(len, parts), np.int64, len(parts)))
    keys, counts = _keys(parts)
    there = np.flatnonzero(counts > 0)
    if len(there) < size:
        return Pieces(ends[:0], ends[:0], keys[:0])
    runs = np.lib.stride_tricks.sliding_window_view(there, size)
    whole = keys[runs[:, 0]].copy()
    for at in range(1, size):
        whole = whole * _FACTOR + keys[runs[:, at]]
    starts = ends - np.fromiter(map(len, parts), np.int64, len(parts))
    return Pieces(starts[runs[:, 0]], ends[runs[:, -1]], words.mix(whole))


def _pieces(text: str, pattern: re.Pattern[str]) -> Pieces:
    spans = np.array([match.span() for match in pattern.finditer(text)], np.int64).reshape(-1, 2)
    keys, counts = _keys([text[start:end] for start, end in spans.tolist()])
    there = counts > 0
    return Pieces(spans[there, 0], spans[there, 1], keys[there])


def _keys(texts: Sequence[str]) -> tuple[Words, Index]:
    """Hash of the words of each text, uint64 [n], and how many these are, int64 [n]."""
    keys, counts = [np.empty(0, np.uint64)], [np.empty(0, np.int64)]
    for batch in words.batches(texts):
        hashes, own = words.hashes(batch)
        ends = np.cumsum(own)
        pieces = [hashes[end - count : end] for end, count in zip(ends, own, strict=True)]
        digests = (blake2b(piece.tobytes(), digest_size=8).digest() for piece in pieces)
        keys.append(np.frombuffer(b"".join(digests), "<u8"))
        counts.append(own)
    return np.concatenate(keys), np.concatenate(counts)


def repeats(keys: Words, order: Words, places: Index) -> npt.NDArray[np.bool_]:
    """Which pieces, of many texts, repeat another one, bool [n].

    Of those with an equal key the one with the smallest `order` (uint64 [n], of its text) and
    then place (int64 [n], in its text) is none.
    """
    sorted_ = np.lexsort((places, order, keys))
    result = np.zeros(len(keys), np.bool_)
    result[sorted_[1:]] = keys[sorted_[1:]] == keys[sorted_[:-1]]
    return result


def cut(text: str, starts: Array, ends: Array) -> str:
    """The text without some spans, which may overlap; blank lines that this leaves go too."""
    kept: list[str] = []
    at = 0
    for start, end in sorted(zip(starts.tolist(), ends.tolist(), strict=True)):
        kept.append(text[at : max(at, start)])
        at = max(at, end)
    kept.append(text[at:])
    return re.sub(r"\n{3,}", "\n\n", "".join(kept)).strip("\n") if len(kept) > 1 else text


class Bloom:
    """A set of 64-bit hashes that takes a fixed number of bytes and has false members at times."""

    def __init__(self, members: int, false_share: float = 0.01) -> None:
        """For so many members at that share of false ones; bits are rounded up to a power of 2,
        so that there are `1 << ceil(log2(-members ln(false_share) / ln(2)^2))` of them."""
        bits = -members * math.log(false_share) / math.log(2) ** 2
        self.bits = 1 << max(6, math.ceil(math.log2(bits)))
        self.hashes = max(1, round(self.bits / members * math.log(2)))
        self._bytes = np.zeros(self.bits // 8, np.uint8)

    def _positions(self, keys: Words) -> Index:
        step = words.mix(keys ^ _FACTOR) | np.uint64(1)
        turns = np.arange(self.hashes).astype(np.uint64)
        at = keys[:, None] + step[:, None] * turns
        return (at & np.uint64(self.bits - 1)).astype(np.int64)

    def has(self, keys: Words) -> npt.NDArray[np.bool_]:
        """Which of some hashes, uint64 [n], are members, bool [n]."""
        at = self._positions(keys)
        return np.asarray((self._bytes[at >> 3] >> (at & 7) & 1).all(axis=1), np.bool_)

    def add(self, keys: Words) -> None:
        """Make members of some hashes."""
        at = self._positions(keys).ravel()
        np.bitwise_or.at(self._bytes, at >> 3, np.uint8(1) << (at & 7).astype(np.uint8))


def seen_lines(text: str, bloom: Bloom, size: int = 13, share: float = 0.8) -> Pieces:
    """The lines of which at least `share` of the n-grams of `size` words were in earlier texts.

    A line with fewer words is one n-gram. The n-grams of the other lines are added. So it
    depends on the order in which texts are given.
    """
    found = _pieces(text, _LINE)
    seen = np.zeros(len(found.keys), np.bool_)
    new = []
    for at, (start, end) in enumerate(zip(found.starts.tolist(), found.ends.tolist(), strict=True)):
        (batch,) = words.batches([text[start:end]])
        grams = _windows(words.hashes(batch)[0], size)
        seen[at] = bloom.has(grams).mean() >= share
        if not seen[at]:
            new.append(grams)
    if new:
        bloom.add(np.concatenate(new))
    return Pieces(found.starts[seen], found.ends[seen], found.keys[seen])


def _windows(tokens: Words, size: int) -> Words:
    """Hash of every run of `size` values, uint64; of all of them if there are fewer."""
    size = min(size, len(tokens))
    # h(a b) = h(a) F^len(b) + h(b): runs of powers of two are put together
    result = np.zeros(len(tokens) + 1, np.uint64)
    done, power, width, factor = 0, tokens, 1, _FACTOR
    rest = size
    while rest:
        if rest & 1:
            count = len(tokens) - done - width + 1
            result = result[:count] * factor + power[done : done + count]
            done += width
        rest >>= 1
        if rest:
            power = power[: len(power) - width] * factor + power[width:]
            factor = np.uint64(int(factor) ** 2 & ((1 << 64) - 1))
            width *= 2
    return words.mix(result)


def repeated_runs(tokens: Array, lengths: Index, size: int = 50) -> tuple[Index, Index]:
    """Runs of tokens that stand earlier too: first token and the one after the last, int64 [m].

    `tokens`: those of all documents, one after the other, uint; `lengths`: of the documents. A
    run has `size` tokens or more, and is in one document; runs do not overlap. What is found is
    what a suffix array finds, as every repeat of `size` tokens or more consists of windows of
    `size` tokens that are repeated. Candidates by hash are compared token by token. Takes some 50
    bytes of memory a token.
    """
    ends = np.cumsum(lengths)
    count = len(tokens) - size + 1
    none = np.empty(0, np.int64)
    if count <= 0:
        return none, none
    hashes = _windows(tokens.astype(np.uint64), size)
    document = np.searchsorted(ends, np.arange(count), side="right")
    whole = np.flatnonzero(np.arange(count) + size <= ends[document])
    order = whole[np.argsort(hashes[whole], kind="stable")]
    same = np.flatnonzero(hashes[order[1:]] == hashes[order[:-1]]) + 1
    first = np.arange(len(order))
    first[same] = 0
    first = np.maximum.accumulate(first)
    later, earlier = order[same], order[first[same]]
    windows = np.lib.stride_tricks.sliding_window_view(tokens, size)
    equal = np.ones(len(later), np.bool_)
    for start in range(0, len(later), _COMPARED):
        part = slice(start, start + _COMPARED)
        equal[part] = (windows[later[part]] == windows[earlier[part]]).all(axis=1)
    begins = np.sort(later[equal])
    if not len(begins):
        return none, none
    # windows of one document that touch make one run
    apart = np.flatnonzero(
        (begins[1:] > begins[:-1] + size) | (document[begins[1:]] != document[begins[:-1]])
    )
    return begins[np.append(0, apart + 1)], begins[np.append(apart, len(begins) - 1)] + size
