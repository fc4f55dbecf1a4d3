"""What a person at a prompt names as input: a file, a folder, a pattern."""

from __future__ import annotations

import os
import posixpath
from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from pipelines.runs.store import Folder, is_remote
from schemas.inputs import LAYOUTS, Columns
from schemas.problems import Problem

_WILD = "*?["
_WARCS = [
    f"**/*.{kind}{packed}"
    for kind in ("warc", "wet", "wat", "arc")
    for packed in ("", ".gz", ".zst", ".lz4")
]


def input_at(path: str) -> dict[str, Any]:
    """`root` and `files` of a recipe's input for a path or fsspec URL.

    A folder is searched for WARC files; one that has none for all files. A pattern is looked for
    below its part without wildcards. Raises Problem if there is nothing.
    """
    path = path if is_remote(path) else os.path.abspath(path.removeprefix("file://"))
    parts = path.split("/")
    wild = next((at for at, part in enumerate(parts) if any(char in part for char in _WILD)), None)
    if wild is not None and not Folder(posixpath.dirname(path)).exists(posixpath.basename(path)):
        return {"root": "/".join(parts[:wild]) or "/", "files": ["/".join(parts[wild:])]}
    root, _, name = path.rpartition("/")
    parent = Folder(root or "/")
    if not parent.exists(name):
        raise Problem(f"{path}: no such file or folder")
    if _is_file(parent, name):
        return {"root": root or "/", "files": [name]}
    folder = Folder(path)
    if warcs := [pattern for pattern in _WARCS if folder.glob(pattern)]:
        return {"root": path, "files": warcs}
    if not folder.glob("**/*"):
        raise Problem(f"{path}: holds no file")
    return {"root": path, "files": ["**/*"]}


def columns_of(asked: str, *, pages: bool = False) -> Columns:
    """The columns of rows as a person names them: a layout, or such as `text=content,url=link`.

    `pages`: whether rows may be of HTML. Raises Problem.
    """
    if asked in LAYOUTS:
        return LAYOUTS[asked]
    pairs = (part.partition("=") for part in asked.split(","))
    names = {field.strip(): column.strip() for field, _, column in pairs}
    if not (all(names.values()) and names.keys() <= Columns.model_fields.keys()):
        raise Problem(
            f"--columns {asked}: not known; one of {', '.join(LAYOUTS)}, or FIELD=COLUMN,... with "
            f"the fields {', '.join(Columns.model_fields)}"
        )
    if "html" in names and not pages:
        raise Problem(f"--columns {asked}: only `extract` reads HTML: extract its text first")
    try:
        return Columns(**names)
    except ValidationError as error:
        why = error.errors()[0]["msg"].removeprefix("Value error, ")
        raise Problem(f"--columns {asked}: {why}") from None


def left_out(found: Mapping[str, Any]) -> list[str]:
    """Of what `input_at` gives, the files of a folder of WARC files that are none."""
    if not set(found["files"]) <= set(_WARCS):
        return []
    folder = Folder(found["root"])
    read = {name for pattern in found["files"] for name, _ in folder.glob(pattern)}
    return [name for name, _ in folder.glob("**/*") if name not in read]


def _is_file(parent: Folder, name: str) -> bool:
    return parent.info(name)["type"] == "file"
