"""What a person at a prompt names as input: a file, a folder, a pattern."""

from __future__ import annotations

import os
import posixpath
from typing import Any

from curation.readers.suffixes import format_of
from pipelines.store import Folder, is_remote
from schemas.errors import UserError

_WILD = "*?["
_WARCS = [
    f"**/*.{kind}{packed}"
    for kind in ("warc", "wet", "wat")
    for packed in ("", ".gz", ".zst", ".lz4")
]


def input_at(path: str) -> dict[str, Any]:
    """`root` and `files` of a recipe's input for a path or fsspec URL.

    A folder is searched for WARC files; one that has none for all files whose names tell a
    format. A pattern is looked for below its part without wildcards. Raises UserError if there
    is nothing.
    """
    path = path if is_remote(path) else os.path.abspath(path.removeprefix("file://"))
    parts = path.split("/")
    wild = next((at for at, part in enumerate(parts) if any(char in part for char in _WILD)), None)
    if wild is not None and not Folder(posixpath.dirname(path)).exists(posixpath.basename(path)):
        return {"root": "/".join(parts[:wild]) or "/", "files": ["/".join(parts[wild:])]}
    root, _, name = path.rpartition("/")
    parent = Folder(root or "/")
    if not parent.exists(name):
        raise UserError(f"{path}: no such file or folder")
    if _is_file(parent, name):
        return {"root": root or "/", "files": [name]}
    folder = Folder(path)
    if warcs := [pattern for pattern in _WARCS if folder.glob(pattern)]:
        return {"root": path, "files": warcs}
    known = [each for each, _ in folder.glob("**/*") if format_of(each)]
    if not known:
        raise UserError(f"{path}: holds no file whose name tells a format that can be read")
    return {"root": path, "files": known}


def _is_file(parent: Folder, name: str) -> bool:
    return parent.info(name)["type"] == "file"
