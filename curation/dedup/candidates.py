"""From equal band keys to verified edges."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from curation.dedup.minhash import similarity
from curation.dedup.nodes import EDGE, Array, factorize
from curation.dedup.words import mix

Index = npt.NDArray[np.int64]

Compare = Callable[[Index, Index], npt.NDArray[np.float64]]
Minima = Callable[[Index], Array]

# Pairs of signatures compared at once, to bound memory.
_PAIRS = 1 << 13
# The share of the pairs at the threshold that agree in one of the bands of `_narrowed`, about, and
# how many bands it has at most.
_AGREE, _BANDS = 0.25, 64


class Counts(NamedTuple):
    """What `stars` did."""

    compared: int  # pairs whose signatures were compared
    verified: int  # of these, at or above the threshold: the edges
    given_up: int  # rows without an edge that some member of their bucket was not compared with


def by_signatures(signatures: Array) -> Compare:
    """Compare rows by their signatures or sketches [n, values]."""

    def compare(a: Index, b: Index) -> npt.NDArray[np.float64]:
        result = np.empty(len(a))
        for start in range(0, len(a), _PAIRS):
            part = slice(start, start + _PAIRS)
            result[part] = similarity(signatures[a[part]], signatures[b[part]])
        return result

    return compare


def buckets(
    keys: Array, following: Array, ties: Array, max_bucket: int
) -> tuple[Index, Index, int]:
    """Rows that share a bucket with others, int64 [m], the bucket of each, and how many buckets
    were divided.

    Rows with an equal key (uint64 [n]) share a bucket. One with more than `max_bucket` members
    is divided by the rows' keys in the following band (uint [n]); the first of all that this
    gives, those with the smallest of `ties` (uint64 [n], distinct), make a bucket of their own,
    so that none is cut off. What is still larger is cut into buckets of `max_bucket` that have
    their first member in common: who is like it is connected through it. Buckets are numbered
    from 0. The answer does not depend on the order of the rows, but for their order.
    """
    order = np.argsort(keys)
    group = _numbered(_changes(keys[order]))
    sizes = np.bincount(group)
    hot = sizes[group] > max_bucket
    cool = (sizes[group] > 1) & ~hot
    rows, bucket = order[cool], _numbered(_changes(group[cool]))
    if not hot.any():
        return rows, bucket, 0
    divided = int(np.count_nonzero(sizes > max_bucket))
    hot_rows, hot_bucket = _divide(order[hot], keys, following, ties, max_bucket)
    first = int(bucket[-1]) + 1 if len(bucket) else 0
    return np.concatenate((rows, hot_rows)), np.concatenate((bucket, hot_bucket + first)), divided


def _divide(
    rows: Index, keys: Array, following: Array, ties: Array, max_bucket: int
) -> tuple[Index, Index]:
    """The rows of hot buckets in smaller ones."""
    rows = rows[np.lexsort((ties[rows], following[rows], keys[rows]))]
    first = _changes(keys[rows]) | _changes(following[rows])
    heads = rows[first]
    heads = heads[np.lexsort((ties[heads], keys[heads]))]
    inner, inner_bucket = _cut(rows, first, max_bucket)
    outer, outer_bucket = _cut(heads, _changes(keys[heads]), max_bucket)
    above = int(inner_bucket.max(initial=-1)) + 1
    return np.concatenate((inner, outer)), np.concatenate((inner_bucket, outer_bucket + above))


def _cut(rows: Index, first: npt.NDArray[np.bool_], max_bucket: int) -> tuple[Index, Index]:
    """Runs of rows, by the flags of their first, in pieces that all have that first row."""
    shared = np.bincount(_numbered(first))[_numbered(first)] > 1
    rows, first = rows[shared], first[shared]
    starts = np.flatnonzero(first)
    sizes = np.diff(starts, append=len(rows))
    run = _numbered(first)
    place = np.arange(len(rows)) - starts[run]
    pieces = -(-(sizes - 1) // (max_bucket - 1))
    first_piece = np.cumsum(pieces) - pieces
    bucket = first_piece[run] + np.maximum(place - 1, 0) // (max_bucket - 1)
    again = np.repeat(starts, pieces - 1)
    others = np.delete(np.arange(pieces.sum()), first_piece)
    return np.concatenate((rows, rows[again])), np.concatenate((bucket, others))


def _changes(values: Array) -> npt.NDArray[np.bool_]:
    """Where a value differs from the one before it; the first does."""
    result = np.ones(len(values), np.bool_)
    result[1:] = values[1:] != values[:-1]
    return result


def _numbered(first: npt.NDArray[np.bool_]) -> Index:
    """Number of the run that each position is in, from the flags of first positions."""
    return np.cumsum(first) - 1


def stars(
    bucket_ids: Index,
    nodes: Array,
    compare: Compare,
    threshold: float,
    rounds: int,
    minima: Minima | None = None,
) -> tuple[Array, Counts]:
    """Verified edges within buckets: EDGE [m] in order, and what was compared.

    `bucket_ids`: int64 [n]; `nodes`: NODE [n], in a bucket each once; `compare`: similarity,
    float64 [m], of the rows that two int64 [m] name. In each of `rounds` rounds every bucket has
    a hub, which is compared with all members that are not yet connected with it; a pair with a
    similarity of `threshold` or more is an edge. The first hub is the smallest node. The next is
    the smallest that has no edge yet, else the smallest that was no hub; so after as many
    rounds as a bucket has members but one, every pair in it is connected or was compared. A
    bucket takes no part any more when that holds.

    What is left then is in buckets of many pages that share no more than boilerplate. If `minima`
    gives the values of signatures or sketches, [m, values], of rows int64 [m], their members are
    compared once more within narrower bands: with the smallest and with the one before in each.
    The answer does not depend on the order of the rows.
    """
    distinct, rank = factorize(nodes)
    rows = np.argsort(rank)
    rows = rows[np.argsort(bucket_ids[rows], kind="stable")]
    rank = rank[rows]
    bucket = _numbered(_changes(bucket_ids[rows]))
    # Members of one bucket stand together, smallest first. A component is named by a position.
    component = np.arange(len(rows))
    was_hub = np.zeros(len(rows), np.bool_)
    alone = np.ones(len(rows), np.bool_)
    open_rows = _open(bucket, component, was_hub)
    compared = 0
    found: list[tuple[Index, Index, npt.NDArray[np.float64]]] = []

    def join(hubs: Index, leaves: Index) -> None:
        """Compare pairs that are not in one component yet, and join those that pass."""
        nonlocal compared, component
        apart = component[hubs] != component[leaves]
        hubs, leaves = hubs[apart], leaves[apart]
        estimate = compare(rows[hubs], rows[leaves])
        passed = estimate >= threshold
        compared += len(leaves)
        hubs, leaves = hubs[passed], leaves[passed]
        found.append((hubs, leaves, estimate[passed]))
        alone[hubs] = alone[leaves] = False
        component = _joined(component, hubs, leaves)

    for _ in range(rounds):
        if not len(open_rows):
            break
        hub = _hubs(bucket, open_rows, alone)
        was_hub[hub[bucket[open_rows]]] = True
        leaves = open_rows[~was_hub[open_rows]]
        join(hub[bucket[leaves]], leaves)
        open_rows = _open(bucket, component, was_hub)
    for keys in () if minima is None else _narrowed(minima(rows[open_rows]), threshold):
        hubs, leaves = _neighbours(bucket[open_rows], keys)
        join(open_rows[hubs], open_rows[leaves])
    given_up = int(np.count_nonzero(alone[open_rows]))
    return _edges(distinct, rank, found), Counts(compared, sum(len(f[0]) for f in found), given_up)


def _joined(component: Index, hubs: Index, leaves: Index) -> Index:
    """Components after some edges; of one that is joined to several at once, only one is noticed,
    so that others are compared again."""
    joins = np.arange(len(component))
    joins[component[leaves]] = component[hubs]
    return joins[component]


def _narrowed(minima: Array, threshold: float) -> Array:
    """Keys of bands in which of two rows that are alike one in four agrees, uint64 [bands, n]."""
    values = minima.shape[1]
    size = int(np.log(_AGREE) / np.log(threshold)) if 0 < threshold < 1 else values
    size = min(max(size, 1), values)
    bands = min(values // size, _BANDS)
    some = minima[:, : bands * size].reshape(len(minima), bands, size)
    keys: Array = np.zeros((len(minima), bands), np.uint64)
    for value in range(size):
        keys = mix(keys + some[:, :, value])
    return np.ascontiguousarray(keys.T)


def _neighbours(bucket: Index, keys: Array) -> tuple[Index, Index]:
    """Pairs of positions with one bucket and key: each with the first, and with the one before."""
    order = np.lexsort((keys, bucket))
    first = _changes(bucket[order]) | _changes(keys[order])
    start = np.flatnonzero(first)[_numbered(first)]
    place = np.arange(len(order))
    leaves = place[~first]
    before = place[place - start > 1]
    return (
        order[np.concatenate((start[leaves], before - 1))],
        order[np.concatenate((leaves, before))],
    )


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
