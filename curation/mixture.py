"""The plan of a mixture: how much of each source, which documents, in what order.

Every document has a *mixing key*, a 64-bit hash; token parts are sorted by it. An epoch of a
source rotates the keys to *positions*, `(key + shift) mod 2^64`; epoch after epoch in the order of
positions, a source is a stream of tokens without end. A phase takes the next stretch of it, exact
to a token: the document at a border is cut there, and goes on in the next phase. Bucket b of n
takes the b-th of n equal stretches of the positions of every epoch of every source. So each
bucket holds the mixture, and is a range of keys, found in each part without a shuffle.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from hashlib import blake2b

import numpy as np
import numpy.typing as npt

from curation.histogram import (
    BIN_BITS,
    EVERYTHING,
    Counts,
    Histogram,
    interpolated,
    smallest_until,
    upper_edge,
)
from curation.keys import Keys, key64, key64_many
from schemas.mix import Mix, Mixture

Ids = Sequence[bytes] | npt.NDArray[np.void]
Range = tuple[int, int]

# No text needs more bytes a token with a vocabulary in use today (English: 4 to 5), so what is
# reserved before there are tokens holds the wanted tokens of validation.
RESERVE_BYTES_PER_TOKEN = 8


# --- how much -------------------------------------------------------------------------------


def shares(budget: int, parts: Mapping[str, Fraction | int]) -> dict[str, int]:
    """Divide `budget` over the sources in proportion to their parts; exact in sum.

    What rounding leaves goes to the largest remainders, then by name; nothing if all parts are 0.
    """
    sources = sorted(parts)
    whole = sum(parts.values())
    if not whole:
        return dict.fromkeys(sources, 0)
    exact = {source: Fraction(budget * parts[source]) / whole for source in sources}
    result = {source: int(value) for source, value in exact.items()}
    by_remainder = sorted(sources, key=lambda source: (result[source] - exact[source], source))
    for source in by_remainder[: budget - sum(result.values())]:
        result[source] += 1
    return result


def filled(
    budget: int, parts: Mapping[str, Fraction | int], room: Mapping[str, int]
) -> dict[str, int]:
    """Divide `budget` in proportion to `parts`, none above its room: what does not fit goes to the
    others by their parts, as long as one has room."""
    full: set[str] = set()
    while True:
        rest = budget - sum(room[source] for source in full)
        found = shares(rest, {source: part for source, part in parts.items() if source not in full})
        over = {source for source, share in found.items() if share > room[source]}
        if not over:
            return found | {source: room[source] for source in full}
        full |= over


def exact(number: float) -> Fraction:
    """The decimal number as it is written."""
    return Fraction(str(number))


def parts_of(
    mixture: Mixture, available: Mapping[str, int], room: Mapping[str, int]
) -> dict[str, Fraction | int]:
    """What the shares of the sources are in proportion to, by the mixture's strategy.

    `available`: tokens of each source; `room`: the most that may be taken of it.
    """
    if mixture.weights is not None:
        return {source: exact(mixture.weights.get(source, 0)) for source in available}
    if mixture.factors is not None:
        factors = {source: exact(mixture.factors.get(source, 1)) for source in available}
        return {source: factors[source] * tokens for source, tokens in available.items()}
    if mixture.temperature is not None:
        # decimals, whose powers are the same on every machine
        power = 1 / Decimal(str(mixture.temperature))
        return {
            source: Fraction(Decimal(tokens) ** power) if tokens else 0
            for source, tokens in available.items()
        }
    if mixture.unimax:
        return dict(filled(mixture.tokens or 0, dict.fromkeys(available, 1), room))
    return dict(available)


@dataclass(frozen=True)
class Portion:
    """What a phase takes of a source."""

    phase: str
    source: str
    available: int
    """Tokens that training may take: without those of validation."""
    planned: int
    """Tokens by budget and strategy."""
    tokens: int
    """Tokens after what can't be met."""


def plan(mix: Mix, available: Mapping[str, int]) -> list[Portion]:
    """The portions of every phase of a mix, by name of the source within a phase.

    `available`: tokens of each source, 0 for one without documents. No source is taken more often
    than its cap, over all phases. Under `shortfall: error` the portions are those of `warn`;
    `scale` keeps the proportions of those that have something.
    """
    room = {source: int(mix.epochs(source) * tokens) for source, tokens in available.items()}
    portions = []
    for phase, mixture in mix.curriculum():
        parts = parts_of(mixture, available, room)
        budget = int(sum(parts.values())) if mixture.tokens is None else mixture.tokens
        planned = shares(budget, parts)
        if mix.shortfall == "redistribute":
            taken = filled(budget, parts, room)
        elif mix.shortfall == "scale":
            there = {source: share for source, share in planned.items() if share and room[source]}
            fits = min([Fraction(room[source], share) for source, share in there.items()] + [1])
            none = dict.fromkeys(available, 0)
            taken = none | shares(int(sum(there.values()) * min(fits, 1)), there)
        else:
            taken = {source: min(share, room[source]) for source, share in planned.items()}
        for source, tokens in sorted(taken.items()):
            room[source] -= tokens
            portions.append(Portion(phase, source, available[source], planned[source], tokens))
    return portions


def buckets(planned_tokens: int, bucket_tokens: int) -> int:
    """Number of buckets, so that one holds at most about `bucket_tokens`; at least 1."""
    return max(1, -(-planned_tokens // bucket_tokens))


# --- which documents ------------------------------------------------------------------------


def mixing_keys(seed: int, source: str, ids: Ids) -> Keys:
    """Mixing key of each document, uint64[n]."""
    return key64_many(seed, "mix", ids, source)


def sample_keys(seed: int, source: str, ids: Ids) -> Keys:
    """Key of each document for the tokenizer's sample, uint64[n]."""
    return key64_many(seed, "sample", ids, source)


def holdout_key(seed: int, text_or_domain: str) -> int:
    """The key that decides what is held out: equal for texts that differ only in case and space.

    Given a registered domain in place of a text, all its documents have one key.
    """
    normalised = " ".join(text_or_domain.lower().split())
    return key64(seed, "holdout", blake2b(normalised.encode(), digest_size=16).digest())


def reserve_threshold(bytes_by_holdout: Histogram, tokens: int) -> int:
    """Documents of a source with a smaller holdout key are kept from tokenizer training.

    They are `RESERVE_BYTES_PER_TOKEN` x `tokens` bytes, filled up to a whole bin: validation is
    chosen among them once their tokens are known.
    """
    return upper_edge(bytes_by_holdout, RESERVE_BYTES_PER_TOKEN * tokens)


def validation_threshold(holdout: Keys, tokens: Counts, budget: int) -> int:
    """Documents of a source with a smaller holdout key are its validation text.

    `holdout` (uint64[n]) and `tokens` (int64[n]) are the documents of the reserve. The document
    that crosses the budget is taken, and all with its key; 2^64 if all do not reach it (then the
    whole reserve is validation, and the report should say how much is missing).
    """
    return smallest_until(holdout, tokens, budget)


def sample_threshold(bytes_by_sample: Histogram, wanted: int) -> int:
    """Documents of a source with a smaller sample key train the tokenizer: about `wanted` bytes."""
    return interpolated(bytes_by_sample, wanted)


@dataclass(frozen=True)
class Epoch:
    """A stretch of one reading of a source: the documents from position `low` up to position
    `high`, of the first without `skip` tokens, and `take` tokens of the one at `high`."""

    source: str
    number: int
    shift: int
    """Added to a key, mod 2^64, to give its position; a whole number of histogram bins."""
    low: int = 0
    skip: int = 0
    high: int = EVERYTHING
    """From 0 to 2^64, which takes every document."""
    take: int = 0

    @property
    def top(self) -> int:
        """The position after the last that it takes something of."""
        return self.high + (self.take > 0)

    def ranges(self, bucket: int, of: int) -> list[Range]:
        """The mixing keys of one of `of` buckets, see `key_ranges`."""
        size = self.top - self.low
        low, high = (self.low + size * edge // of for edge in (bucket, bucket + 1))
        return key_ranges(low, high, self.shift)

    def pieces(self, keys: Keys, sizes: Counts) -> tuple[Counts, Counts]:
        """The first token, and the one after the last, that it takes of documents with these
        mixing keys (uint64[n]) and sizes in tokens (int64[n]): int64[n] each."""
        positions = keys + np.uint64(self.shift)
        firsts, lasts = np.zeros_like(sizes), sizes.copy()
        firsts[positions == np.uint64(self.low)] = self.skip
        if self.take:
            lasts[positions == np.uint64(self.high)] = self.take
        return firsts, lasts


def stretches(start: int, stop: int, available: int) -> list[tuple[int, int, int]]:
    """Tokens [start, stop) of a source's stream of epochs of `available` tokens each: number of
    the epoch, first token and the one after the last within it."""
    if start == stop:
        return []
    return [
        (number, max(start - number * available, 0), min(stop - number * available, available))
        for number in range(start // available, -(-stop // available))
    ]


def shift(seed: int, source: str, epoch: int) -> int:
    """The rotation of an epoch, none in the first.

    It is a multiple of a histogram's bin, so that the histogram of positions is the rotated
    histogram of keys, exactly.
    """
    return key64(seed, "epoch", source, epoch) >> BIN_BITS << BIN_BITS if epoch else 0


def key_ranges(low: int, high: int, rotation: int) -> list[Range]:
    """Keys whose positions are from `low` (included) to `high` (excluded, at most 2^64).

    None, one or two ranges of the same kind, in the order of positions.
    """
    if low >= high:
        return []
    start = (low - rotation) % EVERYTHING
    end = start + high - low
    return [(start, end)] if end <= EVERYTHING else [(start, EVERYTHING), (0, end - EVERYTHING)]


def rows_between(keys: Keys, low: int, high: int) -> slice:
    """The rows of sorted keys (uint64[n]) in a range of `key_ranges`."""
    first = int(np.searchsorted(keys, np.uint64(low)))
    last = len(keys) if high == EVERYTHING else int(np.searchsorted(keys, np.uint64(high)))
    return slice(first, max(first, last))


# --- in what order --------------------------------------------------------------------------


def document_order(
    seed: int, source: str, epoch_numbers: npt.NDArray[np.int64], ids: Ids
) -> npt.NDArray[np.int64]:
    """The order in which documents of a source are packed in a bucket, as a permutation.

    Document i is read in epoch `epoch_numbers[i]` (int64[n]); the order is that of a key of
    source, epoch and id.
    """
    keys = np.empty(len(ids), np.uint64)
    names = np.asarray(ids, "V16")
    for epoch in np.unique(epoch_numbers).tolist():
        chosen = epoch_numbers == epoch
        keys[chosen] = key64_many(seed, "order", names[chosen], source, epoch)
    return np.argsort(keys, kind="stable")


def row_order(seed: int, bucket: int, rows: Sequence[tuple[str, int]]) -> npt.NDArray[np.int64]:
    """The order of a bucket's rows, as a permutation.

    `rows` gives the sources, in the order in which their rows follow each other, and the number
    of rows of each.
    """
    keys = [key64_many(seed, "row", range(count), source, bucket) for source, count in rows]
    return np.argsort(np.concatenate([np.empty(0, np.uint64), *keys]), kind="stable")
