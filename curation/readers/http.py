"""HTTP responses as crawlers store them: status, media type, and the body without its codings."""

from __future__ import annotations

import io
import re
import zlib
from collections.abc import Callable
from dataclasses import dataclass

from fastwarc.stream_io import BrotliReader, ZstdReader

_HEAD_END = re.compile(rb"\n\r*\n")
_FOLD = re.compile(rb"\r*\n[ \t]+")
_STATUS = re.compile(rb"HTTP/\d(?:\.\d)?[ \t]+(\d{3})(?!\d)")
_CHARSET = re.compile(r"charset\s*=\s*[\"']?\s*([^\"';\s,]+)", re.IGNORECASE)
_CHUNK = re.compile(rb"[ \t]*([0-9a-fA-F]{1,8})[ \t]*(?:;[^\r\n]*)?\r?\n")
_HEAD_BYTES = 1 << 20  # the part of a header that is read
_MOST_CODINGS = 4  # a body coded more often than this is not one that a browser would show


class TooLargeError(Exception):
    """A body whose codings expand it beyond the limit."""


@dataclass(frozen=True, slots=True)
class Response:
    """status: None if the status line has none. charset: as the Content-Type names it."""

    status: int | None
    content_type: str
    charset: str | None
    body: bytes


def parse_fields(head: bytes) -> dict[str, str]:
    """Header fields by name in lower case, the first of equal names, folded lines joined.

    Lines that are no fields are passed over, the first line too.
    """
    fields: dict[str, str] = {}
    for line in _FOLD.sub(b" ", head).splitlines():
        name, colon, value = _text(line).partition(":")
        if colon:
            fields.setdefault(name.strip().lower(), value.strip())
    return fields


def _text(line: bytes) -> str:
    try:
        return line.decode()
    except UnicodeDecodeError:
        return line.decode("latin-1")


def parse_content_type(value: str) -> tuple[str, str | None]:
    """Media type in lower case, "" if there is none, and the charset parameter."""
    charset = _CHARSET.search(value)
    return value.partition(";")[0].strip().lower(), charset[1] if charset else None


def parse_response(block: bytes, most: int) -> Response:
    """Read an HTTP response, its transfer and content codings undone.

    A body that is not coded as its header says is kept as it is, one that is cut off as far as
    it goes. Raises TooLargeError if decoding gives more than `most` bytes.
    """
    end = _HEAD_END.search(block)
    head, body = (block[: end.start()], block[end.end() :]) if end else (block, b"")
    status = _STATUS.match(head)
    fields = parse_fields(head[:_HEAD_BYTES])
    media_type, charset = parse_content_type(fields.get("content-type", ""))
    if "chunked" in fields.get("transfer-encoding", "").lower():
        body = _unchunk(body)
    codings = [part.strip().lower() for part in fields.get("content-encoding", "").split(",")]
    for coding in reversed(codings[:_MOST_CODINGS]):
        body = _decode(body, coding, most)
    return Response(int(status[1]) if status else None, media_type, charset, body)


def _unchunk(body: bytes) -> bytes:
    parts = []
    at = 0
    while (size := _CHUNK.match(body, at)) and (count := int(size[1], 16)):
        parts.append(body[size.end() : size.end() + count])
        at = size.end() + count
        at += 2 if body[at : at + 2] == b"\r\n" else body[at : at + 1] == b"\n"
    if not parts and not (size and not count):
        return body
    return b"".join(parts)


def _decode(body: bytes, coding: str, most: int) -> bytes:
    decoders: dict[str, Callable[[bytes, int], bytes]] = {
        "gzip": _gunzip,
        "x-gzip": _gunzip,
        "deflate": _inflate,
        "br": _unbrotli,
        "zstd": _unzstd,
    }
    if coding not in decoders or not body:
        return body
    try:
        decoded = decoders[coding](body, most + 1)
    except (zlib.error, OSError):
        return body
    if len(decoded) > most:
        raise TooLargeError(f"the body's {coding} coding expands to more than {most} bytes")
    return decoded


def _gunzip(body: bytes, most: int) -> bytes:
    return zlib.decompressobj(zlib.MAX_WBITS | 16).decompress(body, most)


def _inflate(body: bytes, most: int) -> bytes:
    """With zlib's frame, as the standard has it, or without, as some servers send it."""
    try:
        return zlib.decompressobj().decompress(body, most)
    except zlib.error:
        return zlib.decompressobj(-zlib.MAX_WBITS).decompress(body, most)


def _unbrotli(body: bytes, most: int) -> bytes:
    return BrotliReader(io.BytesIO(body)).read(most)


def _unzstd(body: bytes, most: int) -> bytes:
    return ZstdReader(io.BytesIO(body)).read(most)
