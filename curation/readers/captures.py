"""Archives of captures, WARC and ARC: compressed a record or as a whole, or not at all.

A page inside a record can hold anything, also what looks like a record. So records are told by
walking from one to the next, and a search for the next is only made where a file is damaged.
"""

from __future__ import annotations

import abc
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import BinaryIO

from curation.readers import Damage, DamageKind, FlawKind, Place, Record
from curation.readers.compressed import GZIP, LZ4, ZSTD, Chain, Codec, Start, codec_of
from curation.readers.http import TooLargeError, is_response, parse_content_type, parse_response
from curation.readers.source import BrokenError, File, Source, Window
from schemas.problems import Problem

_MEBIBYTE = 1 << 20
HEAD_BYTES = _MEBIBYTE  # the longest header that is read
HEAD_PEEK = 1 << 12
_BEGINNING = _MEBIBYTE  # how far a file is looked at to tell what it is


class FlawError(Exception):
    """A record that cannot be read though its bytes can."""

    def __init__(self, kind: DamageKind, detail: str) -> None:
        """`kind` and `detail` as of `Damage`."""
        super().__init__(detail)
        self.kind = kind


@dataclass(frozen=True, slots=True)
class Head:
    """What a record's header says.

    kind, url, crawled: as of `Record`. content_type, length: those of its block, as they are
    written. body_type: media type of the page in a response whose own head names none.
    """

    kind: str
    url: str | None
    crawled: datetime | None
    content_type: str
    length: str
    body_type: str = ""


class Grammar(abc.ABC):
    """How records stand in an archive.

    name: of the format. start: what a record begins with. next_record: a line's end, then in
    group 1 what surely is a record's start. block_end: what stands between a block of unknown
    length and the next record. may_be_blank: whether such a block may be.
    """

    name: str
    start: Start
    next_record: re.Pattern[bytes]
    block_end: re.Pattern[bytes]
    may_be_blank: bool

    @abc.abstractmethod
    def read_head(self, source: Source) -> Head:
        """Read a record's header. Raises FlawError."""

    @abc.abstractmethod
    def at_boundary(self, source: Source) -> bool:
        """Pass the end of a record; False if there is none here."""


@dataclass(frozen=True, slots=True)
class _Raw:
    """A record's head and block, at [start, end) of its source."""

    start: int
    end: int
    head: Head
    block: bytes
    flaw: FlawKind | None


@dataclass(frozen=True, slots=True)
class _Flaw:
    """Bytes [start, end) of a source that hold no sound record."""

    start: int
    end: int
    kind: DamageKind
    detail: str


def read_captures(
    grammar: Grammar, stream: BinaryIO, start: int, end: int, *, max_record_bytes: int
) -> Iterator[Record | Damage]:
    """Yield every record that starts in [start, end) of a seekable file, and every damaged gap.

    Any partition of a file in ranges gives each record and gap exactly once. A gap costs the
    record it is in. A record whose block, or whose decoded body, is larger than
    `max_record_bytes` is `Damage` of kind `too_large`; memory stays within some times that.
    A record whose length is wrong is read up to the next, if it ends there as records do.
    A record may go on in the next compressed part, if no record begins there.
    Text after the last record, be it zeros, is a gap too.
    """
    window = Window(stream)
    codec = _codec(grammar, window)
    if codec:
        yield from _read_parts(grammar, window, codec, start, end, max_record_bytes)
        return
    for item in _parse(grammar, File(window), max_record_bytes, cut="truncated"):
        if item.start >= end:
            return
        if item.start >= start:
            place = Place(item.start, item.end - item.start, 0)
            yield _placed(grammar, item, place, max_record_bytes)


def is_splittable(grammar: Grammar, stream: BinaryIO) -> bool:
    """Whether ranges of the file can be read without reading all before them.

    True if it is compressed record by record. One gzip member over many records cannot be
    entered, and the records of an uncompressed file can only be told by walking from its start.
    """
    window = Window(stream)
    codec = _codec(grammar, window)
    if not codec:
        return False
    first = codec.open(window, codec.skip(window, 0), _BEGINNING)
    records = 0
    try:
        for _ in _parse(grammar, first, _BEGINNING, cut="wrong_length"):
            records += 1
            if records > 1:
                return False
    except BrokenError:
        return codec.next(window, 1, window.size, grammar.start) is not None
    return True


def check_captures(grammar: Grammar, stream: BinaryIO, name: str) -> None:
    """Raise Problem, naming the file and what it looks like, if it begins like none."""
    window = Window(stream)
    head = window.read(0, HEAD_PEEK)
    if codec := codec_of(window):
        inside = codec.head(window, codec.skip(window, 0), HEAD_PEEK)
        looks = (
            f"a {codec.name} file of {_looks_like(inside)}"
            if inside
            else f"a damaged or empty {codec.name} file"
        )
    else:
        inside, looks = head, _looks_like(head)
    if grammar.start.begins(inside) or grammar.next_record.search(inside):
        return
    if _codec_after_damage(grammar, window):
        return
    article = "an" if grammar.name[0] in "AEIOU" else "a"
    raise Problem(
        f"{name}: not {article} {grammar.name} file, it looks like {looks}: take it out of `files`"
    )


def _looks_like(head: bytes) -> str:
    text = head.lstrip(b"\xef\xbb\xbf \t\r\n")
    if not head:
        return "an empty file"
    if not text:
        return "blank lines"
    for start, name in (
        (b"filedesc://", "an ARC file, the format before WARC"),
        (b"WARC/", "a WARC file"),
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


def _codec(grammar: Grammar, window: Window) -> Codec | None:
    """How the file is compressed, also if its beginning is damaged."""
    if grammar.start.begins(window.exactly(0, grammar.start.look)):
        return None
    return codec_of(window) or _codec_after_damage(grammar, window)


def _codec_after_damage(grammar: Grammar, window: Window) -> Codec | None:
    for codec in (GZIP, ZSTD, LZ4):
        if codec.next(window, 0, _BEGINNING, grammar.start) is not None:
            return codec
    return None


def _read_parts(
    grammar: Grammar, window: Window, codec: Codec, start: int, end: int, most: int
) -> Iterator[Record | Damage]:
    limit = most + HEAD_BYTES
    position = codec.skip(window, codec.surely_starts(window, start, limit, grammar.start))
    while position < min(end, window.size):
        chain = Chain(window, codec, position, limit, grammar.start)
        told = 0  # where what is yielded ends
        try:
            for item in _parse(grammar, chain, most, cut="wrong_length"):
                told = item.end
                offset, inner = chain.locate(item.start)
                alone = inner == 0 and chain.at_end()
                length = chain.end - offset if alone else item.end - item.start
                if start <= offset < end:
                    yield _placed(grammar, item, Place(offset, length, inner), most)
            after = chain.finish()
        except BrokenError as error:
            found = codec.next(window, chain.last + 1, window.size, grammar.start)
            after = window.size if found is None else found
            kind = codec.kind if error.kind == "truncated" and found else error.kind
            offset, inner = chain.locate(told)
            if start <= offset < end:
                yield Damage(offset, after - offset, inner, kind, error.detail)
        position = codec.skip(window, after)


def _parse(grammar: Grammar, source: Source, most: int, cut: DamageKind) -> Iterator[_Raw | _Flaw]:
    """The records of a source. `cut`: what is wrong with a last one that lacks its end."""
    while True:
        pass_newlines(source)
        source.release()
        if source.at_end():
            return
        start = source.position
        head = None
        short = False
        try:
            head = grammar.read_head(source)
            size = _length(head)
            begun = source.position
            block = source.take(size) if size <= most else b""
            short = len(block) < size if size <= most else not source.skip(size)
            while short and source.join():
                left = begun + size - source.position
                if size <= most:
                    block += source.take(left)
                    short = len(block) < size
                else:
                    short = not source.skip(left)
            if short or not grammar.at_boundary(source):
                source.rewind(begun)
                detail = f"no record ends {size} bytes after its header"
                raise FlawError("wrong_length", detail)
        except FlawError as flaw:
            if head and flaw.kind == "wrong_length":
                salvaged = _salvage(grammar, source, most)
                if salvaged is not None:
                    yield _Raw(start, source.position, head, salvaged, "wrong_length")
                    continue
            found = source.seek_to(grammar.next_record)
            kind = cut if short and not found else flaw.kind
            yield _Flaw(start, source.position, kind, str(flaw))
            continue
        if size > most:
            detail = f"{size} bytes, more than {most}"
            yield _Flaw(start, source.position, "too_large", detail)
        else:
            yield _Raw(start, source.position, head, block, None)


def _length(head: Head) -> int:
    if not re.fullmatch(r"[0-9]{1,18}", head.length):
        raise FlawError("wrong_length", f"Content-Length is {head.length[:40]!r}")
    return int(head.length)


def _salvage(grammar: Grammar, source: Source, most: int) -> bytes | None:
    """Read a block whose length is not known, if its end is clear: a record's end, and then
    another record or nothing. Else it reads nothing."""
    size = HEAD_PEEK
    while True:
        head = source.peek(size)
        found = grammar.next_record.search(head)
        if found or len(head) < size:
            break
        if size > most:
            return None
        size *= 2
    end = found.start(1) if found else len(head)
    ending = grammar.block_end.search(head, max(0, end - 4), end)
    if not ending or end > most:
        return None
    block = head[: ending.start()]
    if not block.strip() and not grammar.may_be_blank:
        return None
    source.take(end)
    return block


def pass_newlines(source: Source) -> None:
    """Pass what stands between two records."""
    while chunk := source.peek(HEAD_PEEK):
        newlines = len(chunk) - len(chunk.lstrip(b"\r\n"))
        source.skip(newlines)
        if newlines < len(chunk):
            return


def _placed(grammar: Grammar, item: _Raw | _Flaw, place: Place, most: int) -> Record | Damage:
    """What a source held, as it stands in the file."""
    offset, length, inner = place.offset, place.length, place.inner
    if isinstance(item, _Flaw):
        return Damage(offset, length, inner, item.kind, item.detail)
    head = item.head
    media_type, charset = parse_content_type(head.content_type)
    if head.kind != "response" or not is_response(item.block, media_type):
        return Record(
            offset,
            length,
            inner,
            head.kind,
            head.url,
            head.crawled,
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
    if item.flaw and not response.body and not grammar.may_be_blank:
        return Damage(offset, length, inner, "wrong_length", "the response ends after its header")
    return Record(
        offset,
        length,
        inner,
        head.kind,
        head.url,
        head.crawled,
        response.status,
        response.content_type or head.body_type,
        response.charset,
        response.body,
        item.flaw or (None if response.sound else "wrong_coding"),
        headers=response.headers,
    )
