"""Closing a step: its receipts in one file, and the manifest that says that they are all there.

Of a step with many tasks the workers bring the receipts together, a portion each, so that what
runs the jobs reads a few files of a bucket and not thousands.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from functools import lru_cache

import pyarrow as pa
import pyarrow.parquet as pq

from pipelines.engines.jobs import Barrier, JobFailed, Step
from pipelines.runs.receipts import Receipt, Task, total_rejected
from pipelines.runs.steps import Context, Manifest, fingerprint, read_plan
from pipelines.runs.store import Folder
from schemas.problems import Problem

PORTION = 256  # receipts that are read by one worker
_READERS = 32  # of a bucket, side by side

Plan = Callable[[Context], Sequence[Task]]


def freeze(run: Folder, step: str, mark: str, tasks: Callable[[], Sequence[Task]]) -> list[Task]:
    """The frozen tasks of a step; `tasks` is asked only the first time.

    Raises Problem if the step was begun under another fingerprint.
    """
    name = f"{step}/plan.jsonl"
    if not run.exists(name):
        planned = sorted(tasks(), key=lambda task: task.key)
        if len({task.key for task in planned}) != len(planned):
            raise AssertionError(f"{step}: two tasks share a key")
        lines = [json.dumps({"fingerprint": mark}), *(task.to_json() for task in planned)]
        run.create(name, ("\n".join(lines) + "\n").encode())
    if _mark(run.read(name)) != mark:
        raise Problem(
            f"{run.url}/{step}: was begun with other inputs, or by other versions of "
            "gristmill or of the libraries it uses. Finish it with those, or start a new run "
            "in another folder (with `parent:` it takes over the stages that are still equal)"
        )
    return read_plan(run, step)


def _mark(plan: bytes) -> str:
    """The fingerprint that a step was planned under."""
    return str(json.loads(plan[: plan.index(b"\n")])["fingerprint"])


def compaction(run: Folder, step: str, tasks: int) -> list[Step | Barrier]:
    """What a job does after the last of `tasks` tasks: nothing, if they are few."""
    if tasks <= PORTION:
        return []
    return [Barrier(f"{step}: receipts", _Portions(run, step)), _Compact(run, step)]


class _Portions:
    """The places of the first task of each portion."""

    def __init__(self, run: Folder, step: str) -> None:
        self.run, self.step = run, step

    def process(self, _: None) -> Iterable[int]:
        """Once."""
        return range(0, len(_planned(self.run.url, self.step)), PORTION)


class _Compact:
    """Brings the receipts of a portion into one file."""

    def __init__(self, run: Folder, step: str) -> None:
        self.run, self.step = run, step

    def process(self, element: int) -> Iterator[None]:
        """`element`: of `_Portions`."""
        keys = _planned(self.run.url, self.step)[element : element + PORTION]
        receipts = _read(self.run / f"{self.step}/receipts", keys)
        data = b"".join(each for each in receipts if each is not None)
        self.run.replace(f"{self.step}/compacted/{element:012d}.jsonl", data)
        yield from ()


@lru_cache(1)
def _planned(url: str, step: str) -> list[str]:
    """The keys of the tasks of a step, in order."""
    return [task.key for task in read_plan(Folder(url), step)]


def _read(folder: Folder, keys: Sequence[str]) -> Iterable[bytes | None]:
    """Receipts as they are stored; None for those that are not there."""

    def read(key: str) -> bytes | None:
        try:
            return folder.read(f"{key}.json")
        except FileNotFoundError:
            return None

    if folder.local is not None:
        return map(read, keys)
    with ThreadPoolExecutor(_READERS) as readers:
        return list(readers.map(read, keys))


def _receipts(run: Folder, step: str, keys: Sequence[str]) -> list[Receipt]:
    """The receipts of tasks: those that workers have brought together, and the others."""
    compacted = run / f"{step}/compacted"
    lines = (line for name in compacted.names() for line in compacted.read(name).splitlines())
    found = {receipt.task: receipt for receipt in map(Receipt.from_json, lines)}
    others = [key for key in keys if key not in found]
    for data in _read(run / f"{step}/receipts", others):
        if data is not None:
            receipt = Receipt.from_json(data)
            found[receipt.task] = receipt
    if missing := [key for key in keys if key not in found]:
        raise JobFailed(f"{step}: the job ended, but these tasks have no receipt: {missing[:5]}")
    return [found[key] for key in keys]


def close(run: Folder, step: str) -> Manifest:
    """Bring the receipts of a step together, and write its manifest.

    Raises JobFailed if a task has no receipt.
    """
    _planned.cache_clear()
    keys = _planned(run.url, step)
    receipts = _receipts(run, step, keys)
    table = pa.table(
        {
            "task": [r.task for r in receipts],
            "records": pa.array([r.records for r in receipts], pa.int64()),
            "kept": pa.array([r.kept for r in receipts], pa.int64()),
            "rejected": [json.dumps(r.rejected, ensure_ascii=False) for r in receipts],
            "counts": [json.dumps(r.counts, ensure_ascii=False) for r in receipts],
            "files": pa.array([[asdict(item) for item in r.files] for r in receipts], _FILES),
            "attempt": [r.attempt for r in receipts],
            "usage": pa.array([asdict(r.usage) for r in receipts], _USAGE),
        }
    )
    buffer = pa.BufferOutputStream()
    pq.write_table(table, buffer, compression="zstd", write_page_checksum=True)
    run.replace(f"{step}/receipts.parquet", buffer.getvalue().to_pybytes())
    plan = run.read(f"{step}/plan.jsonl")
    names = (f"{step}/plan.jsonl", f"{step}/receipts.parquet", "recipe.yaml")
    files = {name: hashlib.sha256(run.read(name)).hexdigest() for name in names}
    manifest = summary(step, _mark(plan), receipts, files)
    run.create(f"{step}/manifest.json", manifest.to_json())
    if len(keys) > PORTION:
        (run / f"{step}/compacted").remove()
    return manifest


def summary(step: str, mark: str, receipts: Sequence[Receipt], files: dict[str, str]) -> Manifest:
    """The manifest of a step that has these receipts."""
    return Manifest(
        step,
        mark,
        _digest(receipts),
        len(receipts),
        sum(receipt.records for receipt in receipts),
        sum(receipt.kept for receipt in receipts),
        total_rejected(receipts),
        files=files,
    )


_FILES = pa.list_(
    pa.struct(
        [
            ("kind", pa.string()),
            ("path", pa.string()),
            ("rows", pa.int64()),
            ("size", pa.int64()),
            ("sha256", pa.string()),
            ("digest", pa.string()),
        ]
    )
)
_USAGE = pa.struct(
    [
        ("wall_seconds", pa.float64()),
        ("cpu_seconds", pa.float64()),
        ("peak_bytes", pa.int64()),
    ]
)


def _digest(receipts: Iterable[Receipt]) -> str:
    """What the receipts say was made: no paths, no file bytes, no attempts, nothing that took."""
    return fingerprint(
        [
            [
                r.task,
                r.records,
                r.kept,
                r.rejected,
                r.counts,
                sorted([item.kind, item.rows, item.digest] for item in r.files),
            ]
            for r in receipts
        ]
    )
