"""Keyed hashes: what puts documents in order, draws samples and names documents.

Order never comes from arrival, workers or a clock: every choice compares 64-bit keys that
depend on the recipe's seed, on the purpose (so that two choices are independent) and on what
is chosen.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from hashlib import blake2b

import numpy as np
import numpy.typing as npt

Part = bytes | str | int
Keys = npt.NDArray[np.uint64]


def _encode(part: Part) -> bytes:
    """Type, length and bytes: no two lists of parts have the same encoding."""
    if isinstance(part, bytes):
        kind, data = b"b", part
    elif isinstance(part, str):
        kind, data = b"s", part.encode()
    else:
        kind, data = b"i", part.to_bytes(part.bit_length() // 8 + 1, "big", signed=True)
    return kind + len(data).to_bytes(8, "big") + data


def key64(seed: int, purpose: str, *parts: Part) -> int:
    """A key below 2^64: the first 8 bytes, big-endian, of a blake2b of length 8 over the parts."""
    encoded = b"".join(map(_encode, (seed, purpose, *parts)))
    return int.from_bytes(blake2b(encoded, digest_size=8).digest(), "big")


def key64_many(
    seed: int, purpose: str, items: Iterable[Part] | npt.NDArray[np.void], *parts: Part
) -> Keys:
    """Keys of many items, uint64[n]: `key64(seed, purpose, *parts, item)` of each.

    `items` is any iterable of parts, or an array of n document ids of dtype `V16`. (Not `S16`:
    numpy drops the zero bytes at the end of such strings.)
    """
    values: Iterable[Part] = items.tolist() if isinstance(items, np.ndarray) else items
    prefix = b"".join(map(_encode, (seed, purpose, *parts)))
    digests = [blake2b(prefix + _encode(item), digest_size=8).digest() for item in values]
    return np.frombuffer(b"".join(digests), dtype=">u8").astype(np.uint64)


def below(keys: Keys, limit: int) -> npt.NDArray[np.bool_]:
    """Which keys are below a threshold of up to 2^64."""
    return np.ones(len(keys), bool) if limit >= 1 << 64 else keys < np.uint64(limit)


def document_id(source: str, relative_path: str, offset: int, offset_kind: str) -> bytes:
    """The 16 bytes that name a document: a blake2b of where its record stands.

    `source` is the input's label; `relative_path` the file's path below the input's root, with
    forward slashes; `offset` where the record starts; `offset_kind` what the offset counts, such
    as `bytes` or `rows`. Raises ValueError for an absolute path or a negative offset, which
    would make ids depend on the machine.
    """
    if offset < 0:
        raise ValueError(f"offset {offset} in `{relative_path}` is negative")
    encoded = _file(source, relative_path) + _encode(offset) + _encode(offset_kind)
    return blake2b(encoded, digest_size=16).digest()


@lru_cache(1024)
def _file(source: str, relative_path: str) -> bytes:
    """What the names of all documents of a file begin with."""
    if relative_path.startswith("/") or "://" in relative_path:
        raise ValueError(f"`{relative_path}` must be relative to the root of `{source}`")
    return _encode(source) + _encode(relative_path)
