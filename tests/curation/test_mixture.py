import random
from itertools import pairwise

import numpy as np
import pytest

from curation.histogram import EVERYTHING, Counts, Histogram, bin_range, crossing_bin, threshold
from curation.keys import Keys, key64
from curation.mixture import (
    Epoch,
    allocate,
    buckets,
    document_order,
    epochs,
    full_epochs,
    holdout_key,
    key_ranges,
    mixing_keys,
    reserve_threshold,
    row_order,
    rows_between,
    sample_keys,
    sample_threshold,
    shares,
    shift,
    validation_threshold,
)
from schemas.mix import Mix


def make_ids(seed: int, count: int) -> list[bytes]:
    rng = random.Random(seed)
    return [rng.randbytes(16) for _ in range(count)]


# --- how much -------------------------------------------------------------------------------


def test_shares_are_exact_in_sum_and_near_in_part() -> None:
    rng = random.Random(1)
    for _ in range(300):
        available = {f"s{n}": rng.randrange(0, 10**12) for n in range(rng.randrange(1, 9))}
        weights = {
            source: rng.choice([0.1, 0.3, 1.0, 2.5, rng.random() + 1e-9]) for source in available
        }
        budget = rng.choice([0, 1, 7, rng.randrange(10**13)])
        for chosen in (weights, None):
            result = shares(budget, available, chosen)
            parts = chosen or available
            whole = sum(parts.values())
            if whole:
                assert sum(result.values()) == budget
                for source, part in parts.items():
                    assert abs(result[source] - budget * part / whole) <= 1 + budget * 1e-14


def test_shares_do_not_depend_on_order_or_scale() -> None:
    available = {"c": 1, "a": 1, "b": 1}
    assert shares(100, available, None) == {"a": 34, "b": 33, "c": 33}
    assert shares(10, available, {"a": 0.7, "b": 0.2, "c": 0.1}) == {"a": 7, "b": 2, "c": 1}
    assert shares(10, available, {"a": 70, "b": 20, "c": 10}) == {"a": 7, "b": 2, "c": 1}
    assert shares(10, {"a": 0, "b": 0}, None) == {"a": 0, "b": 0}
    with pytest.raises(ValueError, match="no weight for b"):
        shares(10, {"a": 1, "b": 1}, {"a": 1})


def test_allocate() -> None:
    available = {"web": 1000, "books": 100, "empty": 0}
    assert allocate(available, Mix()) == available
    assert allocate(available, Mix(tokens=550)) == {"web": 500, "books": 50, "empty": 0}
    # more than there is: repeated, as often as is allowed and no more
    assert allocate(available, Mix(tokens=2200)) == {"web": 2000, "books": 200, "empty": 0}
    assert allocate(available, Mix(tokens=99_999, max_epochs=2.5)) == {
        "web": 2500, "books": 250, "empty": 0,
    }  # fmt: skip
    # a shortfall is not redistributed
    weights = {"web": 1.0, "books": 2.0, "empty": 1.0}
    assert allocate(available, Mix(tokens=1600, weights=weights)) == {
        "web": 400, "books": 400, "empty": 0,
    }  # fmt: skip
    assert shares(1600, available, weights) == {"web": 400, "books": 800, "empty": 400}


def test_max_epochs_is_decimal() -> None:
    # 1.1 is a little more than 11/10 as a float, 4.35 a little less than 435/100
    assert allocate({"a": 10**17}, Mix(tokens=10**18, max_epochs=1.1)) == {"a": 11 * 10**16}
    assert allocate({"a": 100}, Mix(tokens=1000, max_epochs=4.35)) == {"a": 435}


def test_epochs_and_buckets() -> None:
    assert epochs(250, 100) == (2, 50)
    assert epochs(100, 100) == (1, 0)
    assert epochs(99, 100) == (0, 99)
    assert epochs(0, 0) == (0, 0)
    assert [buckets(n, 10) for n in (0, 1, 10, 11, 20, 21)] == [1, 1, 1, 2, 2, 3]


# --- which documents ------------------------------------------------------------------------


def test_shift() -> None:
    assert shift(1, "web", 0) == 0
    shifts = {shift(seed, source, n) for seed in (1, 2) for source in ("a", "b") for n in (1, 2, 3)}
    assert len(shifts) == 12
    assert all(value % (1 << 52) == 0 and 0 <= value < EVERYTHING for value in shifts)


def test_key_ranges_invert_positions() -> None:
    # In a world of 2^64 keys, keys at every border and random ones.
    rng = random.Random(3)
    for _ in range(500):
        rotation = rng.choice([0, rng.randrange(4096) << 52])
        low = rng.choice([0, rng.randrange(EVERYTHING)])
        high = rng.choice([low, EVERYTHING, rng.randrange(low, EVERYTHING) + 1])
        ranges = key_ranges(low, high, rotation)
        assert len(ranges) <= 2
        assert sum(b - a for a, b in ranges) == high - low
        assert all(0 <= a < b <= EVERYTHING for a, b in ranges)
        edges = [edge % EVERYTHING for pair in ranges for edge in pair]
        keys = [(edge + d) % EVERYTHING for edge in edges for d in (-1, 0, 1)]
        keys += [rng.randrange(EVERYTHING) for _ in range(20)]
        for key in keys:
            inside = any(a <= key < b for a, b in ranges)
            assert inside == (low <= (key + rotation) % EVERYTHING < high)


def test_rows_between() -> None:
    keys = np.array([0, 5, 5, 1 << 63, (1 << 64) - 1], np.uint64)
    edges = [0, 1, 5, 6, (1 << 53) + 1, 1 << 63, (1 << 63) + 1, (1 << 64) - 1, EVERYTHING]
    for low in edges[:-1]:
        for high in edges:
            expected = [key for key in keys.tolist() if low <= key < high]
            assert keys[rows_between(keys, low, high)].tolist() == expected
    # as floats these two are one key
    near = np.array([(1 << 62) + 1, (1 << 62) + 2], np.uint64)
    assert near[rows_between(near, (1 << 62) + 2, EVERYTHING)].tolist() == [(1 << 62) + 2]
    assert near[rows_between(near, 0, (1 << 62) + 2)].tolist() == [(1 << 62) + 1]


def select(keys: Keys, epoch: Epoch, bucket: int, of: int) -> list[int]:
    """Indices of sorted keys in a bucket, as a mix task finds them."""
    rows = range(len(keys))
    ranges = epoch.ranges(bucket, of)
    return [row for low, high in ranges for row in rows[rows_between(keys, low, high)]]


def partial(seed: int, source: str, number: int, keys: Keys, tokens: Counts, missing: int) -> Epoch:
    """The last epoch, planned from a histogram and the documents of one bin."""
    rotation = shift(seed, source, number)
    histogram = Histogram.of(keys, tokens).rotated(rotation)
    crossing = crossing_bin(histogram, missing)
    assert crossing is not None
    rows = [
        row
        for low, high in key_ranges(*bin_range(crossing), rotation)
        for row in range(len(keys))[rows_between(keys, low, high)]
    ]
    positions = keys[rows] + np.uint64(rotation)
    exact = threshold(histogram, missing, positions, tokens[rows])
    return Epoch(source, number, rotation, exact)


@pytest.mark.parametrize("seed", range(6))
def test_a_plan_takes_its_budget_exactly_once(seed: int) -> None:
    rng = np.random.default_rng(seed)
    sizes = {"web": 4000, "books": 300, "tiny": 1}
    tokens, keys = {}, {}
    for source, size in sizes.items():
        keys[source] = np.sort(mixing_keys(seed, source, make_ids(seed, size)))
        tokens[source] = rng.integers(1, 5000, size)
    available = {source: int(counts.sum()) for source, counts in tokens.items()}
    weights = {"web": 1.0, "books": float(rng.random() + 0.05), "tiny": 0.001}
    budget = int(rng.integers(available["web"] // 2, 3 * available["web"]))
    mix = Mix(tokens=budget, weights=weights, max_epochs=5)
    for source, wanted in allocate(available, mix).items():
        full, missing = epochs(wanted, available[source])
        plan = full_epochs(seed, source, full)
        if missing:
            plan.append(partial(seed, source, full, keys[source], tokens[source], missing))
        assert [epoch.number for epoch in plan] == list(range(len(plan)))
        for epoch in plan:
            # brute force: by position, in Python ints
            positions = [(key + epoch.shift) % EVERYTHING for key in keys[source].tolist()]
            order = sorted(range(sizes[source]), key=positions.__getitem__)
            if epoch.number < full:
                chosen = order
            else:
                reached = np.cumsum(tokens[source][order])
                count = int(np.searchsorted(reached, missing)) + 1
                chosen = order[:count]
                assert reached[count - 1] >= missing
                assert count == 1 or reached[count - 2] < missing
            for of in (1, 2, 7):
                taken = [select(keys[source], epoch, bucket, of) for bucket in range(of)]
                # in the order of positions, every document once
                assert [row for rows in taken for row in rows] == chosen


def test_every_bucket_holds_the_mixture() -> None:
    keys = np.sort(mixing_keys(1, "web", make_ids(1, 50_000)))
    epoch = Epoch("web", 3, shift(1, "web", 3), EVERYTHING * 7 // 10)
    counts = [len(select(keys, epoch, bucket, 10)) for bucket in range(10)]
    assert sum(counts) == pytest.approx(35_000, abs=600)
    assert all(abs(count - 3500) < 300 for count in counts)  # five standard deviations


def test_more_buckets_than_documents() -> None:
    keys = np.sort(mixing_keys(1, "web", make_ids(1, 3)))
    epoch = Epoch("web", 0, 0, EVERYTHING)
    taken = [row for bucket in range(10_000) for row in select(keys, epoch, bucket, 10_000)]
    assert taken == [0, 1, 2]


def test_keys_of_purposes_are_independent() -> None:
    ids = make_ids(1, 20_000)
    mixing, sample = mixing_keys(1, "web", ids), sample_keys(1, "web", ids)
    assert mixing[5] == key64(1, "mix", "web", ids[5])
    columns = [mixing, sample, mixing_keys(1, "books", ids), mixing_keys(2, "web", ids)]
    for a, b in pairwise(columns):
        assert abs(np.corrcoef(a.astype(float), b.astype(float))[0, 1]) < 0.04


def test_holdout_key() -> None:
    assert holdout_key(1, "Hello,\tWorld \r\n") == holdout_key(1, "hello, world")
    assert holdout_key(1, "Example.ORG") == holdout_key(1, "example.org")
    assert holdout_key(1, "hello world") != holdout_key(1, "hello, world")
    assert holdout_key(1, "hello world") != holdout_key(1, "helloworld")
    assert holdout_key(1, "a") != holdout_key(2, "a")


def test_validation_is_within_the_reserve() -> None:
    rng = np.random.default_rng(5)
    count = 20_000
    # every site has one key
    sites = np.array([holdout_key(1, f"site{n}.org") for n in range(3000)], np.uint64)
    holdout = rng.choice(sites, count)
    sizes = rng.integers(100, 9000, count)
    tokens = sizes // 4
    for budget in (0, 1, 50_000, 1_000_000):
        reserve = reserve_threshold(Histogram.of(holdout, sizes), budget)
        kept = np.array([key < reserve for key in holdout.tolist()])
        assert sizes[kept].sum() >= 8 * budget
        chosen = validation_threshold(holdout[kept], tokens[kept], budget)
        assert chosen <= reserve
        held_out = np.array([key < chosen for key in holdout.tolist()])
        assert tokens[held_out].sum() >= budget
        if budget:
            last = holdout[held_out].max()
            assert tokens[held_out & (holdout < last)].sum() < budget
        else:
            assert not kept.any()
            assert not held_out.any()
    # a source smaller than the budget is all reserved
    assert reserve_threshold(Histogram.of(holdout, sizes), 10**9) == EVERYTHING
    assert validation_threshold(holdout, tokens, 10**9) == EVERYTHING


def test_sample_threshold() -> None:
    keys = sample_keys(1, "web", make_ids(2, 100_000))
    sizes = np.full(100_000, 3000)
    sample = np.uint64(sample_threshold(Histogram.of(keys, sizes), 30_000_000))
    assert sizes[keys < sample].sum() == pytest.approx(30_000_000, rel=0.01)
    assert sample_threshold(Histogram.of(keys, sizes), 1 << 40) == EVERYTHING


# --- in what order --------------------------------------------------------------------------


def test_document_order() -> None:
    ids = make_ids(1, 500)
    numbers = np.array([n % 3 for n in range(500)])
    order = document_order(9, "web", numbers, ids)
    keys = [key64(9, "order", "web", n, one) for n, one in zip(numbers.tolist(), ids, strict=True)]
    assert order.tolist() == sorted(range(500), key=keys.__getitem__)
    # the order is one of documents, whatever the order they come in
    back = document_order(9, "web", numbers[::-1], ids[::-1])
    assert [ids[::-1][i] for i in back] == [ids[i] for i in order]
    assert document_order(9, "web", np.empty(0, np.int64), []).tolist() == []
    # two epochs of the same documents have different orders
    orders = [document_order(9, "web", np.full(500, n), ids).tolist() for n in (0, 1)]
    assert orders[0] != orders[1]


def test_row_order() -> None:
    order = row_order(3, 5, [("books", 200), ("web", 800)])
    assert sorted(order.tolist()) == list(range(1000))
    names = [("books", n) for n in range(200)] + [("web", n) for n in range(800)]
    expected = sorted(range(1000), key=lambda i: key64(3, "row", names[i][0], 5, names[i][1]))
    assert order.tolist() == expected
    # sources are spread over the bucket
    halves = [int((order[:500] < 200).sum()), int((order[500:] < 200).sum())]
    assert all(70 < half < 130 for half in halves)
    assert row_order(3, 6, [("books", 200), ("web", 800)]).tolist() != order.tolist()
    assert row_order(3, 5, [("books", 0)]).tolist() == []
    assert row_order(3, 5, []).tolist() == []
