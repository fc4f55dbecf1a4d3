"""Rows that already hold text: which of their columns mean what."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from curation.readers import Damage, Place, Record, damage_at, storable
from schemas.inputs import Columns


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
        return text_record(place, str(content), crawled, whole, **strings)
    charset = strings.get("charset")
    if isinstance(content, str):
        content, charset = content.encode(), "utf-8"
    return Record(
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
        title=strings.get("title"),
        language=strings.get("language"),
        licence=strings.get("licence"),
        unit=place.unit,
        group=place.group,
    )


def _size(content: str | bytes) -> int:
    return len(content.encode() if isinstance(content, str) else content)


def _text(value: Any) -> str:
    """A string, or a number as JSON has it, such as a numeric id; of all else nothing."""
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
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
