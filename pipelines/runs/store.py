"""Folders on disk or on any fsspec file system, with exclusive creation.

A file appears whole or not at all. Two writers of one name: `create` lets exactly one win.
"""

from __future__ import annotations

import glob
import hashlib
import os
import posixpath
import shutil
import socket
import tempfile
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, BinaryIO, cast
from urllib.parse import urlsplit

from schemas.problems import Problem

SUMS = "SHA256SUMS"


def is_remote(url: str) -> bool:
    """Whether `url` names another file system than the local disk."""
    return "://" in url and not url.startswith("file://")


@dataclass(frozen=True)
class Folder:
    """A folder; `url` is a local path or an fsspec URL. Nothing is opened until it is used."""

    url: str

    @cached_property
    def _fs(self) -> tuple[Any, str]:
        import fsspec

        try:
            fs, path = fsspec.core.url_to_fs(self.url)
        except (ImportError, ValueError) as error:
            raise Problem(f"{self.url}: cannot be opened: {error}") from None
        return fs, path

    @property
    def local(self) -> Path | None:
        """The folder as a path, if it is on the local disk."""
        if is_remote(self.url):
            return None
        return Path(self.url.removeprefix("file://"))

    def check_host(self) -> None:
        """Raise Problem if it is on a host whose name cannot be resolved."""
        parts = urlsplit(self.url)
        if parts.scheme in ("http", "https") and parts.hostname:
            try:
                socket.getaddrinfo(parts.hostname, None)
            except OSError as error:
                raise Problem(
                    f"the name of the host {parts.hostname} cannot be resolved: "
                    f"{error.strerror or error}",
                    self.url,
                    "mend the name, or look after the network",
                ) from None

    def arrow(self) -> tuple[Any, str]:
        """The folder as pyarrow knows it: its file system, and the path in it."""
        from pyarrow import fs

        if (local := self.local) is not None:
            return fs.LocalFileSystem(), str(local.absolute())
        own, path = self._fs
        return fs.PyFileSystem(fs.FSSpecHandler(own)), path

    def __truediv__(self, name: str) -> Folder:
        return Folder(posixpath.join(self.url, name))

    def _path(self, name: str) -> str:
        return posixpath.join(self._fs[1], name)

    def exists(self, name: str = "") -> bool:
        """Whether the file or folder `name` is there."""
        if (local := self.local) is not None:
            return (local / name).exists()
        return bool(self._fs[0].exists(self._path(name)))

    def names(self) -> list[str]:
        """Sorted names of the files directly in this folder; empty if there is no folder."""
        if (local := self.local) is not None:
            if not local.is_dir():
                return []
            with os.scandir(local) as entries:
                return sorted(e.name for e in entries if not e.name.startswith(".") and e.is_file())
        fs, path = self._fs
        fs.invalidate_cache(path)
        if not fs.exists(path):
            return []
        return sorted(
            posixpath.basename(e["name"]) for e in fs.ls(path, detail=True) if e["type"] == "file"
        )

    def glob(self, pattern: str) -> list[tuple[str, dict[str, Any]]]:
        """Files below this folder that match, as (relative name, fsspec info), sorted.

        A file whose name is the pattern itself is that file, whatever characters are in it. As in
        a shell, names that begin with a dot are left out unless the pattern has such a one.
        """
        fs, path = self._fs
        if fs.isfile(posixpath.join(path, pattern)):
            return [(pattern, fs.info(posixpath.join(path, pattern)))]
        found = fs.glob(posixpath.join(glob.escape(path), pattern), detail=True)
        prefix = path.rstrip("/") + "/"
        named = ((name.removeprefix(prefix), info) for name, info in found.items())
        return sorted(
            (name, info)
            for name, info in named
            if info["type"] == "file" and (_has_dot(pattern) or not _has_dot(name))
        )

    def walk(self) -> list[tuple[str, int]]:
        """Every file below this folder, hidden ones too: relative name and bytes, sorted."""
        if (local := self.local) is not None:
            files = (item for item in local.rglob("*") if item.is_file())
            return sorted(
                (item.relative_to(local).as_posix(), item.stat().st_size) for item in files
            )
        fs, path = self._fs
        fs.invalidate_cache()
        found = fs.find(path, detail=True)
        prefix = path.rstrip("/") + "/"
        return sorted(
            (name.removeprefix(prefix), int(info["size"])) for name, info in found.items()
        )

    def unlink(self, name: str) -> None:
        """Remove the file `name`."""
        if (local := self.local) is not None:
            (local / name).unlink(missing_ok=True)
        else:
            self._fs[0].rm_file(self._path(name))

    def info(self, name: str) -> dict[str, Any]:
        """fsspec's description of the file `name`; FileNotFoundError if there is none."""
        return dict(self._fs[0].info(self._path(name)))

    def open(self, name: str) -> BinaryIO:
        """A seekable stream of the file `name`."""
        if (local := self.local) is not None:
            return (local / name).open("rb")
        return cast(BinaryIO, self._fs[0].open(self._path(name), "rb"))

    def read(self, name: str) -> bytes:
        """All bytes of the file `name`; FileNotFoundError if there is none."""
        if (local := self.local) is not None:
            return (local / name).read_bytes()
        return bytes(self._fs[0].cat_file(self._path(name)))

    def create(self, name: str, data: bytes) -> bool:
        """Write the file `name` if there is none; False if there is one, which stays.

        On disk by `link`, on S3 by `If-None-Match: *`, on GCS by `ifGenerationMatch=0`
        (what fsspec's mode "create" sends).
        """
        if (local := self.local) is None:
            fs = self._fs[0]
            try:
                fs.pipe_file(self._path(name), data, mode="create")
            except FileExistsError:
                return False
            fs.invalidate_cache(self._fs[1])
            return True
        with self._part(local / name) as part:
            part.write_bytes(data)
            try:
                os.link(part, local / name)
            except FileExistsError:
                return False
        return True

    def replace(self, name: str, data: bytes) -> None:
        """Write the file `name`, over an older one."""
        if (local := self.local) is None:
            self._fs[0].pipe_file(self._path(name), data)
            return
        with self._part(local / name) as part:
            part.write_bytes(data)
            part.replace(local / name)

    def write_listed(self, files: Mapping[str, bytes]) -> None:
        """Write files of this folder for which there is no receipt, and a list of their checksums,
        as sha256sum(1) writes and checks it."""
        for name, data in files.items():
            self.replace(name, data)
        sums = (f"{hashlib.sha256(data).hexdigest()}  {name}\n" for name, data in files.items())
        self.replace(SUMS, "".join(sums).encode())

    def publish(self, finished: Path, name: str) -> None:
        """Move the finished local file to `name`."""
        if (local := self.local) is None:
            self._fs[0].put_file(str(finished), self._path(name))
            finished.unlink()
            return
        target = local / name
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            finished.replace(target)
        except OSError:  # another disk: copy beside the target, then rename
            with self._part(target) as part:
                shutil.copyfile(finished, part)
                part.replace(target)
            finished.unlink()

    def adopt(self, other: Folder, name: str) -> None:
        """Have the file `name` of another folder too: by a link where both are on one disk."""
        if self.exists(name):
            return
        if self.local is not None and other.local is not None:
            (self.local / name).parent.mkdir(parents=True, exist_ok=True)
            with suppress(OSError):
                os.link(other.local / name, self.local / name)
                return
        self.replace(name, other.read(name))

    def scratch(self) -> Path:
        """A new local folder for files in the making, on the target's own disk if it has one."""
        if (local := self.local) is None:
            return Path(tempfile.mkdtemp(prefix="gristmill-"))
        local.mkdir(parents=True, exist_ok=True)
        return Path(tempfile.mkdtemp(prefix=".part-", dir=local))

    def make(self) -> None:
        """Make the folder and prove that it can be written to, or raise Problem."""
        try:
            if (local := self.local) is not None:
                local.mkdir(parents=True, exist_ok=True)
            probe = f"{'.probe-' if self.local else 'probe-'}{uuid.uuid4().hex}"
            self.replace(probe, b"")
            self.unlink(probe)
        except Exception as error:  # whatever a file system says when it refuses
            raise Problem(
                f"cannot be written to: {error}", self.url, "give a folder that can"
            ) from None

    def remove(self) -> None:
        """Remove the folder and all in it."""
        if (local := self.local) is not None:
            shutil.rmtree(local, ignore_errors=True)
        elif self.exists():
            self._fs[0].rm(self._fs[1], recursive=True)

    @staticmethod
    @contextmanager
    def _part(target: Path) -> Iterator[Path]:
        target.parent.mkdir(parents=True, exist_ok=True)
        part = target.with_name(f".{target.name}.{uuid.uuid4().hex}")
        try:
            yield part
        finally:
            part.unlink(missing_ok=True)


def _has_dot(name: str) -> bool:
    return name.startswith(".") or "/." in name


def etag(root: Folder, name: str, info: dict[str, Any]) -> str:
    """What tells that a file is still the same: the store's own tag, or for a file on disk, which
    shares it with its copies, a digest of its size and bytes: of all up to a mebibyte, of more
    the beginning, the end and some between."""
    for key in ("ETag", "etag", "md5Hash", "crc32c"):
        if info.get(key):
            return str(info[key]).strip('"')
    size, edge = int(info["size"]), 1 << 16
    digest = hashlib.blake2b(str(size).encode(), digest_size=16)
    with root.open(name) as stream:
        if size <= 16 * edge:
            digest.update(stream.read())
        else:
            places = [(0, edge), *((size * part // 16, 4096) for part in range(1, 16))]
            for start, length in (*places, (size - edge, edge)):
                stream.seek(start)
                digest.update(stream.read(length))
    return digest.hexdigest()
