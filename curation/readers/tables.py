"""CSV and TSV files, compressed or not, to records."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from typing import Any, BinaryIO, Literal

from curation.readers import Damage, Record
from curation.readers.compressed import codec_of, open_file
from curation.readers.lines import Line, read_lines
from curation.readers.rows import parsed, row_record
from curation.readers.source import Window
from schemas.inputs import Columns
from schemas.problems import Problem

_DELIMITERS = {"csv": ",", "tsv": "\t"}


def read_table(
    stream: BinaryIO,
    start: int,
    end: int,
    *,
    dialect: Literal["csv", "tsv"],
    columns: Columns,
    max_record_bytes: int,
) -> Iterator[Record | Damage]:
    """Yield a record for every row below the header (RFC 4180, UTF-8).

    The file is one split: all its rows belong to the range that begins at 0. A row that does not
    have the header's columns is `Damage` of kind `bad_row`, from its first line to where its
    quotes close. Raises Problem if the header lacks a named column.
    """
    if start > 0 or end <= 0:
        return
    # The limit is the process's, so each file sets its own.
    csv.field_size_limit(max_record_bytes)
    feed = _Feed(stream, max_record_bytes)
    reader = csv.reader(feed, delimiter=_DELIMITERS[dialect])
    header: list[str] | None = None
    while True:
        feed.begin()
        found: list[Record | Damage] = []
        row: list[str] | None = None
        try:
            row = next(reader)
        except csv.Error as error:
            found.append(Damage(*feed.place(), "bad_row", str(error)))
        except StopIteration:
            yield from feed.damage
            return
        if row and header is None:
            header = row
            check_columns("the table", header, columns)
        elif row and header is not None:
            place = feed.place()
            if len(row) == len(header):
                values: dict[str, Any] = dict(zip(header, row, strict=True))
                for name, kind in columns.keep.items():
                    if name in values:
                        values[name] = parsed(values[name], kind)
                found.append(row_record(values, columns, *place, "byte", max_record_bytes))
            else:
                detail = f"{len(row)} fields, not {len(header)}"
                found.append(Damage(*place, "bad_row", detail))
        yield from sorted([*found, *feed.damage], key=lambda item: (item.offset, item.inner))


def check_table(
    stream: BinaryIO, name: str, dialect: Literal["csv", "tsv"], columns: Columns
) -> None:
    """Raise Problem, naming the file, if its header lacks a required column."""
    feed = _Feed(stream, 1 << 20)
    feed.begin()
    try:
        header = next(csv.reader(feed, delimiter=_DELIMITERS[dialect]))
    except (csv.Error, StopIteration):
        raise Problem(f"{name}: has no header: take it out of `files`") from None
    check_columns(name, header, columns)


def check_columns(name: str, header: list[str], columns: Columns) -> None:
    """Raise Problem if a required column is not in the header."""
    for field, column in columns.required().items():
        if column not in header and column.partition(".")[0] not in header:
            raise Problem(
                f"{name}: no column `{column}` (for `{field}`); there are "
                f"{', '.join(header[:20])}: name the right one in `columns`"
            )


class _Feed:
    """Lines for a csv reader, with the place of the row it is in, and the damage met there."""

    def __init__(self, stream: BinaryIO, most: int) -> None:
        window = Window(stream)
        compressed = codec_of(window) is not None
        self._lines = read_lines(open_file(window, most), 0, window.size, most, compressed)
        self._most = most
        self.begin()

    def begin(self) -> None:
        """A row begins."""
        self._row: list[Line] = []
        self._bytes = 0
        self.damage: list[Damage] = []

    def place(self) -> tuple[int, int, int]:
        """Offset, length and inner offset of the lines of the row."""
        return self._row[0].offset, self._bytes, self._row[0].inner

    def __iter__(self) -> _Feed:
        return self

    def __next__(self) -> str:
        for line in self._lines:
            if isinstance(line, Damage):
                self.damage.append(line)
                if self._row:
                    raise csv.Error("broken bytes inside a row")
                continue
            self._row.append(line)
            self._bytes += line.length
            if self._bytes > self._most:
                raise csv.Error(f"a row of more than {self._most} bytes, or a quote not closed")
            try:
                first = line.offset + line.inner == 0
                return line.data.decode("utf-8-sig" if first else "utf-8")
            except UnicodeDecodeError:
                raise csv.Error("not UTF-8") from None
        raise StopIteration
