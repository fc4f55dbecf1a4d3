import numpy as np
import pyarrow as pa
import pytest

from curation.histogram import (
    BINS,
    EVERYTHING,
    Counts,
    Histogram,
    bin_range,
    crossing_bin,
    from_table,
    interpolated,
    smallest_until,
    threshold,
    to_table,
    upper_edge,
)
from curation.keys import Keys


def documents(seed: int, count: int, narrow: bool = False) -> tuple[Keys, Counts]:
    """Random keys (few and often equal if narrow) and amounts, some of them 0."""
    rng = np.random.default_rng(seed)
    keys = rng.integers(0, 1 << 64, count, np.uint64, endpoint=False)
    if narrow:
        keys = rng.choice(keys[:20], count)
    return keys, rng.integers(0, 50, count)


def obvious_threshold(keys: Keys, amounts: Counts, wanted: int) -> int:
    """In Python ints: take whole keys, smallest first, until there is enough."""
    if wanted <= 0:
        return 0
    by_key: dict[int, int] = {}
    for key, amount in zip(keys.tolist(), amounts.tolist(), strict=True):
        by_key[key] = by_key.get(key, 0) + amount
    taken = 0
    for key in sorted(by_key):
        taken += by_key[key]
        if taken >= wanted:
            return key + 1
    return EVERYTHING


def test_histogram_counts_and_adds() -> None:
    keys, amounts = documents(1, 5000)
    whole = Histogram.of(keys, amounts)
    halves = Histogram.of(keys[:1000], amounts[:1000]) + Histogram.of(keys[1000:], amounts[1000:])
    for number in range(0, BINS, 16):
        low, high = bin_range(number)
        inside = [low <= key < high for key in keys.tolist()]
        assert whole.documents[number] == sum(inside)
        assert whole.amounts[number] == amounts[inside].sum()
    assert whole.documents.sum() == len(keys)
    assert (halves.amounts == whole.amounts).all()
    assert (halves.documents == whole.documents).all()
    assert whole.total == amounts.sum()


def test_amounts_stay_exact_beyond_floats() -> None:
    keys = np.zeros(2, np.uint64)
    assert Histogram.of(keys, np.array([1 << 60, 1])).total == (1 << 60) + 1


def test_rotation_is_that_of_the_keys() -> None:
    keys, amounts = documents(2, 3000)
    for bins in (0, 1, 77, BINS - 1):
        rotated = Histogram.of(keys, amounts).rotated(bins << 52)
        direct = Histogram.of(keys + np.uint64(bins << 52), amounts)
        assert (rotated.amounts == direct.amounts).all()
        assert (rotated.documents == direct.documents).all()
    with pytest.raises(ValueError, match="multiple"):
        rotated.rotated(5)


def test_tables_of_tasks_add_up() -> None:
    parts = [
        {"web": Histogram.of(*documents(n, 400)), "books": Histogram.of(*documents(50 + n, 30))}
        for n in range(3)
    ]
    parts[1].pop("books")
    read = from_table(pa.concat_tables(to_table(part) for part in parts))
    for source in ("web", "books"):
        there = [part[source] for part in parts if source in part]
        total = (
            there[0] + there[1] + (there[2] if len(there) > 2 else Histogram.of(*documents(0, 0)))
        )
        assert (read[source].amounts == total.amounts).all()
        assert (read[source].documents == total.documents).all()
    assert from_table(to_table({})) == {}
    bad = pa.table({"source": ["a"], "bin": [BINS], "amount": [1], "documents": [1]})
    with pytest.raises(ValueError, match="4096"):
        from_table(bad)


@pytest.mark.parametrize("narrow", [False, True])
@pytest.mark.parametrize("count", [1, 7, 3000])
def test_threshold_is_exact(count: int, narrow: bool) -> None:
    keys, amounts = documents(count, count, narrow)
    histogram = Histogram.of(keys, amounts)
    total = int(amounts.sum())
    for wanted in {-1, 0, 1, 2, total // 3, total // 2, total - 1, total, total + 1, 10 * total}:
        number = crossing_bin(histogram, wanted)
        if number is None:
            inside = np.zeros(count, bool)
        else:
            low, high = bin_range(number)
            inside = np.array([low <= key < high for key in keys.tolist()])
        found = threshold(histogram, wanted, keys[inside], amounts[inside])
        assert found == obvious_threshold(keys, amounts, wanted)
        assert found == smallest_until(keys, amounts, wanted)
        taken = int(amounts[[key < found for key in keys.tolist()]].sum())
        assert taken >= min(wanted, total)
        # a bin's edge takes no less, and at most what is left of its bin more
        edge = upper_edge(histogram, wanted)
        assert edge >= found
        assert edge in (0, EVERYTHING) or edge - (1 << 52) < found


def test_the_largest_key_can_be_taken() -> None:
    keys = np.array([5, (1 << 64) - 1], np.uint64)
    amounts = np.array([3, 4])
    histogram = Histogram.of(keys, amounts)
    assert crossing_bin(histogram, 7) == BINS - 1
    assert threshold(histogram, 7, keys[1:], amounts[1:]) == 1 << 64
    assert threshold(histogram, 3, keys[:1], amounts[:1]) == 6


def test_threshold_refuses_other_documents() -> None:
    keys, amounts = documents(4, 3000)
    histogram = Histogram.of(keys, amounts)
    number = crossing_bin(histogram, 30_000)
    assert number is not None
    inside = keys >> np.uint64(52) == np.uint64(number)
    with pytest.raises(ValueError, match="in the histogram"):
        threshold(histogram, 30_000, keys[inside][1:], amounts[inside][1:])
    with pytest.raises(ValueError, match="not all in the bin"):
        threshold(histogram, 30_000, keys, amounts)


def test_interpolated_is_near() -> None:
    keys, amounts = documents(5, 200_000)
    histogram = Histogram.of(keys, amounts)
    total = int(amounts.sum())
    for wanted in (total // 1000, total // 7, total // 2):
        taken = int(amounts[keys < np.uint64(interpolated(histogram, wanted))].sum())
        assert abs(taken - wanted) < histogram.amounts.max() / 2
    # one bin, a hundredth of it
    narrow = keys >> np.uint64(12)
    one = Histogram.of(narrow, amounts)
    taken = int(amounts[narrow < np.uint64(interpolated(one, total // 100))].sum())
    assert abs(taken - total / 100) < total / 1000
    assert interpolated(histogram, 0) == 0
    assert interpolated(histogram, total + 1) == EVERYTHING
