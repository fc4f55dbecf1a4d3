"""The packed arrays that deduplication passes around."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]
Words = npt.NDArray[np.uint64]
Keep = Literal["longest", "oldest", "smallest_id"]

# A document. Nodes are ordered by (preference, id_high, id_low), which is the order of
# (preference, bytes of the id); the smallest node of a cluster is the one that is kept. `part`
# says where the document's signature stands and decides nothing.
NODE = np.dtype([("preference", "<u8"), ("id_high", "<u8"), ("id_low", "<u8"), ("part", "<u4")])
# A verified pair; a is smaller than b.
EDGE = np.dtype([("a", NODE), ("b", NODE), ("similarity", "<f4")])
# A pair of one component.
LINK = np.dtype([("a", NODE), ("b", NODE)])

_LARGEST = np.uint64((1 << 64) - 1)


def pack(array: Array) -> bytes:
    """The bytes of an array of one dimension, for a shuffle."""
    return array.tobytes()


def unpack(data: bytes, dtype: np.dtype[Any]) -> Array:
    """The array that `pack` was given; it cannot be written to.

    Raises ValueError if the bytes are not a whole number of rows.
    """
    if len(data) % dtype.itemsize:
        raise ValueError(f"{len(data)} bytes are no whole number of rows of {dtype.itemsize} bytes")
    return np.frombuffer(data, dtype=dtype)


def nodes(preference: Array, ids: bytes | Array, part: int | Array) -> Array:
    """NODE array [n] of preferences uint64 [n], ids of 16 bytes each, and parts uint32.

    `ids` holds 16 n bytes in any shape. Raises ValueError if the lengths differ.
    """
    halves = _halves(ids)
    result = np.empty(len(preference), NODE)
    if len(halves) != len(preference):
        raise ValueError(f"{len(halves)} ids for {len(preference)} preferences")
    result["preference"] = preference
    result["id_high"] = halves[:, 0]
    result["id_low"] = halves[:, 1]
    result["part"] = part
    return result


def ids(array: Array) -> Array:
    """The ids of a NODE array [n], as bytes: uint8 [n, 16]."""
    halves = np.empty((len(array), 2), ">u8")
    halves[:, 0] = array["id_high"]
    halves[:, 1] = array["id_low"]
    return halves.view(np.uint8)


def _halves(data: bytes | Array) -> Array:
    """[n, 2] big-endian halves of n x 16 bytes, in the order of the bytes."""
    raw = data if isinstance(data, bytes) else np.ascontiguousarray(data).tobytes()
    return unpack(raw, np.dtype((">u8", 2)))


def preference(kind: Keep, text_bytes: Array, crawled: Array) -> Words:
    """Preferences uint64 [n] for a recipe's `deduplicate.keep`; the smallest is kept.

    `text_bytes`: UTF-8 bytes of each text, int64 [n]. `crawled`: seconds since 1970, int64 [n];
    negative where unknown, which is preferred last.
    """
    if kind == "longest":
        return _LARGEST - text_bytes.astype(np.uint64)
    if kind == "oldest":
        return np.where(crawled < 0, _LARGEST, crawled.astype(np.uint64))
    return np.zeros(len(text_bytes), np.uint64)


def factorize(array: Array) -> tuple[Array, npt.NDArray[np.int64]]:
    """The distinct nodes of a NODE array [n] in order, and the index int64 [n] of each in them.

    So comparing two indices is comparing the nodes.
    """
    order = _order(array)
    high, low = array["id_high"][order], array["id_low"][order]
    new = np.ones(len(array), np.bool_)
    new[1:] = (high[1:] != high[:-1]) | (low[1:] != low[:-1])
    index = np.empty(len(array), np.int64)
    index[order] = np.cumsum(new) - 1
    return array[order[new]], index


def _order(array: Array) -> npt.NDArray[np.int64]:
    """The order of nodes by preference and id."""
    preference, high = array["preference"].copy(), array["id_high"].copy()
    order = np.argsort(high)
    order = order[np.argsort(preference[order], kind="stable")]
    # Two sorts of plain integers take half the time of one by three keys. They leave out the
    # lower half of the id, which decides only where different ids have equal upper halves.
    preference, high, low = preference[order], high[order], array["id_low"][order]
    wrong = (preference[1:] == preference[:-1]) & (high[1:] == high[:-1]) & (low[1:] < low[:-1])
    if wrong.any():
        return np.lexsort((array["id_low"], array["id_high"], array["preference"]))
    return order
