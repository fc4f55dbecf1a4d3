"""The row groups that a Parquet file's footer names, from a file that nobody vouches for.

pyarrow's `RowGroupMetaData.column` ends the process if what the footer says of a column does not
hold together (25.0: a C++ exception that nothing catches), so such files are read here.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Any, BinaryIO

_DEEPEST = 32  # structs within structs; the format's own are seven deep


@dataclass(frozen=True, slots=True)
class Chunk:
    """A column of a row group: its dotted path, first byte in the file, and inflated bytes."""

    path: str
    offset: int
    size: int


@dataclass(frozen=True, slots=True)
class Group:
    """A row group: how many rows it has, and its columns."""

    rows: int
    chunks: list[Chunk]


def read_footer(stream: BinaryIO) -> list[Group]:
    """The row groups of a seekable file. Raises ValueError if its footer is not whole.

    Format: https://github.com/apache/parquet-format, `FileMetaData` in parquet.thrift.
    """
    end = stream.seek(0, 2) - 8
    if end < 0:
        raise ValueError("shorter than a footer")
    stream.seek(end)
    length = int.from_bytes(stream.read(4), "little")
    if length > end:
        raise ValueError("its footer is longer than the file")
    stream.seek(end - length)
    try:
        footer = _Compact(stream.read(length)).struct(_DEEPEST)
        return [_group(group) for group in footer[4]]
    except (IndexError, KeyError, TypeError, AttributeError, struct.error) as error:
        raise ValueError("its footer does not hold together") from error


def _group(group: dict[int, Any]) -> Group:
    columns = [chunk[3] for chunk in group[1]]
    return Group(max(0, group[3]), [_chunk(column) for column in columns])


def _chunk(column: dict[int, Any]) -> Chunk:
    places = [place for place in (column.get(11), column[9]) if place]
    path = b".".join(column[3]).decode("utf-8", "replace")
    return Chunk(path, max(0, min(places, default=0)), max(0, column[6]))


class _Compact:
    """Values in Thrift's compact protocol; a struct is a dict by the numbers of its fields.

    https://github.com/apache/thrift/blob/master/doc/specs/thrift-compact-protocol.md
    """

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def _byte(self) -> int:
        self._at += 1
        return self._data[self._at - 1]

    def _bytes(self, size: int) -> bytes:
        self._at += size
        if self._at > len(self._data):
            raise IndexError
        return self._data[self._at - size : self._at]

    def _unsigned(self) -> int:
        value = shift = 0
        while True:
            byte = self._byte()
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                return value
            shift += 7
            if shift > 63:
                raise IndexError

    def _signed(self) -> int:
        value = self._unsigned()
        return (value >> 1) ^ -(value & 1)

    def struct(self, depth: int) -> dict[int, Any]:
        """The fields from here to the end of the struct."""
        fields: dict[int, Any] = {}
        number = 0
        while head := self._byte():
            number = number + (head >> 4) if head >> 4 else self._signed()
            kind = head & 15
            fields[number] = kind == 1 if kind in (1, 2) else self._value(kind, depth)
        return fields

    def _value(self, kind: int, depth: int) -> Any:
        if depth == 0:
            raise IndexError
        match kind:
            case 1 | 2 | 3:
                return self._byte()
            case 4 | 5 | 6:
                return self._signed()
            case 7:
                return struct.unpack("<d", self._bytes(8))[0]
            case 8:
                return self._bytes(self._unsigned())
            case 9 | 10:
                head = self._byte()
                size = head >> 4 if head >> 4 < 15 else self._unsigned()
                return [self._value(head & 15, depth - 1) for _ in range(size)]
            case 11:
                size = self._unsigned()
                kinds = self._byte() if size else 0
                return [
                    (self._value(kinds >> 4, depth - 1), self._value(kinds & 15, depth - 1))
                    for _ in range(size)
                ]
            case 12:
                return self.struct(depth - 1)
        raise IndexError
