"""Tasks and their receipts: what is to be done, and the proof that it was.

A task commits once: its data files first, under names that follow from what they hold, then one
receipt by exclusive creation, naming every file with rows, size and checksum. Readers follow
receipts, never globs. Of two attempts at one task the first receipt counts; the other attempt
has written the same files or leaves garbage that nothing names.
"""

from __future__ import annotations

import json
import shutil
import uuid
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

import pyarrow as pa

from pipelines.runs.parts import ROW_GROUP_ROWS, PartWriter, file_sha256
from pipelines.runs.store import Folder
from pipelines.runs.usage import Usage, running

TASKS = 64  # of a step, as long as they hold
LEAST_BYTES = 1 << 20

Item = TypeVar("Item")


@dataclass(frozen=True)
class Task:
    """A unit of work of a step; `spec` is all that it needs to know, as JSON."""

    key: str
    spec: Mapping[str, Any]
    size: int = 0  # for balancing: the largest are started first

    def to_json(self) -> str:
        """One line, the same for equal tasks."""
        return json.dumps(asdict(self), sort_keys=True, ensure_ascii=False)

    @classmethod
    def from_json(cls, line: str) -> Task:
        """The task of `to_json`."""
        return cls(**json.loads(line))


@dataclass(frozen=True)
class PartFile:
    """A committed file. `path` is relative to the run's folder; `digest` is of the values."""

    kind: str
    path: str
    rows: int
    size: int
    sha256: str
    digest: str


@dataclass(frozen=True)
class Receipt:
    """What one task did. `records == kept + sum(rejected.values())`, checked on commit."""

    task: str
    records: int
    kept: int
    rejected: dict[str, int]
    files: tuple[PartFile, ...] = ()
    counts: dict[str, Any] = field(default_factory=dict)
    attempt: str = ""  # which attempt it was; decides nothing
    usage: Usage = field(default_factory=Usage)  # what the attempt took; decides nothing

    def __post_init__(self) -> None:
        if self.records != self.kept + sum(self.rejected.values()):
            raise AssertionError(
                f"task {self.task}: {self.records} records, but {self.kept} kept "
                f"and {self.rejected} rejected"
            )

    def to_json(self) -> bytes:
        """The receipt as stored."""
        return (json.dumps(asdict(self), sort_keys=True, ensure_ascii=False) + "\n").encode()

    @classmethod
    def from_json(cls, data: bytes) -> Receipt:
        """The receipt of `to_json`."""
        value = json.loads(data)
        value["files"] = tuple(PartFile(**item) for item in value["files"])
        value["usage"] = Usage(**value["usage"])
        return cls(**value)

    def file(self, kind: str) -> PartFile:
        """The one file of this kind."""
        (found,) = [item for item in self.files if item.kind == kind]
        return found


class Attempt:
    """One attempt at a task: collects files in a scratch folder, then commits them.

    Used as a context manager; what was not committed is removed.
    """

    def __init__(self, run: Folder, step: str, task: str) -> None:
        """`step` is the step's folder below the run's."""
        self.run, self.step, self.task = run, step, task
        self.id = uuid.uuid4().hex
        self._writers: list[tuple[str, str, PartWriter]] = []
        self._done: list[PartFile] = []

    def __enter__(self) -> Self:
        self._meter = running()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if "_scratch" in self.__dict__:
            shutil.rmtree(self._scratch, ignore_errors=True)

    @cached_property
    def _scratch(self) -> Path:
        return (self.run / self.step).scratch()

    def writer(
        self,
        kind: str,
        schema: pa.Schema,
        *,
        folder: str | None = None,
        row_group_rows: int = ROW_GROUP_ROWS,
        dictionary: Sequence[str] = (),
        compression_level: int = 3,
    ) -> PartWriter:
        """A Parquet file of this task, to be put into `folder` (default: `STEP/KIND`)."""
        path = self._scratch / f"{kind}.parquet"
        writer = PartWriter(path, schema, row_group_rows, dictionary, compression_level)
        self._writers.append((kind, folder or f"{self.step}/{kind}", writer))
        return writer

    def add(self, kind: str, name: str, data: bytes) -> None:
        """A file that is not Parquet, with its final path relative to the run."""
        path = self._scratch / kind
        path.write_bytes(data)
        digest = file_sha256(path)
        self._done.append(PartFile(kind, name, 0, len(data), digest, digest))
        self.run.publish(path, name)

    def commit(
        self,
        records: int,
        kept: int,
        rejected: Mapping[str, int] | None = None,
        counts: Mapping[str, Any] | None = None,
    ) -> Receipt:
        """Publish the files, then the receipt; returns the receipt that counts."""
        for kind, folder, writer in self._writers:
            digest = writer.close()
            sha256, size = file_sha256(writer.path), writer.path.stat().st_size
            path = f"{folder}/{self.task}-{sha256[:12]}.parquet"
            self.run.publish(writer.path, path)
            self._done.append(PartFile(kind, path, writer.rows, size, sha256, digest))
        receipt = Receipt(
            self.task,
            records,
            kept,
            {reason: count for reason, count in sorted((rejected or {}).items()) if count},
            tuple(self._done),
            dict(counts or {}),
            self.id,
            self._meter.read(),
        )
        receipts = self.run / f"{self.step}/receipts"
        if receipts.create(f"{self.task}.json", receipt.to_json()):
            return receipt
        return read_receipt(self.run, self.step, self.task)


def has_receipt(run: Folder, step: str, task: str) -> bool:
    """Whether the task is done."""
    return run.exists(f"{step}/receipts/{task}.json")


def read_receipt(run: Folder, step: str, task: str) -> Receipt:
    """The task's receipt."""
    return Receipt.from_json(run.read(f"{step}/receipts/{task}.json"))


def receipt_keys(run: Folder, step: str) -> set[str]:
    """Keys of the tasks that have a receipt."""
    return {name.removesuffix(".json") for name in (run / f"{step}/receipts").names()}


def total_rejected(receipts: Sequence[Receipt]) -> dict[str, int]:
    """Rejections by reason over all receipts."""
    total: Counter[str] = Counter()
    for receipt in receipts:
        total.update(receipt.rejected)
    return dict(sorted(total.items()))


def bin_pack(items: Sequence[tuple[Item, int]], size: int) -> list[list[Item]]:
    """Put consecutive items (item, bytes) together until a bin holds `size` bytes.

    In the order given, so that the plan depends on nothing but the items. An item larger than
    `size` has a bin of its own.
    """
    bins: list[list[Item]] = []
    held = 0
    for item, weight in items:
        if bins and held + weight <= size:
            bins[-1].append(item)
            held += weight
        else:
            bins.append([item])
            held = weight
    return bins


def task_bytes(total: int, most: int) -> int:
    """Bytes for a task of a step that reads `total` bytes: `most`, but of a small corpus less.

    It has some 64 tasks then, enough for 16 workers, as long as they are worth starting. It
    follows from sizes alone, so that plans do not depend on workers.
    """
    return min(most, max(LEAST_BYTES, -(-total // TASKS)))


def pack_parts(sizes: Mapping[str, int], most: int, first: int = 0) -> list[Task]:
    """Tasks that read consecutive parts, by key with their bytes, see `task_bytes`; they are
    numbered from `first` on."""
    bins = bin_pack(list(sizes.items()), task_bytes(sum(sizes.values()), most))
    return [
        Task(f"{index:06d}", {"parts": keys}, sum(sizes[key] for key in keys))
        for index, keys in enumerate(bins, first)
    ]
