"""Files to records with their origin. Damage never ends a file: it is yielded in its place."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from hashlib import blake2b
from typing import Any, Literal

from schemas.inputs import Format

DamageKind = Literal[
    "corrupt_gzip",
    "corrupt_zstd",
    "corrupt_lz4",
    "corrupt_tar",
    "corrupt_zip",
    "corrupt_parquet",
    "truncated",
    "bad_header",
    "bad_json",
    "bad_row",
    "no_text",
    "wrong_length",
    "too_large",
    "unreadable",
    "quarantined",
]
FlawKind = Literal["wrong_length", "wrong_coding"]


Unit = Literal["byte", "inflated", "row"]


@dataclass(frozen=True, slots=True)
class Place:
    """Where something stands in its file.

    offset: what `unit` counts. `byte`: first byte in the file; of a compressed record the first
    byte of its gzip member, or Zstandard or LZ4 frame. `inflated`: first byte of what a file that
    is compressed as a whole inflates to, in UTF-8 if it is in UTF-16. `row`: number of a row.
    length: bytes in the file; of one of several records in a member, and of what is inflated,
    inflated bytes; of rows, how many.
    inner: where it begins in a member's inflated bytes; 0 for the first or only record.
    group: of a row of Parquet its row group.
    """

    offset: int
    length: int
    inner: int
    unit: Unit = field(default="byte", kw_only=True)
    group: int | None = field(default=None, kw_only=True)

    @property
    def offset_kind(self) -> str:
        """What `offset` counts; with `offset` it is unique in the file."""
        return self.unit if self.inner == 0 else f"{self.unit}+{self.inner}"


@dataclass(frozen=True, slots=True)
class Record(Place):
    """One record.

    kind: of a WARC record its type, such as `response`; `page` for a file of HTML, `text` for
    what already is text.
    url: address of the capture, if it has one.
    crawled: time of the capture in UTC, if given and sound.
    status: HTTP status, if it has one.
    content_type: media type in lower case without parameters, "" if not given.
    charset: the character set that the HTTP header names, if any.
    payload: the HTTP body, content and transfer codings undone; else the record's block or the
    file's bytes.
    flaw: what is wrong with it though it could be read. `wrong_length`: its length is not what
    its header says, it was read up to the next record. `wrong_coding`: its body is not coded as
    its header says, or is cut off; it is what could be decoded.
    format: of a file or member of an archive that is one document: `html`, `text` or `code`.
    text: the text of a row. If a record of kind `text` has none, its payload is to be decoded.
    title, author, published, language, licence: as a row gives them; of source code the language's
    name, and the licence's SPDX identifier.
    user_id: the user's own id of a row.
    kept: the columns of a row that the recipe keeps; of those in `mistyped` the row had a value of
    another type.
    row: all columns of a row, if they are asked for.
    headers: of an HTTP response the fields that declare rights, language and age (`x-robots-tag`,
    `tdm-reservation`, `tdm-policy`, `content-usage`, `content-signal`, `link`,
    `content-language`, `last-modified`), by names in lower case.
    """

    kind: str
    url: str | None
    crawled: datetime | None
    status: int | None
    content_type: str
    charset: str | None
    payload: bytes
    flaw: FlawKind | None = None
    format: Format | None = None
    text: str | None = None
    title: str | None = None
    author: str | None = None
    published: str | None = None
    language: str | None = None
    licence: str | None = None
    user_id: str | None = None
    kept: Mapping[str, Any] = field(default_factory=dict, hash=False)
    mistyped: tuple[str, ...] = ()
    row: Mapping[str, Any] | None = field(default=None, hash=False)
    headers: Mapping[str, str] = field(default_factory=dict, hash=False)

    @property
    def digest(self) -> bytes:
        """blake2b-128 of the payload, or of the text in UTF-8."""
        data = self.payload if self.text is None else self.text.encode()
        return blake2b(data, digest_size=16).digest()


@dataclass(frozen=True, slots=True)
class Damage(Place):
    """Bytes or rows of a file that no record could be read from."""

    kind: DamageKind
    detail: str


def damage_at(place: Place, kind: DamageKind, detail: str) -> Damage:
    """Damage of a place."""
    return Damage(
        place.offset,
        place.length,
        place.inner,
        kind,
        detail,
        unit=place.unit,
        group=place.group,
    )


def storable(text: str) -> str:
    """The text with U+FFFD for what UTF-8 cannot hold: half of a surrogate pair, as JSON and
    HTML can write it."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return text
