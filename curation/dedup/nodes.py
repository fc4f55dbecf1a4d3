"""The packed arrays that deduplication passes around."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]
Words = npt.NDArray[np.uint64]

# A document. Nodes are ordered by (preference, id_high, id_low), which is the order of
# (preference, bytes of the id); the smallest node of a cluster is the one that is kept. `part`
# says where the document's signature stands and decides nothing.
NODE = np.dtype([("preference", "<u8"), ("id_high", "<u8"), ("id_low", "<u8"), ("part", "<u4")])
# A verified pair; a is smaller than b.
EDGE = np.dtype([("a", NODE), ("b", NODE), ("similarity", "<f4")])
# A pair of one component.
LINK = np.dtype([("a", NODE), ("b", NODE)])

# Of documents that are kept for no other. Those below 2^56 are of documents that stay whatever
# they are alike to. What `preference` gives is between these.
LAST = np.uint64((1 << 64) - 1)


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


def preference(
    keep: str,
    text_bytes: Array,
    crawled: Array,
    signal: Array,
    digests: Sequence[bytes],
    rank: Array,
) -> Words:
    """Preferences uint64 [n] for a recipe's `deduplicate.keep`; the smallest is kept.

    From the highest bits on: 8 of `rank`, 32 of what `keep` names, 24 of the digest, so that ties
    between different texts do not depend on where these stand. Only `smallest_id` leaves the
    last two out.

    `text_bytes`: UTF-8 bytes of each text, int64 [n]. `crawled`: seconds since 1970, int64 [n];
    negative where unknown, which is preferred last, as is a `signal` (float64 [n], compared as
    float32) that is not a number. `digests`: of the texts. `rank`: of the sources, uint8 [n],
    from 1, best, to 254: so preferences are from 2^56 to below LAST.
    """
    high = rank.astype(np.uint64) << np.uint64(56)
    if keep == "smallest_id":
        return high
    most = np.int64((1 << 32) - 1)
    if keep == "longest":
        value = most - np.minimum(text_bytes, most)
    elif keep == "oldest":
        value = np.where(crawled < 0, most, np.minimum(crawled, most - 1))
    elif keep == "newest":
        value = np.where(crawled < 0, most, most - 1 - np.minimum(crawled, most - 1))
    else:
        value = np.where(np.isnan(signal), most, most - 1 - _ordered(signal))
    low = np.frombuffer(b"".join(digest[:3] + b"\0" for digest in digests), "<u4")
    return np.asarray(
        high | (value.astype(np.uint64) << np.uint64(24)) | low.astype(np.uint64), np.uint64
    )


def _ordered(values: Array) -> npt.NDArray[np.int64]:
    """Integers from 0 to 2^32 - 2 in the order of numbers, as float32."""
    with np.errstate(over="ignore"):  # what is beyond float32 is infinite
        bits = (values.astype(np.float32) + np.float32(0)).view(np.int32).astype(np.int64)
    order = np.where(bits < 0, -(bits & 0x7FFFFFFF) - 1, bits) + (1 << 31)
    return np.asarray(np.minimum(order, (1 << 32) - 2))


def factorize(array: Array) -> tuple[Array, npt.NDArray[np.int64]]:
    """The distinct nodes of a NODE array [n] in order, and the index int64 [n] of each in them.

    So comparing two indices is comparing the nodes.
    """
    order = _order(array)
    first, high, low = (array[name][order] for name in ("preference", "id_high", "id_low"))
    new = np.ones(len(array), np.bool_)
    # documents of two runs may have one id: their preferences differ
    new[1:] = (high[1:] != high[:-1]) | (low[1:] != low[:-1]) | (first[1:] != first[:-1])
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
