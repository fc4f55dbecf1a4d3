import itertools

import numpy as np
import pytest

from curation.dedup.candidates import buckets, by_signatures, stars
from curation.dedup.components import connected
from curation.dedup.minhash import similarity
from curation.dedup.nodes import EDGE


def pairs(edges):
    return {(edge["a"].tobytes(), edge["b"].tobytes()) for edge in edges}


def groups_of(rows, bucket):
    """Rows of each bucket, by the number of the bucket."""
    found = {}
    for row, number in zip(rows.tolist(), bucket.tolist(), strict=True):
        found.setdefault(number, set()).add(row)
    assert sorted(found) == list(range(len(found)))
    return [found[number] for number in sorted(found)]


def test_buckets():
    keys = np.array([7, 3, 7, 9, 3, 7, 2**64 - 1], np.uint64)
    ties = np.arange(7, dtype=np.uint64)
    rows, bucket, divided = buckets(keys, keys, ties, 10)
    assert groups_of(rows, bucket) == [{1, 4}, {0, 2, 5}]
    assert divided == 0
    for count in (0, 2):
        rows, bucket, divided = buckets(keys[:count], keys[:count], ties[:count], 10)
        assert len(rows) == len(bucket) == divided == 0


def test_hot_buckets_are_divided_by_the_next_band():
    keys = np.array([5, 5, 5, 5, 5, 8, 8, 1], np.uint64)
    following = np.array([2, 9, 2, 9, 4, 1, 2, 2], np.uint64)
    ties = np.arange(8, dtype=np.uint64)
    rows, bucket, divided = buckets(keys, following, ties, 4)
    # The five are divided in two, two and one, whose first meet again; the two of key 8 stay.
    assert sorted(map(sorted, groups_of(rows, bucket))) == [[0, 1, 4], [0, 2], [1, 3], [5, 6]]
    assert divided == 1
    rows, bucket, divided = buckets(keys, following, ties, 5)
    assert groups_of(rows, bucket) == [{0, 1, 2, 3, 4}, {5, 6}]
    assert divided == 0


def test_what_is_still_too_large_is_cut_around_one_member():
    keys = np.zeros(1003, np.uint64)
    keys[1000:] = [5, 5, 6]
    ties = np.random.default_rng(0).permutation(1003).astype(np.uint64)
    rows, bucket, divided = buckets(keys, keys, ties, 100)
    pair, *pieces = groups_of(rows, bucket)
    assert divided == 1
    assert pair == {1000, 1001}
    assert len(pieces) == -(-999 // 99)
    assert all(1 < len(piece) <= 100 for piece in pieces)
    assert set.union(*pieces) == set(range(1000))
    assert set.intersection(*pieces) == {int(ties[:1000].argmin())}
    order = np.random.default_rng(1).permutation(1003)
    rows, bucket, _ = buckets(keys[order], keys[order], ties[order], 100)
    assert groups_of(order[rows], bucket) == [pair, *pieces]


def test_buckets_of_many_rows_are_those_of_a_dictionary():
    rng = np.random.default_rng(2)
    keys = rng.zipf(1.3, 20_000).astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15)
    following = rng.integers(0, 90, 20_000).astype(np.uint64)
    rows, bucket, divided = buckets(keys, following, np.arange(20_000, dtype=np.uint64), 100)
    sizes = {key: int((keys == key).sum()) for key in set(keys.tolist())}
    assert divided == sum(size > 100 for size in sizes.values())
    groups = {}
    for row, (key, other) in enumerate(zip(keys.tolist(), following.tolist(), strict=True)):
        groups.setdefault((key, other if sizes[key] > 100 else None), set()).add(row)
    assert max(map(len, groups.values())) <= 100
    for key in [key for key, size in sizes.items() if size > 100]:
        groups[key, "firsts"] = {min(rows) for (of, _), rows in groups.items() if of == key}
    expected = {frozenset(rows) for rows in groups.values() if len(rows) > 1}
    assert set(map(frozenset, groups_of(rows, bucket))) == expected


def block(similar, size=100):
    """Signatures [n, size] with given shares of equal values, pairs by pairs of rows."""
    count = max(itertools.chain(*similar)) + 1
    signatures = np.arange(count * size, dtype=np.uint64).reshape(count, size)
    at = 0
    for (a, b), share in similar.items():
        width = round(share * size)
        signatures[a, at : at + width] = signatures[b, at : at + width]
        at += width
    assert at <= size
    return signatures


def test_a_leaf_that_fails_gets_another_hub(make_nodes):
    documents = np.sort(make_nodes(4), order=["preference", "id_high", "id_low"])
    one = np.zeros(4, np.int64)
    # 0-1 are alike, and 2-3 are
    signatures = block({(0, 1): 0.5, (2, 3): 0.4})
    edges, counts = stars(one, documents, by_signatures(signatures), 0.4, 1)
    assert pairs(edges) == pairs_of(documents, [(0, 1)])
    assert counts == (3, 1, 2)
    edges, counts = stars(one, documents, by_signatures(signatures), 0.4, 2)
    assert pairs(edges) == pairs_of(documents, [(0, 1), (2, 3)])
    # Then 1 and 3 are left, in different stars; a third round compares them.
    assert counts == (5, 2, 0)
    assert stars(one, documents, by_signatures(signatures), 0.4, 3)[1] == (6, 2, 0)
    assert stars(one, documents, by_signatures(signatures), 0.4, 100)[1] == (6, 2, 0)
    assert edges["similarity"].tolist() == pytest.approx([0.5, 0.4])


def test_a_verified_leaf_still_joins_other_hubs(make_nodes):
    documents = np.sort(make_nodes(3), order=["preference", "id_high", "id_low"])
    # 1 is like 0 and like 2, which are not alike; 2 is the next hub.
    signatures = block({(0, 1): 0.45, (1, 2): 0.45})
    edges, counts = stars(np.zeros(3, np.int64), documents, by_signatures(signatures), 0.4, 2)
    assert pairs(edges) == pairs_of(documents, [(0, 1), (1, 2)])
    assert counts == (3, 2, 0)


def pairs_of(documents, found):
    return {(documents[a].tobytes(), documents[b].tobytes()) for a, b in found}


def test_the_threshold_is_met_exactly(make_nodes):
    documents = make_nodes(2)
    for share in (0.7, 0.75, 0.29):
        signatures = block({(0, 1): share})
        assert (
            len(stars(np.zeros(2, np.int64), documents, by_signatures(signatures), share, 1)[0])
            == 1
        )
        above = np.nextafter(share, 1)
        assert (
            len(stars(np.zeros(2, np.int64), documents, by_signatures(signatures), above, 1)[0])
            == 0
        )


def random_case(make_nodes, seed, count=3000):
    """Documents in buckets of all sizes, in each some clusters that are loosely alike."""
    rng = np.random.default_rng(seed)
    documents = make_nodes(count, seed)
    bucket = rng.integers(0, count // 12, count)
    bucket[: count // 10] = 3
    cluster = rng.integers(0, 4, count) + 10 * (bucket + 1)
    centres = rng.integers(0, 1 << 40, (cluster.max() + 1, 64)).astype(np.uint64)
    signatures = centres[cluster]
    noise = rng.random((count, 64)) < rng.choice([0.05, 0.15, 0.25], (count, 1))
    signatures[noise] = rng.integers(0, 1 << 40, noise.sum())
    return bucket, documents, signatures


def test_all_that_is_alike_in_a_bucket_is_connected(make_nodes):
    bucket, documents, signatures = random_case(make_nodes, 1)
    edges, counts = stars(bucket, documents, by_signatures(signatures), 0.7, len(bucket))
    assert counts.verified == len(edges)
    assert counts.given_up == 0
    row = {document.tobytes(): i for i, document in enumerate(documents)}
    for edge in edges:
        a, b = row[edge["a"].tobytes()], row[edge["b"].tobytes()]
        assert bucket[a] == bucket[b]
        assert similarity(signatures[a], signatures[b]) >= 0.7
    root = {link["b"].tobytes(): link["a"].tobytes() for link in connected(edges)}
    alike = 0
    for label in range(bucket.max() + 1):
        for a, b in itertools.combinations(np.flatnonzero(bucket == label), 2):
            if similarity(signatures[a], signatures[b]) >= 0.7:
                alike += 1
                assert root[documents[a].tobytes()] == root[documents[b].tobytes()]
    assert alike > 2 * len(edges)


def test_rounds_bound_the_comparisons(make_nodes):
    bucket, documents, signatures = random_case(make_nodes, 2)
    members = len(bucket)
    before = -1
    for rounds in (1, 2, 4, 8):
        edges, counts = stars(bucket, documents, by_signatures(signatures), 0.7, rounds)
        assert counts.compared <= rounds * members
        assert len(edges) > before
        before = len(edges)
    assert stars(bucket, documents, by_signatures(signatures), 0.7, 1)[1].given_up > 0


def test_the_order_of_rows_does_not_matter(make_nodes, shuffled):
    bucket, documents, signatures = random_case(make_nodes, 3)
    edges, counts = stars(bucket, documents, by_signatures(signatures), 0.7, 4)
    order = shuffled(len(bucket))
    # Buckets may be numbered in another way too.
    other = 100_000 - 7 * bucket
    again, same = stars(other[order], documents[order], by_signatures(signatures[order]), 0.7, 4)
    assert edges.tobytes() == again.tobytes()
    assert counts == same


def test_nothing_to_compare(make_nodes):
    documents = make_nodes(3)
    compare = by_signatures(np.zeros((3, 8), np.uint64))
    edges, counts = stars(np.arange(3), documents, compare, 0.7, 4)
    assert edges.dtype == EDGE
    assert len(edges) == 0
    assert counts == (0, 0, 0)
    edges, _ = stars(np.empty(0, np.int64), documents[:0], compare, 0.7, 4)
    assert len(edges) == 0
