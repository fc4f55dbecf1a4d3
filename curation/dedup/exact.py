"""Documents whose text is the same."""

from __future__ import annotations

from hashlib import blake2b

import numpy as np
import numpy.typing as npt

from curation.dedup.nodes import Array, factorize
from curation.dedup.words import normalise

Index = npt.NDArray[np.int64]


def digest(text: str | bytes, scope: str = "") -> bytes:
    """blake2b-128 of a text as UTF-8, keyed by the scope within which duplicates are looked for."""
    key = blake2b(scope.encode(), digest_size=16).digest() if scope else b""
    data = text.encode("utf-8", "surrogatepass") if isinstance(text, str) else text
    return blake2b(data, digest_size=16, key=key).digest()


def normalised_digest(text: str, scope: str = "") -> bytes:
    """`digest` of the normalised text, in which all digits are equal.

    A text without a letter or a number has the digest of the text as it is.
    """
    return digest(normalise(text) or text, scope)


def groups(digests: bytes | Array, nodes: Array) -> tuple[Index, Index]:
    """Stars between documents with equal digests: rows of the hubs and of their leaves, int64 [m].

    `digests`: 16 n bytes in any shape; `nodes`: NODE [n]. The hub of a star is its smallest node.
    In the order of hubs, then leaves; the documents do not depend on the order of the rows.
    """
    raw = digests if isinstance(digests, bytes) else np.ascontiguousarray(digests).tobytes()
    halves = np.frombuffer(raw, "<u8").reshape(len(nodes), 2)
    _, rank = factorize(nodes)
    order = np.lexsort((rank, halves[:, 1], halves[:, 0]))
    halves = halves[order]
    same = np.flatnonzero((halves[1:] == halves[:-1]).all(axis=1)) + 1
    first = np.ones(len(rank), np.bool_)
    first[same] = False
    hubs = order[first][np.cumsum(first) - 1]
    # A document that is there twice is no duplicate of itself.
    rows = same[rank[order[same]] != rank[order[same - 1]]]
    hubs, leaves = hubs[rows], order[rows]
    sorted_ = np.lexsort((rank[leaves], rank[hubs]))
    return hubs[sorted_], leaves[sorted_]
