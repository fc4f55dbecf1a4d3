"""Files that are one document: plain text, Markdown, source code and HTML."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import PurePosixPath
from typing import BinaryIO, Literal

from curation.readers import Damage, Place, Record
from curation.readers.code import language_of, spdx
from curation.readers.compressed import codec_of, open_file
from curation.readers.source import BrokenError, Window

DocumentFormat = Literal["html", "text", "code"]

_HTML = re.compile(rb"\s*(?:<!doctype html|<html)[\s>]", re.IGNORECASE)
_TEMPLATE = re.compile(rb"<[?%]|\{[{%]")
_TYPES = {".md": "text/markdown", ".markdown": "text/markdown", ".xhtml": "application/xhtml+xml"}


def read_document(
    stream: BinaryIO,
    start: int,
    end: int,
    *,
    name: str,
    format: DocumentFormat,  # noqa: A002
    max_record_bytes: int,
    licence: str | None = None,
) -> Iterator[Record | Damage]:
    """Yield the one record of a file, compressed or not, if 0 is in [start, end).

    `licence`: of the folder, for code whose header names none. A file of more than
    `max_record_bytes` is `Damage` of kind `too_large`; a compressed one that is broken is lost.
    """
    if start > 0 or end <= 0:
        return
    window = Window(stream)
    source = open_file(window, max_record_bytes)
    try:
        payload = source.take(max_record_bytes + 1)
    except BrokenError as error:
        yield Damage(0, window.size, 0, error.kind, error.detail)
        return
    if len(payload) > max_record_bytes:
        detail = f"more than {max_record_bytes} bytes"
        yield Damage(0, window.size, 0, "too_large", detail)
        return
    inner = _stem(name) if codec_of(window) else name
    yield document(Place(0, window.size, 0), inner, format, payload, licence)


def _stem(name: str) -> str:
    return str(PurePosixPath(name).with_suffix(""))


def document(
    place: Place,
    name: str,
    format: DocumentFormat | None,  # noqa: A002
    payload: bytes,
    licence: str | None = None,
) -> Record:
    """The record of a file's bytes: of kind `text`, not decoded yet, or `page` for HTML and for
    a format that is not known, then without a content type."""
    if format == "code" and _HTML.match(payload) and not _TEMPLATE.search(payload):
        format = "html"  # noqa: A001 - a page saved under the name of the program that made it
    html = format in ("html", None)
    suffix = PurePosixPath(name.lower()).suffix
    content_type = "" if not format else "text/html" if html else "text/plain"
    content_type = _TYPES.get(suffix, content_type)
    return Record(
        place.offset,
        place.length,
        place.inner,
        "page" if html else "text",
        None,
        None,
        None,
        content_type,
        None,
        payload,
        format="html" if html else format,
        language=language_of(name) if format == "code" else None,
        licence=spdx(payload) or licence if format == "code" else None,
        unit=place.unit,
    )
