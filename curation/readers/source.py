"""Bytes read forward once, with a bounded buffer; see `compressed` for those inside a member."""

from __future__ import annotations

import abc
import re
from typing import BinaryIO

from curation.readers import DamageKind

BLOCK = 1 << 20  # bytes read from a file at once

_OVERLAP = 1 << 13  # bytes kept while searching, longer than what is searched for


class BrokenError(Exception):
    """The bytes from here on cannot be read."""

    def __init__(self, kind: DamageKind, detail: str) -> None:
        """`kind` and `detail` as of `Damage`."""
        super().__init__(detail)
        self.kind = kind
        self.detail = detail


class Window:
    """Random access to a seekable stream, one block in memory."""

    def __init__(self, stream: BinaryIO) -> None:
        """Of a stream that can seek; its position is not kept."""
        self._stream = stream
        self.size = stream.seek(0, 2)
        self._start = 0
        self._block = b""

    def read(self, position: int, most: int) -> bytes:
        """Between 1 and `most` bytes from `position`; none at the end."""
        at = position - self._start
        if not 0 <= at < len(self._block):
            self._stream.seek(position)
            self._start, self._block, at = position, self._stream.read(BLOCK), 0
        return self._block[at : at + most]

    def exactly(self, position: int, count: int) -> bytes:
        """`count` bytes from `position`, fewer only at the end."""
        data = self.read(position, count)
        while len(data) < count and (more := self.read(position + len(data), count - len(data))):
            data += more
        return data

    def find(self, needle: bytes, start: int, end: int) -> int:
        """First place of `needle` that begins in [start, end), or -1."""
        position, tail = start, b""
        while position < end + len(needle) - 1 and (block := self.read(position, BLOCK)):
            found = (tail + block).find(needle)
            if found >= 0:
                place = position - len(tail) + found
                return place if place < end else -1
            position += len(block)
            tail = (tail + block)[1 - len(needle) :]
        return -1


class Source(abc.ABC):
    """Bytes from some position on; see `File` and `Member` for where they come from."""

    def __init__(self, position: int) -> None:
        """Begin at `position` of what the bytes are of."""
        self.newline = b"\n"  # what ends a line
        self._data = bytearray()
        self._at = 0
        self._base = position

    @property
    def position(self) -> int:
        """Place of the next byte."""
        return self._base + self._at

    @abc.abstractmethod
    def _pull(self) -> bytes:
        """The next bytes, none at the end. May raise BrokenError."""

    def _more(self) -> bool:
        chunk = self._pull()
        self._data += chunk
        return bool(chunk)

    def join(self) -> bool:
        """Go on, at the end, with what comes after, if the bytes at hand are only a part."""
        return False

    def peek(self, count: int) -> bytes:
        """The next `count` bytes, fewer only at the end."""
        while len(self._data) - self._at < count and self._more():
            pass
        with memoryview(self._data) as data:  # copied once
            return bytes(data[self._at : self._at + count])

    def held(self) -> bytes:
        """What of the next bytes is at hand already."""
        return bytes(self._data[self._at :])

    def at_end(self) -> bool:
        """Whether no byte is left; of a member, also that its checksum is right."""
        return not self.peek(1)

    def take(self, count: int) -> bytes:
        """Read `count` bytes, fewer only at the end."""
        taken = self.peek(count)
        self._at += len(taken)
        return taken

    def skip(self, count: int) -> bool:
        """Pass `count` bytes without keeping them; False if there were fewer."""
        while count > len(self._data) - self._at:
            count -= len(self._data) - self._at
            self._at = len(self._data)
            self.release()
            if not self._more():
                return False
        self._at += count
        return True

    def line(self, most: int) -> bytes | None:
        """Read through the next newline or to the end; None, passing it, if longer than `most`."""
        searched = self._at
        while (found := self._data.find(self.newline, searched)) < 0:
            searched = len(self._data)
            if searched - self._at > most:
                self._at = searched
                self.release()
                while self._more() and (found := self._data.find(self.newline)) < 0:
                    self._at = len(self._data)
                    self.release()
                self._at = len(self._data) if found < 0 else found + 1
                return None
            if not self._more():
                found = len(self._data) - 1
                break
        line = bytes(self._data[self._at : found + 1])
        self._at = found + 1
        if self._at >= BLOCK:
            self.release()
        return line if len(line) <= most else None

    def drop(self) -> None:
        """Pass what was read ahead of a place that cannot be read, and that place as one byte."""
        self._base += len(self._data) + 1
        self._at = 0
        self._data.clear()

    def release(self) -> None:
        """Forget what was read."""
        del self._data[: self._at]
        self._base += self._at
        self._at = 0

    def rewind(self, position: int) -> bool:
        """Go back to `position`; False if it is no longer there."""
        if position < self._base:
            return False
        self._at = position - self._base
        return True

    def seek_to(self, pattern: re.Pattern[bytes]) -> bool:
        """Go to where group 1 of the next match begins; to the end, and False, if none does."""
        while True:
            found = pattern.search(self._data, self._at)
            if found:
                self._at = found.start(1)
                return True
            self._at = max(self._at, len(self._data) - _OVERLAP)
            self.release()
            if not self._more():
                self._at = len(self._data)
                return False


class File(Source):
    """The bytes of an uncompressed file."""

    def __init__(self, window: Window) -> None:
        """Begin at the file's first byte."""
        super().__init__(0)
        self._window = window
        self._next = 0

    def _pull(self) -> bytes:
        chunk = self._window.read(self._next, BLOCK)
        self._next += len(chunk)
        return chunk

    def _jump(self, position: int) -> None:
        self._data.clear()
        self._at, self._base, self._next = 0, position, position

    def skip(self, count: int) -> bool:
        """Pass `count` bytes without reading them; False if there were fewer."""
        if count <= len(self._data) - self._at:
            return super().skip(count)
        if self.position + count > self._window.size:
            self._jump(self._window.size)
            return False
        self._jump(self.position + count)
        return True

    def rewind(self, position: int) -> bool:
        """Go back to `position`."""
        if not super().rewind(position):
            self._jump(position)
        return True
