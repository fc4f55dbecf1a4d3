"""What a person names as input: a file, a folder, a pattern; and how rows are read."""

from __future__ import annotations

import os
import posixpath
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, ClassVar

from pipelines.runs.store import WILD, Folder, is_remote
from schemas.inputs import LAYOUTS, Columns, Input
from schemas.mistakes import checked, validated
from schemas.problems import Problem

_WARCS = [
    f"**/*.{kind}{packed}"
    for kind in ("warc", "wet", "wat", "arc")
    for packed in ("", ".gz", ".zst", ".lz4")
]


def root_of(item: Input) -> Folder:
    """The folder that the names of an input's files go from."""
    return Folder(item.root, item.storage)


class Rows(Columns):
    """Columns of rows that are read whole; a file must have those of the text and of the ids, if
    these are not called `id`."""

    whole: ClassVar[bool] = True

    id: str = "id"
    # which are read besides those that have a meaning; None: all
    more: tuple[str, ...] | None = None

    def required(self) -> dict[str, str]:
        """By field."""
        names = {"text": self.text, "id": self.id}
        return {field: name for field, name in names.items() if name and name != "id"}

    def read(self, there: Collection[str]) -> list[str]:
        """Of the columns of a file, those to read."""
        if self.more is None:
            return sorted(there)
        names = {name for column in (self.id, *self.more) for name in (column, _top(column))}
        return sorted({*super().read(there), *names.intersection(there)})


def _top(column: str) -> str:
    return column.partition(".")[0]


def input_at(path: str, *, pages: bool = True) -> dict[str, Any]:
    """`root` and `files` of a recipe's input for a path or fsspec URL.

    For `pages` a folder is searched for WARC files; one that has none, or one for rows, for all
    files. A pattern is looked for below its part without wildcards. Raises Problem if there is
    nothing.
    """
    path = path if is_remote(path) else os.path.abspath(path.removeprefix("file://"))
    Folder(path).check_host()
    parts = path.split("/")
    wild = next((at for at, part in enumerate(parts) if any(char in part for char in WILD)), None)
    if wild is not None and not Folder(posixpath.dirname(path)).exists(posixpath.basename(path)):
        return {"root": "/".join(parts[:wild]) or "/", "files": ["/".join(parts[wild:])]}
    root, _, name = path.rpartition("/")
    parent = Folder(root or "/")
    if not parent.exists(name):
        raise Problem("no such file or folder", path)
    if _is_file(parent, name):
        return {"root": root or "/", "files": [name]}
    folder = Folder(path)
    if pages and (warcs := [pattern for pattern in _WARCS if folder.glob(pattern)]):
        return {"root": path, "files": warcs}
    if not folder.glob("**/*"):
        raise Problem("holds no file", path)
    return {"root": path, "files": ["**/*"]}


def inputs_of(
    paths: Sequence[str], reading: Mapping[str, Any], *, pages: bool = False
) -> tuple[Input, ...]:
    """The inputs that paths name, each a source of its own: `in0`, `in1`, ..., or SOURCE in
    SOURCE=PATH.

    `reading`: `format` and `columns` of all. Raises Problem.
    """
    found: dict[str, Input] = {}
    for path in paths:
        source, place = named(path)
        source = source or f"in{len(found)}"
        if source in found:
            raise Problem(f"another input is `{source}`", path, "give this one another name")
        asked = {"source": source, **input_at(place, pages=pages), **reading}
        made, mistakes = checked(Input, asked)
        if made is None:
            field, text = mistakes[0].where, mistakes[0].text
            if field == "format":
                raise Problem(f"not known: {text}", f"format {reading['format']}")
            raise Problem(f"{field}: {text}", path)
        found[source] = made
    return tuple(found.values())


def named(path: str) -> tuple[str, str]:
    """Of SOURCE=PATH both; of a path the empty string and the path."""
    source, equals, place = path.partition("=")
    return (
        (source, place) if equals and "/" not in source and not os.path.exists(path) else ("", path)
    )


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
            f"not known; one of {', '.join(LAYOUTS)}, or FIELD=COLUMN,... with the fields "
            f"{', '.join(Columns.model_fields)}",
            f"columns {asked}",
        )
    if "html" in names and not pages:
        raise Problem("these are of text", f"columns {asked}", "extract the text of HTML first")
    return validated(Columns, names, f"columns {asked}")


def check_apart(
    inputs: Iterable[Input], outputs: Iterable[str | None], also: str | None = None
) -> None:
    """Raise Problem if a file to be written is read too, under whatever name, or written twice.

    None and `-`, which is standard output, are no files. `also`: another file that is read.
    """
    paths = [path for path in outputs if path not in (None, "-")]
    if twice := {path for path in paths if paths.count(path) > 1}:
        raise Problem("is to be written twice", min(map(str, twice)), "name another file")
    there: dict[str | tuple[int, int], str] = {}
    for path in map(str, paths):
        if is_remote(path):
            there[path] = path
        elif os.path.exists(path):
            there[_file(path)] = path
    if also and os.path.exists(also) and (written := there.get(_file(also))):
        raise Problem(f"is read too, as {also}", written, "write to another file")
    for item in inputs if there else ():
        folder = root_of(item)
        for name, _ in (found for pattern in item.files for found in folder.glob(pattern)):
            place = f"{item.root.rstrip('/')}/{name}"
            if written := there.get(place if folder.local is None else _file(place)):
                raise Problem(f"is read too, as {place}", written, "write to another file")


def _file(path: str) -> tuple[int, int]:
    """What two names of one file share."""
    status = os.stat(path)
    return status.st_dev, status.st_ino


def left_out(root: str, files: Sequence[str]) -> list[str]:
    """Of what `input_at` gives, the files of a folder of WARC files that are none."""
    if not set(files) <= set(_WARCS):
        return []
    folder = Folder(root)
    read = {name for pattern in files for name, _ in folder.glob(pattern)}
    return [name for name, _ in folder.glob("**/*") if name not in read]


def _is_file(parent: Folder, name: str) -> bool:
    return parent.info(name)["type"] == "file"
