import numpy as np
import pyarrow as pa
import pytest

from curation.histogram import (
    BINS,
    EVERYTHING,
    Counts,
    Histogram,
    bin_range,
    boundary,
    crossing_bin,
    from_table,
    interpolated,
    smallest_until,
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


def test_histogram_counts() -> None:
    keys, amounts = documents(1, 5000)
    histogram = Histogram.of(keys, amounts)
    for number in range(0, BINS, 16):
        low, high = bin_range(number)
        inside = [low <= key < high for key in keys.tolist()]
        assert histogram.documents[number] == sum(inside)
        assert histogram.amounts[number] == amounts[inside].sum()
    assert histogram.documents.sum() == len(keys)
    assert histogram.total == amounts.sum()


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
    tasks = [
        {"web": documents(1, 400), "books": documents(2, 30)},
        {"web": documents(3, 5000)},
        {"web": documents(4, 0), "books": documents(5, 1)},
    ]
    tables = [
        to_table({source: Histogram.of(*found) for source, found in task.items()}) for task in tasks
    ]
    read = from_table(pa.concat_tables(tables))
    for source in ("web", "books"):
        parts = [task[source] for task in tasks if source in task]
        keys, amounts = (np.concatenate(column) for column in zip(*parts, strict=True))
        whole = Histogram.of(keys, amounts)
        assert (read[source].amounts == whole.amounts).all()
        assert (read[source].documents == whole.documents).all()
    assert from_table(to_table({})) == {}
    bad = pa.table({"source": ["a"], "bin": [BINS], "amount": [1], "documents": [1]})
    with pytest.raises(ValueError, match="4096"):
        from_table(bad)


@pytest.mark.parametrize("narrow", [False, True])
@pytest.mark.parametrize("count", [1, 7, 3000])
def test_thresholds_and_boundaries_are_exact(count: int, narrow: bool) -> None:
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
        found = smallest_until(keys, amounts, wanted)
        assert found == obvious_threshold(keys, amounts, wanted)
        if number is not None:  # the document that holds the last of it
            key, before = boundary(histogram, wanted - 1, keys[inside], amounts[inside])
            assert key == found - 1
            own = int(amounts[keys == np.uint64(key)].sum())
            assert 0 <= before < own
            if (keys == np.uint64(key)).sum() == 1:
                less = int(amounts[keys < np.uint64(key)].sum())
                assert less + before == wanted - 1
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
    assert smallest_until(keys, amounts, 7) == 1 << 64
    assert boundary(histogram, 3, keys[1:], amounts[1:]) == ((1 << 64) - 1, 0)
    assert boundary(histogram, 6, keys[1:], amounts[1:]) == ((1 << 64) - 1, 3)
    assert boundary(histogram, 2, keys[:1], amounts[:1]) == (5, 2)
    with pytest.raises(ValueError, match="not below the total"):
        boundary(histogram, 7, keys[1:], amounts[1:])


def test_a_boundary_refuses_other_documents() -> None:
    keys, amounts = documents(4, 3000)
    histogram = Histogram.of(keys, amounts)
    number = crossing_bin(histogram, 30_000)
    assert number is not None
    inside = keys >> np.uint64(52) == np.uint64(number)
    with pytest.raises(ValueError, match="in the histogram"):
        boundary(histogram, 29_999, keys[inside][1:], amounts[inside][1:])
    with pytest.raises(ValueError, match="not all in the bin"):
        boundary(histogram, 29_999, keys, amounts)


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
