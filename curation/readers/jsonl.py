"""JSON lines, compressed or not, to records."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, BinaryIO

from curation.readers import Damage, Record
from curation.readers.compressed import codec_of, open_file
from curation.readers.lines import Line, read_lines
from curation.readers.rows import row_record
from curation.readers.source import Window
from schemas.inputs import Columns
from schemas.problems import Problem

_WRAPPING = 16  # JSON's longest writing of a byte of text (`\\u0000` is 6), and the other columns
_CHECKED_LINES = 100
# Control characters in strings are not JSON, but what they mean is clear.
_DECODER = json.JSONDecoder(strict=False)


def read_jsonl(
    stream: BinaryIO, start: int, end: int, *, columns: Columns, max_record_bytes: int
) -> Iterator[Record | Damage]:
    """Yield a record for every line that starts in [start, end) of a seekable file.

    A line that is no JSON object is `Damage` of kind `bad_json`, one without text `no_text`;
    blank lines are passed over. Of a compressed file all lines start at 0.
    """
    for line in _lines(stream, start, end, max_record_bytes):
        if isinstance(line, Damage):
            yield line
        elif line.data.strip():
            yield _record(line, columns, max_record_bytes)


def _lines(stream: BinaryIO, start: int, end: int, most: int) -> Iterator[Line | Damage]:
    source = open_file(Window(stream), most)
    return read_lines(source, start, end, _WRAPPING * most, codec_of(Window(stream)) is not None)


def _record(line: Line, columns: Columns, most: int) -> Record | Damage:
    place = (line.offset, line.length, line.inner)
    try:
        row = parse_object(line.data)
    except ValueError as error:
        return Damage(*place, "bad_json", str(error))
    return row_record(row, columns, *place, "byte", most)


def parse_object(data: bytes) -> dict[str, Any]:
    """A JSON object of bytes; ValueError says what is wrong with them."""
    try:
        row = _DECODER.decode(data.removeprefix(b"\xef\xbb\xbf").decode())
    except RecursionError:
        raise ValueError("nested too deep") from None
    except UnicodeDecodeError:
        raise ValueError("not UTF-8") from None
    except json.JSONDecodeError as error:
        raise ValueError(f"{error.msg} at character {error.pos}") from None
    if not isinstance(row, dict):
        raise ValueError(f"a {type(row).__name__}, not an object")
    return row


def check_jsonl(stream: BinaryIO, name: str, columns: Columns, max_record_bytes: int) -> None:
    """Raise Problem if none of the first lines is an object with a text."""
    seen: set[str] = set()
    for number, line in enumerate(_lines(stream, 0, 1 << 62, max_record_bytes)):
        if number == _CHECKED_LINES:
            break
        if isinstance(line, Damage) or not line.data.strip():
            continue
        try:
            seen.update(row := parse_object(line.data))
        except ValueError:
            continue
        record = row_record(row, columns, 0, 0, 0, "byte", max_record_bytes)
        if isinstance(record, Record) or record.kind == "too_large":
            return
    if seen:
        raise Problem(
            f"{name}: no text in the column `{columns.text}`; there are "
            f"{', '.join(sorted(seen)[:20])}: name the right one in `columns`"
        )
    raise Problem(f"{name}: no JSON object in its first lines: take it out of `files`")
