"""Connected components of links between nodes; the root of a component is its smallest node.

In one process: `connected`. Over many: `contract` in every task, then rounds of `large_star` and
`small_star`, each on the rows of one partition (`both_ways` or `larger_first` of all links,
grouped by `partition` of their field a), until neither changes a link. Then the links are stars
around the roots. R. Kiveris and others, "Connected Components in MapReduce and Beyond"
(2014), show that the rounds end and that links never become more.

All take and give arrays with nodes in fields a and b (LINK, or EDGE), in any order and with
repeats allowed; what they give is in order, without repeats.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from curation.dedup.nodes import LINK, Array, factorize

Index = npt.NDArray[np.int64]


def connected(links: Array) -> Array:
    """Every node of the links (b) with the root of its component (a): LINK [nodes], by b."""
    distinct, a, b = _indices(links)
    root = _roots(len(distinct), a, b)
    result = np.empty(len(distinct), LINK)
    result["a"] = distinct[root]
    result["b"] = distinct
    return result


def contract(links: Array) -> Array:
    """The same components by fewer links: one from the root to each other node."""
    distinct, a, b = _indices(links)
    root = _roots(len(distinct), a, b)
    others = np.flatnonzero(root != np.arange(len(root)))
    return _links(distinct, root[others], others)


def _roots(count: int, a: Index, b: Index) -> Index:
    """Smallest index of the component of each of `count` indices."""
    # of the time that a small deduplication takes these imports would be a fifth
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    graph = coo_array((np.ones(len(a), np.bool_), (a, b)), shape=(count, count))
    parts, label = connected_components(graph, directed=False)
    smallest = np.empty(parts, np.int64)
    # Assigned from the largest on, so that the smallest stays.
    smallest[label[::-1]] = np.arange(count)[::-1]
    return smallest[label]


def large_star(rows: Array) -> tuple[Array, int]:
    """Link the larger neighbours of every node to its smallest neighbour or itself.

    `rows`: of `both_ways`, all those whose a is in one partition. Returns LINK [m] with a < b,
    and how many links differ from a link that was there.
    """
    distinct, node, neighbour = _indices(rows)
    smallest = np.minimum(node, neighbour[_first_of_run(node)])
    larger = neighbour > node
    changed = int(np.count_nonzero(smallest[larger] != node[larger]))
    return _links(distinct, smallest[larger], neighbour[larger]), changed


def small_star(rows: Array) -> tuple[Array, int]:
    """Link every node and its smaller neighbours to the smallest of them.

    `rows`: of `larger_first`, all those whose a is in one partition. Returns as `large_star`.
    """
    distinct, node, neighbour = _indices(rows)
    first = _first_of_run(node)
    smallest = neighbour[first]
    is_first = first == np.arange(len(first))
    # The link of the node itself is that of its first row.
    moved = np.where(is_first, node, neighbour)
    return _links(distinct, smallest, moved), int(np.count_nonzero(~is_first))


def both_ways(links: Array) -> Array:
    """LINK [2 n]: every link from either end, for `large_star`."""
    result = np.empty(2 * len(links), LINK)
    result["a"] = np.concatenate((links["a"], links["b"]))
    result["b"] = np.concatenate((links["b"], links["a"]))
    return result


def larger_first(links: Array) -> Array:
    """LINK [n]: every link with a < b from its larger end, for `small_star`."""
    result = np.empty(len(links), LINK)
    result["a"] = links["b"]
    result["b"] = links["a"]
    return result


def partition(nodes: Array, count: int) -> Index:
    """Which of `count` partitions each of NODE [n] is in, by its id alone: int64 [n]."""
    high_bits = nodes["id_high"] >> np.uint64(32)
    return np.asarray((high_bits * np.uint64(count)) >> np.uint64(32), np.int64)


def _indices(links: Array) -> tuple[Array, Index, Index]:
    """Distinct nodes in order, and the distinct pairs of their indices, sorted."""
    distinct, index = factorize(np.concatenate((links["a"], links["b"])))
    a, b = _distinct_pairs(len(distinct), index[: len(links)], index[len(links) :])
    return distinct, a, b


def _distinct_pairs(count: int, a: Index, b: Index) -> tuple[Index, Index]:
    """Distinct pairs of indices below `count`, sorted."""
    pairs = np.sort(a * count + b)
    new = np.ones(len(pairs), np.bool_)
    new[1:] = pairs[1:] != pairs[:-1]
    a, b = np.divmod(pairs[new], max(count, 1))
    return a, b


def _first_of_run(values: Index) -> Index:
    """For each position of sorted values, the first position with an equal value."""
    return np.searchsorted(values, values)


def _links(distinct: Array, a: Index, b: Index) -> Array:
    a, b = _distinct_pairs(len(distinct), a, b)
    result = np.empty(len(a), LINK)
    result["a"] = distinct[a]
    result["b"] = distinct[b]
    return result
