import numpy as np
import pytest

from curation.dedup.nodes import (
    EDGE,
    LAST,
    LINK,
    NODE,
    factorize,
    ids,
    nodes,
    pack,
    preference,
    unpack,
)
from schemas.tables import EDGE as EDGE_TABLE


def test_a_node_is_28_packed_bytes():
    assert NODE.itemsize == 28
    assert LINK.itemsize == 56
    assert EDGE.itemsize == 60
    assert EDGE_TABLE.field("a").type.byte_width == NODE.itemsize


def test_pack_and_unpack(make_nodes):
    array = make_nodes(10)
    assert (unpack(pack(array), NODE) == array).all()
    assert len(unpack(b"", NODE)) == 0
    with pytest.raises(ValueError, match="no whole number of rows of 28 bytes"):
        unpack(pack(array)[:-1], NODE)


def test_ids_come_back_and_must_fit():
    raw = bytes(range(48))
    array = nodes(np.array([1, 2, 3]), raw, 7)
    assert ids(array).tobytes() == raw
    assert array["part"].tolist() == [7, 7, 7]
    with pytest.raises(ValueError, match="3 ids for 2 preferences"):
        nodes(np.array([1, 2]), raw, 0)


def test_order_is_that_of_preference_and_id_bytes():
    # Few values a byte, so that preferences and halves of ids tie, and the sign bits are met.
    rng = np.random.default_rng(1)
    raw = rng.choice([0, 1, 255], (5000, 16), p=[0.8, 0.1, 0.1]).astype(np.uint8)
    preferences = np.array([0, 1, 2**64 - 1], np.uint64)[rng.integers(0, 3, 5000)]
    array = nodes(preferences, raw, 0)
    rows = [(int(p), r.tobytes()) for p, r in zip(preferences, raw, strict=True)]
    expected = sorted(set(rows))
    distinct, index = factorize(array)
    got = list(zip(distinct["preference"].tolist(), map(bytes, ids(distinct)), strict=True))
    assert got == expected
    assert [expected[i] for i in index] == rows


def test_documents_of_one_id_and_other_preferences_are_two():
    array = nodes(np.array([1, 0, 1], np.uint64), bytes(48), 0)
    distinct, index = factorize(array)
    assert distinct["preference"].tolist() == [0, 1]
    assert index.tolist() == [1, 0, 1]


def test_factorize_nothing():
    distinct, index = factorize(np.empty(0, NODE))
    assert len(distinct) == len(index) == 0


def prefer(keep, **columns):
    given = {
        "text_bytes": np.array([10, 300, 0, 300]),
        "crawled": np.array([1_600_000_000, 0, -1, 1_600_000_000]),
        "signal": np.array([0.5, -1e30, float("nan"), 1e30]),
        "digests": [bytes([9] * 16), bytes([7] * 16), bytes([5] * 16), bytes([3] * 16)],
        "rank": np.array([254, 254, 254, 254], np.uint8),
    } | columns
    return preference(keep, *given.values())


@pytest.mark.parametrize(
    ("keep", "order"),
    [
        ("longest", [3, 1, 0, 2]),
        ("oldest", [1, 3, 0, 2]),
        ("newest", [3, 0, 1, 2]),
        ("quality.score", [3, 0, 1, 2]),
    ],
)
def test_preference(keep, order):
    found = prefer(keep)
    assert found.dtype == np.uint64
    assert found.argsort().tolist() == order
    ranked = prefer(keep, rank=np.array([254, 1, 2, 254], np.uint8))
    assert ranked.argsort().tolist()[:2] == [1, 2]
    assert 1 << 56 <= min(ranked) < max(ranked) < LAST


def test_preference_by_id_leaves_all_else_out():
    assert len(set(prefer("smallest_id").tolist())) == 1


def test_preference_by_a_signal_goes_with_its_order():
    values = np.array([-np.inf, -3.5, -1e-30, -0.0, 0.0, 1e-30, 0.25, 7, 1e300, np.inf])
    count = len(values)
    found = preference(
        "a.b",
        np.zeros(count, int),
        np.zeros(count, int),
        values,
        [bytes(16)] * count,
        np.ones(count, np.uint8),
    )
    assert (np.diff(found.astype(object)) <= 0).all()
    assert found[3] == found[4]
    assert len(set(found.tolist())) == count - 2
