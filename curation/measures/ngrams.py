"""Repeated n-grams of words."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from curation.measures import repeats
from curation.measures.view import View


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
    """The repeated n-grams of words for n from 2 to `most`; equal words have equal ids."""
    for n, fields in enumerate(repeats.repeated(ids, most), 2):
        yield Repeated(n, *fields)


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


def repeated_characters(view: View, words: str, sizes: Sequence[int]) -> dict[int, int]:
    """For each n: characters of the n-grams that occurred before, without blanks.

    The text is read from the left; after a repeated n-gram reading goes on behind it, after a
    new one with the next word. n-grams are equal if their words joined without blanks are.

    Source: datatrove 0.10.1, `gopher_repetition_filter.find_all_duplicate`.
    """
    found = repeats.repeated_characters(view.solid, view.offsets(words), sizes)
    return dict(zip(sizes, found, strict=True))
