"""The files that a recipe names: models and lists, bundled or of the user."""

from __future__ import annotations

import importlib.resources
import posixpath
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

from pipelines.runs.store import is_remote
from schemas.base import ModelFile, ModelFolder
from schemas.extract import LISTS
from schemas.pii import PiiKey
from schemas.recipe import Recipe

Named = ModelFile | ModelFolder | PiiKey


@cache
def bundled_models() -> dict[str, Any]:
    """Models and lists that come with gristmill, by name."""
    folders = [importlib.resources.files("curation") / name for name in ("models", "lists")]
    return {item.name: item for folder in folders for item in folder.iterdir()}


def absolute_path(path: str, base: Path) -> str:
    """A path taken from `base`, unless it is absolute or a URL."""
    return path if is_remote(path) else posixpath.normpath(posixpath.join(base, path))


def absolute(named: Named, base: Path) -> Named:
    """A file, folder or key by its absolute path, unless it is bundled, a package or a URL."""
    if isinstance(named, ModelFile):
        if is_remote(named.file) or named.file in bundled_models():
            return named
        return named.model_copy(update={"file": absolute_path(named.file, base)})
    from curation.folders import beside

    return beside(named, base)


CHAINS = ("filter", "curate")


def with_files(recipe: Recipe, change: Callable[[str, Any], Any]) -> Recipe:
    """The recipe with each of its files, folders and keys changed; `change` is given its YAML path
    too."""
    extract, load = recipe.extract, recipe.tokenizer.load
    lists = {
        kind: tuple(
            change(f"extract.block.{kind}[{index}]", file)
            for index, file in enumerate(getattr(extract.block, kind))
        )
        for kind in LISTS
    }
    first, second = extract.language_model, extract.second_opinion
    models = {
        "language_model": first and change("extract.language_model", first),
        "second_opinion": second and change("extract.second_opinion", second),
        "block": extract.block.model_copy(update=lists),
    }
    inputs = tuple(
        item.model_copy(update={"records": change(f"inputs[{at}].records", item.records)})
        if item.records
        else item
        for at, item in enumerate(recipe.inputs)
    )
    sections: dict[str, Any] = {"inputs": inputs, "extract": extract.model_copy(update=models)}
    for section in CHAINS:
        sections[section] = getattr(recipe, section).with_files(change)
    if load is not None:
        sections["tokenizer"] = recipe.tokenizer.model_copy(
            update={"load": change("tokenizer.load", load)}
        )
    return recipe.model_copy(update=sections)
