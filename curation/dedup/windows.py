"""Hashes of n-grams."""

from __future__ import annotations

import numpy as np

from curation.dedup import words
from curation.dedup.nodes import Words


def windows(values: Words, size: int) -> Words:
    """Hash of every run of `size` values: uint64 [n - size + 1], or none if there are fewer."""
    count = max(len(values) - size + 1, 0)
    if not count:
        return np.empty(0, np.uint64)
    # h(a b) = h(a) F^len(b) + h(b): runs of powers of two are put together
    result = np.zeros(len(values) + 1, np.uint64)
    done, power, width, factor = 0, values, 1, words.FACTOR
    rest = size
    while rest:
        if rest & 1:
            room = len(values) - done - width + 1
            result = result[:room] * factor + power[done : done + room]
            done += width
        rest >>= 1
        if rest:
            power = power[: len(power) - width] * factor + power[width:]
            factor = np.uint64(int(factor) ** 2 & ((1 << 64) - 1))
            width *= 2
    return words.mix(result)
