"""Folders of models and indexes that a recipe names: found, and known by their digest."""

from __future__ import annotations

import hashlib
import importlib.util
from pathlib import Path

from schemas.base import ModelFile, ModelFolder
from schemas.pii import PiiKey
from schemas.problems import Problem

LIST = "SHA256SUMS"  # in a copy, its `listing`


def names(folder: Path) -> list[str]:
    """The files in a folder and those below it, sorted, with `/`; no LIST, and none that begin with
    a dot."""
    found = (path.relative_to(folder) for path in folder.rglob("*") if path.is_file())
    return sorted(
        path.as_posix()
        for path in found
        if not any(part.startswith(".") or part in ("__pycache__", LIST) for part in path.parts)
    )


def listing(folder: Path) -> bytes:
    """Checksums and names of a folder's files, as sha256sum(1) writes them. Raises Problem if it
    has none."""
    try:
        lines = [f"{_sha256(folder / name)}  {name}\n" for name in names(folder)]
    except OSError as error:
        raise Problem(f"cannot be read: {error}", str(folder)) from None
    if not lines:
        raise Problem("is no folder with files", str(folder))
    return "".join(lines).encode()


def digest(folder: Path) -> str:
    """What a folder is known by: sha256 of its `listing`."""
    return hashlib.sha256(listing(folder)).hexdigest()


def _sha256(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def find_folder(model: ModelFolder) -> Path:
    """Where a folder is on this machine: the path, or that of the pipeline in a package.

    Raises Problem if a checksum is given and it has another one.
    """
    path = Path(model.folder)
    if not path.is_dir() and _is_package(model.folder):
        spec = importlib.util.find_spec(model.folder)
        homes = spec.submodule_search_locations if spec else None
        path = next((file.parent for home in homes or () for file in _configs(home)), path)
    if model.sha256 is not None and (found := digest(path)) != model.sha256:
        raise Problem(f"{model.folder}: has the digest {found}, not {model.sha256}")
    return path


def _configs(home: str) -> list[Path]:
    """As a package of spaCy has one: beside its version's data."""
    return sorted(Path(home).glob("*/config.cfg"))


def _is_package(name: str) -> bool:
    return name.isidentifier() and importlib.util.find_spec(name) is not None


Named = ModelFile | ModelFolder | PiiKey


def beside(named: Named, folder: Path) -> Named:
    """A file, folder or key whose path is taken from `folder`, if it is one."""
    if isinstance(named, ModelFolder):
        path = folder / named.folder
        if not path.is_dir() and _is_package(named.folder):
            return named
        return named.model_copy(update={"folder": str(path)})
    if named.file is None or "://" in named.file:
        return named
    return named.model_copy(update={"file": str(folder / named.file)})
