"""HTTP responses as crawlers store them: status, media type, and the body without its codings."""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Collection, Generator, Iterator
from dataclasses import dataclass
from typing import Any

from zlib_ng import zlib_ng

from curation.readers.compressed import DeflateError, zstd_reader

_HEAD_END = re.compile(rb"\n\r*\n")
_FOLD = re.compile(rb"\r*\n[ \t]+")
# What a head begins with: a status line, also that of a shoutcast server, or a field.
_HEAD = re.compile(rb"\s{0,4}(?:HTTP[/ ]|ICY |[a-z][a-z0-9-]{0,40}:[ \t])", re.IGNORECASE)
_STATUS = re.compile(rb"\s{0,4}(?:HTTP|ICY)[^\s]*[ \t]*(\d*)", re.IGNORECASE)
_MOST_INTERIM = 4  # heads such as `100 Continue` before the one that counts
_CHARSET = re.compile(r"charset\s*=\s*[\"']?\s*([^\"';\s,]+)", re.IGNORECASE)
_MEDIA_TYPE = re.compile(r"[\w!#$&^.+-]+/[\w!#$&^.+-]+", re.ASCII)
# What servers name that know no better: the content decides (WHATWG MIME Sniffing, 5.1).
_UNKNOWN = frozenset(
    {"unknown/unknown", "application/unknown", "application/x-unknown-content-type"}
)
_CHUNK = re.compile(rb"[ \t]*0*([0-9a-fA-F]{1,8})[ \t]*(?:;[^\r\n]*)?\r?\n")
_HEAD_BYTES = 1 << 20  # the part of a header that is read
_GZIP = b"\x1f\x8b\x08"
_PLAIN = frozenset({"", "identity", "none", "chunked"})
_PAGES = frozenset({"", "text/html", "application/xhtml+xml", "text/plain"})
_CONTROL = re.compile(rb"[\x00-\x08\x0e-\x1f]")
_PLAIN_BYTES = 256  # text this long has no control character, and coded data has one
_PIECE = 1 << 16  # decoded bytes at once
_MOST_CODINGS = 4  # a body coded more often than this is not one that a browser would show
# Fields that say something about the page: its rights, language and age.
_DECLARATIONS = frozenset(
    {
        "x-robots-tag",
        "tdm-reservation",
        "tdm-policy",
        "content-usage",
        "content-signal",
        "link",
        "content-language",
        "last-modified",
    }
)
# Fields that all count where they are repeated.
_JOINED = _DECLARATIONS | {"content-type", "content-encoding", "transfer-encoding"}
_VALUE_CHARACTERS = 4096  # of such a field, all its lines together; what is longer is cut off


class TooLargeError(Exception):
    """A body whose codings expand it beyond the limit."""


@dataclass(frozen=True, slots=True)
class Response:
    """status: 200 if the status line has none or is missing, as browsers take it; None if it is
    no number of three digits. charset: as the Content-Type names it.

    sound: whether the body was coded as its header says, and whole.
    headers: of the fields that declare rights, language and age those that it has, by names in
    lower case; repeated fields joined by ", ", each cut off after 4,096 characters.
    """

    status: int | None
    content_type: str
    charset: str | None
    body: bytes
    sound: bool
    headers: dict[str, str]


def parse_fields(head: bytes, joined: Collection[str] = ()) -> dict[str, str]:
    """Header fields by name in lower case, the first of equal names, folded lines joined.

    Values of fields named in `joined` are joined by ", ", and cut off after 4,096 characters.
    Lines that are no fields are passed over, the first line too.
    """
    fields: dict[str, str] = {}
    for line in _lines(_FOLD.sub(b" ", head)):
        text, colon, value = line.partition(":")
        if not colon:
            continue
        name = text.strip().lower()
        if name not in joined:
            fields.setdefault(name, value.strip())
        elif len(before := fields.get(name, "")) < _VALUE_CHARACTERS:
            value = f"{before}, {value.strip()}" if before else value.strip()
            fields[name] = value[:_VALUE_CHARACTERS]
    return fields


def _lines(head: bytes) -> list[str]:
    try:
        return head.decode("ascii").replace("\r\n", "\n").replace("\r", "\n").split("\n")
    except UnicodeDecodeError:
        return list(map(_text, head.splitlines()))


def _text(line: bytes) -> str:
    try:
        return line.decode()
    except UnicodeDecodeError:
        return line.decode("latin-1")


def parse_content_type(value: str) -> tuple[str, str | None]:
    """Media type in lower case, "" if there is none that means something, and the charset.

    Of several, as of repeated fields, the last one counts (WHATWG Fetch, 2.2.3).
    """
    charset = _CHARSET.search(value)
    media_type = ""
    for part in value.lower().split(","):
        name = part.partition(";")[0].strip()
        if _MEDIA_TYPE.fullmatch(name):
            media_type = name
    return "" if media_type in _UNKNOWN else media_type, charset[1] if charset else None


def is_response(block: bytes, media_type: str) -> bool:
    """Whether the block of a `response` record is one of HTTP, be it 0.9, without a head.

    media_type: of the record.
    """
    named = media_type == "application/http"
    return (
        named or block.startswith(b"HTTP/") or (not media_type and _HEAD.match(block) is not None)
    )


def parse_response(block: bytes, most: int) -> Response:
    """Read an HTTP response, its transfer and content codings undone.

    A body that is not coded as its header says is kept as it is, one that is cut off or damaged
    as far as it goes. A page that is gzip though its header does not say so is decoded.
    Raises TooLargeError if decoding gives more than `most` bytes.
    """
    if not _HEAD.match(block):
        return Response(200, "", None, block, True, {})
    head, body = _split(block)
    for _ in range(_MOST_INTERIM):
        if not (100 <= (_status(head) or 0) < 200 and body.startswith(b"HTTP/")):
            break
        head, body = _split(body)
    fields = parse_fields(head[:_HEAD_BYTES], _JOINED)
    media_type, charset = parse_content_type(fields.get("content-type", ""))
    sound = True
    if "chunked" in fields.get("transfer-encoding", "").lower() and body:
        body, sound = _unchunk(body)
    written = f"{fields.get('content-encoding', '')},{fields.get('transfer-encoding', '')}"
    codings = [coding for part in written.split(",") if (coding := part.strip().lower())]
    for coding in reversed(codings[:_MOST_CODINGS]):
        if coding not in _PLAIN and body:
            body, whole = _decode(body, coding, most)
            sound = sound and whole
    if body.startswith(_GZIP) and media_type in _PAGES:
        body, _ = _decode(body, "gzip", most)
        sound = False
    headers = {name: fields[name] for name in fields if name in _DECLARATIONS}
    return Response(_status(head), media_type, charset, body, sound, headers)


def _split(block: bytes) -> tuple[bytes, bytes]:
    """Head and body."""
    end = _HEAD_END.search(block)
    return (block[: end.start()], block[end.end() :]) if end else (block, b"")


def _status(head: bytes) -> int | None:
    line = _STATUS.match(head)
    code = line[1] if line else b""
    return int(code) if len(code) == 3 else 200 if not code else None


def _unchunk(body: bytes) -> tuple[bytes, bool]:
    """The body of chunks, and whether it is whole."""
    parts: list[bytes] = []
    at = 0
    while size := _CHUNK.match(body, at):
        count = int(size[1], 16)
        if not count:
            return b"".join(parts), True
        part = body[size.end() : size.end() + count]
        parts.append(part)
        at = size.end() + count
        at += 2 if body[at : at + 2] == b"\r\n" else body[at : at + 1] == b"\n"
    return (b"".join(parts) if parts else body), False


def _decode(body: bytes, coding: str, most: int) -> tuple[bytes, bool]:
    """The body without a coding, and whether it was coded so as a whole."""
    if coding not in _DECODERS:
        return body, False
    decoded = bytearray()
    try:
        for piece in _DECODERS[coding](body):
            decoded += piece
            if len(decoded) > most:
                raise TooLargeError(f"the body's {coding} coding expands to more than {most} bytes")
    except (DeflateError, OSError):
        # Brotli gives some noise for a while before it refuses what is not Brotli.
        plain = not decoded or not _CONTROL.search(body[:_PLAIN_BYTES])
        return (body if plain else bytes(decoded)), False
    return bytes(decoded), True


def _gunzip(body: bytes) -> Iterator[bytes]:
    while body:
        body = yield from _inflate(body, zlib_ng.MAX_WBITS | 16)
        if not body.startswith(_GZIP):
            return


def _inflate_deflate(body: bytes) -> Iterator[bytes]:
    """With zlib's frame, as the standard has it, or without, as some servers send it."""
    try:
        zlib_ng.decompressobj().decompress(body[:_PLAIN_BYTES], 1)
        bits = zlib_ng.MAX_WBITS
    except DeflateError:
        bits = -zlib_ng.MAX_WBITS
    yield from _inflate(body, bits)


def _inflate(body: bytes, bits: int) -> Generator[bytes, None, bytes]:
    """The inflated pieces; gives back what stands after them."""
    decoder = zlib_ng.decompressobj(bits)
    while not decoder.eof:
        piece = decoder.decompress(body, _PIECE)
        body = decoder.unconsumed_tail
        if not (piece or body or decoder.eof):
            raise DeflateError("cut off")
        yield piece
    return decoder.unused_data


def _read(reader: Any) -> Iterator[bytes]:
    while piece := bytes(reader.read(_PIECE)):
        yield piece


def _brotli_reader(stream: io.BytesIO) -> Any:
    from fastwarc.stream_io import BrotliReader  # few pages need it

    return BrotliReader(stream)


_DECODERS: dict[str, Callable[[bytes], Iterator[bytes]]] = {
    "gzip": _gunzip,
    "x-gzip": _gunzip,
    "deflate": _inflate_deflate,
    "br": lambda body: _read(_brotli_reader(io.BytesIO(body))),
    "zstd": lambda body: _read(zstd_reader(io.BytesIO(body))),
}
