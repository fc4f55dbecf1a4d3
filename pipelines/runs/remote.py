"""A folder of any fsspec file system: a call to a store is tried again where that helps, and
nothing is remembered that another process may change."""

from __future__ import annotations

import glob
import io
import logging
import posixpath
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, BinaryIO, TypeVar, cast

from schemas.problems import Problem
from schemas.stores import Storage, steadily

Result = TypeVar("Result")

_LEAST_AHEAD, _MOST_AHEAD = 1 << 18, 1 << 23


class Remote:
    """The folder at an fsspec URL. Errors are those of `schemas.stores.steadily`."""

    def __init__(self, url: str, storage: Storage) -> None:
        """Raises Problem if no package, or none that is installed, knows such URLs, or such
        options."""
        import fsspec
        from fsspec.implementations.local import LocalFileSystem

        self.url = url
        try:
            options = storage.options(url)
            self.fs, self.path = fsspec.core.url_to_fs(url, use_listings_cache=False, **options)
        except (ImportError, ValueError) as error:
            raise Problem(f"cannot be opened: {error}", url) from None
        self._is_local = isinstance(self.fs, LocalFileSystem)
        # it prints what it tries again
        logging.getLogger("gcsfs").setLevel(logging.CRITICAL)

    def at(self, name: str) -> str:
        """The path of a file in the folder."""
        return posixpath.join(self.path, name) if name else self.path

    def _do(self, name: str, operation: Callable[[], Result]) -> Result:
        if self._is_local:
            return operation()
        return steadily(posixpath.join(self.url, name) if name else self.url, operation)

    def info(self, name: str) -> dict[str, Any]:
        """fsspec's description of a file or folder; FileNotFoundError if there is none."""
        return dict(self._do(name, lambda: self.fs.info(self.at(name))))

    def exists(self, name: str) -> bool:
        """Whether the file or folder is there."""
        try:
            self.info(name)
        except FileNotFoundError:
            return False
        return True

    def list(self) -> list[dict[str, Any]]:
        """fsspec's descriptions of what is directly in the folder; none if there is no folder."""
        try:
            return list(self._do("", lambda: self.fs.ls(self.path, detail=True)))
        except FileNotFoundError:
            return []

    def find(self) -> dict[str, dict[str, Any]]:
        """Every file below, by relative name."""
        found = self._do("", lambda: self.fs.find(self.path, detail=True))
        return self._relative(found)

    def glob(self, pattern: str) -> dict[str, dict[str, Any]]:
        """What matches below, by relative name."""
        escaped = posixpath.join(glob.escape(self.path), pattern)
        return self._relative(self._do(pattern, lambda: self.fs.glob(escaped, detail=True)))

    def _relative(self, found: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
        prefix = self.path.rstrip("/") + "/"
        return {name.removeprefix(prefix): info for name, info in found.items()}

    def read(self, name: str) -> bytes:
        """All bytes of a file."""
        return bytes(self._do(name, lambda: self.fs.cat_file(self.at(name))))

    def read_range(self, name: str, start: int, end: int) -> bytes:
        """Bytes [start, end) of a file; a body that is cut is asked for again."""

        def fetch() -> bytes:
            data = bytes(self.fs.cat_file(self.at(name), start=start, end=end))
            if len(data) > end - start:  # a server of HTTP that knows no ranges
                data = data[start:end]
            if len(data) < end - start:
                raise EOFError(f"{len(data)} bytes came, of {end - start} from {start} on")
            return data

        return self._do(name, fetch)

    def open(self, name: str, size: int | None = None) -> BinaryIO:
        """A seekable stream; `size`: of the file, if it is known."""
        size = self.info(name).get("size") if size is None else size
        if size is None:
            raise Problem(
                "the server does not tell its size, without which it cannot be read in parts",
                posixpath.join(self.url, name),
                "fetch it first",
            )
        ranges = Ranges(lambda start, end: self.read_range(name, start, end), int(size))
        return cast(BinaryIO, io.BufferedReader(ranges, 1 << 16))

    def create(self, name: str, data: bytes) -> bool:
        """Put a file if there is none: by `If-None-Match: *` on S3 and Azure, by
        `ifGenerationMatch=0` on GCS, which fsspec's mode "create" sends.

        A put whose answer was lost is tried again and finds its own bytes, so that the file counts
        as made if it holds these very bytes.
        """
        try:
            self._do(name, lambda: self.fs.pipe_file(self.at(name), data, mode="create"))
        except FileExistsError:
            return self.read(name) == data
        return True

    def put(self, name: str, data: bytes) -> None:
        """Put a file, over an older one. It appears when all of its bytes have come."""
        self._do(name, lambda: self.fs.pipe_file(self.at(name), data))

    def put_file(self, path: Path, name: str) -> None:
        """Put a local file, as `put` does."""
        self._do(name, lambda: self.fs.put_file(str(path), self.at(name)))

    def unlink(self, name: str) -> None:
        """Remove a file, if it is there."""
        with suppress(FileNotFoundError):
            self._do(name, lambda: self.fs.rm_file(self.at(name)))

    def remove(self) -> None:
        """Remove the folder, if it is there, and all in it."""
        if self.exists(""):
            self._do("", lambda: self.fs.rm(self.path, recursive=True))


class Ranges(io.RawIOBase):
    """A seekable stream over byte ranges, which reads the further ahead the longer it is read in
    order."""

    def __init__(self, fetch: Callable[[int, int], bytes], size: int) -> None:
        """`fetch(start, end)` gives these bytes of a file of `size` bytes."""
        self._fetch, self._size = fetch, size
        self._position = self._start = 0
        self._block = b""
        self._ahead = _LEAST_AHEAD

    def readable(self) -> bool:
        """Yes."""
        return True

    def seekable(self) -> bool:
        """Yes."""
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Go to a byte; where it is."""
        base = (0, self._position, self._size)[whence]
        self._position = max(0, base + offset)
        return self._position

    def readinto(self, buffer: Any) -> int:
        """Fill the buffer, or as much of it as there is; how much."""
        data = self._read(len(buffer))
        buffer[: len(data)] = data
        return len(data)

    def _read(self, most: int) -> bytes:
        if self._position >= self._size or not most:
            return b""
        at = self._position - self._start
        if not 0 <= at < len(self._block):
            goes_on = self._position == self._start + len(self._block)
            self._ahead = min(2 * self._ahead, _MOST_AHEAD) if goes_on else _LEAST_AHEAD
            end = min(self._size, self._position + max(most, self._ahead))
            self._block = self._fetch(self._position, end)
            self._start, at = self._position, 0
        data = self._block[at : at + most]
        self._position += len(data)
        return data
