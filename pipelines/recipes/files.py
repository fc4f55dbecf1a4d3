"""The files that a recipe names: models and lists, bundled or of the user."""

from __future__ import annotations

import importlib.resources
import posixpath
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

from pipelines.runs.store import is_remote
from schemas.base import ModelFile
from schemas.extract import LISTS
from schemas.recipe import Recipe


@cache
def bundled_models() -> dict[str, Any]:
    """Models and lists that come with gristmill, by name."""
    folders = [importlib.resources.files("curation") / name for name in ("models", "lists")]
    return {item.name: item for folder in folders for item in folder.iterdir()}


def absolute_path(path: str, base: Path) -> str:
    """A path taken from `base`, unless it is absolute or a URL."""
    return path if is_remote(path) else posixpath.normpath(posixpath.join(base, path))


def absolute(model: ModelFile, base: Path) -> ModelFile:
    """The file by its absolute path, unless it is bundled or a URL."""
    if is_remote(model.file) or model.file in bundled_models():
        return model
    return model.model_copy(update={"file": absolute_path(model.file, base)})


CHAINS = ("filter", "curate")


def with_files(recipe: Recipe, change: Callable[[str, ModelFile], ModelFile]) -> Recipe:
    """The recipe with each of its files changed; `change` is given its YAML path too."""
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
    sections: dict[str, Any] = {"extract": extract.model_copy(update=models)}
    for section in CHAINS:
        spec = getattr(recipe, section)
        classifiers = {
            name: item.model_copy(
                update={"model": change(f"{section}.classifiers.{name}.model", item.model)}
            )
            for name, item in spec.classifiers.items()
        }
        sections[section] = spec.model_copy(update={"classifiers": classifiers})
    if load is not None:
        sections["tokenizer"] = recipe.tokenizer.model_copy(
            update={"load": change("tokenizer.load", load)}
        )
    return recipe.model_copy(update=sections)
