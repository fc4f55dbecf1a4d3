"""Where frames of Zstandard and LZ4 end, by the lengths they state: nothing is decompressed."""

from __future__ import annotations

import io
from typing import Any

from curation.readers.source import Window

ZSTD_MAGIC = b"\x28\xb5\x2f\xfd"
LZ4_MAGIC = b"\x04\x22\x4d\x18"


def zstd_end(window: Window, start: int) -> int | None:
    """Where the Zstandard frame at `start` ends (RFC 8878, 3.1.1); None if after the file's end.

    Raises OSError if there is no frame.
    """
    head = window.exactly(start, 5)
    if len(head) < 5:
        return None
    if not head.startswith(ZSTD_MAGIC):
        raise OSError("incorrect frame magic")
    flags = head[4]
    single = flags >> 5 & 1
    position = start + 5 + (1 - single) + (0, 1, 2, 4)[flags & 3] + (single, 2, 4, 8)[flags >> 6]
    last = 0
    while not last:
        block = window.exactly(position, 3)
        if len(block) < 3:
            return None
        header = int.from_bytes(block, "little")
        last, kind, size = header & 1, header >> 1 & 3, header >> 3
        if kind == 3:
            raise OSError("reserved block type")
        position += 3 + (1 if kind == 1 else size)
    position += 4 * (flags >> 2 & 1)
    return position if position <= window.size else None


def lz4_end(window: Window, start: int) -> int | None:
    """As `zstd_end`, of an LZ4 frame (format 1.6.x)."""
    head = window.exactly(start, 5)
    if len(head) < 5:
        return None
    if not head.startswith(LZ4_MAGIC):
        raise OSError("incorrect frame magic")
    flags = head[4]
    position = start + 7 + 8 * (flags >> 3 & 1) + 4 * (flags & 1)
    while True:
        block = window.exactly(position, 4)
        if len(block) < 4:
            return None
        position += 4
        size = int.from_bytes(block, "little") & 0x7FFF_FFFF
        if not size:
            break
        position += size + 4 * (flags >> 4 & 1)
    position += 4 * (flags >> 2 & 1)
    return position if position <= window.size else None


class Slice(io.RawIOBase):
    """Bytes [start, end) of a file, as a stream."""

    def __init__(self, window: Window, start: int, end: int) -> None:
        """Begin at `start`."""
        self._window = window
        self._start = start
        self._end = end
        self.position = start

    def readable(self) -> bool:
        """Yes."""
        return True

    def tell(self) -> int:
        """Bytes that were read."""
        return self.position - self._start

    def readinto(self, buffer: Any) -> int:
        """Fill the buffer, or as much of it as can be; how much."""
        data = self._window.read(self.position, min(len(buffer), self._end - self.position))
        buffer[: len(data)] = data
        self.position += len(data)
        return len(data)
