"""Shards and outputs in object stores, by fsspec, through a folder on the local disk."""

import contextlib
import hashlib
import os
import posixpath
import shutil
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

from schemas.problems import Problem
from schemas.secrets import has_secret, redacted
from schemas.shard import ShardFile, read_manifest
from schemas.stores import cache_folder, reason, steadily
from train.files import digest_of

Result = TypeVar("Result")

# What an output has besides checkpoints, and what those have besides their folders.
FILES = (
    *("config.yaml", "tokenizer.json", "steps.jsonl", "rolled-back.jsonl", "passed-over.jsonl"),
    *("report.html", "loss.png", "checkpoints/rollbacks.json", "checkpoints/latest"),
)


class Remote:
    """A folder at a URL that fsspec knows, such as s3://bucket/run."""

    def __init__(self, url: str) -> None:
        """Raises Problem if nothing is known of such URLs, as where a package is missing."""
        import fsspec

        self.url, self._here = url.rstrip("/"), set[str]()  # checkpoints, when last looked at
        if has_secret(url):
            raise Problem("a URL must not hold a password, a token or a signature", redacted(url))
        self._fs, self._root = self._do("opened", lambda: fsspec.core.url_to_fs(self.url))

    def get(self, name: str, path: Path) -> None:
        """Fetch a file or a folder; it appears whole. Raises Problem."""
        temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
        path.parent.mkdir(parents=True, exist_ok=True)

        def fetch() -> None:
            shutil.rmtree(temporary, ignore_errors=True)  # a folder that came in part
            self._fs.get(posixpath.join(self._root, name), str(temporary), recursive=True)

        self._do(f"fetched ({name})", fetch)
        temporary.replace(path)

    def put(self, path: Path, name: str) -> None:
        """Store a file or a folder. Raises Problem."""
        target, deep = posixpath.join(self._root, name), path.is_dir()
        self._do(f"stored ({name})", lambda: self._fs.put(str(path), target, recursive=deep))

    def remove(self, name: str) -> None:
        """Remove a file or a folder, if it is there. Raises Problem."""
        target = posixpath.join(self._root, name)
        with contextlib.suppress(FileNotFoundError):
            self._do(f"removed ({name})", lambda: self._fs.rm(target, recursive=True))

    def names(self, folder: str) -> list[str]:
        """Names in a folder; none if it is not there. Raises Problem."""
        self._fs.invalidate_cache()
        target = posixpath.join(self._root, folder)
        with contextlib.suppress(FileNotFoundError):
            found = self._do(f"listed ({folder})", lambda: self._fs.ls(target, detail=False))
            return sorted(posixpath.basename(path.rstrip("/")) for path in found)
        return []

    def pull(self, output: Path) -> None:
        """Fetch the newest checkpoint and the logs of an output, if there are none here."""
        folder, stored = output / "checkpoints", self.names("checkpoints")
        if "latest" in stored and not (folder / "latest").exists():
            there = {*self.names(""), *(f"checkpoints/{name}" for name in stored)}
            for name in filter(there.__contains__, FILES):
                self.get(name, output / name)
            latest = (folder / "latest").read_text("utf-8").strip()
            self.get(f"checkpoints/{latest}", folder / latest)
            for name in stored:
                if name.startswith("step-") and name > latest:  # of a future that did not come
                    self.remove(f"checkpoints/{name}")
        self._here = {path.name for path in folder.glob("step-*")}

    def push(self, output: Path) -> None:
        """Make the stored output what it is here: checkpoints first, then what names them.

        Checkpoints that were never here stay, as those do that are kept for ever.
        """
        here = {path.name: path for path in (output / "checkpoints").glob("step-*")}
        for name, path in sorted(here.items()):
            if "checkpoint.json" not in self.names(f"checkpoints/{name}"):
                for part in ("state", "checkpoint.json"):
                    self.put(path / part, f"checkpoints/{name}/{part}")
        for name in FILES:
            if (output / name).exists():
                self.put(output / name, name)
            elif name.endswith("latest"):
                self.remove(name)
        for name in self._here - here.keys():
            self.remove(f"checkpoints/{name}")
        self._here = {*here}

    def _do(self, what: str, operation: Callable[[], Result]) -> Result:
        """Every store raises exceptions of its own, and some pass."""
        place = f"{self.url}: cannot be {what}"
        try:
            return steadily(place, operation)
        except FileNotFoundError as error:
            raise FileNotFoundError(f"{place}: not there") from error
        except Problem:
            raise
        except Exception as error:
            raise Problem(reason(error), place) from None


class Cache:
    """Files of stored shards on the local disk, by what they hold; old ones make room."""

    def __init__(self, remote: Remote, folder: Path, most_bytes: int) -> None:
        """Keep at most `most_bytes`, but always what is being read."""
        self._remote, self._folder, self._most = remote, folder, most_bytes
        self._pool = ThreadPoolExecutor(2)
        self._ahead: dict[str, Future[Path]] = {}
        folder.mkdir(parents=True, exist_ok=True)

    def fetch(self, file: ShardFile) -> Path:
        """Where a file of the shards is now. Raises Problem if it is not what was promised."""
        ahead = self._ahead.pop(file.path, None)
        if ahead:
            ahead.result()
        return self._fetch(file)

    def fetch_ahead(self, file: ShardFile) -> None:
        """Begin to fetch a file that will be wanted."""
        if file.path not in self._ahead:
            self._ahead[file.path] = self._pool.submit(self._fetch, file)

    def _fetch(self, file: ShardFile) -> Path:
        path = self._folder / f"{file.sha256}.parquet"
        with contextlib.suppress(FileNotFoundError):
            os.utime(path)
            return path
        self._make_room(file.size)
        self._remote.get(file.path, path)
        if digest_of(path) != file.sha256:
            raise Problem(f"{self._remote.url}/{file.path}: its SHA-256 is not the manifest's")
        return path

    def _make_room(self, size: int) -> None:
        """Remove the files that were used longest ago; what is open stays readable."""
        files = []
        for path in self._folder.glob("*.parquet"):
            with contextlib.suppress(FileNotFoundError):
                files.append((path.stat().st_mtime_ns, path.stat().st_size, path))
        total = size + sum(taken for _, taken, _ in files)
        for _, taken, path in sorted(files):
            if total > self._most:
                path.unlink(missing_ok=True)
                total -= taken


def is_url(text: str) -> bool:
    """Whether a run or an output is not on the local disk."""
    return "://" in text


def place_of(url: str) -> Path:
    """The local folder of a URL."""
    return cache_folder() / hashlib.sha256(url.rstrip("/").encode()).hexdigest()[:16]


def localized(run: str, most_bytes: int) -> tuple[Path, Cache | None]:
    """A run as a local folder: itself, or one with the manifest and tokenizer of a stored one.

    Of a stored run, the shards are in the cache that is returned. Raises Problem.
    """
    if not is_url(run):
        return Path(run), None
    remote = Remote(run.rstrip("/").removesuffix("/shards"))
    local = place_of(remote.url)
    remote.get("shards/manifest.json", local / "shards" / "manifest.json")
    path = posixpath.normpath(f"shards/{read_manifest(local).tokenizer.path}")
    remote.get(path, local / path)
    return local, Cache(Remote(f"{remote.url}/shards"), cache_folder() / "shards", most_bytes)
