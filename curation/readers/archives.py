"""Files inside tar and zip archives to records. Their names are read, never used as paths."""

from __future__ import annotations

import io
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import PurePosixPath
from typing import BinaryIO

from curation.readers import Damage, Place, Record, damage_at
from curation.readers.code import is_licence, licence_of
from curation.readers.compressed import codec_of, open_file
from curation.readers.documents import document
from curation.readers.source import BrokenError, Source, Window
from curation.readers.suffixes import COMPRESSED, document_format, format_of
from schemas.problems import Problem

_BLOCK = 512  # of a tar file (POSIX.1-2001, pax)
_MOST_NAME = 1 << 20  # bytes of an extended header that are read
_NAME_CHARACTERS = 200  # of a file's name, its last ones, that are told
_DATA_LESS = frozenset(b"123456")  # links, devices, folders, pipes
# All that a zip file's members inflate to a byte of the file: above it they are a bomb.
_RATIO = 200
_LEAST = 1 << 16  # bytes that a compressed file in an archive may always inflate to
_MOST_LICENCES = 1000
# RuntimeError and NotImplementedError: encrypted, or of an unknown method
_ZIP_ERRORS = (zipfile.BadZipFile, zlib.error, OSError, EOFError, ValueError, RuntimeError)


def read_tar(
    stream: BinaryIO, start: int, end: int, *, max_record_bytes: int
) -> Iterator[Record | Damage]:
    """Yield a record for every regular file of a tar archive, compressed or not.

    The archive is one split. After a broken header reading goes on at the next sound one; where
    compressed bytes are broken the rest of the archive is lost.
    """
    if start > 0 or end <= 0:
        return
    window = Window(stream)
    source = open_file(window, max_record_bytes)
    compressed = codec_of(window) is not None
    name = None  # of an extended header before the file's own
    begun = lost = -1
    while True:
        position = source.position
        try:
            block = source.take(_BLOCK)
            info = _header(block)
            if info and lost >= 0:
                yield _lost(lost, position, compressed)
                lost = -1
            if not block:
                lost = begun if begun >= 0 else lost
                if lost >= 0:
                    yield _lost(lost, position, compressed)
                return
            if not info:
                if lost < 0 and (begun >= 0 or block.strip(b"\0")):
                    lost = begun if begun >= 0 else position
                name, begun = None, -1
                source.release()
                continue
            begun = position if begun < 0 else begun
            kind = info.type
            if kind in (tarfile.XHDTYPE, tarfile.GNUTYPE_LONGNAME) and info.size <= _MOST_NAME:
                data = source.take(_padded(info.size))[: info.size]
                name = _extended_name(data) if kind == tarfile.XHDTYPE else _text(data)
                continue
            size = 0 if kind[0] in _DATA_LESS else info.size
            if kind[0] in _DATA_LESS or kind in (tarfile.XGLTYPE, tarfile.GNUTYPE_LONGLINK):
                source.skip(_padded(size))
            else:
                yield _file(source, begun, name or info.name, size, max_record_bytes, compressed)
        except BrokenError as error:
            since = lost if lost >= 0 else begun if begun >= 0 else position
            source.drop()
            place = _place(since, source.position, compressed)
            yield damage_at(place, error.kind, error.detail)
            return
        source.release()
        name, begun = None, -1


def _file(
    source: Source, begun: int, name: str, size: int, most: int, compressed: bool
) -> Record | Damage:
    payload = source.take(size) if size <= most else b""
    whole = len(payload) == size if size <= most else source.skip(size)
    source.skip(_padded(size) - size)
    place = _place(begun, source.position, compressed)
    if not whole:
        return damage_at(place, "truncated", f"the archive ends inside a file of {size} bytes")
    if size > most:
        return damage_at(place, "too_large", f"{size} bytes, more than {most}")
    return _member(place, name, payload, most)


def _member(
    place: Place, name: str, payload: bytes, most: int, licence: str | None = None
) -> Record | Damage:
    """What a file of an archive holds, inflated if it is compressed itself."""
    found = format_of(name)
    if found and document_format(name) is None:
        detail = f"{name[-_NAME_CHARACTERS:]}: {found} inside an archive: unpack it"
        return damage_at(place, "unreadable", detail)
    window = Window(io.BytesIO(payload))
    if codec_of(window) and PurePosixPath(name.lower()).suffix in COMPRESSED:
        name = str(PurePosixPath(name).with_suffix(""))
        most = min(most, max(_LEAST, _RATIO * place.length))
        try:
            payload = open_file(window, most).take(most + 1)
        except BrokenError as error:
            return damage_at(place, error.kind, error.detail)
        if len(payload) > most:
            return damage_at(place, "too_large", f"inflates to more than {most} bytes")
    return document(place, name, document_format(name), payload, licence)


def _header(block: bytes) -> tarfile.TarInfo | None:
    """A header block; None if it is none, or its checksum is wrong."""
    try:
        info = tarfile.TarInfo.frombuf(block, "utf-8", "replace")
    except tarfile.HeaderError:
        return None
    return info if info.size >= 0 else None


def _padded(size: int) -> int:
    return -(-size // _BLOCK) * _BLOCK


def _extended_name(data: bytes) -> str | None:
    """The path in a pax header: lines of `length key=value`."""
    at = data.find(b" path=")
    digits = data[:at].rpartition(b"\n")[2] if at >= 0 else b""
    if not digits.isdigit() or len(digits) > 7:
        return None
    begin = at - len(digits)
    return _text(data[at + len(b" path=") : begin + int(digits) - 1])


def _text(data: bytes) -> str:
    return data.rstrip(b"\0").decode("utf-8", "replace")


def _place(begun: int, after: int, compressed: bool) -> Place:
    return Place(begun, after - begun, 0, unit="inflated" if compressed else "byte")


def _lost(begun: int, after: int, compressed: bool) -> Damage:
    detail = "no header with a right checksum where one should be"
    return damage_at(_place(begun, after, compressed), "corrupt_tar", detail)


def read_zip(
    stream: BinaryIO, start: int, end: int, *, max_record_bytes: int
) -> Iterator[Record | Damage]:
    """Yield a record for every file whose local header starts in [start, end) of a zip archive.

    Code takes its licence from a LICENSE file in its folder or one above it, unless it names
    one. Raises Problem if the archive's directory, at its end, cannot be read.
    """
    archive = _open_zip(stream, "the zip archive")
    size = stream.seek(0, 2)
    members = sorted(
        (info for info in archive.infolist() if not info.filename.endswith("/")),
        key=lambda info: info.header_offset,
    )
    licences = _licences(archive, members)
    inflated = 0
    before = -1
    for info in members:
        # Of an entry that points outside the file the place is the nearest in it.
        offset = min(max(0, info.header_offset), size - 1)
        # Two entries of one place would be two records of one place.
        if offset == before:
            continue
        before = offset
        inflated += min(info.file_size, max_record_bytes + 1)  # whatever the range
        if not start <= offset < end:
            continue
        place = Place(offset, info.compress_size, 0)
        if inflated > max_record_bytes + _RATIO * size:
            yield damage_at(place, "too_large", f"all files inflate to {inflated} bytes and more")
            continue
        if info.file_size > max_record_bytes:
            detail = f"{info.file_size} bytes, more than {max_record_bytes}"
            yield damage_at(place, "too_large", detail)
            continue
        try:
            payload = archive.open(info).read(max_record_bytes + 1)
        except _ZIP_ERRORS as error:
            yield damage_at(place, "corrupt_zip", str(error)[:200])
        else:
            name = info.filename
            licence = next((licences[at] for at in _folders(name) if at in licences), None)
            yield _member(place, name, payload, max_record_bytes, licence)


def check_zip(stream: BinaryIO, name: str) -> None:
    """Raise Problem, naming the file, if its directory cannot be read."""
    _open_zip(stream, name)


def _open_zip(stream: BinaryIO, name: str) -> zipfile.ZipFile:
    try:
        return zipfile.ZipFile(stream)
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError) as error:
        raise Problem(
            f"{name}: its directory cannot be read ({error}): get it again, or mend it with "
            "`zip -FF`"
        ) from None


def _licences(archive: zipfile.ZipFile, members: list[zipfile.ZipInfo]) -> dict[str, str]:
    """SPDX identifiers by folder, of the LICENSE files that are known texts."""
    found: dict[str, str] = {}
    for info in [info for info in members if is_licence(info.filename)][:_MOST_LICENCES]:
        try:
            licence = licence_of(archive.open(info).read(1 << 16))
        except _ZIP_ERRORS:
            continue
        if licence:
            found.setdefault(str(PurePosixPath(info.filename).parent), licence)
    return found


def _folders(name: str) -> list[str]:
    """The folders a file is in, the nearest first."""
    return [str(folder) for folder in PurePosixPath(name).parents]
