"""Parquet files of a run: written in fixed row groups, known by what they hold.

The digest of a part is taken over its logical column values a row group; the bytes of a file
also carry the version of its writer, so its checksum is for integrity only.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from pipelines.runs.store import Folder
from schemas.parquet import open_parquet

ROW_GROUP_ROWS = 2048
_DICTS = 128


def logical_digest(table: pa.Table) -> str:
    """blake2b-128 over names, types and values; chunking and encodings do not matter."""
    digest = hashlib.blake2b(digest_size=16)
    digest.update(str(table.num_rows).encode())
    for name in table.column_names:
        column = table.column(name)
        if pa.types.is_dictionary(column.type):
            column = column.cast(column.type.value_type)
        digest.update(f"|{name}:{column.type}".encode())
        _update(digest, pa.concat_arrays(column.chunks) if column.num_chunks else column)
    return digest.hexdigest()


def _update(digest: Any, array: pa.Array) -> None:
    """Add an array's validity and values, from its own first element on."""
    if len(array) == 0:
        return
    if array.null_count:
        digest.update(np.packbits(array.is_valid().to_numpy(zero_copy_only=False)).tobytes())
        array = array.drop_null()
    kind = array.type
    if pa.types.is_struct(kind):
        for field in array.flatten():
            _update(digest, field)
    elif pa.types.is_fixed_size_list(kind):
        _update(digest, array.flatten())
    elif pa.types.is_list(kind) or pa.types.is_large_list(kind):
        digest.update(array.value_lengths().cast(pa.int64()).to_numpy().tobytes())
        _update(digest, array.flatten())
    elif pa.types.is_fixed_size_binary(kind):
        width = kind.byte_width
        start = array.offset * width
        digest.update(memoryview(array.buffers()[1])[start : start + len(array) * width])
    elif pa.types.is_string(kind) or pa.types.is_binary(kind) or _is_large(kind):
        offsets = np.frombuffer(array.buffers()[1], "i8" if _is_large(kind) else "i4")
        offsets = offsets[array.offset : array.offset + len(array) + 1]
        digest.update(np.diff(offsets).astype("i8").tobytes())
        data = array.buffers()[2]
        if data is not None:
            digest.update(memoryview(data)[offsets[0] : offsets[-1]])
    elif pa.types.is_boolean(kind):
        digest.update(np.packbits(array.to_numpy(zero_copy_only=False)).tobytes())
    else:
        width = kind.bit_width // 8
        start = array.offset * width
        digest.update(memoryview(array.buffers()[1])[start : start + len(array) * width])


def _is_large(kind: pa.DataType) -> bool:
    return bool(pa.types.is_large_string(kind) or pa.types.is_large_binary(kind))


class PartWriter:
    """Writes one Parquet file. Row groups have a fixed number of rows, however rows arrive."""

    def __init__(
        self,
        path: Path,
        schema: pa.Schema,
        row_group_rows: int = ROW_GROUP_ROWS,
        dictionary: Sequence[str] = (),
        compression_level: int = 3,
    ) -> None:
        """`dictionary` names the columns with few distinct values; the level is zstd's."""
        self.path = path
        self.schema = schema
        self.rows = 0
        self.digests: list[tuple[int, str]] = []
        self._rows = row_group_rows
        self._dicts: list[dict[str, Any]] = []
        self._waiting: list[pa.Table] = []
        self._count = 0
        self._writer = pq.ParquetWriter(
            path,
            schema,
            compression="zstd",
            compression_level=compression_level,
            use_dictionary=list(dictionary),
            write_statistics=True,
            store_schema=True,
            write_page_checksum=True,
        )

    def write(self, rows: pa.Table | list[dict[str, Any]]) -> None:
        """Add rows; dicts are converted by the schema, some at a time."""
        if isinstance(rows, pa.Table):
            self._convert()
            self._add(rows)
            return
        self._dicts += rows
        if len(self._dicts) >= _DICTS:
            self._convert()

    def _convert(self) -> None:
        if self._dicts:
            table = pa.Table.from_pylist(self._dicts, self.schema)
            self._dicts = []
            self._add(table)

    def _add(self, table: pa.Table) -> None:
        if table.schema != self.schema:
            table = table.cast(self.schema)
        self._waiting.append(table)
        self._count += table.num_rows
        while self._count >= self._rows:
            whole = pa.concat_tables(self._waiting)
            self._flush(whole.slice(0, self._rows))
            rest = whole.slice(self._rows)
            self._waiting, self._count = [rest], rest.num_rows

    def _flush(self, table: pa.Table) -> None:
        table = table.combine_chunks()
        self.digests.append((table.num_rows, logical_digest(table)))
        self._writer.write_table(table, row_group_size=max(1, table.num_rows))
        self.rows += table.num_rows

    def close(self) -> str:
        """Finish the file, once; returns the digest of all its row groups."""
        self._convert()
        if self._count:
            self._flush(pa.concat_tables(self._waiting))
        self._waiting, self._count = [], 0
        self._writer.close()
        digest = hashlib.blake2b(digest_size=16)
        for rows, value in self.digests:
            digest.update(f"{rows}:{value}\n".encode())
        return digest.hexdigest()


def file_sha256(path: Path) -> str:
    """Checksum of a local file, in hexadecimal."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def read_part(
    folder: Folder, path: str, columns: Sequence[str] | None = None, batch_rows: int = 1024
) -> Iterator[pa.RecordBatch]:
    """The rows of a part in order, in batches of at most `batch_rows`."""
    with folder.open(path) as stream:
        file = open_parquet(stream)
        yield from file.iter_batches(batch_rows, columns=columns, use_threads=False)


def read_table(folder: Folder, path: str, columns: Sequence[str] | None = None) -> pa.Table:
    """A whole part as a table."""
    with folder.open(path) as stream:
        file = open_parquet(stream)
        return file.read(columns=columns, use_threads=False)
