"""Rows to a file: JSON lines or Parquet, by the file's suffix; `-` is standard output."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import IO, Any, Protocol

import pyarrow as pa

from pipelines.runs.parts import PartWriter
from pipelines.runs.store import Folder
from schemas.problems import Problem

_JSONL = (".jsonl", ".jsonl.gz", ".jsonl.zst")


class Rows(Protocol):
    """Takes rows."""

    def write(self, rows: list[dict[str, Any]]) -> None:
        """Add rows, in this order."""


class _Lines:
    """JSON lines; times are ISO 8601."""

    def __init__(self, stream: IO[bytes] | pa.NativeFile) -> None:
        self._stream = stream

    def write(self, rows: Iterable[Mapping[str, Any]]) -> None:
        for row in rows:
            self._stream.write(_ENCODER.encode(row).encode() + b"\n")


def _plain(value: Any) -> str:
    if isinstance(value, datetime):
        return value.isoformat().replace("+00:00", "Z")
    raise TypeError(f"{type(value).__name__} has no JSON")


_ENCODER = json.JSONEncoder(ensure_ascii=False, default=_plain)


@contextmanager
def writing(path: str, schema: pa.Schema) -> Iterator[Rows]:
    """A writer of rows of `schema` to a local path or fsspec URL, `-` for standard output.

    The file appears whole at the end, over an older one, or not at all. Raises Problem if its
    suffix is neither `.jsonl`, `.jsonl.gz`, `.jsonl.zst` nor `.parquet`.
    """
    if path == "-":
        yield _Lines(sys.stdout.buffer)
        sys.stdout.flush()
        return
    if not path.endswith((".parquet", *_JSONL)):
        raise Problem(f"{path}: its name must end in .parquet, {', '.join(_JSONL)}, or be `-`")
    parent, _, name = path.rpartition("/")
    folder = Folder(parent or ("/" if path.startswith("/") else "."))
    try:
        scratch = folder.scratch()
    except OSError as error:
        raise Problem(f"{path}: cannot be written: {error}") from None
    part = scratch / name
    try:
        if name.endswith(".parquet"):
            writer = PartWriter(part, schema)
            yield writer
            writer.close()
        else:
            with _compressed(part) as stream:
                yield _Lines(stream)
        folder.publish(part, name)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _compressed(path: Path) -> pa.NativeFile:
    """A stream that compresses as the suffix says."""
    return pa.output_stream(str(path), compression="detect")
