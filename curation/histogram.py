"""Counts by key, small enough to travel: a threshold on keys is found without all the keys.

First the bin in which the wanted amount is reached, from the histogram; then, from the keys of
that one bin, the document.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from curation.keys import Keys
from schemas.tables import HISTOGRAMS

Counts = npt.NDArray[np.int64]

BINS = 4096
BIN_BITS = 52  # keys of a bin agree in all but these
EVERYTHING = 1 << 64  # the threshold that every key is below


@dataclass(frozen=True, eq=False)
class Histogram:
    """Amounts (tokens or bytes) and documents by the top 12 bits of a key, int64[4096] each."""

    amounts: Counts
    documents: Counts

    @classmethod
    def of(cls, keys: Keys, amounts: Counts) -> Self:
        """Count documents with these keys (uint64[n]) and amounts (int64[n])."""
        bins = (keys >> np.uint64(BIN_BITS)).astype(np.int64)
        sums = np.zeros(BINS, np.int64)
        np.add.at(sums, bins, amounts)
        return cls(sums, np.bincount(bins, minlength=BINS).astype(np.int64))

    def rotated(self, shift: int) -> Histogram:
        """The counts by `key + shift` mod 2^64. Raises ValueError unless whole bins are shifted."""
        if shift % (1 << BIN_BITS):
            raise ValueError(f"shift {shift} is not a multiple of a bin")
        bins = shift >> BIN_BITS
        return Histogram(np.roll(self.amounts, bins), np.roll(self.documents, bins))

    @property
    def total(self) -> int:
        """The amount of all documents."""
        return int(self.amounts.sum())


def to_table(histograms: Mapping[str, Histogram]) -> pa.Table:
    """Histograms by source, as HISTOGRAMS rows: one a bin that is not empty."""
    tables = [HISTOGRAMS.empty_table()]
    for source in sorted(histograms):
        amounts, documents = histograms[source].amounts, histograms[source].documents
        bins = np.flatnonzero(documents)
        columns = [
            pa.array([source] * len(bins), pa.string()),
            pa.array(bins.astype(np.uint16)),
            pa.array(amounts[bins]),
            pa.array(documents[bins]),
        ]
        tables.append(pa.Table.from_arrays(columns, schema=HISTOGRAMS))
    return pa.concat_tables(tables).combine_chunks()


def from_table(table: pa.Table) -> dict[str, Histogram]:
    """Histograms by source; tables of many tasks may be joined first, their counts are added.

    Raises ValueError if a bin is outside the histogram.
    """
    sources = table["source"].combine_chunks().dictionary_encode()
    names = sources.dictionary.to_pylist()
    codes = np.asarray(sources.indices, np.int64)
    bins = table["bin"].to_numpy().astype(np.int64)
    if len(bins) and bins.max() >= BINS:
        raise ValueError(f"a histogram has {BINS} bins, here is bin {bins.max()}")
    sums = np.zeros((2, len(names), BINS), np.int64)
    np.add.at(sums[0], (codes, bins), table["amount"].to_numpy())
    np.add.at(sums[1], (codes, bins), table["documents"].to_numpy())
    return {name: Histogram(sums[0, i], sums[1, i]) for i, name in enumerate(names)}


def bin_range(number: int) -> tuple[int, int]:
    """Keys of a bin: from (included) and to (excluded, at most 2^64)."""
    return number << BIN_BITS, (number + 1) << BIN_BITS


def crossing_bin(histogram: Histogram, wanted: int) -> int | None:
    """The bin in which documents, taken in the order of keys, reach the amount `wanted`.

    None if no key has to be looked at: `wanted` is not positive, or more than there is.
    """
    if not 0 < wanted <= histogram.total:
        return None
    return int(np.searchsorted(np.cumsum(histogram.amounts), wanted))


def boundary(histogram: Histogram, amount: int, keys: Keys, amounts: Counts) -> tuple[int, int]:
    """Where `amount` (at least 0, below the total) is reached, in the order of keys: the key of the
    document, and what of `amount` is its own.

    `keys` (uint64[n], in any order) and `amounts` (int64[n]) are the documents of
    `crossing_bin(histogram, amount + 1)`. Raises ValueError if they are not those the histogram
    counted.
    """
    number = crossing_bin(histogram, amount + 1)
    if number is None:
        raise ValueError(f"{amount} is not below the total, {histogram.total}")
    counted = (int(histogram.documents[number]), int(histogram.amounts[number]))
    inside = bool(np.all(keys >> np.uint64(BIN_BITS) == np.uint64(number)))
    if not inside or counted != (len(keys), int(amounts.sum())):
        raise ValueError(
            f"bin {number} has {counted[0]} documents of {counted[1]} in the histogram; given "
            f"are {len(keys)} of {int(amounts.sum())}, {'all' if inside else 'not all'} in the bin"
        )
    order = np.argsort(keys, kind="stable")
    ends = np.cumsum(amounts[order]) + int(histogram.amounts[:number].sum())
    at = int(np.searchsorted(ends, amount, side="right"))
    return int(keys[order[at]]), amount - int(ends[at] - amounts[order[at]])


def smallest_until(keys: Keys, amounts: Counts, wanted: int) -> int:
    """The threshold such that documents with a smaller key reach the amount `wanted`.

    `keys`: uint64[n], in any order; `amounts`: int64[n]. The document that crosses is taken, and
    with it all that have its key. Returns 0 for nothing, up to 2^64 for everything.
    """
    if wanted <= 0:
        return 0
    order = np.argsort(keys, kind="stable")
    reached = np.cumsum(amounts[order])
    crossing = int(np.searchsorted(reached, wanted))
    return EVERYTHING if crossing == len(order) else int(keys[order[crossing]]) + 1


def upper_edge(histogram: Histogram, wanted: int) -> int:
    """The end of the crossing bin: a threshold that reaches `wanted` without looking at keys."""
    number = crossing_bin(histogram, wanted)
    if number is None:
        return 0 if wanted <= 0 else EVERYTHING
    return bin_range(number)[1]


def interpolated(histogram: Histogram, wanted: int) -> int:
    """A threshold within the crossing bin, as if its amount were spread evenly.

    For samples, where the amount need not be exact but a bin may be far too much.
    """
    number = crossing_bin(histogram, wanted)
    if number is None:
        return 0 if wanted <= 0 else EVERYTHING
    missing = wanted - int(histogram.amounts[:number].sum())
    return bin_range(number)[0] + (missing << BIN_BITS) // int(histogram.amounts[number])
