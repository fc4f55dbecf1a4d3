"""Steps: frozen tasks, the job that does them, and the manifest that says they are done.

A stage is one step or several. A step's folder below the run holds `plan.jsonl` (its tasks and
fingerprint), `receipts/`, its files, `receipts.parquet` (all receipts, compacted) and, written
last, `manifest.json`.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import socket
import tempfile
import traceback
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any

import pyarrow as pa

from curation.folders import digest
from pipelines.engines.troubles import UNSEEN, UNSEEN_MEND
from pipelines.runs.receipts import (
    PartFile,
    Receipt,
    Task,
    has_receipt,
    read_receipt,
)
from pipelines.runs.store import Folder
from pipelines.runs.usage import Usage, metered
from schemas.homes import homes
from schemas.parquet import open_parquet
from schemas.problems import Problem
from schemas.recipe import Recipe
from schemas.secrets import redacted

Work = Callable[["Context", str, Task], Receipt]


@dataclass(frozen=True)
class Manifest:
    """A finished step: `digest` is of what it holds, so equal work has an equal digest."""

    step: str
    fingerprint: str
    digest: str
    tasks: int
    records: int
    kept: int
    rejected: dict[str, int]
    # the run whose folder holds the files; empty: this one. Written as the way from this run's
    home: str = ""
    # SHA-256 of what else the step was made of: its plan, its receipts, the recipe
    files: dict[str, str] = field(default_factory=dict)

    def to_json(self) -> bytes:
        """The manifest as stored."""
        return (json.dumps(asdict(self), indent=1, ensure_ascii=False) + "\n").encode()


@dataclass(frozen=True)
class Context:
    """What a task's work needs to know of its run; sent to the workers."""

    run: Folder
    recipe: Recipe
    homes: dict[str, str] = field(default_factory=dict)
    # the stage that made the signatures which deduplication works on
    signed: str = "filter"

    def home(self, stage: str) -> Folder:
        """The run that holds the stage's files: this one, or the parent it was taken from."""
        return Folder(self.homes.get(stage) or self.run.url)

    def manifest(self, step: str) -> Manifest:
        """The manifest of a finished step."""
        return read_manifest(self.run, step)

    def receipts(self, step: str) -> list[Receipt]:
        """All receipts of a finished step, in the order of its tasks' keys."""
        return read_receipts(self.home(step.split("/")[0]).url, step)

    def receipt(self, step: str, task: str) -> Receipt:
        """One receipt of a finished step."""
        return read_receipt(self.home(step.split("/")[0]), step, task)

    def tasks(self, step: str) -> list[Task]:
        """The planned tasks of a finished step, in the order of their keys."""
        return _tasks(self.home(step.split("/")[0]).url, step)

    def model(self, sha256: str) -> Path:
        """The run's copy of a model file, checked against its digest, on the local disk."""
        return model_path(self.run, sha256)


@cache
def _tasks(url: str, step: str) -> list[Task]:
    return read_plan(Folder(url), step)


@cache
def read_receipts(url: str, step: str) -> list[Receipt]:
    """All receipts of a finished step of the run at `url`, see `Context.receipts`."""
    data = Folder(url).read(f"{step}/receipts.parquet")
    return [
        Receipt(
            row["task"],
            row["records"],
            row["kept"],
            json.loads(row["rejected"]),
            tuple(PartFile(**item) for item in row["files"]),
            json.loads(row["counts"]),
            row["attempt"],
            Usage(**row["usage"]),
        )
        for row in open_parquet(pa.BufferReader(data)).read().to_pylist()
    ]


def model_path(run: Folder, sha256: str) -> Path:
    """A run's copy of a model file, see `Context.model`."""
    return _model(run.url, sha256)


@cache
def _model(url: str, sha256: str) -> Path:
    folder = Folder(url) / "models"
    name = next((item for item in folder.names() if item.startswith(sha256[:16])), None)
    if name is None:
        raise Problem(
            "is not there", f"{folder.url}/{sha256[:16]}-...",
            "put the file with this checksum there, or start a new run",
        )  # fmt: skip
    data = folder.read(name)
    if hashlib.sha256(data).hexdigest() != sha256:
        raise Problem(
            f"{folder.url}/{name}: does not have the checksum of its name; "
            "put the right file there, or start a new run"
        )
    if (local := folder.local) is not None:
        return local / name
    copy = Path(tempfile.mkdtemp(prefix="gristmill-")) / name
    copy.write_bytes(data)
    return copy


def folder_path(run: Folder, sha256: str) -> Path:
    """A run's copy of a folder of a model or an index, on the local disk: all processes of a
    machine are given the same files. Raises Problem if its digest is another one."""
    return _folder(run.url, sha256)


@cache
def _folder(url: str, sha256: str) -> Path:
    models = Folder(url) / "models"
    if (local := models.local) is not None:
        place = next(local.glob(f"{sha256[:16]}-*"), local / sha256)
    else:
        place = Path(tempfile.gettempdir()) / f"gristmill-{os.getuid()}-{sha256}"
        if not place.is_dir():
            copy = Path(tempfile.mkdtemp(prefix="gristmill-"))
            for name, _ in models.glob(f"{sha256[:16]}-*/**"):
                target = copy / name.partition("/")[2]
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_bytes(models.read(name))
            try:
                copy.rename(place)
            except OSError:  # another process has made it
                shutil.rmtree(copy)
    if digest(place) != sha256:
        raise Problem(
            "does not have the digest that the run knows it by", str(place),
            "put the right files there, or start a new run",
        )  # fmt: skip
    return place


def read_manifest(run: Folder, step: str) -> Manifest:
    """The manifest of a finished step, its `home` as it is found from here; FileNotFoundError if
    it is not finished."""
    written = Manifest(**json.loads(run.read(f"{step}/manifest.json")))
    if not written.home:
        return written
    places = homes(written.home, run.url)
    there = (each for each in places if Folder(each).exists(f"{step}/manifest.json"))
    return replace(written, home=next(there, places[0]))


def read_plan(run: Folder, step: str) -> list[Task]:
    """The frozen tasks of a step."""
    lines = run.read(f"{step}/plan.jsonl").decode().splitlines()
    return [Task.from_json(line) for line in lines[1:]]


def by_digest(value: Any) -> Any:
    """The value with model files known by checksum alone."""
    if isinstance(value, dict):
        return value["sha256"] if "sha256" in value else {k: by_digest(v) for k, v in value.items()}
    return [by_digest(item) for item in value] if isinstance(value, list) else value


def canonical(value: Any) -> bytes:
    """A JSON value in the one way in which we write it where its digest is taken."""
    return json.dumps(value, sort_keys=True, ensure_ascii=False, default=str).encode()


def fingerprint(*parts: Any) -> str:
    """blake2b-128 of JSON values, in order."""
    return hashlib.blake2b(canonical(parts), digest_size=16).hexdigest()


def report_failure(context: Context, step: str, task: str, error: Exception) -> None:
    """Leave word of a failed task for the process that started the job."""
    word = {
        "task": task,
        "user": isinstance(error, Problem),
        "message": str(error)
        if isinstance(error, Problem)
        else redacted(f"{type(error).__name__}: {error}"),
        "trace": redacted("".join(traceback.format_exception(error))),
    }
    name = hashlib.blake2b(json.dumps(word).encode(), digest_size=8).hexdigest()
    with suppress(OSError, Problem):  # of a full disk or a store: the error itself goes on
        context.run.replace(f"{step}/failures/{name}.json", json.dumps(word).encode())


@cache
def _check_seen(url: str) -> None:
    """Raise Problem if this process does not see the run: on another machine it may not."""
    if not Folder(url).exists("recipe.yaml"):
        raise Problem(f"{UNSEEN} on {socket.gethostname()}", url, UNSEEN_MEND)


def execute(context: Context, step: str, work: Work, task: Task) -> Receipt:
    """Do a task unless it has a receipt; returns the receipt."""
    _check_seen(context.run.url)
    if has_receipt(context.run, step, task.key):
        return read_receipt(context.run, step, task.key)
    try:
        with metered():
            return work(context, step, task)
    except Exception as error:
        report_failure(context, step, task.key, error)
        raise


class Execute:
    """Does the task of each element, and answers with its key: it has a receipt."""

    def __init__(self, context: Context, step: str, work: Work) -> None:
        """`work` is a function of a module, so that workers import it by name."""
        self.context, self.step, self.work = context, step, work

    def process(self, element: str) -> Iterator[str]:
        """`element` is a task in JSON."""
        yield execute(self.context, self.step, self.work, Task.from_json(element)).task
