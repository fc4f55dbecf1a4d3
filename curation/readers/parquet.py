"""Parquet files to records; row groups are what a split can hold."""

from __future__ import annotations

from collections.abc import Iterator
from typing import BinaryIO

import pyarrow as pa
import pyarrow.parquet as pq

from curation.readers import Damage, Record
from curation.readers.rows import Columns, row_record
from schemas.errors import UserError

_BATCH = 64  # rows decoded at once
_MOST_GROUP = 1 << 32  # bytes of the columns read of one row group, inflated


def read_parquet(
    stream: BinaryIO, start: int, end: int, *, columns: Columns, max_record_bytes: int
) -> Iterator[Record | Damage]:
    """Yield a record for every row of the row groups whose first byte is in [start, end).

    Offsets are row numbers in the file. A row without text is `Damage` of kind `no_text`; the
    rows of a group from where it cannot be decoded are one of kind `corrupt_parquet`.
    Raises UserError if the file's footer cannot be read.
    """
    try:
        file = pq.ParquetFile(stream)
    except (pa.ArrowException, OSError) as error:
        raise UserError(f"not a whole Parquet file: {_brief(error)}: get it again") from None
    names = set(file.schema_arrow.names)
    wanted = [name for name in {*columns.top(), *columns.named().values()} if name in names]
    first = 0
    for number in range(file.metadata.num_row_groups):
        group = file.metadata.row_group(number)
        if start <= _begins(group) < end:
            yield from _read_group(file, number, first, sorted(wanted), columns, max_record_bytes)
        first += group.num_rows


def _begins(group: pq.RowGroupMetaData) -> int:
    chunks = (group.column(number) for number in range(group.num_columns))
    places = ((chunk.dictionary_page_offset, chunk.data_page_offset) for chunk in chunks)
    return min((place for pair in places for place in pair if place), default=0)


def _read_group(
    file: pq.ParquetFile, number: int, row: int, names: list[str], columns: Columns, most: int
) -> Iterator[Record | Damage]:
    group = file.metadata.row_group(number)
    last = row + group.num_rows
    sizes = (
        chunk.total_uncompressed_size
        for chunk in (group.column(at) for at in range(group.num_columns))
        if chunk.path_in_schema.partition(".")[0] in names or chunk.path_in_schema in names
    )
    if (size := sum(sizes)) > _MOST_GROUP:
        detail = f"a row group of {size} bytes, more than {_MOST_GROUP}"
        yield Damage(row, last - row, 0, "too_large", detail, unit="row")
        return
    try:
        for batch in file.iter_batches(_BATCH, row_groups=[number], columns=names):
            for values in batch.to_pylist():
                yield row_record(values, columns, row, 1, 0, "row", most)
                row += 1
        detail = "fewer rows than the footer says"
    except (pa.ArrowException, OSError, ValueError) as error:
        detail = _brief(error)
    if row < last:
        yield Damage(row, last - row, 0, "corrupt_parquet", detail, unit="row")


def check_parquet(stream: BinaryIO, name: str, columns: Columns) -> None:
    """Raise UserError, naming the file, if it is no Parquet file or lacks a named column."""
    try:
        schema = pq.read_schema(stream)
    except (pa.ArrowException, OSError) as error:
        raise UserError(
            f"{name}: not a whole Parquet file: {_brief(error)}: get it again or take it out of "
            "`files`"
        ) from None
    for field, column in columns.named().items():
        top = column if column in schema.names else column.partition(".")[0]
        if top not in schema.names:
            raise UserError(
                f"{name}: no column `{column}` (for `{field}`); there are "
                f"{', '.join(schema.names[:20])}: name the right one in `columns`"
            )
    if columns.text in schema.names:
        kind = schema.field(columns.text).type
        if pa.types.is_dictionary(kind):
            kind = kind.value_type
        if not (pa.types.is_string(kind) or pa.types.is_large_string(kind)):
            raise UserError(f"{name}: `{columns.text}` is a column of {kind}, not of strings")


def _brief(error: Exception) -> str:
    return str(error).partition("\n")[0][:200]
