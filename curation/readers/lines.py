"""Lines of a file with their places."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from curation.readers import Damage, Place
from curation.readers.source import BrokenError, Source


@dataclass(frozen=True, slots=True)
class Line(Place):
    """data: the line with its end, if it has one."""

    data: bytes


def read_lines(
    source: Source, start: int, end: int, most: int, compressed: bool
) -> Iterator[Line | Damage]:
    """Yield the lines that start in [start, end); of a compressed file all start at 0.

    A line of more than `most` bytes is `Damage` of kind `too_large`. Where compressed bytes are
    broken, the line there is lost and reading goes on after the next newline.
    """
    if compressed:
        if start > 0:
            return
    elif start > 0:
        source.skip(start - 1)
        source.line(0)
    broken: BrokenError | None = None
    while True:
        position = source.position
        if not compressed and position >= end:
            return
        try:
            if not broken and source.at_end():
                return
            data = source.line(most)
        except BrokenError as error:
            source.drop()
            place = _place(position, source.position, compressed)
            yield Damage(*place, error.kind, error.detail)
            broken = error
            continue
        place = _place(position, source.position, compressed)
        if broken:
            # what is left of the line that the break is in
            if place[1]:
                detail = "the rest of a line after broken bytes"
                yield Damage(*place, broken.kind, detail)
            broken = None
        elif data is None:
            yield Damage(*place, "too_large", f"a line of {place[1]} bytes, more than {most}")
        else:
            yield Line(*place, data)


def _place(position: int, after: int, compressed: bool) -> tuple[int, int, int]:
    """Offset, length and inner offset."""
    return (0, after - position, position) if compressed else (position, after - position, 0)
