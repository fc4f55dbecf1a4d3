"""Files of text: their bytes as UTF-8, and their lines with their places."""

from __future__ import annotations

import codecs
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

from curation.readers import Damage, Place, Unit, damage_at
from curation.readers.compressed import codec_of, open_file
from curation.readers.source import BrokenError, Source, Window

_LOOK = 1 << 16  # bytes that tell how lines end


@dataclass(frozen=True, slots=True)
class Line(Place):
    """data: the line with its end, if it has one."""

    data: bytes


@dataclass(frozen=True, slots=True)
class Text:
    """A file of text: its bytes, inflated if it is compressed, in UTF-8 if it is in UTF-16; what
    their positions count; and the first of them, 64 KiB or as many as can be read."""

    source: Source
    unit: Unit
    head: bytes


def open_text(stream: BinaryIO, limit: int) -> Text:
    """A file of text; `limit` as of `open_file`.

    Its lines end by CR if there is no LF in its first bytes.
    """
    window = Window(stream)
    source, unit = _opened(window, limit)
    try:
        head = source.peek(_LOOK)
    except BrokenError:
        # met again by whoever reads on
        head = source.held()
        source, _ = _opened(window, limit)
    if b"\r" in head and b"\n" not in head:
        source.newline = b"\r"
    return Text(source, unit, head)


def _opened(window: Window, limit: int) -> tuple[Source, Unit]:
    source = open_file(window, limit)
    try:
        codec = _utf_16(source.peek(2))
    except BrokenError:
        codec, source = None, open_file(window, limit)
    if codec:
        return _Transcoded(source, codec), "inflated"
    return source, "byte" if codec_of(window) is None else "inflated"


def _utf_16(head: bytes) -> str | None:
    """The codec of a text by its mark, or by its first character, which is of ASCII."""
    if head in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE):
        return "utf-16"
    if len(head) < 2 or (head[0] == 0) == (head[1] == 0):
        return None
    return "utf-16-le" if head[1] == 0 else "utf-16-be"


class _Transcoded(Source):
    """A text in UTF-16 as UTF-8; U+FFFD for what is broken."""

    def __init__(self, source: Source, codec: str) -> None:
        super().__init__(0)
        self._source = source
        self._decoder = codecs.getincrementaldecoder(codec)("replace")
        self._first = source.held()

    def _pull(self) -> bytes:
        while True:
            chunk, self._first = self._first or self._source._pull(), b""
            text = self._decoder.decode(chunk, not chunk)
            if text or not chunk:
                return text.encode()


def read_lines(
    source: Source, start: int, end: int, most: int, unit: Unit
) -> Iterator[Line | Damage]:
    """Yield the lines that start in [start, end) of what `unit` counts.

    Only a file that is read by its own bytes can be entered; of another all lines belong to the
    range that begins at 0. A line of more than `most` bytes is `Damage` of kind `too_large`. Where
    compressed bytes are broken, the line there is lost and reading goes on after the next newline.
    """
    if unit != "byte":
        if start > 0:
            return
    elif start > 0:
        source.skip(start - 1)
        source.line(0)
    broken: BrokenError | None = None
    while True:
        position = source.position
        if unit == "byte" and position >= end:
            return
        try:
            if not broken and source.at_end():
                return
            data = source.line(most)
        except BrokenError as error:
            source.drop()
            place = Place(position, source.position - position, 0, unit=unit)
            yield damage_at(place, error.kind, error.detail)
            broken = error
            continue
        place = Place(position, source.position - position, 0, unit=unit)
        if broken:
            # what is left of the line that the break is in
            if place.length:
                yield damage_at(place, broken.kind, "the rest of a line after broken bytes")
            broken = None
        elif data is None:
            detail = f"a line of {place.length} bytes, more than {most}"
            yield damage_at(place, "too_large", detail)
        else:
            yield Line(position, place.length, 0, data, unit=unit)
