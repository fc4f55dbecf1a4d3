"""CSV and TSV files, compressed or not, to records."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator
from typing import Any, BinaryIO, Literal

from curation.readers import Damage, Place, Record, damage_at
from curation.readers.lines import Line, open_text, read_lines
from curation.readers.rows import parsed, row_record
from schemas.inputs import Columns
from schemas.problems import Problem

_DELIMITERS = {"csv": ",", "tsv": "\t"}
_USUAL = ",;\t|"
# What Excel writes in a first line of its own.
_NAMED = re.compile(r'\ufeff?"?sep=(.)"?\r?\n?')
_MAY_DIVIDE = re.compile(r"[^\w\r\n\"']")
_HEADER_BYTES = 1 << 20


def read_table(
    stream: BinaryIO,
    start: int,
    end: int,
    *,
    dialect: Literal["csv", "tsv"],
    columns: Columns,
    max_record_bytes: int,
) -> Iterator[Record | Damage]:
    """Yield a record for every row below the header (RFC 4180, in UTF-8 or UTF-16).

    Its delimiter is the given one, or else the one that divides the header into the named
    columns. The file is one split: all its rows belong to the range that begins at 0. A row that
    does not have the header's columns is `Damage` of kind `bad_row`, from its first line to where
    its quotes close.
    Raises Problem if the header lacks a named column.
    """
    if start > 0 or end <= 0:
        return
    # The limit is the process's, so each file sets its own.
    csv.field_size_limit(max_record_bytes)
    _, delimiter = _header(stream, dialect, columns)
    feed = _Feed(stream, max_record_bytes)
    reader = csv.reader(feed, delimiter=delimiter)
    header: list[str] | None = None
    while True:
        feed.begin()
        found: list[Record | Damage] = []
        row: list[str] | None = None
        try:
            row = next(reader)
        except csv.Error as error:
            found.append(damage_at(feed.place(), "bad_row", str(error)))
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
                found.append(row_record(values, columns, place, max_record_bytes))
            else:
                detail = f"{len(row)} fields, not {len(header)}"
                found.append(damage_at(place, "bad_row", detail))
        yield from sorted([*found, *feed.damage], key=lambda item: item.offset)


def check_table(
    stream: BinaryIO, name: str, dialect: Literal["csv", "tsv"], columns: Columns
) -> None:
    """Raise Problem, naming the file, if its header lacks a required column."""
    header, _ = _header(stream, dialect, columns)
    if not header:
        raise Problem(f"{name}: has no header: take it out of `files`")
    check_columns(name, header, columns)


def _header(
    stream: BinaryIO, dialect: Literal["csv", "tsv"], columns: Columns
) -> tuple[list[str], str]:
    """The names of the columns, none if there is no header, and the delimiter.

    Any character but a letter, digit or quote may be one; in doubt it is the format's own.
    """
    usual = columns.delimiter or _DELIMITERS[dialect]
    lines: list[str] = []
    try:
        for line in _Feed(stream, _HEADER_BYTES):
            lines += [line] if lines or line.strip() else []
            if lines and "".join(lines).count('"') % 2 == 0:
                break
    except csv.Error:
        return [], usual
    unusual = [char for char in sorted(set("".join(lines))) if _MAY_DIVIDE.match(char)]
    others = [] if columns.delimiter else [*_USUAL, *unusual]
    headers = {each: _divided(lines, each) for each in dict.fromkeys([usual, *others])}
    found = [each for each in headers if not _missing(headers[each], columns)]
    best = found[0] if found else max(headers, key=lambda each: len(headers[each]))
    return headers[best], best


def _divided(lines: list[str], delimiter: str) -> list[str]:
    try:
        return next(csv.reader(lines, delimiter=delimiter), [])
    except csv.Error:
        return []


def check_columns(name: str, header: list[str], columns: Columns) -> None:
    """Raise Problem if a required column is not in the header."""
    for field, column in _missing(header, columns).items():
        raise Problem(
            f"{name}: no column `{column}` (for `{field}`); there are "
            f"{', '.join(header[:20])}: name the right one in `columns`"
        )


def _missing(header: list[str], columns: Columns) -> dict[str, str]:
    return {
        field: column
        for field, column in columns.required().items()
        if column not in header and column.partition(".")[0] not in header
    }


class _Feed:
    """Lines for a csv reader, with the place of the row it is in, and the damage met there."""

    def __init__(self, stream: BinaryIO, most: int) -> None:
        text = open_text(stream, most)
        self._lines = read_lines(text.source, 0, 1 << 62, most, text.unit)
        self._most = most
        self.begin()

    def begin(self) -> None:
        """A row begins."""
        self._row: list[Line] = []
        self._bytes = 0
        self.damage: list[Damage] = []

    def place(self) -> Place:
        """Where the lines of the row are."""
        first = self._row[0]
        return Place(first.offset, self._bytes, 0, unit=first.unit)

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
                text = line.data.decode("utf-8-sig" if line.offset == 0 else "utf-8")
            except UnicodeDecodeError:
                raise csv.Error("not UTF-8") from None
            if line.offset == 0 and _NAMED.fullmatch(text):
                self.begin()
                continue
            return text
        raise StopIteration
