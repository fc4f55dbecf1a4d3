"""An index in a folder: arrays that processes of one machine share, because they map the files."""

from __future__ import annotations

import json
from collections import Counter
from hashlib import file_digest
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq

from curation.decontamination.index import SCHEMA, VERSION, Index
from schemas.parquet import open_parquet
from schemas.problems import Problem

# Of an Index; a .npy file each.
_ARRAYS = ("words", "weights", "starts", "unit_items", "totals", "keys", "seed_units", "directory")
_ITEMS, _MANIFEST = "items.parquet", "index.json"


def save(index: Index, folder: Path) -> None:
    """Write an index to a folder, which is made: arrays, `items.parquet`, and, last, `index.json`
    with the version, the checksum of every file, and the items of each benchmark."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in _ARRAYS:
        np.save(folder / f"{name}.npy", getattr(index, name))
    pq.write_table(index.items, folder / _ITEMS, compression="zstd", write_page_checksum=True)
    manifest = {
        "version": VERSION,
        "benchmarks": benchmarks(index),
        "files": {name: _digest(folder / name) for name in _files()},
    }
    (folder / _MANIFEST).write_text(json.dumps(manifest, indent=1) + "\n", encoding="utf-8")


def load(folder: Path, check: bool = True) -> Index:
    """The index of a folder, its arrays mapped. `check`: every file against its checksum.

    Raises Problem if it is none, of another version, or damaged.
    """
    manifest = manifest_of(folder)
    try:
        if check:
            for name, digest in manifest["files"].items():
                if _digest(folder / name) != digest:
                    raise Problem(f"{folder / name}: is damaged: make the index again")
        arrays: dict[str, Any] = {
            name: np.load(folder / f"{name}.npy", mmap_mode="r") for name in _ARRAYS
        }
        return Index(items=open_parquet(folder / _ITEMS).read().cast(SCHEMA), **arrays)
    except (OSError, ValueError) as error:
        raise Problem(f"{folder}: is damaged ({error}): make the index again") from None


def manifest_of(folder: Path) -> dict[str, Any]:
    """What `index.json` says. Raises Problem if it is no index, or of another version."""
    try:
        manifest = json.loads((folder / _MANIFEST).read_bytes())
        version, files = manifest["version"], manifest["files"]
        if set(files) != set(_files()):
            raise KeyError("files")
    except (OSError, ValueError, KeyError, TypeError):
        raise Problem(
            f"{folder}: is no index of test items: `gristmill decontaminate index` makes one"
        ) from None
    if version != VERSION:
        raise Problem(f"{folder}: has version {version}, and this is {VERSION}: make it again")
    return dict(manifest)


def benchmarks(index: Index) -> dict[str, dict[str, int]]:
    """By benchmark how many items it has, and how many of these are long enough to be told."""
    names = np.array(index.items["benchmark"].to_pylist(), object)
    items, protected = Counter(names.tolist()), Counter(names[index.told()].tolist())
    return {name: {"items": items[name], "protected": protected[name]} for name in sorted(items)}


def _files() -> list[str]:
    return [_ITEMS, *(f"{name}.npy" for name in _ARRAYS)]


def _digest(path: Path) -> str:
    with path.open("rb") as stream:
        return file_digest(stream, "sha256").hexdigest()
