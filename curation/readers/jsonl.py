"""Objects of JSON to records: one a line, in a list, or over many lines; compressed or not."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any, BinaryIO

from curation.readers import Damage, Place, Record, Unit, damage_at
from curation.readers.lines import Text, open_text, read_lines
from curation.readers.rows import row_record
from curation.readers.source import BrokenError, Source
from schemas.inputs import Columns
from schemas.problems import Problem

_WRAPPING = 16  # JSON's longest writing of a byte of text (`\\u0000` is 6), and the other columns
_CHECKED_ROWS = 100
_BOM = b"\xef\xbb\xbf"
# Control characters in strings are not JSON, but what they mean is clear.
_DECODER = json.JSONDecoder(strict=False)

_LOOK = 1 << 16  # bytes in which objects are looked for, and that tell how a file begins
_STRING = re.compile(rb'"(?:[^"\\]|\\.)*"')
_GOES_ON = (b"{", b"[", b",", b":")  # ends of a line with which no object ends
_BETWEEN = re.compile(r"[\s,\[\]\ufeff]*")
_FIRST_KEY = re.compile(r'\{\s*("(?:[^"\\]|\\.)*")')
_CUT = 8  # characters before the end in which an error may be that of a value cut off there


def read_jsonl(
    stream: BinaryIO, start: int, end: int, *, columns: Columns, max_record_bytes: int
) -> Iterator[Record | Damage]:
    """Yield a record for every object that starts in [start, end) of a seekable file.

    A line that is no JSON object is `Damage` of kind `bad_json`, one without text `no_text`;
    blank lines are passed over. Where a file begins with a list, or with an object that goes on
    in the next line, its rows are the outermost objects, wherever their lines end. Such a file,
    one that is compressed, and one in UTF-16 are one split.
    """
    for place, row in _rows(stream, start, end, max_record_bytes):
        if isinstance(row, Damage):
            yield row
        else:
            yield row_record(row, columns, place, max_record_bytes)


def is_lines(stream: BinaryIO) -> bool:
    """Whether each row is a line of the file's own bytes, so that it can be entered anywhere."""
    text = open_text(stream, _LOOK)
    return text.unit == "byte" and not _is_values(text)


def _rows(
    stream: BinaryIO, start: int, end: int, most: int
) -> Iterator[tuple[Place, dict[str, Any] | Damage]]:
    """The objects with their places, and the damage between."""
    text = open_text(stream, most)
    if _is_values(text):
        if start <= 0 < end:
            yield from _values(text.source, text.unit, _WRAPPING * most)
        return
    for line in read_lines(text.source, start, end, _WRAPPING * most, text.unit):
        if isinstance(line, Damage):
            yield line, line
        elif line.data.strip():
            try:
                yield line, parse_object(line.data)
            except ValueError as error:
                yield line, damage_at(line, "bad_json", str(error))


def _is_values(text: Text) -> bool:
    """Whether a file begins with a list, or with an object that goes on in the next line."""
    head = text.head.removeprefix(_BOM).lstrip()
    line, newline, _ = head.partition(text.source.newline)
    bare = _STRING.sub(b"", line).rstrip()
    opened = sum(map(bare.count, (b"{", b"["))) - sum(map(bare.count, (b"}", b"]")))
    goes_on = bool(newline) and opened > 0 and bare.endswith(_GOES_ON)
    return head.startswith(b"[") or (head.startswith(b"{") and goes_on)


def _values(
    source: Source, unit: Unit, most: int
) -> Iterator[tuple[Place, dict[str, Any] | Damage]]:
    """The outermost objects of a text, of `most` bytes each, whatever stands between them.

    After a broken one reading goes on where an object that is no value of another begins with the
    key of the first one.
    """
    begins = re.compile(rb'(\{\s*")')
    is_learnt = False
    size = _LOOK
    while True:
        source.release()
        window, broken = _window(source, size)
        text = window.decode("utf-8", "surrogateescape")
        at = _BETWEEN.match(text).end()  # type: ignore[union-attr]  # matches anywhere
        source.take(_bytes(text[:at]))
        wrong: str | None = None
        while at < len(text) and wrong is None:
            row, after, wrong = _value(text, at)
            if row is None:
                break
            if not is_learnt and (key := _FIRST_KEY.match(text, at)):
                begins = re.compile(
                    rb"(?:[\[,}\]]|\n|\A)\s{0,200}(\{\s*%b\s*:)" % re.escape(key[1].encode())
                )
                is_learnt = True
            length = _bytes(text[at:after])
            yield Place(source.position, length, 0, unit=unit), row
            size = _LOOK
            at = _BETWEEN.match(text, after).end()  # type: ignore[union-attr]
            source.take(length + _bytes(text[after:at]))
        is_last = len(window) < size and not broken
        if wrong is None and not broken:
            if is_last and at == len(text):
                return
            if not is_last and size < most:
                size = _LOOK if at == len(text) else min(4 * size, most)
                continue
        begun = source.position
        _pass_broken(source, begins, broken)
        place = Place(begun, source.position - begun, 0, unit=unit)
        if wrong is not None:
            damage = damage_at(place, "bad_json", wrong)
        elif broken:
            damage = damage_at(place, broken.kind, broken.detail)
        elif is_last:
            damage = damage_at(place, "bad_json", "the file ends inside an object")
        else:
            damage = damage_at(place, "too_large", f"an object of more than {most} bytes")
        size = _LOOK
        yield place, damage


def _window(source: Source, size: int) -> tuple[bytes, BrokenError | None]:
    """The next bytes, and why there are no more of them if they are broken."""
    try:
        return source.peek(size), None
    except BrokenError as error:
        return source.held(), error


def _value(text: str, at: int) -> tuple[dict[str, Any] | None, int, str | None]:
    """The object at a place of a text and where it ends; else what is wrong with it, or nothing
    if the text may end inside it."""
    try:
        if text[at] != "{":
            return None, at, "no object"
        row, after = _DECODER.raw_decode(text, at)
        text[at:after].encode()
    except json.JSONDecodeError as error:
        if error.msg.startswith("Unterminated") or error.pos + _CUT > len(text):
            return None, at, None
        return None, at, f"{error.msg} at character {error.pos - at}"
    except UnicodeEncodeError:
        return None, at, "not UTF-8"
    except RecursionError:
        return None, at, "nested too deep"
    except ValueError as error:  # a number of too many digits
        return None, at, str(error)
    return row, after, None


def _pass_broken(source: Source, begins: re.Pattern[bytes], broken: BrokenError | None) -> None:
    """Pass an object that cannot be read, up to where another one begins."""
    if broken:
        source.drop()
    else:
        source.take(1)
    while True:
        try:
            source.seek_to(begins)
        except BrokenError:
            source.drop()
        else:
            return


def _bytes(text: str) -> int:
    return len(text) if text.isascii() else len(text.encode("utf-8", "surrogateescape"))


def parse_object(data: bytes) -> dict[str, Any]:
    """A JSON object of bytes; ValueError says what is wrong with them."""
    try:
        row = _DECODER.decode(data.removeprefix(_BOM).decode())
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
    """Raise Problem if none of the first rows is an object with a text."""
    seen: set[str] = set()
    for number, (place, row) in enumerate(_rows(stream, 0, 1 << 62, max_record_bytes)):
        if number == _CHECKED_ROWS:
            break
        if isinstance(row, Damage):
            continue
        seen.update(row)
        record = row_record(row, columns, place, max_record_bytes)
        if isinstance(record, Record) or record.kind == "too_large":
            return
    if seen:
        raise Problem(
            f"{name}: no text in the column `{columns.html or columns.text}`; there are "
            f"{', '.join(sorted(seen)[:20])}: name the right one in `columns`"
        )
    raise Problem(f"{name}: no JSON object in its first lines: take it out of `files`")
