"""Splits: the byte ranges of the input files, planned once and frozen with the step's tasks."""

from __future__ import annotations

import hashlib
from typing import Any

from pipelines.receipts import Task
from pipelines.store import Folder, etag
from schemas.errors import UserError
from schemas.recipe import Input, Recipe


def plan_splits(recipe: Recipe) -> list[Task]:
    """A task a split of every input file.

    A file is cut where its format can be entered in the middle; ranges depend on its size alone.
    Raises UserError for a root or glob that brings nothing and for a file of another format.
    """
    from curation.readers.warc import check_warc, is_splittable

    if not recipe.inputs:
        raise UserError(
            f"inputs: the recipe `{recipe.name}` names no input: add some to it, or give "
            "--input SOURCE=PATH"
        )
    tasks = []
    for index, item in enumerate(recipe.inputs):
        root = Folder(item.root)
        for name, info in _files(index, item, root):
            size = int(info["size"])
            with root.open(name) as stream:
                check_warc(stream, f"{item.root}/{name}")
                stream.seek(0)
                splittable = is_splittable(stream)
            pieces = -(-size // recipe.splits.bytes) if splittable else 1
            tag = etag(root, name, info)
            for piece in range(pieces):
                start, end = size * piece // pieces, size * (piece + 1) // pieces
                tasks.append(
                    Task(
                        split_id(item.source, name, start, end),
                        {
                            "source": item.source,
                            "file": name,
                            "start": start,
                            "end": end,
                            "etag": tag,
                        },
                        end - start,
                    )
                )
    return tasks


def split_id(source: str, name: str, start: int, end: int) -> str:
    """Key of the task that reads [start, end) of a file, named relative to its input's root."""
    data = "\0".join([source, name, str(start), str(end)]).encode()
    return hashlib.blake2b(data, digest_size=8).hexdigest()


def _files(index: int, item: Input, root: Folder) -> list[tuple[str, dict[str, Any]]]:
    """The input's files, sorted; each pattern must bring some."""
    where = f"inputs[{index}]"
    try:
        there = root.exists()
    except OSError as error:
        raise UserError(f"{where}.root: {item.root}: cannot be read: {error}") from None
    if not there:
        raise UserError(f"{where}.root: {item.root}: no such folder")
    found: dict[str, dict[str, Any]] = {}
    for number, pattern in enumerate(item.files):
        matches = root.glob(pattern)
        if not matches:
            raise UserError(
                f"{where}.files[{number}]: no file matches `{pattern}` below {item.root}"
            )
        found.update(matches)
    return sorted(found.items())


def open_split(recipe: Recipe, task: Task) -> tuple[Input, Folder]:
    """The input and root of a split; UserError if its file changed since it was planned."""
    (item,) = [item for item in recipe.inputs if item.source == task.spec["source"]]
    root, name = Folder(item.root), task.spec["file"]
    try:
        info = root.info(name)
    except FileNotFoundError:
        raise UserError(f"{item.root}/{name}: is gone since the run was planned") from None
    if etag(root, name, info) != task.spec["etag"]:
        raise UserError(f"{item.root}/{name}: has changed since the run was planned: start anew")
    return item, root
