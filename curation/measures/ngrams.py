"""Repeated n-grams of words, with numpy, to the letter of datatrove's definitions."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import numpy.typing as npt

from curation.measures.view import View

Integers = npt.NDArray[np.int64]


def top_characters(view: View, sizes: Iterable[int]) -> dict[int, int]:
    """For each n: occurrences x characters (blanks between words included) of the n-gram that
    occurs most often; of several the one that comes first. 0 if there are fewer words.

    Source: datatrove 0.10.1, `gopher_repetition_filter.find_top_duplicate`.
    """
    return {n: _top(view, n) for n in sizes}


def _top(view: View, n: int) -> int:
    keys = _keys(view.tokens.numbers, n)
    if not len(keys):
        return 0
    order = np.sort(keys)
    # where a run of equal keys starts, and the end of the last
    bounds = np.concatenate(([0], np.flatnonzero(order[1:] != order[:-1]) + 1, [len(order)]))
    counts = bounds[1:] - bounds[:-1]
    count = int(counts.max())
    first = 0
    if count > 1:
        most = order[bounds[:-1][counts == count]]
        same = keys == most[0] if len(most) == 1 else np.isin(keys, most)
        first = int(same.argmax())
    return count * (int(view.offsets[first + n] - view.offsets[first]) + n - 1)


def _keys(numbers: Integers, n: int) -> Integers:
    """An integer for each n-gram of words, equal for equal n-grams only."""
    if len(numbers) < n:
        return np.empty(0, np.int64)
    bits = 63 // n
    keys = numbers
    packed = int(numbers.max()) < 1 << bits
    for place in range(1, n):
        following = numbers[place:]
        if packed:
            keys = (keys[:-1] << bits) | following
        else:
            keys = np.unique((keys[:-1] << 31) | following, return_inverse=True)[1]
    return keys


def repeated_characters(view: View, sizes: Iterable[int]) -> dict[int, int]:
    """For each n: characters of the n-grams that occurred before, without blanks.

    The text is read from the left; after a repeated n-gram reading goes on behind it, after a
    new one with the next word. n-grams are equal if their words joined without blanks are.

    Source: datatrove 0.10.1, `gopher_repetition_filter.find_all_duplicate`.
    """
    sums, factors = _prefix_hashes(view)
    offsets = view.offsets.tolist()
    return {
        n: _repeated(view.solid, offsets, n, (sums[n:] - sums[:-n]) * factors[:-n])
        if len(sums) > n
        else 0
        for n in sizes
    }


# odd, so that no power of it is 0; any such number gives the same answers
_BASE = 0x9E3779B97F4A7C15


def _prefix_hashes(view: View) -> tuple[npt.NDArray[np.uint64], npt.NDArray[np.uint64]]:
    """Of the text before each word, without white space, the sum of code x base**place modulo
    2**64; and the factors that make the differences of two comparable: uint64 [words + 1]."""
    codes = np.frombuffer(view.solid.encode("utf-32-le", "surrogatepass"), np.uint32)
    powers = np.full(len(codes) + 1, _BASE, np.uint64)
    powers[0] = 1
    np.cumprod(powers, out=powers)
    sums = np.zeros(len(codes) + 1, np.uint64)
    np.cumsum(codes * powers[:-1], out=sums[1:])
    return sums[view.offsets], powers[len(codes) - view.offsets]


def _repeated(solid: str, offsets: list[int], n: int, keys: npt.NDArray[np.uint64]) -> int:
    """Characters of the repeated n-grams; equal n-grams have equal keys."""
    order = np.sort(keys)
    repeated = order[1:][order[1:] == order[:-1]]
    if not len(repeated):
        return 0
    # Only the few places whose key (by its first bits) occurs again are read, by the text itself.
    marked = np.zeros(1 << 16, np.bool_)
    marked[repeated >> 48] = True
    characters, free = 0, 0
    seen: set[str] = set()
    for place in np.flatnonzero(marked[keys >> 48]).tolist():
        if place < free:
            continue
        gram = solid[offsets[place] : offsets[place + n]]
        if gram in seen:
            characters += len(gram)
            free = place + n
        else:
            seen.add(gram)
    return characters
