"""Repeated n-grams of words, with numpy."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from curation.measures.view import View

Integers = npt.NDArray[np.int64]


# odd, so that no power of it is 0; any such number gives the same answers
_BASE = 0x9E3779B97F4A7C15
_MASK = (1 << 64) - 1
_BITS = 13  # small enough to stay in a core's first cache
_LOCAL = threading.local()


def _slots() -> npt.NDArray[np.int32]:
    """A table to throw keys into, kept for its memory."""
    slots: npt.NDArray[np.int32] | None = getattr(_LOCAL, "slots", None)
    if slots is None:
        slots = _LOCAL.slots = np.empty(1 << _BITS, np.int32)
    return slots


def _equals(keys: Integers, factor: int = _BASE) -> npt.NDArray[np.int32]:
    """For each key the place of a key equal to it, the same place for all that are equal."""
    if len(keys) < 2:
        return np.zeros(len(keys), np.int32)
    slots = _slots()
    hashed = (keys.view(np.uint64) * np.uint64(factor)) >> np.uint64(64 - _BITS)
    slots[hashed] = np.arange(len(keys), dtype=np.int32)
    found = slots[hashed]
    wrong = np.flatnonzero(keys[found] != keys)  # all of a key are, or none
    if len(wrong) > 1 << (_BITS - 2):  # more than the table is for
        _, first, inverse = np.unique(keys[wrong], return_index=True, return_inverse=True)
        found[wrong] = wrong[first[inverse]]
    elif len(wrong):
        found[wrong] = wrong[_equals(keys[wrong], factor * _BASE + 2 & _MASK)]
    return found


@dataclass(frozen=True, slots=True)
class Repeated:
    """The n-grams that occur more than once, k in all.

    `places` int64 [k], the word each starts with, ascending; `groups` int32 [k], equal for equal
    n-grams; `counts` int64 [k], how often each occurs.
    """

    n: int
    places: npt.NDArray[np.int64]
    groups: npt.NDArray[np.int32]
    counts: npt.NDArray[np.int64]

    def covered(self, lengths: npt.NDArray[np.int64]) -> int:
        """Characters of the words in any of them; `lengths` of all words, int64 [words]."""
        inside = np.zeros(len(lengths) + 1, np.int32)
        inside[self.places] += 1
        inside[self.places + self.n] -= 1
        return int(lengths[np.cumsum(inside)[:-1] > 0].sum())


def repeated(ids: npt.NDArray[np.int32], most: int = 10) -> Iterator[Repeated]:
    """The repeated n-grams of words for n from 2 to `most`; equal words have equal ids.

    Only where an n-gram and the one that starts a word later are both repeated can one of n + 1
    words be: so the work shrinks as n grows.
    """
    places = np.arange(len(ids))
    groups = ids
    for n in range(2, most + 1):
        follows = np.flatnonzero(places[1:] == places[:-1] + 1)
        places = places[follows]
        keys = (groups[follows].astype(np.int64) << 32) | groups[follows + 1]
        groups = _equals(keys)
        counts = np.bincount(groups, minlength=len(groups))[groups]
        again = counts > 1
        places, groups = places[again], groups[again]
        yield Repeated(n, places, groups, counts[again])


def top_characters(view: View, words: str, sizes: Sequence[int]) -> dict[int, int]:
    """For each n: occurrences x characters (blanks between words included) of the n-gram that
    occurs most often; of several the one that comes first. 0 if there are fewer words.

    Source: datatrove 0.10.1, `gopher_repetition_filter.find_top_duplicate`.
    """
    found = {}
    ids, offsets = view.cut(words).ids, view.offsets(words)
    for item in repeated(ids, max(sizes)):
        n, count, first = item.n, 1, 0
        if len(item.places):
            count = int(item.counts.max())
            first = int(item.places[(item.counts == count).argmax()])
        if n in sizes:
            length = int(offsets[first + n] - offsets[first]) + n - 1 if len(ids) >= n else 0
            found[n] = count * length
    return found


# Characters from the start of a word on by which it is first looked for elsewhere.
_NEAR, _FAR = 16, 32


def repeated_characters(view: View, words: str, sizes: Sequence[int]) -> dict[int, int]:
    """For each n of 5 or more: characters of the n-grams that occurred before, without blanks.

    The text is read from the left; after a repeated n-gram reading goes on behind it, after a
    new one with the next word. n-grams are equal if their words joined without blanks are.

    Source: datatrove 0.10.1, `gopher_repetition_filter.find_all_duplicate`.
    """
    solid, offsets = view.solid, view.offsets(words)
    hashes = _Hashes(solid)
    # Worth reading are n-grams of which the next characters occur again behind another word, and
    # those of fewer characters.
    near = _occurs_again(hashes, offsets[:-1], _NEAR, len(solid))
    near[:-5] |= offsets[5:-1] - offsets[:-6] < _NEAR
    candidates = np.flatnonzero(near)
    far = _occurs_again(hashes, offsets[candidates], _FAR, len(solid))
    # all sizes at once: a row each, of the candidates behind which enough words follow
    rows = np.array(sizes)[:, None]
    behind = np.minimum(candidates + rows, len(offsets) - 1)
    begins = offsets[candidates]
    ends = offsets[behind]
    wanted = (candidates + rows < len(offsets)) & (far | (ends - begins < _FAR))
    row, column = np.nonzero(wanted)
    begins, ends = begins[column], ends[wanted]
    keys = hashes.between(begins, ends) + row.astype(np.uint64) * np.uint64(_BASE)
    again = np.flatnonzero(_again(keys))
    bounds = np.searchsorted(row[again], np.arange(len(sizes) + 1)).tolist()
    starts, stops = begins[again].tolist(), ends[again].tolist()
    return {
        n: _repeated(solid, starts[low:high], stops[low:high])
        for n, (low, high) in zip(sizes, pairwise(bounds), strict=True)
    }


def _occurs_again(
    hashes: _Hashes, starts: npt.NDArray[np.int64], characters: int, size: int
) -> npt.NDArray[np.bool_]:
    """Whether the next characters at each place are those at another one; true near the end."""
    inside = int(np.searchsorted(starts, size - characters, "right"))
    again = np.ones(len(starts), np.bool_)
    again[:inside] = _again(hashes.between(starts[:inside], starts[:inside] + characters))
    return again


def _repeated(solid: str, begins: list[int], ends: list[int]) -> int:
    """Characters of what was met before, read from the left without overlap."""
    characters = free = 0
    seen: set[str] = set()
    for begin, end in zip(begins, ends, strict=True):
        if begin < free:
            continue
        gram = solid[begin:end]
        if gram in seen:
            characters += end - begin
            free = end
        else:
            seen.add(gram)
    return characters


def _again(keys: npt.NDArray[np.uint64]) -> npt.NDArray[np.bool_]:
    """Which of the keys occur more than once."""
    found = _equals(keys.view(np.int64))
    again = found != np.arange(len(found), dtype=np.int32)
    again[found[again]] = True
    return again


class _Hashes:
    """Of any piece of a text a hash, from sums of code x base**place modulo 2**64."""

    def __init__(self, text: str) -> None:
        codes = np.frombuffer(text.encode("utf-32-le", "surrogatepass"), np.uint32)
        self._powers = _powers(len(codes) + 1)
        self._sums = np.zeros(len(codes) + 1, np.uint64)
        np.cumsum(codes * self._powers[: len(codes)], out=self._sums[1:])

    def between(
        self, begins: npt.NDArray[np.int64], ends: npt.NDArray[np.int64]
    ) -> npt.NDArray[np.uint64]:
        """Equal for equal pieces of the text, and now and then for others."""
        # what makes sums at different places comparable
        factors = self._powers[len(self._powers) - 1 - begins]
        return (self._sums[ends] - self._sums[begins]) * factors


def _powers(size: int) -> npt.NDArray[np.uint64]:
    """Powers of the base from 0 on, modulo 2**64: uint64 [size]."""
    powers: npt.NDArray[np.uint64] | None = getattr(_LOCAL, "powers", None)
    if powers is None or len(powers) < size:
        powers = np.full(max(size, 1 << 15), _BASE, np.uint64)
        powers[0] = 1
        np.cumprod(powers, out=powers)
        if size <= 1 << 20:
            _LOCAL.powers = powers
    return powers[:size]
