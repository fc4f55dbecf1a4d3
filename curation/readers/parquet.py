"""Parquet files to records; row groups are what a split can hold."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, BinaryIO

import pyarrow as pa
import pyarrow.parquet as pq

from curation.readers import Damage, Place, Record, damage_at
from curation.readers.parquet_footer import Group, read_footer
from curation.readers.rows import row_record
from schemas.inputs import Columns
from schemas.parquet import open_parquet
from schemas.problems import Problem

_BATCH = 64  # rows decoded at once
_MOST_GROUP = 1 << 32  # bytes of the columns read of one row group, inflated
# Bytes are of UTF-8: many a writer leaves out that they are strings.
_TEXTS = (
    *(pa.types.is_string, pa.types.is_large_string, pa.types.is_string_view),
    *(pa.types.is_binary, pa.types.is_large_binary, pa.types.is_binary_view),
    pa.types.is_fixed_size_binary,
)
_ERRORS = (pa.ArrowException, OSError, ValueError, OverflowError)


def read_parquet(
    stream: BinaryIO, start: int, end: int, *, columns: Columns, max_record_bytes: int
) -> Iterator[Record | Damage]:
    """Yield a record for every row of the row groups whose first byte is in [start, end).

    Offsets are row numbers in the file, beside which the row group is told. A row without text
    is `Damage` of kind `no_text`; the rows of a group from where it cannot be decoded are one of
    kind `corrupt_parquet`.
    Raises Problem if the file's footer cannot be read.
    """
    try:
        groups = read_footer(stream)
        file = open_parquet(stream)
        names = set(columns.read(file.schema_arrow.names))
    except _ERRORS as error:
        raise Problem(f"not a whole Parquet file: {_brief(error)}: get it again") from None
    row = 0
    for number, group in enumerate(groups):
        if start <= min((chunk.offset for chunk in group.chunks), default=0) < end:
            yield from _read_group(file, number, group, row, names, columns, max_record_bytes)
        row += group.rows


def _read_group(
    file: pq.ParquetFile,
    number: int,
    group: Group,
    row: int,
    names: set[str],
    columns: Columns,
    most: int,
) -> Iterator[Record | Damage]:
    last = row + group.rows
    paths = ((chunk.path, chunk.size) for chunk in group.chunks)
    size = sum(size for path, size in paths if {path, path.partition(".")[0]} & names)
    if size > _MOST_GROUP:
        detail = f"a row group of {size} bytes, more than {_MOST_GROUP}"
        yield damage_at(_place(row, last, number), "too_large", detail)
        return
    try:
        for batch in file.iter_batches(_BATCH, row_groups=[number], columns=sorted(names)):
            for values in _values(batch.slice(0, last - row)):
                place = _place(row, row + 1, number)
                if isinstance(values, str):
                    yield damage_at(place, "bad_row", values)
                else:
                    yield row_record(values, columns, place, most)
                row += 1
        detail = "fewer rows than the footer says"
    except _ERRORS as error:
        detail = _brief(error)
    if row < last:
        yield damage_at(_place(row, last, number), "corrupt_parquet", detail)


def _place(row: int, end: int, group: int) -> Place:
    return Place(row, end - row, 0, unit="row", group=group)


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
    content = columns.html or columns.text or ""
    kind = _kind(schema, content)
    if kind is not None and not _is_text(kind):
        raise Problem(
            f"`{content}` is a column of {kind}, not of strings",
            name,
            "join the items of each row into one text, such as by DuckDB's `array_to_string`"
            if pa.types.is_nested(kind)
            else "name the right one in `columns`",
        )


def _kind(schema: pa.Schema, column: str) -> pa.DataType | None:
    """The type of a column's values, or of those in a struct; None if not known, as in JSON."""
    top, dot, key = column.partition(".")
    if column in schema.names or not dot:
        return _plain(schema.field(column).type)
    kind = _plain(schema.field(top).type)
    if not pa.types.is_struct(kind):
        return None if _is_text(kind) else kind
    return _plain(kind.field(key).type) if kind.get_field_index(key) >= 0 else None


def _plain(kind: pa.DataType) -> pa.DataType:
    """The type of what a dictionary or an extension type, such as JSON, holds."""
    if isinstance(kind, pa.BaseExtensionType):
        kind = kind.storage_type
    return kind.value_type if pa.types.is_dictionary(kind) else kind


def _is_text(kind: pa.DataType) -> bool:
    return any(is_kind(kind) for is_kind in _TEXTS)


def _brief(error: Exception) -> str:
    return str(error).partition("\n")[0][:200]
