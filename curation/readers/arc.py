"""ARC files, the Internet Archive's and Common Crawl's format before WARC, to records.

Each record is a line of URL, IP address, time, media type and length, then what the server sent
(https://archive.org/web/researcher/ArcFileFormat.php); in version 2 five fields more stand before
the length. `captures` tells how records are walked.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import BinaryIO

from curation.readers import Damage, Record
from curation.readers.captures import (
    FlawError,
    Grammar,
    Head,
    check_captures,
    pass_newlines,
    read_captures,
)
from curation.readers.captures import is_splittable as is_splittable_captures
from curation.readers.compressed import Start
from curation.readers.http import parse_content_type
from curation.readers.source import Source

_LONGEST_LINE = 1 << 13
_IP = rb"(?:(?:\d{1,3}\.){3}\d{1,3}|[0-9a-fA-F:]{2,45}|-)"
_TIME = rb"\d{8,18}"
# A media type may have blanks in it; of version 2 a status, checksum, redirect, offset and file.
_MORE = rb"(?: (?:\d{3}|-) \S{1,200} \S{1,2000} \d{1,18} \S{1,1000})?"
_REST = rb" %b (%b) ([^\r\n]{0,200}?)%b ([^\s]{1,20})[ \t]*\r?\n" % (_IP, _TIME, _MORE)
_LINE = re.compile(rb"([a-zA-Z][a-zA-Z0-9+.-]{1,20}:[^\r\n]{0,6000}?)" + _REST)
# What is taken for a record where it is not known that one begins there.
_SURE = rb"(?:filedesc|https?|ftps?|dns|whois):[^\r\n]{0,6000}?" + _REST


def read_arc(
    stream: BinaryIO, start: int, end: int, *, max_record_bytes: int
) -> Iterator[Record | Damage]:
    """Yield what starts in [start, end) of a seekable ARC file: see `read_captures`.

    The record that describes the file is of kind `warcinfo`, an answer of HTTP `response`, all
    else, such as of DNS, `resource`.
    """
    return read_captures(_GRAMMAR, stream, start, end, max_record_bytes=max_record_bytes)


def is_splittable(stream: BinaryIO) -> bool:
    """Whether ranges of the file can be read without reading all before them."""
    return is_splittable_captures(_GRAMMAR, stream)


def check_arc(stream: BinaryIO, name: str) -> None:
    """Raise Problem, naming the file and what it looks like, if it begins like no ARC file."""
    check_captures(_GRAMMAR, stream, name)


def begins_arc(head: bytes) -> bool:
    """Whether the first bytes of a file are those of an ARC file."""
    return head.startswith(b"filedesc://") or _LINE.match(head) is not None


class _Arc(Grammar):
    name = "ARC"
    start = Start(re.compile(rb"[\r\n]{0,8}" + _SURE), _LONGEST_LINE)
    next_record = re.compile(rb"\n(" + _SURE + rb")")
    block_end = re.compile(rb"\r?\n\Z")
    may_be_blank = True

    def read_head(self, source: Source) -> Head:
        line = source.peek(_LONGEST_LINE)
        while b"\n" not in line and len(line) < _LONGEST_LINE and source.join():
            line = source.peek(_LONGEST_LINE)
        found = _LINE.match(line)
        if not found:
            raise FlawError("bad_header", "no line of URL, address, time, type and length")
        source.take(found.end())
        url, time, content_type, length = (
            group.decode("utf-8", "replace") for group in found.groups()
        )
        scheme = url.partition(":")[0].lower()
        kind = {"filedesc": "warcinfo", "http": "response", "https": "response"}.get(scheme)
        about = kind or "resource", url.strip(), _time(time)
        if kind != "response":
            return Head(*about, content_type, length)
        return Head(*about, "application/http", length, parse_content_type(content_type)[0])

    def at_boundary(self, source: Source) -> bool:
        # some writers leave the newline out, or count it as part of the block
        following = source.peek(_LONGEST_LINE)
        rest = following.lstrip(b"\r\n")
        pass_newlines(source)
        if not rest or self.start.begins(rest):
            return True
        # A newline alone may be one of the page. Here it is a record's end if the next line is none
        # of a record, but what follows that is a response; or if no record follows.
        return following.startswith((b"\n", b"\r\n")) and (
            rest.partition(b"\n")[2].startswith(b"HTTP/") or not self.next_record.search(rest)
        )


_GRAMMAR = _Arc()


def _time(digits: str) -> datetime | None:
    """A time of 14 digits in UTC; None if it is none."""
    try:
        return datetime.strptime(digits[:14], "%Y%m%d%H%M%S").replace(tzinfo=UTC)
    except ValueError:
        return None
