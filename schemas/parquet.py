"""The one way in which we open Parquet: damage is found by checksums, not by what it decodes to."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pyarrow.parquet as pq

if TYPE_CHECKING:
    import pyarrow.dataset as ds
    import pyarrow.fs


def open_parquet(source: Any, *, memory_map: bool = False) -> pq.ParquetFile:
    """A Parquet file, of a path or a stream, whose pages are checked where they carry checksums.

    Reading a damaged page raises OSError.
    """
    return pq.ParquetFile(source, memory_map=memory_map, page_checksum_verification=True)


def open_dataset(paths: list[str], filesystem: pyarrow.fs.FileSystem) -> ds.Dataset:
    """Parquet files as one data set, whose pages are checked as in `open_parquet`."""
    import pyarrow.dataset as ds  # brings pandas

    options = ds.ParquetFragmentScanOptions(page_checksum_verification=True)
    format_ = ds.ParquetFileFormat(default_fragment_scan_options=options)
    return ds.dataset(paths, filesystem=filesystem, format=format_)
