import random
from itertools import pairwise

import numpy as np
import pytest

from curation.histogram import EVERYTHING, Counts, Histogram, bin_range, boundary, crossing_bin
from curation.keys import Keys, key64
from curation.mixture import (
    Epoch,
    buckets,
    document_order,
    exact,
    holdout_key,
    key_ranges,
    mixing_keys,
    plan,
    reserve_threshold,
    row_order,
    rows_between,
    sample_keys,
    sample_threshold,
    shares,
    shift,
    stretches,
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
        parts = {
            f"s{n}": exact(rng.choice([0, 0.1, 0.3, 1.0, 2.5, rng.random() + 1e-9]))
            for n in range(rng.randrange(1, 9))
        }
        budget = rng.choice([0, 1, 7, rng.randrange(10**13)])
        result = shares(budget, parts)
        whole = sum(parts.values())
        assert sum(result.values()) == (budget if whole else 0)
        for source, part in parts.items():
            assert abs(result[source] - (budget * part / whole if whole else 0)) < 1


def test_shares_do_not_depend_on_order_or_scale() -> None:
    assert shares(100, {"c": 1, "a": 1, "b": 1}) == {"a": 34, "b": 33, "c": 33}
    for scale in (1, 100):
        weights = {"a": exact(0.7) * scale, "b": exact(0.2) * scale, "c": exact(0.1) * scale}
        assert shares(10, weights) == {"a": 7, "b": 2, "c": 1}
    assert shares(10, {"a": 0, "b": 0}) == {"a": 0, "b": 0}


def taken(mix: Mix, **available: int) -> dict[str, int]:
    """Tokens by source of a mix of one phase."""
    return {item.source: item.tokens for item in plan(mix, available)}


AVAILABLE = {"web": 1000, "books": 100, "empty": 0}


def test_a_plan_by_budget_and_weights() -> None:
    assert taken(Mix(), **AVAILABLE) == AVAILABLE
    assert taken(Mix(tokens=550), **AVAILABLE) == {"web": 500, "books": 50, "empty": 0}
    # more than there is: repeated, as often as is allowed and no more
    assert taken(Mix(tokens=2200), **AVAILABLE) == {"web": 2000, "books": 200, "empty": 0}
    assert taken(Mix(tokens=99_999, max_epochs=2.5), **AVAILABLE) == {
        "web": 2500, "books": 250, "empty": 0,
    }  # fmt: skip
    weights = {"web": 1.0, "books": 2.0, "empty": 1.0}
    found = plan(Mix(tokens=1600, weights=weights), AVAILABLE)
    assert [(item.source, item.planned, item.tokens) for item in found] == [
        ("books", 800, 400), ("empty", 400, 0), ("web", 400, 400),
    ]  # fmt: skip


def test_what_cannot_be_met() -> None:
    weights = {"web": 1.0, "books": 2.0, "empty": 1.0}
    for policy, expected in (
        ("warn", {"web": 400, "books": 400, "empty": 0}),
        ("error", {"web": 400, "books": 400, "empty": 0}),
        ("redistribute", {"web": 1200, "books": 400, "empty": 0}),
        ("scale", {"web": 200, "books": 400, "empty": 0}),
    ):
        mix = Mix(tokens=1600, weights=weights, shortfall=policy)  # type: ignore[arg-type]
        assert taken(mix, **AVAILABLE) == expected
    # all that there is, and no more
    mix = Mix(tokens=10**6, weights=weights, shortfall="redistribute")
    assert taken(mix, **AVAILABLE) == {"web": 4000, "books": 400, "empty": 0}


@pytest.mark.parametrize("policy", ["warn", "redistribute", "scale"])
def test_no_cap_is_exceeded_and_no_budget(policy: str) -> None:
    rng = random.Random(7)
    for _ in range(200):
        available = {f"s{n}": rng.choice([0, rng.randrange(10**6)]) for n in range(5)}
        caps = {f"s{n}": rng.choice([1, 1.5, 3.25]) for n in range(5)}
        weights = {f"s{n}": rng.choice([0, 1, rng.random()]) for n in range(5)} | {"s0": 1}
        by = rng.choice(
            [{"weights": weights}, {"unimax": True}, {"temperature": 3}, {"factors": weights}]
        )
        phases = [{"name": f"p{n}", "tokens": rng.randrange(1, 10**7), **by} for n in range(3)]
        mix = Mix.model_validate({"phases": phases, "max_epochs": caps, "shortfall": policy})
        portions = plan(mix, available)
        for source in available:
            whole = sum(item.tokens for item in portions if item.source == source)
            assert whole <= available[source] * exact(caps[source])
        for phase in phases:
            own = [item for item in portions if item.phase == phase["name"]]
            assert sum(item.tokens for item in own) <= phase["tokens"]
            if policy == "scale":
                ratios = [item.tokens / item.planned for item in own if item.tokens > 1000]
                assert max(ratios, default=0) - min(ratios, default=0) < 0.002


def test_unimax_is_that_of_its_paper() -> None:
    """Algorithm 1 of arXiv:2304.09151, in floats."""
    rng = random.Random(3)
    for _ in range(100):
        available = {f"s{n}": rng.randrange(1, 10**6) for n in range(8)}
        budget, most = rng.randrange(1, 10**7), rng.choice([1, 2, 5])
        left, expected = float(budget), {}
        for place, source in enumerate(sorted(available, key=available.__getitem__)):
            share = left / (len(available) - place)
            expected[source] = min(share, available[source] * most)
            left -= expected[source]
        mix = Mix(tokens=budget, unimax=True, max_epochs=most)
        for source, tokens in taken(mix, **available).items():
            assert tokens == pytest.approx(expected[source], abs=8)


def test_temperature_and_factors() -> None:
    available = {"en": 10**9, "sw": 10**5}
    assert taken(Mix(tokens=1000, temperature=1), **available)["en"] == 1000
    flat = taken(Mix(tokens=2000, temperature=1000), **available)
    assert flat["sw"] == pytest.approx(1000, abs=10)
    third = taken(Mix(tokens=10**6, temperature=4), **available)
    assert third["en"] / third["sw"] == pytest.approx(10, rel=1e-4)
    assert taken(Mix(factors={"sw": 2.5}), **available) == {"en": 10**9, "sw": 250_000}
    mix = Mix(tokens=300, factors={"high": 2, "low": 0.5})
    assert taken(mix, high=100, low=200) == {"high": 200, "low": 100}


def test_max_epochs_is_decimal() -> None:
    # 1.1 is a little more than 11/10 as a float, 4.35 a little less than 435/100
    assert taken(Mix(tokens=10**18, max_epochs=1.1), a=10**17) == {"a": 11 * 10**16}
    assert taken(Mix(tokens=1000, max_epochs=4.35), a=100) == {"a": 435}
    assert taken(Mix(tokens=10**4, max_epochs={"a": 2}), a=100, b=100) == {"a": 200, "b": 400}


def test_stretches_and_buckets() -> None:
    assert stretches(0, 250, 100) == [(0, 0, 100), (1, 0, 100), (2, 0, 50)]
    assert stretches(30, 60, 100) == [(0, 30, 60)]
    assert stretches(100, 200, 100) == [(1, 0, 100)]
    assert stretches(90, 101, 100) == [(0, 90, 100), (1, 0, 1)]
    assert stretches(0, 0, 0) == stretches(5, 5, 100) == []
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


def border(keys: Keys, tokens: Counts, rotation: int, at: int) -> tuple[int, int]:
    """The document that holds a token of an epoch, from a histogram and the documents of a bin."""
    if at in (0, int(tokens.sum())):
        return (EVERYTHING if at else 0), 0
    histogram = Histogram.of(keys, tokens).rotated(rotation)
    crossing = crossing_bin(histogram, at + 1)
    assert crossing is not None
    rows = [
        row
        for low, high in key_ranges(*bin_range(crossing), rotation)
        for row in range(len(keys))[rows_between(keys, low, high)]
    ]
    return boundary(histogram, at, keys[rows] + np.uint64(rotation), tokens[rows])


@pytest.mark.parametrize("seed", range(6))
def test_phases_take_each_token_of_a_stream_once_and_in_order(seed: int) -> None:
    """Brute force: positions in Python ints, all tokens of all epochs in one list."""
    rng = np.random.default_rng(seed)
    for size in (1, 2, 150):
        keys = np.sort(mixing_keys(seed, "web", make_ids(seed, size)))
        tokens = rng.integers(1, 9, size)
        available = int(tokens.sum())
        stream: list[tuple[int, int]] = []  # document, and number of the token in it
        for number in range(4):
            rotation = shift(seed, "web", number)
            positions = [(key + rotation) % EVERYTHING for key in keys.tolist()]
            for row in sorted(range(size), key=positions.__getitem__):
                stream += [(row, token) for token in range(tokens[row])]
        cuts = np.sort(rng.integers(0, 4 * available, 5)).tolist()
        for start, stop in pairwise([0, *cuts, cuts[-1], 4 * available]):
            for of in (1, 7):
                found: list[tuple[int, int]] = []
                for number, low, high in stretches(start, stop, available):
                    rotation = shift(seed, "web", number)
                    ends = (border(keys, tokens, rotation, at) for at in (low, high))
                    epoch = Epoch("web", number, rotation, *(n for end in ends for n in end))
                    for bucket in range(of):
                        rows = select(keys, epoch, bucket, of)
                        firsts, lasts = epoch.pieces(keys[rows], tokens[rows])
                        for row, first, last in zip(rows, firsts, lasts, strict=True):
                            found += [(row, token) for token in range(first, last)]
                assert found == stream[start:stop]


def test_every_bucket_holds_the_mixture() -> None:
    keys = np.sort(mixing_keys(1, "web", make_ids(1, 50_000)))
    epoch = Epoch("web", 3, shift(1, "web", 3), high=EVERYTHING * 7 // 10)
    counts = [len(select(keys, epoch, bucket, 10)) for bucket in range(10)]
    assert sum(counts) == pytest.approx(35_000, abs=600)
    assert all(abs(count - 3500) < 300 for count in counts)  # five standard deviations


def test_more_buckets_than_documents() -> None:
    keys = np.sort(mixing_keys(1, "web", make_ids(1, 3)))
    epoch = Epoch("web", 0, 0)
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
