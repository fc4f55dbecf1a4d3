"""Files to records with their origin. Damage never ends a file: it is yielded in its place."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

DamageKind = Literal[
    "corrupt_gzip",
    "corrupt_zstd",
    "corrupt_lz4",
    "truncated",
    "bad_header",
    "wrong_length",
    "too_large",
]
FlawKind = Literal["wrong_length", "wrong_coding"]


@dataclass(frozen=True, slots=True)
class Place:
    """Where something stands in its file.

    offset: first byte in the file; of a compressed record the first byte of its gzip member.
    length: bytes in the file; of one of several records in a member, its inflated bytes.
    inner: where it begins in the member's inflated bytes; 0 for the first or only record.
    """

    offset: int
    length: int
    inner: int

    @property
    def offset_kind(self) -> str:
        """What `offset` counts; with `offset` it is unique in the file."""
        return "byte" if self.inner == 0 else f"byte+{self.inner}"


@dataclass(frozen=True, slots=True)
class Record(Place):
    """One record.

    kind: its WARC type, such as `response`.
    url: address of the capture, if it has one.
    crawled: time of the capture in UTC, if given and sound.
    status: HTTP status, if it has one.
    content_type: media type in lower case without parameters, "" if not given.
    charset: the character set that the HTTP header names, if any.
    payload: the HTTP body, content and transfer codings undone; else the record's block.
    flaw: what is wrong with it though it could be read. `wrong_length`: its length is not what
    its header says, it was read up to the next record. `wrong_coding`: its body is not coded as
    its header says, or is cut off; it is what could be decoded.
    """

    kind: str
    url: str | None
    crawled: datetime | None
    status: int | None
    content_type: str
    charset: str | None
    payload: bytes
    flaw: FlawKind | None = None


@dataclass(frozen=True, slots=True)
class Damage(Place):
    """Bytes of a file that no record could be read from."""

    kind: DamageKind
    detail: str
