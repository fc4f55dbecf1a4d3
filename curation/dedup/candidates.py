"""From equal band keys to verified edges."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from curation.dedup.minhash import similarity
from curation.dedup.nodes import EDGE, Array, factorize

Index = npt.NDArray[np.int64]

# Pairs of signatures compared at once, to bound memory.
_PAIRS = 1 << 13


class Counts(NamedTuple):
    """What `stars` did."""

    compared: int  # pairs whose signatures were compared
    verified: int  # of these, at or above the threshold: the edges
    given_up: int  # rows without an edge that some member of their bucket was not compared with


def buckets(keys: Array, next_keys: Array, max_bucket: int) -> tuple[Index, int]:
    """Bucket of every row, int64 [n], and how many buckets were divided.

    Rows with an equal key (uint64 [n]) share a bucket. One with more than `max_bucket` members
    is divided once by `next_keys`, the rows' keys in the following band. Buckets are numbered in
    the order of their keys, from 0; a row that is alone has -1.
    """
    order = np.argsort(keys)
    group = _numbered(_changes(keys[order]))
    hot = np.bincount(group, minlength=0)[group] > max_bucket
    divided = len(np.unique(group[hot]))
    if divided:
        within = np.where(hot, next_keys[order], np.uint64(0))
        again = np.lexsort((within, group))
        order, within = order[again], within[again]
        group = _numbered(_changes(group[again]) | _changes(within))
    shared = np.bincount(group)[group] > 1 if len(group) else np.zeros(0, np.bool_)
    result = np.full(len(keys), -1, np.int64)
    result[order[shared]] = _numbered(_changes(group[shared]))
    return result, divided


def _changes(values: Array) -> npt.NDArray[np.bool_]:
    """Where a value differs from the one before it; the first does."""
    result = np.ones(len(values), np.bool_)
    result[1:] = values[1:] != values[:-1]
    return result


def _numbered(first: npt.NDArray[np.bool_]) -> Index:
    """Number of the run that each position is in, from the flags of first positions."""
    return np.cumsum(first) - 1


def stars(
    bucket_ids: Index, nodes: Array, signatures: Array, threshold: float, rounds: int
) -> tuple[Array, Counts]:
    """Verified edges within buckets: EDGE [m] in order, and what was compared.

    `bucket_ids`: int64 [n], negative for rows that are in none; `nodes`: NODE [n];
    `signatures`: [n, permutations]. In each of `rounds` rounds every bucket has a hub, which is
    compared with all members that are not yet connected with it; a pair with an estimated
    similarity of `threshold` or more is an edge. The first hub is the smallest node. The next is
    the smallest that has no edge yet, else the smallest that was no hub; so after as many
    rounds as a bucket has members but one, every pair in it is connected or was compared. A
    bucket takes no part any more when that holds. The answer does not depend on the order of
    the rows.
    """
    rows = np.flatnonzero(bucket_ids >= 0)
    distinct, rank = factorize(nodes[rows])
    order = np.argsort(rank)
    order = order[np.argsort(bucket_ids[rows[order]], kind="stable")]
    rows, rank = rows[order], rank[order]
    bucket = _numbered(_changes(bucket_ids[rows]))
    # Members of one bucket stand together, smallest first. A component is named by a position.
    component = np.arange(len(rows))
    was_hub = np.zeros(len(rows), np.bool_)
    alone = np.ones(len(rows), np.bool_)
    open_rows = _open(bucket, component, was_hub)
    compared = 0
    found: list[tuple[Index, Index, npt.NDArray[np.float64]]] = []
    for _ in range(rounds):
        if not len(open_rows):
            break
        hub = _hubs(bucket, open_rows, alone)
        was_hub[hub[bucket[open_rows]]] = True
        leaves = open_rows[~was_hub[open_rows]]
        leaves = leaves[component[leaves] != component[hub[bucket[leaves]]]]
        hubs = hub[bucket[leaves]]
        estimate = _compare(signatures, rows[hubs], rows[leaves])
        passed = estimate >= threshold
        compared += len(leaves)
        hubs, leaves = hubs[passed], leaves[passed]
        found.append((hubs, leaves, estimate[passed]))
        alone[hubs] = alone[leaves] = False
        joins = np.arange(len(rows))
        joins[component[leaves]] = component[hubs]
        component = joins[component]
        open_rows = _open(bucket, component, was_hub)
    given_up = int(np.count_nonzero(alone[open_rows]))
    return _edges(distinct, rank, found), Counts(compared, sum(len(f[0]) for f in found), given_up)


def _open(bucket: Index, component: Index, was_hub: npt.NDArray[np.bool_]) -> Index:
    """Rows that were no hub, in buckets where two of them are in different components."""
    rows = np.flatnonzero(~was_hub)
    own, first = bucket[rows], _changes(bucket[rows])
    component = component[rows]
    differs = component != component[first][_numbered(first)]
    is_open = np.zeros(bucket[-1] + 1 if len(bucket) else 0, np.bool_)
    is_open[own[differs]] = True
    return rows[is_open[own]]


def _hubs(bucket: Index, open_rows: Index, alone: npt.NDArray[np.bool_]) -> Index:
    """Next hub of every open bucket, indexed by bucket."""
    hub = np.full(bucket[-1] + 1, -1)
    for choice in (open_rows, open_rows[alone[open_rows]]):
        first = choice[_changes(bucket[choice])]
        hub[bucket[first]] = first
    return hub


def _compare(signatures: Array, a: Index, b: Index) -> npt.NDArray[np.float64]:
    result = np.empty(len(a))
    for start in range(0, len(a), _PAIRS):
        part = slice(start, start + _PAIRS)
        result[part] = similarity(signatures[a[part]], signatures[b[part]])
    return result


def _edges(
    distinct: Array, rank: Index, found: list[tuple[Index, Index, npt.NDArray[np.float64]]]
) -> Array:
    """EDGE array, sorted, of pairs of positions."""
    if not found:
        return np.empty(0, EDGE)
    hubs, leaves, estimate = (np.concatenate(part) for part in zip(*found, strict=True))
    a = np.minimum(rank[hubs], rank[leaves])
    b = np.maximum(rank[hubs], rank[leaves])
    order = np.argsort(a * len(distinct) + b)
    edges = np.empty(len(order), EDGE)
    edges["a"] = distinct[a[order]]
    edges["b"] = distinct[b[order]]
    edges["similarity"] = estimate[order]
    return edges
