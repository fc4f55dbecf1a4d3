"""Folders on disk or on any fsspec file system, with exclusive creation.

A file appears whole or not at all. Two writers of one name: `create` lets exactly one win.
"""

from __future__ import annotations

import hashlib
import os
import posixpath
import shutil
import socket
import tempfile
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, BinaryIO
from urllib.parse import urlsplit

from pipelines.runs.remote import Remote
from schemas.problems import Problem
from schemas.secrets import has_secret, redacted
from schemas.stores import Storage, reason

SUMS = "SHA256SUMS"
WILD = "*?["
_USUAL = Storage()


def is_remote(url: str) -> bool:
    """Whether `url` names another file system than the local disk."""
    return "://" in url and not url.startswith("file://")


@dataclass(frozen=True)
class Folder:
    """A folder; `url` is a local path or an fsspec URL. Nothing is opened until it is used.

    Raises Problem for a URL with a secret. Operations on a store raise those of `steadily`.
    """

    url: str
    storage: Storage = _USUAL

    def __post_init__(self) -> None:
        if has_secret(self.url):
            raise Problem(
                "holds a password, a token or a signature",
                redacted(self.url),
                "leave it to the usual place of the store's credentials",
            )

    @cached_property
    def _remote(self) -> Remote:
        return Remote(self.url, self.storage)

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
        return fs.PyFileSystem(fs.FSSpecHandler(self._remote.fs)), self._remote.path

    def __truediv__(self, name: str) -> Folder:
        return replace(self, url=posixpath.join(self.url, name))

    def exists(self, name: str = "") -> bool:
        """Whether the file or folder `name` is there."""
        if (local := self.local) is not None:
            return (local / name).exists()
        return self._remote.exists(name)

    def names(self) -> list[str]:
        """Sorted names of the files directly in this folder; empty if there is no folder."""
        if (local := self.local) is not None:
            if not local.is_dir():
                return []
            with os.scandir(local) as entries:
                return sorted(e.name for e in entries if not e.name.startswith(".") and e.is_file())
        return sorted(
            posixpath.basename(each["name"])
            for each in self._remote.list()
            if each["type"] == "file"
        )

    def glob(self, pattern: str) -> list[tuple[str, dict[str, Any]]]:
        """Files below this folder that match, as (relative name, fsspec info), sorted.

        A file whose name is the pattern itself is that file, whatever characters are in it. As in
        a shell, names that begin with a dot are left out unless the pattern has such a one.
        """
        with suppress(FileNotFoundError, NotADirectoryError):
            if (info := self.info(pattern))["type"] == "file":
                return [(pattern, info)]
        if not any(char in pattern for char in WILD):
            return []
        found = self._remote.glob(pattern)
        return sorted(
            (name, info)
            for name, info in found.items()
            if info["type"] == "file" and (_has_dot(pattern) or not _has_dot(name))
        )

    def walk(self) -> list[tuple[str, int]]:
        """Every file below this folder, hidden ones too: relative name and bytes, sorted."""
        if (local := self.local) is not None:
            files = (item for item in local.rglob("*") if item.is_file())
            return sorted(
                (item.relative_to(local).as_posix(), item.stat().st_size) for item in files
            )
        return sorted((name, int(info["size"])) for name, info in self._remote.find().items())

    def unlink(self, name: str) -> None:
        """Remove the file `name`."""
        if (local := self.local) is not None:
            (local / name).unlink(missing_ok=True)
        else:
            self._remote.unlink(name)

    def info(self, name: str) -> dict[str, Any]:
        """fsspec's description of the file `name`; FileNotFoundError if there is none."""
        return self._remote.info(name)

    def open(self, name: str, size: int | None = None) -> BinaryIO:
        """A seekable stream of the file `name`; `size`: its bytes, if they are known."""
        if (local := self.local) is not None:
            return (local / name).open("rb")
        return self._remote.open(name, size)

    def read(self, name: str) -> bytes:
        """All bytes of the file `name`; FileNotFoundError if there is none."""
        if (local := self.local) is not None:
            return (local / name).read_bytes()
        return self._remote.read(name)

    def read_range(self, name: str, start: int, end: int) -> bytes:
        """Bytes [start, end) of the file `name`; fewer only at the end of a local file."""
        if (local := self.local) is not None:
            with (local / name).open("rb") as stream:
                stream.seek(start)
                return stream.read(end - start)
        return self._remote.read_range(name, start, end)

    def create(self, name: str, data: bytes) -> bool:
        """Write the file `name` if there is none; False if there is one, which stays.

        On disk by `link`, in a store as `Remote.create` says.
        """
        if (local := self.local) is None:
            return self._remote.create(name, data)
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
            self._remote.put(name, data)
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
            self._remote.put_file(finished, name)
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
        except Problem as error:
            raise Problem(f"cannot be written to: {error.what}", self.url, error.mend) from None
        except Exception as error:  # whatever a file system says when it refuses
            raise Problem(
                f"cannot be written to: {reason(error)}", self.url, "give a folder that can"
            ) from None

    def remove(self) -> None:
        """Remove the folder and all in it."""
        if (local := self.local) is not None:
            shutil.rmtree(local, ignore_errors=True)
        else:
            self._remote.remove()

    @staticmethod
    @contextmanager
    def _part(target: Path) -> Iterator[Path]:
        target.parent.mkdir(parents=True, exist_ok=True)
        part = target.with_name(f".{target.name}.{uuid.uuid4().hex}")
        try:
            yield part
        finally:
            part.unlink(missing_ok=True)


def split(path: str) -> tuple[Folder, str]:
    """The folder of a file, by its path or URL, and its name there."""
    folder, slash, name = path.rpartition("/")
    return Folder(folder or slash or "."), name


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
