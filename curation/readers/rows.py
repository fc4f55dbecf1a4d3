"""Rows that already hold text: which of their columns mean what."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Literal

from curation.readers import Damage, Place, Record, storable
from schemas.inputs import Columns


def row_record(
    row: Mapping[str, Any],
    columns: Columns,
    offset: int,
    length: int,
    inner: int,
    unit: Literal["byte", "row"],
    most: int,
) -> Record | Damage:
    """The record of a row; `Damage` if it has no text or more than `most` bytes of it."""
    values = {name: value_of(row, column) for name, column in columns.named().items()}
    text = values.pop("text")
    if not isinstance(text, str):
        detail = f"`{columns.text}` is {'not there' if text is None else 'not a string'}"
        return Damage(offset, length, inner, "no_text", detail, unit=unit)
    text = storable(text)
    # of UTF-8 a character has four bytes at most, so that few texts need be counted
    if 4 * len(text) > most and (size := len(text.encode())) > most:
        detail = f"{size} bytes of text, more than {most}"
        return Damage(offset, length, inner, "too_large", detail, unit=unit)
    crawled = time_of(values.pop("crawled", None))
    strings = {name: storable(string) for name, value in values.items() if (string := _text(value))}
    place = Place(offset, length, inner, unit=unit)
    return text_record(place, text, crawled, row if columns.whole else None, **strings)


def _text(value: Any) -> str:
    """A string, or a number as JSON has it, such as a numeric id; of all else nothing."""
    if isinstance(value, str):
        return value
    return str(value) if isinstance(value, int | float) and not isinstance(value, bool) else ""


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
        title=fields.get("title"),
        language=fields.get("language"),
        licence=fields.get("licence"),
        row=row,
        unit=place.unit,
    )


def value_of(row: Mapping[str, Any], column: str) -> Any:
    """What a row has in a column; `meta.url` is `url` inside `meta`. None if there is none."""
    if column in row:
        return row[column]
    top, dot, key = column.partition(".")
    inside = row.get(top) if dot else None
    if isinstance(inside, str):
        try:
            inside = json.loads(inside)
        except (ValueError, RecursionError):
            return None
    return inside.get(key) if isinstance(inside, Mapping) else None


def time_of(value: Any) -> datetime | None:
    """A time in UTC, of a timestamp or ISO 8601; None if it is neither."""
    try:
        if isinstance(value, str):
            value = datetime.fromisoformat(value.strip())
        if not isinstance(value, datetime):
            return None
        return (value if value.tzinfo else value.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, OverflowError):
        return None
