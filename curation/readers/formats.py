"""All formats by name: which one a file has, whether it can be read, and its records."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from typing import BinaryIO

from curation.readers import Damage, Record
from curation.readers.arc import begins_arc, check_arc, read_arc
from curation.readers.arc import is_splittable as is_splittable_arc
from curation.readers.archives import check_zip, read_tar, read_zip
from curation.readers.compressed import GZIP, LZ4, ZSTD, DeflateError
from curation.readers.documents import read_document
from curation.readers.jsonl import check_jsonl, is_lines, read_jsonl
from curation.readers.parquet import check_parquet, read_parquet
from curation.readers.suffixes import format_of
from curation.readers.tables import check_table, read_table
from curation.readers.warc import check_warc, read_warc
from curation.readers.warc import is_splittable as is_splittable_warc
from schemas.inputs import Columns, Format
from schemas.problems import Problem

HEAD_BYTES = 1 << 16  # of a file that `detect` looks at

_MAY_BE_EMPTY = frozenset({"jsonl", "html", "text", "code"})
_WARC = re.compile(rb"[\r\n]*WARC/\d")
_HTML = re.compile(rb"\s*(?:<!doctype html|<html|<head|<\?xml)", re.IGNORECASE)
_JSON = re.compile(rb"\s*(?:\[\s*)?\{\s*\"")


def detect(name: str, head: bytes) -> Format:
    """The format of a file: by what only that format begins with, by its name, by its look.

    `head`: its first bytes, `HEAD_BYTES` or all. Raises Problem if nothing tells.
    """
    inside = _inflated(head)
    if inside.startswith(b"PAR1"):
        return "parquet"
    if inside.startswith(b"PK\3\4"):
        return "zip"
    if _WARC.match(inside):
        return "warc"
    if begins_arc(inside):
        return "arc"
    if inside[257:262] == b"ustar":
        return "tar"
    if found := format_of(name):
        return found
    if _HTML.match(inside):
        return "html"
    if _JSON.match(inside):
        return "jsonl"
    raise Problem(
        f"{name}: neither its name nor its first bytes tell its format: give `format`, or take "
        "it out of `files`"
    )


def _inflated(head: bytes) -> bytes:
    for codec in (GZIP, ZSTD, LZ4):
        if head.startswith(codec.magic):
            try:
                return codec.start(head, 512)
            except (OSError, DeflateError):
                return b""
    return head


def check(format: str, name: str, stream: BinaryIO, columns: Columns, most: int) -> None:  # noqa: A002
    """Raise Problem, naming the file and the mend, if it cannot be of this format; or if there is
    no such reader of one's own."""
    match format:
        case "warc":
            check_warc(stream, name)
        case "arc":
            check_arc(stream, name)
        case "jsonl":
            check_jsonl(stream, name, columns, most)
        case "parquet":
            check_parquet(stream, name, columns)
        case "csv" | "tsv":
            check_table(stream, name, format, columns)
        case "zip":
            check_zip(stream, name)
        case "tar" | "html" | "text" | "code":
            pass
        case _:
            from curation import own

            own.load("reader", format)


def is_splittable(format: str, stream: BinaryIO) -> bool:  # noqa: A002
    """Whether ranges of the file can be read without reading all before them."""
    match format:
        case "warc":
            return is_splittable_warc(stream)
        case "arc":
            return is_splittable_arc(stream)
        case "jsonl":
            return is_lines(stream)
        case "parquet" | "zip":
            return True
        case _:
            return False


def read(
    format: str,  # noqa: A002
    name: str,
    stream: BinaryIO,
    start: int,
    end: int,
    *,
    max_record_bytes: int,
    columns: Columns = Columns(),  # noqa: B008
    licence: str | None = None,
) -> Iterator[Record | Damage]:
    """Yield what starts in [start, end) of a seekable file: each record and gap exactly once.

    `format`: a Format, or the name of a reader of one's own.

    `columns`: of rows. `licence`: of the folder that a file of code is in. A file of nothing is
    `truncated`, unless its format allows for it.
    """
    most = max_record_bytes
    if format not in _MAY_BE_EMPTY and stream.seek(0, io.SEEK_END) == 0:
        return iter([Damage(0, 0, 0, "truncated", "an empty file")] if start <= 0 else [])
    stream.seek(0)
    match format:
        case "warc":
            return read_warc(stream, start, end, max_record_bytes=most)
        case "arc":
            return read_arc(stream, start, end, max_record_bytes=most)
        case "jsonl":
            return read_jsonl(stream, start, end, columns=columns, max_record_bytes=most)
        case "parquet":
            return read_parquet(stream, start, end, columns=columns, max_record_bytes=most)
        case "csv" | "tsv":
            return read_table(
                stream, start, end, dialect=format, columns=columns, max_record_bytes=most
            )
        case "tar":
            return read_tar(stream, start, end, max_record_bytes=most)
        case "zip":
            return read_zip(stream, start, end, max_record_bytes=most)
        case "html" | "text" | "code":
            return read_document(
                stream,
                start,
                end,
                name=name,
                format=format,
                max_record_bytes=most,
                licence=licence,
            )
        case _:
            from curation import own

            return own.read(format, stream, start, columns=columns, max_record_bytes=most)
