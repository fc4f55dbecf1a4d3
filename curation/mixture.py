"""The plan of a mixture: how much of each source, which documents, in what order.

Every document has a *mixing key*, a 64-bit hash; token parts are sorted by it. An epoch of a
source rotates the keys to *positions*, `(key + shift) mod 2^64`, and takes the positions below
a threshold: all of them, or, in the last epoch, as many as the budget asks for. Bucket b of n
takes the b-th of n equal stretches of the positions of every epoch of every source. So each
bucket holds the mixture, and is a range of keys, found in each part without a shuffle.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
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
from schemas.mix import Mix

Ids = Sequence[bytes] | npt.NDArray[np.void]
Range = tuple[int, int]

# No text needs more bytes a token with a vocabulary in use today (English: 4 to 5), so what is
# reserved before there are tokens holds the wanted tokens of validation.
RESERVE_BYTES_PER_TOKEN = 8


# --- how much -------------------------------------------------------------------------------


def shares(
    budget: int, available: Mapping[str, int], weights: Mapping[str, float] | None
) -> dict[str, int]:
    """Divide `budget` over the sources by weight, or by what is available; exact in sum.

    Weights are taken as the decimal numbers they are written as. What rounding leaves goes to
    the largest remainders, then by name. Raises ValueError if a source has no weight.
    """
    sources = sorted(available)
    if weights is None:
        parts = {source: Fraction(available[source]) for source in sources}
    elif missing := [source for source in sources if source not in weights]:
        raise ValueError(f"no weight for {', '.join(missing)}")
    else:
        parts = {source: Fraction(str(weights[source])) for source in sources}
    whole = sum(parts.values())
    if not whole:
        return dict.fromkeys(sources, 0)
    exact = {source: budget * part / whole for source, part in parts.items()}
    result = {source: int(value) for source, value in exact.items()}
    by_remainder = sorted(sources, key=lambda source: (result[source] - exact[source], source))
    for source in by_remainder[: budget - sum(result.values())]:
        result[source] += 1
    return result


def allocate(available: Mapping[str, int], mix: Mix) -> dict[str, int]:
    """Training tokens wanted of each source.

    Without a budget, everything once. With one, the source's share, but never more than
    `mix.max_epochs` times what is available: a shortfall is not given to other sources, it is
    the difference from `shares(mix.tokens, available, mix.weights)`.
    """
    if mix.tokens is None:
        return dict(sorted(available.items()))
    repeats = Fraction(str(mix.max_epochs))
    return {
        source: min(share, int(repeats * available[source]))
        for source, share in shares(mix.tokens, available, mix.weights).items()
    }


def epochs(wanted: int, available: int) -> tuple[int, int]:
    """Full epochs, and the tokens of the partial one after them."""
    return divmod(wanted, available) if available else (0, 0)


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
    """One reading of a source: the documents whose position is below the threshold."""

    source: str
    number: int
    shift: int
    """Added to a key, mod 2^64, to give its position; a whole number of histogram bins."""
    threshold: int
    """From 0 to 2^64, which takes every document."""

    def ranges(self, bucket: int, of: int) -> list[Range]:
        """The mixing keys of one of `of` buckets, see `key_ranges`."""
        low, high = (self.threshold * edge // of for edge in (bucket, bucket + 1))
        return key_ranges(low, high, self.shift)


def shift(seed: int, source: str, epoch: int) -> int:
    """The rotation of an epoch, none in the first.

    It is a multiple of a histogram's bin, so that the histogram of positions is the rotated
    histogram of keys, exactly.
    """
    return key64(seed, "epoch", source, epoch) >> BIN_BITS << BIN_BITS if epoch else 0


def full_epochs(seed: int, source: str, count: int) -> list[Epoch]:
    """The first `count` epochs, which take every document."""
    return [Epoch(source, n, shift(seed, source, n), EVERYTHING) for n in range(count)]


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
