"""Documents whose text is the same."""

from __future__ import annotations

from hashlib import blake2b

import numpy as np

from curation.dedup.nodes import EDGE, Array, factorize
from curation.dedup.words import normalise


def digest(text: str, scope: str = "") -> bytes:
    """blake2b-128 of a text as UTF-8, keyed by the scope within which duplicates are looked for."""
    key = blake2b(scope.encode(), digest_size=16).digest() if scope else b""
    return blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16, key=key).digest()


def normalised_digest(text: str, scope: str = "") -> bytes:
    """`digest` of the normalised text, in which all digits are equal.

    A text without a letter or a number has the digest of the text as it is.
    """
    return digest(normalise(text) or text, scope)


def groups(digests: bytes | Array, nodes: Array) -> Array:
    """EDGE array of stars between documents with equal digests, in order.

    `digests`: 16 n bytes in any shape; `nodes`: NODE [n]. The hub of a star is its smallest node,
    the similarity is 1. The answer does not depend on the order of the rows.
    """
    raw = digests if isinstance(digests, bytes) else np.ascontiguousarray(digests).tobytes()
    halves = np.frombuffer(raw, "<u8").reshape(len(nodes), 2)
    distinct, rank = factorize(nodes)
    order = np.lexsort((rank, halves[:, 1], halves[:, 0]))
    halves, rank = halves[order], rank[order]
    same = np.flatnonzero((halves[1:] == halves[:-1]).all(axis=1)) + 1
    first = np.ones(len(rank), np.bool_)
    first[same] = False
    hubs = rank[first][np.cumsum(first) - 1]
    # A document that is there twice is no duplicate of itself.
    rows = same[rank[same] != rank[same - 1]]
    rows = rows[np.lexsort((rank[rows], hubs[rows]))]
    edges = np.empty(len(rows), EDGE)
    edges["a"] = distinct[hubs[rows]]
    edges["b"] = distinct[rank[rows]]
    edges["similarity"] = 1
    return edges
