import numpy as np
import pytest

from curation.dedup.nodes import EDGE, LINK, NODE, factorize, ids, nodes, pack, preference, unpack
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


def test_factorize_nothing():
    distinct, index = factorize(np.empty(0, NODE))
    assert len(distinct) == len(index) == 0


def test_preference():
    sizes, crawled = np.array([10, 300, 0]), np.array([1_600_000_000, 0, -1])
    assert preference("longest", sizes, crawled).argsort().tolist() == [1, 0, 2]
    assert preference("oldest", sizes, crawled).argsort().tolist() == [1, 0, 2]
    assert preference("oldest", sizes, crawled).tolist() == [1_600_000_000, 0, 2**64 - 1]
    assert preference("smallest_id", sizes, crawled).tolist() == [0, 0, 0]
    assert preference("longest", sizes, crawled).dtype == np.uint64
