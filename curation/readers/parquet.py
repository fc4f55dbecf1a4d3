"""Parquet files to records; row groups are what a split can hold."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, BinaryIO

import pyarrow as pa
import pyarrow.parquet as pq

from curation.readers import Damage, Record
from curation.readers.rows import row_record
from schemas.inputs import Columns
from schemas.problems import Problem

_BATCH = 64  # rows decoded at once
_MOST_GROUP = 1 << 32  # bytes of the columns read of one row group, inflated
_ERRORS = (pa.ArrowException, OSError, ValueError, OverflowError)


def read_parquet(
    stream: BinaryIO, start: int, end: int, *, columns: Columns, max_record_bytes: int
) -> Iterator[Record | Damage]:
    """Yield a record for every row of the row groups whose first byte is in [start, end).

    Offsets are row numbers in the file. A row without text is `Damage` of kind `no_text`; the
    rows of a group from where it cannot be decoded are one of kind `corrupt_parquet`.
    Raises Problem if the file's footer cannot be read.
    """
    try:
        file = pq.ParquetFile(stream)
        names = set(columns.read(file.schema_arrow.names))
        groups = [
            _group(file.metadata.row_group(number), names)
            for number in range(file.metadata.num_row_groups)
        ]
    except _ERRORS as error:
        raise Problem(f"not a whole Parquet file: {_brief(error)}: get it again") from None
    row = 0
    for number, group in enumerate(groups):
        if start <= group.offset < end:
            yield from _read_group(file, number, group, row, columns, max_record_bytes)
        row += group.rows


@dataclass(frozen=True, slots=True)
class _Group:
    """A row group: its first byte, its rows, the columns read of it and their inflated bytes."""

    offset: int
    rows: int
    names: list[str]
    size: int


def _group(group: pq.RowGroupMetaData, names: set[str]) -> _Group:
    chunks = [group.column(number) for number in range(group.num_columns)]
    places = [
        place
        for chunk in chunks
        for place in (chunk.dictionary_page_offset, chunk.data_page_offset)
        if place
    ]
    size = sum(
        max(0, chunk.total_uncompressed_size)
        for chunk in chunks
        if {chunk.path_in_schema, chunk.path_in_schema.partition(".")[0]} & names
    )
    return _Group(max(0, min(places, default=0)), max(0, group.num_rows), sorted(names), size)


def _read_group(
    file: pq.ParquetFile, number: int, group: _Group, row: int, columns: Columns, most: int
) -> Iterator[Record | Damage]:
    last = row + group.rows
    if group.size > _MOST_GROUP:
        detail = f"a row group of {group.size} bytes, more than {_MOST_GROUP}"
        yield Damage(row, last - row, 0, "too_large", detail, unit="row")
        return
    try:
        for batch in file.iter_batches(_BATCH, row_groups=[number], columns=group.names):
            for values in _values(batch.slice(0, last - row)):
                if isinstance(values, str):
                    yield Damage(row, 1, 0, "bad_row", values, unit="row")
                else:
                    yield row_record(values, columns, row, 1, 0, "row", most)
                row += 1
        detail = "fewer rows than the footer says"
    except _ERRORS as error:
        detail = _brief(error)
    if row < last:
        yield Damage(row, last - row, 0, "corrupt_parquet", detail, unit="row")


def _values(batch: pa.RecordBatch) -> list[dict[str, Any] | str]:
    """The rows of a batch; of one that cannot be, such as bytes that are not UTF-8, why."""
    try:
        return batch.to_pylist()
    except _ERRORS as error:
        if batch.num_rows == 1:
            return [_brief(error)]
    rows = (batch.slice(number, 1) for number in range(batch.num_rows))
    return [values for row in rows for values in _values(row)]


def check_parquet(stream: BinaryIO, name: str, columns: Columns) -> None:
    """Raise Problem, naming the file, if it is no Parquet file or lacks a required column."""
    try:
        schema = pq.read_schema(stream)
    except _ERRORS as error:
        raise Problem(
            f"{name}: not a whole Parquet file: {_brief(error)}: get it again or take it out of "
            "`files`"
        ) from None
    for field, column in columns.required().items():
        top = column if column in schema.names else column.partition(".")[0]
        if top not in schema.names:
            raise Problem(
                f"{name}: no column `{column}` (for `{field}`); there are "
                f"{', '.join(schema.names[:20])}: name the right one in `columns`"
            )
    if columns.text in schema.names:
        kind = schema.field(columns.text).type
        if pa.types.is_dictionary(kind):
            kind = kind.value_type
        if not (pa.types.is_string(kind) or pa.types.is_large_string(kind)):
            raise Problem(f"{name}: `{columns.text}` is a column of {kind}, not of strings")


def _brief(error: Exception) -> str:
    return str(error).partition("\n")[0][:200]
