"""Spans of texts: the levels that found them made disjoint, and the text without them.

A span is a run of characters of a text: [start, end).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from curation.dedup.nodes import Array

Index = npt.NDArray[np.int64]

# Bits of a place that are of the character in its text; the others are of the text.
_BITS = 36
# Characters of what stands between two lines or paragraphs.
_SMALL = 2


class Spans(NamedTuple):
    """Spans of many texts: the number of the text, first character, the one after the last; int64
    [n] each."""

    texts: Index
    starts: Index
    ends: Index

    @classmethod
    def of(cls, texts: Array, starts: Array, ends: Array) -> Spans:
        """Spans of integers of any kind."""
        return cls(*(np.asarray(column, np.int64) for column in (texts, starts, ends)))


def disjoint(levels: Sequence[Spans]) -> list[Spans]:
    """What each level found that none before it did: disjoint spans, in order.

    One or two characters, as line breaks are, between what an earlier level found are that
    level's. Characters below 2^36 and texts below 2^27 can be told apart.
    """
    begins = [(level.texts << _BITS) + level.starts for level in levels]
    ends = [(level.texts << _BITS) + level.ends for level in levels]
    # not by `unique`, whose hash table takes ten times as long
    borders = np.sort(np.concatenate([np.empty(0, np.int64), *begins, *ends]))
    borders = borders[np.append(True, borders[1:] != borders[:-1])[: len(borders)]]
    none = len(levels)
    owner = np.full(len(borders), none)  # of the stretch from each border to the next
    for level, (begin, end) in enumerate(zip(begins, ends, strict=True)):
        depth = np.bincount(np.searchsorted(borders, begin), minlength=len(borders))
        depth -= np.bincount(np.searchsorted(borders, end), minlength=len(borders))
        owner[(np.cumsum(depth) > 0) & (owner == none)] = level
    inner, around = owner[1:-1], owner[:-2]
    small = (np.diff(borders)[1:] <= _SMALL) & (around == owner[2:])
    small &= (around < inner) & (inner < none)
    inner[small] = around[small]
    changes = np.ones(len(owner), np.bool_)
    changes[1:] = owner[1:] != owner[:-1]
    firsts = np.flatnonzero(changes & (owner < none))
    # the last stretch is nobody's, so that every span has an end
    lasts = np.flatnonzero(changes)[np.searchsorted(np.flatnonzero(changes), firsts, "right")]
    return [
        Spans(
            borders[firsts[own]] >> _BITS,
            borders[firsts[own]] & ((1 << _BITS) - 1),
            borders[lasts[own]] & ((1 << _BITS) - 1),
        )
        for level in range(len(levels))
        for own in [owner[firsts] == level]
    ]


def cut(text: str, starts: Array, ends: Array) -> str:
    """The text without some spans, which may overlap, nor white space at its ends.

    Of the white space before and after what is cut as many line breaks stay as the one with more
    has, so that lines stay lines and paragraphs stay paragraphs, and the next line's indentation.
    """
    if not len(starts):
        return text
    kept: list[str] = []
    at, gap = 0, ""
    spans = sorted(zip(starts.tolist(), ends.tolist(), strict=True))
    for start, end in [*spans, (len(text), len(text))]:
        piece = text[at:start]
        at = max(at, end)
        body = piece.strip()
        if not body:
            gap = _gap(gap, piece)
            continue
        first = piece.index(body)
        if kept:
            kept.append(_gap(gap, piece[:first]))
        kept.append(body)
        gap = piece[first + len(body) :]
    return "".join(kept)


def _gap(before: str, after: str) -> str:
    """What stays of the white space before and after a span that goes."""
    lines = max(before.count("\n"), after.count("\n"))
    if not lines:
        return after or before
    at_line = after if "\n" in after else before
    return "\n" * lines + at_line[at_line.rindex("\n") + 1 :]
