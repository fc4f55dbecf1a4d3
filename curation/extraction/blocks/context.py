"""Features for a second look at the blocks: what the first look found around each."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from curation.extraction.blocks.features import Table

Ints = NDArray[np.int64]
_SHIFTS = (-3, -2, -1, 1, 2, 3)
_REACHES = (2, 5, 12, 30)
_LIKELY = 500  # thousandths


def context(table: Table, likely: Ints) -> NDArray[np.float64]:
    """Features of the blocks by how likely each is main text, in thousandths: a row a feature."""
    many, size = len(likely), table.sizes
    order = np.arange(many)
    weight = likely * size
    taken = likely >= _LIKELY
    sums = np.zeros((4, many + 1), np.int64)
    np.cumsum(np.stack([weight, size, taken * size, taken]), axis=1, out=sums[:, 1:])
    rows: list[NDArray[Any]] = [likely]

    def shares(low: Ints, high: Ints) -> None:
        part = sums[:, high] - sums[:, low]
        for row in (part[0] / np.maximum(part[1], 1), part[3] / np.maximum(high - low, 1)):
            rows.append(row)

    place = order + np.array(_SHIFTS)[:, None]
    outside = (place < 0) | (place >= many)
    rows.append(np.where(outside, -1, likely[place.clip(0, many - 1)]))
    reach = np.array(_REACHES)[:, None]
    shares(np.maximum(order - reach, 0), np.minimum(order + reach + 1, many))
    shares(table.low[1:7], table.high[1:7])
    # Before and after it in its sections.
    inside = table.low[1:5], table.high[1:5]
    before = sums[:, order] - sums[:, inside[0]]
    after = sums[:, inside[1]] - sums[:, order + 1]
    rows.append(before[0] / np.maximum(before[1], 1))
    rows.append(after[0] / np.maximum(after[1], 1))
    rows.append(before[2])
    rows.append(after[2])
    # Equal markup.
    for group in (table.paths, *table.signatures[1:5], table.headings + 1):
        words = np.bincount(group, size)
        rows.append((np.bincount(group, weight) / np.maximum(words, 1))[group])
        rows.append(np.bincount(group, taken)[group] / np.bincount(group)[group])
    rows.append(np.where(table.headings >= 0, likely[table.headings], -1))
    # The nearest likely blocks, and the first and last.
    last = np.maximum.accumulate(np.where(taken, order, -1))
    following = many - 1 - np.maximum.accumulate(np.where(taken[::-1], order, -1))[::-1]
    rows += [order - last, following - order]
    rows += [sums[2, :-1], sums[2, -1] - sums[2, 1:]]
    rows += [sums[1, :-1] - sums[1, last + 1], sums[1, np.minimum(following, many)] - sums[1, 1:]]
    # Its rank, and what F1 would be if the blocks at least as likely were taken.
    by_chance = np.argsort(-likely, kind="stable")
    rank = np.empty(many, np.int64)
    rank[by_chance] = order
    right = np.cumsum(weight[by_chance])
    expected = 2 * right / (np.cumsum(size[by_chance]) * 1000 + right[-1] + 1)
    best = int(np.argmax(expected))
    rows += [rank / many, rank - best, expected[rank], likely - likely[by_chance[best]]]
    page = [
        *(sums[0, -1] / max(int(sums[1, -1]), 1), sums[2, -1], sums[3, -1], expected[best]),
        *(sums[2, -1] / max(int(sums[1, -1]), 1), int(likely.max()), int(likely[by_chance[best]])),
        *(last[-1], following[0], sums[0, -1] - weight[taken].sum()),
    ]
    rows.append(np.repeat(np.array(page, np.float64)[:, None], many, axis=1))
    return np.concatenate([row if row.ndim == 2 else row[None] for row in rows])
