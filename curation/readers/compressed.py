"""Files compressed a record or as a whole: gzip members, Zstandard frames, LZ4 frames.

Each such part can be read on its own, so damage in one costs that one: where it does not say
where it ends, the next is searched for.
"""

from __future__ import annotations

import abc
import io
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, cast

from zlib_ng import zlib_ng

from curation.readers import DamageKind
from curation.readers.frames import LZ4_MAGIC, ZSTD_MAGIC, Slice, lz4_end, zstd_end
from curation.readers.source import BLOCK, BrokenError, File, Source, Window

GZIP_MAGIC = b"\x1f\x8b\x08"
# What zlib_ng raises of bytes that do not inflate; its stub takes the class for an exception.
DeflateError = cast(type[Exception], zlib_ng.error)

_PIECE = 1 << 14  # compressed bytes given to a decoder at once
# Inflated bytes a compressed byte, above which a member over the limit is not inflated further.
# Deflate cannot exceed 1032; markup reaches some dozens.
_RATIO = 200
_LONGEST_HEADER = 64  # more than any header of a frame and of its first block
_SKIPPABLE = b"\x2a\x4d\x18"  # ends a skippable frame's magic number (RFC 8878, 3.1.2)
_DICTIONARY = b"\x5d\x2a\x4d\x18"  # a frame that holds the dictionary of a `.warc.zst` file
_MOST_DICTIONARY = 1 << 24


# FastWARC takes as long to import as a hundred pages to read, and few files need it.


def lz4_reader(stream: Any) -> Any:
    """The inflated bytes of an LZ4 frame."""
    from fastwarc.stream_io import Lz4Reader

    return Lz4Reader(stream)


def zstd_reader(stream: Any, dictionary: bytes | None = None) -> Any:
    """The inflated bytes of a Zstandard frame."""
    from fastwarc.stream_io import ZstdReader

    return ZstdReader(stream, dictionary=dictionary)


class Member(Source):
    """The inflated bytes of the part that starts at `start` of a file.

    Reading raises BrokenError if it is damaged, cut off, or a bomb: past `limit` bytes with a
    ratio that only made-up data have.
    """

    def __init__(self, window: Window, start: int, limit: int) -> None:
        """Begin at the part's first inflated byte."""
        super().__init__(0)
        self._window = window
        self._limit = limit
        self._inflated = 0
        self.start = start
        self.end = start  # of what was read; of the part, once it is read to its end

    @abc.abstractmethod
    def _inflate(self) -> bytes:
        """The next bytes, none at the end; sets `end`."""

    def _pull(self) -> bytes:
        chunk = self._inflate()
        self._inflated += len(chunk)
        if self._inflated > max(self._limit, _RATIO * (self.end - self.start)):
            raise BrokenError("too_large", f"inflates to more than {self._inflated} bytes")
        return chunk

    def finish(self) -> int:
        """Pass the rest of the part; where in the file it ends."""
        while self._pull():
            pass
        return self.end


@dataclass(frozen=True)
class Start:
    """What something begins with: a pattern, which its first `look` bytes tell."""

    pattern: re.Pattern[bytes]
    look: int

    def begins(self, head: bytes) -> bool:
        """Whether bytes begin so."""
        return self.pattern.match(head) is not None


_ANY = Start(re.compile(b""), 1)


class Chain(Source):
    """The inflated bytes of a part, and of the parts after it that are joined to it."""

    def __init__(
        self, window: Window, codec: Codec, position: int, limit: int, start: Start
    ) -> None:
        """Begin at the first inflated byte of the part at `position`; `limit` as of `Member`.

        `start`: of what begins parts that are not joined.
        """
        super().__init__(0)
        self._window, self._codec, self._limit, self._start = window, codec, limit, start
        self._inflated = 0
        self._member = codec.open(window, position, limit)
        self._begun = [(0, position)]  # inflated byte and place in the file of each part

    @property
    def last(self) -> int:
        """Where the last part that was joined begins in the file."""
        return self._begun[-1][1]

    @property
    def end(self) -> int:
        """Where in the file that ends what was read of it."""
        return self._member.end

    def _pull(self) -> bytes:
        chunk = self._member._pull()
        self._inflated += len(chunk)
        return chunk

    def join(self) -> bool:
        """Go on, at the end, with the next part, unless it does not inflate or something begins
        there."""
        after = self._codec.skip(self._window, self._member.finish())
        head = self._codec.head(self._window, after, self._start.look)
        if not head or self._start.begins(head):
            return False
        self._member = self._codec.open(self._window, after, self._limit)
        self._begun.append((self._inflated, after))
        return True

    def locate(self, position: int) -> tuple[int, int]:
        """Where the part with an inflated byte begins in the file, and the byte's place in it."""
        before, start = max(each for each in self._begun if each[0] <= position)
        return start, position - before

    def finish(self) -> int:
        """Pass the rest; where in the file it ends."""
        return self._member.finish()


class Inflated(Source):
    """All that a compressed file holds, part after part.

    Reading raises BrokenError where a part is broken; after `drop` it goes on with the next.
    """

    def __init__(self, window: Window, codec: Codec, limit: int) -> None:
        """Begin at the first inflated byte; `limit` as of `Member`."""
        super().__init__(0)
        self._window = window
        self._codec = codec
        self._limit = limit
        self._next = codec.skip(window, 0)
        self._member: Member | None = None

    def _pull(self) -> bytes:
        while self._member or self._next < self._window.size:
            self._member = self._member or self._codec.open(self._window, self._next, self._limit)
            try:
                chunk = self._member._pull()
            except BrokenError:
                found = self._codec.next(self._window, self._next + 1, self._window.size)
                self._next = self._window.size if found is None else found
                self._member = None
                raise
            if chunk:
                return chunk
            self._next = self._codec.skip(self._window, self._member.end)
            self._member = None
        return b""


class _Gzip(Member):
    def __init__(self, window: Window, start: int, limit: int) -> None:
        super().__init__(window, start, limit)
        self._zlib = zlib_ng.decompressobj(zlib_ng.MAX_WBITS | 16)

    def _inflate(self) -> bytes:
        while not self._zlib.eof:
            piece = self._window.read(self.end, _PIECE)
            if not piece:
                raise BrokenError("truncated", "the file ends inside a gzip member")
            try:
                chunk = self._zlib.decompress(piece, BLOCK)
            except DeflateError as error:
                reason = str(error).split(": ", 1)[-1]  # without the number
                raise BrokenError("corrupt_gzip", reason) from None
            left = self._zlib.unused_data if self._zlib.eof else self._zlib.unconsumed_tail
            self.end += len(piece) - len(left)
            if chunk:
                return chunk
        return b""


class _Frame(Member):
    """A frame of Zstandard or LZ4: its ends are told by its own lengths, FastWARC decodes it."""

    def __init__(
        self,
        window: Window,
        start: int,
        limit: int,
        name: str,
        kind: DamageKind,
        ends: Callable[[Window, int], int | None],
        decoder: Callable[[io.RawIOBase], Any],
    ) -> None:
        super().__init__(window, start, limit)
        self._name = name
        self._kind = kind
        self._decoder = decoder
        self._ends = ends
        self._slice: Slice | None = None
        self._stop: int | None = None
        self._reader: Any = None

    def _inflate(self) -> bytes:
        if self._slice is None:
            try:
                self._stop = self._ends(self._window, self.start)
                self._slice = Slice(self._window, self.start, self._stop or self._window.size)
                self._reader = self._decoder(self._slice)
            except OSError as error:
                raise BrokenError(self._kind, str(error)) from None
        try:
            chunk = bytes(self._reader.read(_PIECE))
        except OSError as error:
            raise self._broken(str(error)) from None
        self.end = self._slice.position
        if not chunk:
            if self._stop is None:
                raise self._broken("")
            self.end = self._stop
        return chunk

    def _broken(self, detail: str) -> BrokenError:
        if self._stop is None:
            return BrokenError("truncated", f"the file ends inside a {self._name} frame")
        return BrokenError(self._kind, detail)


@dataclass(frozen=True)
class Codec:
    """How a file is compressed.

    name: as people say it. magic: what each part begins with. kind: that of damage in it.
    stored: the most bytes that one block holds as they are. open: a part from its place and a
    limit in bytes. start: inflated bytes, at most so many, from a part's first ones; raises
    OSError or DeflateError.
    """

    name: str
    magic: bytes
    kind: DamageKind
    stored: int
    open: Callable[[Window, int, int], Member]
    start: Callable[[bytes, int], bytes]

    def skip(self, window: Window, position: int) -> int:
        """Pass skippable frames, which hold no data."""
        if self.magic == GZIP_MAGIC:
            return position
        while position < window.size and _is_skippable(head := window.exactly(position, 8)):
            position = min(window.size, position + 8 + int.from_bytes(head[4:], "little"))
        return position

    def head(self, window: Window, place: int, most: int) -> bytes:
        """The first bytes that inflate from a place, none if they do not."""
        try:
            return self.start(window.exactly(place, self.stored + _LONGEST_HEADER), most)
        except (OSError, DeflateError):
            return b""

    def next(self, window: Window, start: int, end: int, begins: Start = _ANY) -> int | None:
        """First place in [start, end) where a part seems to start that begins so."""
        return next(self._candidates(window, start, end, begins), None)

    def surely_starts(self, window: Window, position: int, limit: int, begins: Start) -> int:
        """A place at or before `position` where a part surely starts.

        A record may itself hold gzip members, as they are, in a stored block. But no such block
        is longer than `stored` bytes, so a longer chain of sound members is not inside one.
        """
        back = 4 * self.stored
        while back < position:
            for place in self._candidates(window, position - back, position, begins):
                if self._is_proven(window, place, limit):
                    return place
            back *= 4
        return 0

    def _candidates(self, window: Window, start: int, end: int, begins: Start) -> Iterator[int]:
        place = window.find(self.magic, start, end)
        while place >= 0:
            head = self.head(window, place, begins.look)
            if head and begins.begins(head):
                yield place
            place = window.find(self.magic, place + 1, end)

    def _is_proven(self, window: Window, start: int, limit: int) -> bool:
        position = start
        while position - start <= self.stored and position < window.size:
            try:
                position = self.skip(window, self.open(window, position, limit).finish())
            except BrokenError:
                return False
        return True


def _frames(
    magic: bytes,
    name: str,
    kind: DamageKind,
    stored: int,
    ends: Callable[[Window, int], int | None],
    decoder: Callable[[Any], Any],
) -> Codec:
    def opened(window: Window, start: int, limit: int) -> Member:
        return _Frame(window, start, limit, name, kind, ends, decoder)

    def begin(data: bytes, most: int) -> bytes:
        return bytes(decoder(io.BytesIO(data)).read(most))

    return Codec(name, magic, kind, stored, opened, begin)


# Most bytes of a block: RFC 1951 (3.2.4), RFC 8878 (3.1.1.2.4), LZ4 frame format 1.6 (BD byte)
GZIP = Codec(
    "gzip",
    GZIP_MAGIC,
    "corrupt_gzip",
    65_535,
    _Gzip,
    lambda data, most: zlib_ng.decompressobj(zlib_ng.MAX_WBITS | 16).decompress(data, most),
)
LZ4 = _frames(LZ4_MAGIC, "LZ4", "corrupt_lz4", 1 << 22, lz4_end, lz4_reader)


def _zstd(dictionary: bytes | None) -> Codec:
    def decoder(stream: io.RawIOBase) -> Any:
        return zstd_reader(stream, dictionary)

    return _frames(ZSTD_MAGIC, "Zstandard", "corrupt_zstd", 1 << 17, zstd_end, decoder)


ZSTD = _zstd(None)


def codec_of(window: Window) -> Codec | None:
    """How the file is compressed, by its first bytes; None if it does not look so."""
    head = window.exactly(0, 8)
    for codec in (GZIP, ZSTD, LZ4):
        if head.startswith(codec.magic):
            return codec
    if head.startswith(_DICTIONARY):
        return _zstd(_dictionary(window, int.from_bytes(head[4:], "little")))
    if _is_skippable(head):
        place = ZSTD.skip(window, 0)
        return LZ4 if window.exactly(place, 4) == LZ4_MAGIC else ZSTD
    return None


def _is_skippable(head: bytes) -> bool:
    return len(head) == 8 and head[1:4] == _SKIPPABLE and head[0] >> 4 == 5


def _dictionary(window: Window, size: int) -> bytes | None:
    """The dictionary in a file's first frame, itself compressed or not; None if it is broken."""
    if size > _MOST_DICTIONARY:
        return None
    data = b""
    while len(data) < size and (more := window.read(8 + len(data), size - len(data))):
        data += more
    if not data.startswith(ZSTD_MAGIC):
        return data
    try:
        return bytes(zstd_reader(io.BytesIO(data)).read(_MOST_DICTIONARY))
    except OSError:
        return None


def open_file(window: Window, limit: int) -> Source:
    """The bytes of a file, inflated if it is compressed."""
    codec = codec_of(window)
    return Inflated(window, codec, limit) if codec else File(window)
