import numpy as np
import pytest

from curation.dedup.components import (
    both_ways,
    connected,
    contract,
    large_star,
    larger_first,
    partition,
    small_star,
)
from curation.dedup.nodes import EDGE, LINK


def links_of(documents, a, b):
    """LINK array of pairs of documents, the smaller one first."""
    order = np.lexsort((documents["id_low"], documents["id_high"], documents["preference"]))
    rank = np.argsort(order)
    swap = rank[a] > rank[b]
    links = np.empty(len(a), LINK)
    links["a"] = documents[np.where(swap, b, a)]
    links["b"] = documents[np.where(swap, a, b)]
    return links


def keys(documents):
    fields = ("preference", "id_high", "id_low")
    return list(zip(*(documents[field].tolist() for field in fields), strict=True))


def expected_roots(links):
    """The smallest node of the component of each, by union-find."""
    parent = {}

    def find(node):
        while parent.setdefault(node, node) != node:
            parent[node] = parent[parent[node]]
            node = parent[node]
        return node

    for a, b in zip(keys(links["a"]), keys(links["b"]), strict=True):
        low, high = sorted((find(a), find(b)))
        parent[high] = low
    return {node: find(node) for node in parent}


def roots(stars):
    return dict(zip(keys(stars["b"]), keys(stars["a"]), strict=True))


def graphs():
    rng = np.random.default_rng(0)
    count = 3000
    chain = np.arange(count - 1)
    yield "chain", chain, chain + 1
    shuffled = rng.permutation(count)
    yield "shuffled chain", shuffled[:-1], shuffled[1:]
    yield "star", np.zeros(count - 1, int), chain + 1
    yield "tree", np.array([(i - 1) // 2 for i in range(1, count)]), np.arange(1, count)
    yield "sparse", rng.integers(0, count, 1400), rng.integers(0, count, 1400)
    yield "critical", rng.integers(0, count, 1600), rng.integers(0, count, 1600)
    yield "dense", rng.integers(0, count, 12_000), rng.integers(0, count, 12_000)
    cliques = np.array([(i, j) for i in range(60) for j in range(i)])
    yield "clique", cliques[:, 0], cliques[:, 1]
    hubs = np.arange(count - 2) // 50 * 50
    yield "chain of stars", hubs, np.arange(2, count)


@pytest.fixture(params=[name for name, *_ in graphs()])
def links(request, make_nodes):
    a, b = next((a, b) for name, a, b in graphs() if name == request.param)
    return links_of(make_nodes(3000, 7), a[a != b], b[a != b])


def test_connected(links, shuffled):
    stars = connected(links)
    assert roots(stars) == expected_roots(links)
    assert len(stars) == len(expected_roots(links))
    again = connected(links[shuffled(len(links))])
    assert again.tobytes() == stars.tobytes()


def test_contracted_links_have_the_same_components(links):
    fewer = contract(links)
    assert len(fewer) <= len(links)
    assert connected(fewer).tobytes() == connected(links).tobytes()
    assert contract(fewer).tobytes() == fewer.tobytes()
    # In chunks, as tasks do it, and then together.
    chunks = [contract(links[start::7]) for start in range(7)]
    assert connected(np.concatenate(chunks)).tobytes() == connected(links).tobytes()


def one_step(star, rows, partitions):
    """A round's half in `partitions` tasks that see only the rows of their nodes."""
    where = partition(rows["a"], partitions)
    results = [star(rows[where == task]) for task in range(partitions)]
    return np.concatenate([links for links, _ in results]), sum(count for _, count in results)


@pytest.mark.parametrize("partitions", [1, 5])
def test_rounds_end_in_stars_around_the_roots(links, partitions):
    now, rounds = links, 0
    while True:
        before = len(now)
        now, by_large = one_step(large_star, both_ways(now), partitions)
        now, by_small = one_step(small_star, larger_first(now), partitions)
        assert len(np.unique(now)) <= before
        if by_large + by_small == 0:
            break
        rounds += 1
    assert rounds <= 2 * np.log2(3000)
    assert roots(now) == {n: r for n, r in expected_roots(links).items() if n != r}
    assert np.sort(now).tobytes() == np.sort(contract(links)).tobytes()


def test_partitions_do_not_change_a_step(links, shuffled):
    for star, direction in ((large_star, both_ways), (small_star, larger_first)):
        rows = direction(links)
        whole, _ = star(rows)
        parts, _ = one_step(star, rows[shuffled(len(rows))], 4)
        assert np.unique(parts).tobytes() == np.unique(whole).tobytes()


def test_partition_is_by_id_and_even(make_nodes):
    documents = make_nodes(30_000)
    found = partition(documents, 3)
    counts = np.bincount(found)
    assert len(counts) == 3
    assert (abs(counts - 10_000) < 400).all()
    other = documents.copy()
    other["preference"] += np.uint64(1)
    other["part"] += np.uint32(1)
    assert (partition(other, 3) == found).all()
    documents["id_high"] = np.uint64(2**64 - 1)
    assert (partition(documents, 1000) == 999).all()


def test_edges_and_nothing_are_links_too(make_nodes):
    documents = make_nodes(3)
    edges = np.zeros(1, EDGE)
    edges["a"], edges["b"] = documents[0], documents[1]
    assert len(connected(edges)) == 2
    assert len(contract(edges)) == 1
    none = np.empty(0, LINK)
    assert len(connected(none)) == len(contract(none)) == 0
    assert large_star(both_ways(none))[1] == small_star(larger_first(none))[1] == 0
