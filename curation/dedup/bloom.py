"""Lines whose n-grams were seen in earlier texts, by a Bloom filter: DCLM's BFF.

The filter's answer depends on the order in which texts are shown to it.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from curation.dedup import words
from curation.dedup.keyed_spans import Lines
from curation.dedup.nodes import Words
from curation.dedup.windows import windows

Index = npt.NDArray[np.int64]

_FACTOR = np.uint64(0x9E3779B97F4A7C15)


class Bloom:
    """A set of 64-bit hashes in a fixed number of bytes, with a share of false members."""

    def __init__(self, bits: int, hashes: int) -> None:
        """`bits`: a power of two, 64 or more; `hashes`: bits that a member sets."""
        self.bits, self.hashes = bits, hashes
        self._bytes = np.zeros(bits // 8, np.uint8)

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

    def false_share(self) -> float:
        """Share of hashes that are no members for which `has` says they are, to 6 digits."""
        filled = 0
        for start in range(0, len(self._bytes), 1 << 20):
            filled += int(np.bitwise_count(self._bytes[start : start + (1 << 20)]).sum())
        return float(f"{(filled / self.bits) ** self.hashes:.6g}")


def bits_for(memory: int) -> int:
    """Bits of the largest filter that fits some bytes of memory."""
    return 8 << max(3, memory.bit_length() - 1)


def hashes_for(false_share: float) -> int:
    """Bits a member sets in a filter that is full at a share of false members: log2(1 / share)."""
    return max(1, round(-math.log2(false_share)))


def capacity(bits: int, false_share: float) -> int:
    """Members at which the share of false ones is reached: -bits ln(2)^2 / ln(share)."""
    return int(-bits * math.log(2) ** 2 / math.log(false_share))


class Grams(NamedTuple):
    """The n-grams of the lines of one text that have as many words; [lines] each but the last."""

    starts: Index
    ends: Index
    counts: Index  # n-grams of a line, 1 or more
    grams: Words  # their hashes, line by line


def grams(lines: Lines, size: int) -> list[Grams]:
    """The n-grams of `size` words of each text, by its lines; a line with fewer words has none."""
    texts, starts, ends = lines.spans
    if not len(texts):
        return []
    hashes = windows(lines.words, size)
    after = np.cumsum(lines.counts)
    counts = np.maximum(lines.counts - size + 1, 0)
    # windows that cross the end of a line are none of its
    inside = np.ones(len(hashes), np.bool_)
    crossing = after[:, None] - np.arange(1, size)
    crossing = crossing[(crossing >= 0) & (crossing < len(hashes))]
    inside[crossing] = False
    hashes = hashes[inside]
    long = counts > 0
    columns = [column[long] for column in (texts, starts, ends, counts)]
    borders = np.searchsorted(columns[0], np.arange(1, int(texts[-1]) + 1))
    per_text = zip(*(np.split(column, borders) for column in columns[1:]), strict=True)
    result, at = [], 0
    for own_starts, own_ends, own_counts in per_text:
        end = at + int(own_counts.sum())
        result.append(Grams(own_starts, own_ends, own_counts, hashes[at:end]))
        at = end
    return result


def seen(text: Grams, characters: int, bloom: Bloom, share: float) -> tuple[Index, Index]:
    """Starts and ends of what was seen in earlier texts: lines with at least `share` of their
    n-grams; the whole text, of so many characters, if it has as many of all its n-grams.

    The n-grams of lines that stay are added: what repeats within one text is not seen.
    """
    none = text.starts[:0]
    if not len(text.counts):
        return none, none
    known = bloom.has(text.grams)
    if np.count_nonzero(known) >= share * len(known):
        return np.zeros(1, np.int64), np.full(1, characters)
    firsts = np.cumsum(text.counts) - text.counts
    repeated = np.add.reduceat(known, firsts, dtype=np.int64) >= share * text.counts
    bloom.add(text.grams[~np.repeat(repeated, text.counts) & ~known])
    return text.starts[repeated], text.ends[repeated]
