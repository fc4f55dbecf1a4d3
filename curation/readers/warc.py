"""WARC files (ISO 28500), compressed a record or as a whole, or not at all, to records.

A page inside a record can hold anything, also what looks like a record. So records are told by
walking from one to the next, and a search for the next is only made where a file is damaged.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import BinaryIO

from curation.readers import Damage, DamageKind, FlawKind, Record
from curation.readers.compressed import GZIP, LZ4, ZSTD, Codec, codec_of
from curation.readers.http import (
    TooLargeError,
    is_response,
    parse_content_type,
    parse_fields,
    parse_response,
)
from curation.readers.source import BrokenError, File, Source, Window
from schemas.problems import Problem

_WARC = b"WARC/"
_MEBIBYTE = 1 << 20
_HEAD_BYTES = _MEBIBYTE  # the longest WARC header that is read
_HEAD_PEEK = 1 << 12
_BEGINNING = _MEBIBYTE  # how far a file is looked at to tell what it is
_VERSION = re.compile(rb"WARC/\d{1,2}\.\d{1,2}[ \t]*\r*\n")
_NEXT_RECORD = re.compile(rb"\n(WARC/\d{1,2}\.\d{1,2}[ \t]*\r*\n)")
_HEAD_END = re.compile(rb"\n\r*\n")
_RECORD_END = re.compile(rb"\r?\n\r?\n\Z")


class _FlawError(Exception):
    """A record that cannot be read though its bytes can."""

    def __init__(self, kind: DamageKind, detail: str) -> None:
        super().__init__(detail)
        self.kind = kind


@dataclass(frozen=True, slots=True)
class _Raw:
    """A record's fields (names in lower case) and block, at [start, end) of its source."""

    start: int
    end: int
    fields: dict[str, str]
    block: bytes
    flaw: FlawKind | None


@dataclass(frozen=True, slots=True)
class _Flaw:
    """Bytes [start, end) of a source that hold no sound record."""

    start: int
    end: int
    kind: DamageKind
    detail: str


def read_warc(
    stream: BinaryIO, start: int, end: int, *, max_record_bytes: int
) -> Iterator[Record | Damage]:
    """Yield every record that starts in [start, end) of a seekable file, and every damaged gap.

    Any partition of a file in ranges gives each record and gap exactly once. A gap costs the
    record it is in. A record whose block, or whose decoded body, is larger than
    `max_record_bytes` is `Damage` of kind `too_large`; memory stays within some times that.
    A record whose length is wrong is read up to the next, if it ends there as records do.
    Text after the last record, be it zeros, is a gap too.
    """
    window = Window(stream)
    codec = _codec(window)
    if codec:
        yield from _read_members(window, codec, start, end, max_record_bytes)
        return
    for item in _parse(File(window), max_record_bytes, cut="truncated"):
        if item.start >= end:
            return
        if item.start >= start:
            yield _place(item, item.start, item.end - item.start, 0, max_record_bytes)


def is_splittable(stream: BinaryIO) -> bool:
    """Whether ranges of the file can be read without reading all before them.

    True if it is compressed record by record. One gzip member over many records cannot be
    entered, and the records of an uncompressed file can only be told by walking from its start.
    """
    window = Window(stream)
    codec = _codec(window)
    if not codec:
        return False
    first = codec.open(window, codec.skip(window, 0), _BEGINNING)
    records = 0
    try:
        for _ in _parse(first, _BEGINNING, cut="wrong_length"):
            records += 1
            if records > 1:
                return False
    except BrokenError:
        return codec.next(window, 1, window.size, _WARC) is not None
    return True


def check_warc(stream: BinaryIO, name: str) -> None:
    """Raise Problem, naming the file and what it looks like, if it begins like no WARC file."""
    window = Window(stream)
    head = window.read(0, _HEAD_PEEK)
    if codec := codec_of(window):
        inside = codec.head(window, codec.skip(window, 0), _HEAD_PEEK)
        looks = (
            f"a {codec.name} file of {_looks_like(inside)}"
            if inside
            else f"a damaged or empty {codec.name} file"
        )
    else:
        inside, looks = head, _looks_like(head)
    if inside.lstrip(b"\r\n").startswith(_WARC) or _NEXT_RECORD.search(inside):
        return
    if _codec_after_damage(window):
        return
    raise Problem(f"{name}: not a WARC file, it looks like {looks}: take it out of `files`")


def _looks_like(head: bytes) -> str:
    text = head.lstrip(b"\xef\xbb\xbf \t\r\n")
    if not head:
        return "an empty file"
    if not text:
        return "blank lines"
    for start, name in (
        (b"filedesc://", "an ARC file, the format before WARC"),
        (b"PK\x03\x04", "a ZIP file"),
        (b"PAR1", "a Parquet file"),
        (b"%PDF", "a PDF file"),
        (b"<", "HTML or XML"),
        (b"{", "JSON"),
        (b"[", "JSON"),
    ):
        if text.startswith(start):
            return name
    return "binary data" if b"\0" in head else f"text that begins {text[:20].decode('latin-1')!r}"


def _codec(window: Window) -> Codec | None:
    """How the file is compressed, also if its beginning is damaged."""
    if window.exactly(0, len(_WARC)) == _WARC:
        return None
    return codec_of(window) or _codec_after_damage(window)


def _codec_after_damage(window: Window) -> Codec | None:
    for codec in (GZIP, ZSTD, LZ4):
        if codec.next(window, 0, _BEGINNING, _WARC) is not None:
            return codec
    return None


def _read_members(
    window: Window, codec: Codec, start: int, end: int, most: int
) -> Iterator[Record | Damage]:
    limit = most + _HEAD_BYTES
    position = codec.skip(window, codec.surely_starts(window, start, limit, _WARC))
    while position < min(end, window.size):
        member = codec.open(window, position, limit)
        inner = 0
        try:
            if position >= start:
                for item in _parse(member, most, cut="wrong_length"):
                    inner = item.end
                    alone = item.start == 0 and member.at_end()
                    length = member.end - position if alone else item.end - item.start
                    yield _place(item, position, length, item.start, most)
            after = member.finish()
        except BrokenError as error:
            found = codec.next(window, position + 1, window.size, _WARC)
            after = window.size if found is None else found
            kind = codec.kind if error.kind == "truncated" and found else error.kind
            if position >= start:
                yield Damage(position, after - position, inner, kind, error.detail)
        position = codec.skip(window, after)


def _parse(source: Source, most: int, cut: DamageKind) -> Iterator[_Raw | _Flaw]:
    """The records of a source. `cut`: what is wrong with a last one that lacks its end."""
    while True:
        _pass_newlines(source)
        source.release()
        if source.at_end():
            return
        start = source.position
        fields: dict[str, str] = {}
        short = False
        try:
            fields = _read_head(source)
            size = _length(fields)
            begun = source.position
            block = source.take(size) if size <= most else b""
            short = len(block) < size if size <= most else not source.skip(size)
            if short or not _at_boundary(source):
                source.rewind(begun)
                detail = f"no record ends {size} bytes after its header"
                raise _FlawError("wrong_length", detail)
        except _FlawError as flaw:
            if flaw.kind == "wrong_length" and (block := _salvage(source, most)):
                yield _Raw(start, source.position, fields, block, "wrong_length")
                continue
            found = source.seek_to(_NEXT_RECORD)
            kind = cut if short and not found else flaw.kind
            yield _Flaw(start, source.position, kind, str(flaw))
            continue
        if size > most:
            detail = f"{size} bytes, more than {most}"
            yield _Flaw(start, source.position, "too_large", detail)
        else:
            yield _Raw(start, source.position, fields, block, None)


def _salvage(source: Source, most: int) -> bytes:
    """Read a block whose length is not known, if its end is clear: a record's end, and then
    another record or nothing. Else it reads nothing and gives none."""
    size = _HEAD_PEEK
    while True:
        head = source.peek(size)
        found = _NEXT_RECORD.search(head)
        if found or len(head) < size:
            break
        if size > most:
            return b""
        size *= 2
    end = found.start(1) if found else len(head)
    ending = _RECORD_END.search(head, max(0, end - 4), end)
    if not ending or end > most or not (block := head[: ending.start()]).strip():
        return b""
    source.take(end)
    return block


def _pass_newlines(source: Source) -> None:
    while chunk := source.peek(_HEAD_PEEK):
        newlines = len(chunk) - len(chunk.lstrip(b"\r\n"))
        source.skip(newlines)
        if newlines < len(chunk):
            return


def _at_boundary(source: Source) -> bool:
    """Pass the end of a record; False if there is none here."""
    ends = source.peek(4) == b"\r\n\r\n"
    _pass_newlines(source)
    following = source.peek(len(_WARC))
    return ends or following in (_WARC, b"")


def _read_head(source: Source) -> dict[str, str]:
    """Read a record's header."""
    if not _VERSION.match(source.peek(16)):
        raise _FlawError("bad_header", "no WARC version where a record should start")
    size = _HEAD_PEEK
    while not (found := _HEAD_END.search(head := source.peek(size))):
        if size >= _HEAD_BYTES or len(head) < size:
            raise _FlawError("bad_header", "the header has no end")
        size *= 4
    fields = parse_fields(source.take(found.end()))
    if not fields.get("warc-type"):
        raise _FlawError("bad_header", "no WARC-Type")
    return fields


def _length(fields: dict[str, str]) -> int:
    length = fields.get("content-length", "")
    if not re.fullmatch(r"[0-9]{1,18}", length):
        raise _FlawError("wrong_length", f"Content-Length is {length[:40]!r}")
    return int(length)


def _place(item: _Raw | _Flaw, offset: int, length: int, inner: int, most: int) -> Record | Damage:
    """What a source held, as it stands in the file."""
    if isinstance(item, _Flaw):
        return Damage(offset, length, inner, item.kind, item.detail)
    fields = item.fields
    kind = fields["warc-type"].lower()
    url = fields.get("warc-target-uri", "").strip("<> \t") or None
    crawled = _time(fields.get("warc-date", ""))
    media_type, charset = parse_content_type(fields.get("content-type", ""))
    if kind != "response" or not is_response(item.block, media_type):
        return Record(
            offset,
            length,
            inner,
            kind,
            url,
            crawled,
            None,
            media_type,
            charset,
            item.block,
            item.flaw,
        )
    try:
        response = parse_response(item.block, most)
    except TooLargeError as error:
        return Damage(offset, length, inner, "too_large", str(error))
    if item.flaw and not response.body:
        return Damage(offset, length, inner, "wrong_length", "the response ends after its header")
    return Record(
        offset,
        length,
        inner,
        kind,
        url,
        crawled,
        response.status,
        response.content_type,
        response.charset,
        response.body,
        item.flaw or (None if response.sound else "wrong_coding"),
        headers=response.headers,
    )


def _time(text: str) -> datetime | None:
    """A WARC-Date in UTC; None if it is no ISO 8601 time."""
    try:
        time = datetime.fromisoformat(text.strip())
        return (time if time.tzinfo else time.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, OverflowError):
        return None
