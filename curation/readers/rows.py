"""Rows that already hold text: which of their columns mean what."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, date, datetime
from typing import Any

from curation.readers import Damage, Place, Record, damage_at, storable
from schemas.inputs import Columns

# What a row says of itself.
_ABOUT = ("title", "author", "published", "language", "licence", "user_id")


def row_record(
    row: Mapping[str, Any], columns: Columns, place: Place, most: int
) -> Record | Damage:
    """The record of a row: of kind `text`, or `page` where the columns name one of HTML.

    `Damage` if it has neither, if bytes of text are not UTF-8, or if it is of more than `most`
    bytes. HTML that comes as text is in UTF-8, whatever it declares.
    """
    values = {name: value_of(row, column) for name, column in columns.named().items()}
    html = values.pop("html", None)
    content = html if columns.html else values.pop("text", None)
    if not isinstance(content, str | bytes):
        why = "not there" if content is None else "not a string"
        return damage_at(place, "no_text", f"`{columns.html or columns.text}` is {why}")
    if isinstance(content, bytes) and not columns.html:
        try:
            content = content.decode()
        except UnicodeDecodeError:
            return damage_at(place, "bad_row", f"`{columns.text}` is not UTF-8")
    if isinstance(content, str):
        content = storable(content)
    # of UTF-8 a character has four bytes at most, so that few texts need be counted
    if 4 * len(content) > most and (size := _size(content)) > most:
        return damage_at(place, "too_large", f"{size} bytes of text, more than {most}")
    crawled = time_of(values.pop("crawled", None))
    strings = {name: storable(string) for name, value in values.items() if (string := _text(value))}
    if not columns.html:
        whole = row if columns.whole else None
        record = text_record(place, str(content), crawled, whole, **strings)
        return _with_kept(record, row, columns.keep)
    charset = strings.get("charset")
    if isinstance(content, str):
        content, charset = content.encode(), "utf-8"
    record = Record(
        place.offset,
        place.length,
        place.inner,
        "page",
        strings.get("url"),
        crawled,
        None,
        "text/html",
        charset,
        content,
        **_about(strings),
        unit=place.unit,
        group=place.group,
    )
    return _with_kept(record, row, columns.keep)


def _size(content: str | bytes) -> int:
    return len(content.encode() if isinstance(content, str) else content)


def _with_kept(record: Record, row: Mapping[str, Any], keep: Mapping[str, str]) -> Record:
    """The record with the columns that are kept; `mistyped` are those of another type."""
    if not keep:
        return record
    given = {name: value_of(row, name) for name in keep}
    kept = {name: of_type(given[name], kind) for name, kind in keep.items()}
    mistyped = tuple(name for name in keep if kept[name] is None and given[name] is not None)
    return replace(record, kept=kept, mistyped=mistyped)


def of_type(value: Any, kind: str) -> str | int | float | bool | None:
    """A value if it is a string, an integer of 64 bits, a finite float or a boolean; else None."""
    if kind == "string":
        return storable(value) if isinstance(value, str) else None
    if kind == "boolean" or isinstance(value, bool):
        return value if kind == "boolean" and isinstance(value, bool) else None
    if kind == "integer":
        return value if isinstance(value, int) and -(1 << 63) <= value < 1 << 63 else None
    try:
        number = float(value) if isinstance(value, int | float) else math.nan
    except OverflowError:
        return None
    return number if math.isfinite(number) else None


def parsed(text: str, kind: str) -> Any:
    """What a cell of a table means as a value of a type; itself if it is none, None if empty."""
    if not text:
        return None
    if kind == "boolean":
        return {"true": True, "false": False}.get(text.lower(), text)
    try:
        return {"integer": int, "float": float}[kind](text) if kind != "string" else text
    except ValueError:
        return text


def _text(value: Any) -> str:
    """A string, a number as JSON has it, such as a numeric id, or a date; of all else nothing."""
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    if isinstance(value, str):
        return value
    return str(value) if isinstance(value, int | float) and not isinstance(value, bool) else ""


def _about(strings: Mapping[str, str]) -> dict[str, Any]:
    return {name: strings.get(name) for name in _ABOUT}


def text_record(
    place: Place,
    text: str,
    crawled: datetime | None = None,
    row: Mapping[str, Any] | None = None,
    **fields: str,
) -> Record:
    """A record of kind `text`."""
    return Record(
        place.offset,
        place.length,
        place.inner,
        "text",
        fields.get("url"),
        crawled,
        None,
        "text/plain",
        None,
        b"",
        text=text,
        **_about(fields),
        row=row,
        unit=place.unit,
        group=place.group,
    )


def value_of(row: Mapping[str, Any], column: str) -> Any:
    """What a row has in a column; `meta.url` is `url` inside `meta`. None if there is none."""
    if column in row:
        return row[column]
    top, dot, key = column.partition(".")
    inside = row.get(top) if dot else None
    if isinstance(inside, str | bytes):
        try:
            inside = json.loads(inside)
        except (ValueError, RecursionError):
            return None
    return inside.get(key) if isinstance(inside, Mapping) else None


def time_of(value: Any) -> datetime | None:
    """A time in UTC, of a timestamp or ISO 8601; None if it is neither."""
    try:
        if isinstance(value, bytes):
            value = value.decode()
        if isinstance(value, str):
            value = datetime.fromisoformat(value.strip())
        if not isinstance(value, datetime):
            return None
        return (value if value.tzinfo else value.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, OverflowError):
        return None
