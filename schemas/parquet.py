"""The one way in which we open Parquet: damage is found by checksums, not by what it decodes to."""

from __future__ import annotations

from typing import Any

import pyarrow.parquet as pq


def open_parquet(source: Any, *, memory_map: bool = False) -> pq.ParquetFile:
    """A Parquet file, of a path or a stream, whose pages are checked where they carry checksums.

    Reading a damaged page raises OSError.
    """
    return pq.ParquetFile(source, memory_map=memory_map, page_checksum_verification=True)
