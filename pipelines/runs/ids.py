"""Ids of documents: 16 bytes in shards, signatures and shuffles, hexadecimal text in all tables
that people read."""

from __future__ import annotations

from binascii import unhexlify
from typing import TypeAlias

import numpy as np
import pyarrow as pa

from schemas.tables import ID

Column: TypeAlias = pa.Array | pa.ChunkedArray


def to_text(ids: Column) -> pa.Array:
    """string[n] of binary(16)[n] without nulls."""
    ids, width = flat(ids), 2 * ID.byte_width
    text = b"".join(ids.to_pylist()).hex().encode()
    offsets = np.arange(len(ids) + 1, dtype="<i4") * width
    return pa.StringArray.from_buffers(len(ids), pa.py_buffer(offsets), pa.py_buffer(text))


def to_bytes(ids: Column) -> pa.FixedSizeBinaryArray:
    """binary(16)[n] of string[n] without nulls."""
    ids = flat(ids).cast(pa.string())
    if not len(ids):
        return pa.array([], ID)
    _, offsets, text = ids.buffers()
    first, last = (int(np.frombuffer(offsets, "<i4")[ids.offset + at]) for at in (0, len(ids)))
    data = unhexlify(memoryview(text)[first:last])
    return pa.FixedSizeBinaryArray.from_buffers(ID, len(ids), [None, pa.py_buffer(data)])


def flat(column: Column) -> pa.Array:
    """The column as one array."""
    if isinstance(column, pa.ChunkedArray):
        return pa.concat_arrays([*column.chunks, pa.array([], column.type)])
    return column
