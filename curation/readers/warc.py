"""WARC files (ISO 28500) to records: see `captures` for how they are walked."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import BinaryIO

from curation.readers import Damage, Record
from curation.readers.captures import (
    HEAD_BYTES,
    HEAD_PEEK,
    FlawError,
    Grammar,
    Head,
    check_captures,
    pass_newlines,
    read_captures,
)
from curation.readers.captures import is_splittable as is_splittable_captures
from curation.readers.compressed import Start
from curation.readers.http import parse_fields
from curation.readers.source import Source

_WARC = b"WARC/"
_VERSION = re.compile(rb"WARC/\d{1,2}\.\d{1,2}[ \t]*\r*\n")
_HEAD_END = re.compile(rb"\n\r*\n")


def read_warc(
    stream: BinaryIO, start: int, end: int, *, max_record_bytes: int
) -> Iterator[Record | Damage]:
    """Yield what starts in [start, end) of a seekable WARC file: see `read_captures`."""
    return read_captures(_GRAMMAR, stream, start, end, max_record_bytes=max_record_bytes)


def is_splittable(stream: BinaryIO) -> bool:
    """Whether ranges of the file can be read without reading all before them."""
    return is_splittable_captures(_GRAMMAR, stream)


def check_warc(stream: BinaryIO, name: str) -> None:
    """Raise Problem, naming the file and what it looks like, if it begins like no WARC file."""
    check_captures(_GRAMMAR, stream, name)


class _Warc(Grammar):
    name = "WARC"
    start = Start(re.compile(rb"[\r\n]{0,8}WARC/"), 16)
    next_record = re.compile(rb"\n(WARC/\d{1,2}\.\d{1,2}[ \t]*\r*\n)")
    block_end = re.compile(rb"\r?\n\r?\n\Z")
    may_be_blank = False

    def read_head(self, source: Source) -> Head:
        while len(head := source.peek(16)) < 16 and source.join():
            pass
        if not _VERSION.match(head):
            raise FlawError("bad_header", "no WARC version where a record should start")
        size = HEAD_PEEK
        while not (found := _HEAD_END.search(head := source.peek(size))):
            if len(head) < size:
                if not source.join():
                    raise FlawError("bad_header", "the header has no end")
            elif size >= HEAD_BYTES:
                raise FlawError("bad_header", "the header has no end")
            else:
                size *= 4
        fields = parse_fields(source.take(found.end()))
        if not fields.get("warc-type"):
            raise FlawError("bad_header", "no WARC-Type")
        return Head(
            fields["warc-type"].lower(),
            fields.get("warc-target-uri", "").strip("<> \t") or None,
            _time(fields.get("warc-date", "")),
            fields.get("content-type", ""),
            fields.get("content-length", ""),
        )

    def at_boundary(self, source: Source) -> bool:
        ends = source.peek(4) == b"\r\n\r\n"
        pass_newlines(source)
        return ends or source.peek(len(_WARC)) in (_WARC, b"")


_GRAMMAR = _Warc()


def _time(text: str) -> datetime | None:
    """A WARC-Date in UTC; None if it is no ISO 8601 time."""
    try:
        time = datetime.fromisoformat(text.strip())
        return (time if time.tzinfo else time.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, OverflowError):
        return None
