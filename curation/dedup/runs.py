"""Runs of tokens that stand earlier too, exactly: after K. Lee and others, "Deduplicating Training
Data Makes Language Models Better" (2021).

A token is a run of what is not white space, as it is written; in the scripts that are written
without spaces every character is one.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache

import numpy as np
import numpy.typing as npt

from curation.dedup import letters, words
from curation.dedup.nodes import Array
from curation.dedup.windows import windows

Index = npt.NDArray[np.int64]
Tokens = npt.NDArray[np.uint32]

# Windows that are hashed, sorted and compared token by token at once.
_HASHED, _SORTED, _COMPARED = 1 << 20, 1 << 22, 1 << 16

_SPACE, _ALONE = 1, 2


@cache
def _kinds() -> npt.NDArray[np.uint8]:
    """Of every code point up to the last that is not plain: white space, or a token alone."""
    last = words.SPACELESS[-1][1]
    kinds = np.zeros(last + 2, np.uint8)
    kinds[[code for code in range(0x3001) if chr(code).isspace()]] = _SPACE
    for first, end in words.SPACELESS:
        kinds[first : end + 1] |= _ALONE
    return kinds


def tokens(text: str) -> tuple[Tokens, Tokens, Tokens]:
    """The tokens of a text: 32 bits of their hashes, where a run that begins with them begins, and
    where one that ends with them ends, in characters; uint32 [n] each. Runs begin after what
    belongs to a character before them, and end before a character that goes on after them: an end
    may come before its start."""
    codes = (
        np.frombuffer(text.encode(), np.uint8)
        if text.isascii()
        else np.frombuffer(text.encode("utf-32-le", "surrogatepass"), "<u4")
    )
    kinds = np.take(_kinds(), codes, mode="clip")
    solid = kinds != _SPACE
    alone = kinds == _ALONE
    begins, closes = solid.copy(), solid.copy()
    if len(codes):
        begins[1:] &= ~solid[:-1] | alone[1:] | alone[:-1]
        closes[:-1] &= ~solid[1:] | alone[1:] | alone[:-1]
    starts, ends = np.flatnonzero(begins), np.flatnonzero(closes) + 1
    if not len(starts):
        return (np.empty(0, np.uint32),) * 3
    lengths = ends - starts
    values = codes[solid].astype(np.uint64) + np.uint64(1)
    firsts = np.cumsum(lengths) - lengths
    powers = np.full(int(lengths.max()), words.FACTOR)
    powers[0] = 1
    np.multiply.accumulate(powers, out=powers)
    values *= powers[np.arange(len(values)) - np.repeat(firsts, lengths)]
    hashes = words.mix(np.add.reduceat(values, firsts)) >> np.uint64(32)
    starts, ends = letters.inside(text, starts, ends)
    return hashes.astype(np.uint32), starts.astype(np.uint32), ends.astype(np.uint32)


def repeated_runs(values: Tokens, lengths: Index, size: int = 50) -> tuple[Index, Index]:
    """Runs of tokens that stand earlier too: first token and the one after the last, int64 [m].

    `values`: the tokens of all texts, one after the other; `lengths`: of the texts. A run has
    `size` tokens or more, and is in one text; runs do not overlap. What is found is what a suffix
    array finds, as every repeat of `size` tokens or more consists of windows of `size` tokens
    that are repeated. Candidates by hash are compared token by token. Takes some 15 bytes a
    token, and 8 a window that is repeated.
    """
    count = len(values) - size + 1
    if count <= 0:
        return np.empty(0, np.int64), np.empty(0, np.int64)
    hashes = np.empty(count, np.uint64)
    for at in range(0, count, _HASHED):
        chunk = values[at : at + _HASHED + size - 1].astype(np.uint64)
        hashes[at : at + _HASHED] = windows(chunk, size)
    ends = np.cumsum(lengths)
    inside = np.ones(count, np.bool_)
    for turn in range(1, size):  # what starts so many tokens before the end of a text
        outside = ends - turn
        inside[outside[(outside >= 0) & (outside < count)]] = False
    view = np.lib.stride_tricks.sliding_window_view(values, size)
    repeated = np.zeros(count, np.bool_)
    for some in _by_hash(hashes, inside):
        ordered = some[np.argsort(hashes[some], kind="stable")]
        keys = hashes[ordered]
        same = np.flatnonzero(keys[1:] == keys[:-1]) + 1
        first = np.arange(len(ordered))
        first[same] = 0
        first = np.maximum.accumulate(first)
        for start in range(0, len(same), _COMPARED):
            part = same[start : start + _COMPARED]
            later, earlier = ordered[part], ordered[first[part]]
            repeated[later[(view[later] == view[earlier]).all(axis=1)]] = True
    begins = np.flatnonzero(repeated)
    if not len(begins):
        return begins, begins
    # windows of one text that touch make one run
    text = np.searchsorted(ends, begins, side="right")
    apart = np.flatnonzero((begins[1:] > begins[:-1] + size) | (text[1:] != text[:-1]))
    return begins[np.append(0, apart + 1)], begins[np.append(apart, len(begins) - 1)] + size


def _by_hash(hashes: Array, inside: npt.NDArray[np.bool_]) -> Iterator[Index]:
    """The windows that are inside of a text, those with equal hashes together, a bounded number
    at a time where hashes differ."""
    parts = -(-len(hashes) // _SORTED)
    for part in range(parts):
        own = inside & (hashes >= np.uint64((part << 64) // parts))
        own &= hashes <= np.uint64((((part + 1) << 64) // parts) - 1)
        yield np.flatnonzero(own)
