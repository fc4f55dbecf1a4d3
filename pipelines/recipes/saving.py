"""A recipe into its run: with its models, by digest; and what differs from the one there is."""

from __future__ import annotations

import hashlib
import posixpath
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from pipelines.recipes.checks import check_languages, code_of
from pipelines.recipes.files import CHAINS, Named, bundled_models, with_files
from pipelines.recipes.loading import to_yaml
from pipelines.recipes.mistakes import RecipeError
from pipelines.runs.steps import folder_path, model_path
from pipelines.runs.store import Folder
from schemas.base import ModelFile, ModelFolder
from schemas.chain import Classifier, DecontaminateStep, RedactStep, Step
from schemas.mistakes import shown
from schemas.pii import PiiKey
from schemas.problems import Problem, close_or_all
from schemas.recipe import Recipe

SHOWN = 20  # differences that a message tells


def save(recipe: Recipe, run: Folder) -> Recipe:
    """Write the recipe into the run, or check that the run has this same recipe.

    Raises Problem that names what differs.
    """
    if run.exists("recipe.yaml"):
        frozen = read_saved(run)
        resolved = with_models(recipe, run)
        differing = differences(frozen, resolved)
        if differing:
            lines = "\n".join(
                f"  {path}: {old} there, {new} now" for path, old, new in differing[:SHOWN]
            )
            if len(differing) > SHOWN:
                lines += f"\n  and {len(differing) - SHOWN} more"
            raise Problem(
                f"this run was begun with another recipe. What differs:\n{lines}\nStart a new run "
                "in another folder; with this one as its `parent` it takes over the stages that "
                "are still equal",
                run.url,
            )
        return frozen
    there = (
        run.names()
        if run.local is None
        else [item.name for item in run.local.iterdir() if not item.name.startswith(".")]
    )
    if set(there) - {"models"}:  # which a first try leaves that failed by its models
        raise Problem("is not empty and holds no run", run.url, "give a new folder")
    resolved = with_models(recipe, run)
    check_models(resolved, run)
    run.create("recipe.yaml", to_yaml(resolved).encode())
    return resolved


def read_saved(run: Folder) -> Recipe:
    """The frozen recipe of a run."""
    try:
        data = run.read("recipe.yaml")
    except (FileNotFoundError, NotADirectoryError):
        raise Problem(f"{run.url}: no run here (it has no recipe.yaml)") from None
    try:
        return Recipe.model_validate(yaml.safe_load(data))
    except (ValueError, yaml.YAMLError) as error:
        raise Problem(
            f"is damaged, or of another version: {str(error).splitlines()[0]}",
            f"{run.url}/recipe.yaml",
            "put back the recipe that the run was begun with",
        ) from None


def with_models(recipe: Recipe, run: Folder) -> Recipe:
    """Copy the recipe's model files into the run and name them by digest.

    Raises Problem if one is missing or has another checksum than the recipe says.
    """
    recipe = with_files(recipe, lambda path, file: _save(path, file, run))
    for section in CHAINS:
        spec = getattr(recipe, section)
        described = {
            name: _with_card(f"{section}.classifiers.{name}", item)
            for name, item in spec.classifiers.items()
        }
        recipe = recipe.model_copy(
            update={section: spec.model_copy(update={"classifiers": described})}
        )
    return recipe.model_copy(update={"code": code_of(recipe)})


def _with_card(path: str, item: Classifier) -> Classifier:
    """A classifier with what the card beside its model says, if there is one."""
    from curation.classifiers.cards import card_path, read_card

    folder, _, file = item.model.file.rpartition("/")
    try:
        data = Folder(folder or "/").read(card_path(file).name)
    except (OSError, ValueError):
        return item
    try:
        card = read_card(data, str(item.model.sha256), item.model.file)
    except Problem as error:
        raise Problem(f"{path}.model: {error}") from None
    if card is None:
        return item
    told = {"label": item.label or card["label"], "features": tuple(card["settings"]["lists"])}
    return item.model_copy(update=told)


def _save(path: str, named: Named, run: Folder) -> Named:
    if isinstance(named, ModelFolder):
        return _save_folder(path, named, run)
    if isinstance(named, PiiKey):
        from curation.pii.settings import key_digest, key_of

        try:
            return named.model_copy(update={"sha256": key_digest(key_of(named))})
        except Problem as error:
            raise Problem(f"{path}: {error}") from None
    return _save_file(path, named, run)


def _save_folder(path: str, named: ModelFolder, run: Folder) -> ModelFolder:
    from curation.folders import LIST, find_folder, listing, names

    try:
        source = find_folder(named)
        listed = listing(source)
    except Problem as error:
        raise Problem(f"{path}: {error}") from None
    sha256 = hashlib.sha256(listed).hexdigest()
    copy = run / f"models/{sha256[:16]}-{source.name}"
    scratch = copy.scratch()
    try:
        for name in names(source):
            if not copy.exists(name):
                shutil.copyfile(source / name, scratch / "file")
                copy.publish(scratch / "file", name)
        copy.create(LIST, listed)
    finally:
        shutil.rmtree(scratch)
    return named.model_copy(update={"sha256": sha256})


def _save_file(path: str, model: ModelFile, run: Folder) -> ModelFile:
    bundled = bundled_models()
    try:
        if model.file in bundled:
            data = bundled[model.file].read_bytes()
        else:
            folder, _, file = model.file.rpartition("/")
            data = Folder(folder or "/").read(file)
    except (OSError, ValueError) as error:
        raise Problem(f"{path}.file: {model.file}: cannot be read: {error}") from None
    sha256 = hashlib.sha256(data).hexdigest()
    if model.sha256 not in (None, sha256):
        raise Problem(f"{path}.sha256: {model.file} has the checksum {sha256}, not {model.sha256}")
    frozen = model.model_copy(update={"sha256": sha256})
    if not run.exists(model_name(frozen)):
        run.create(model_name(frozen), data)
    return frozen


def model_name(model: ModelFile) -> str:
    """Where a run holds its copy of a frozen model file."""
    return f"models/{str(model.sha256)[:16]}-{posixpath.basename(model.file)}"


def check_models(recipe: Recipe, run: Folder) -> None:
    """Load the run's models once, so that an invalid file fails before work starts, and check that
    the language model knows the languages that the recipe names.

    Raises Problem.
    """
    from curation.language import languages_of

    def find(model: ModelFile) -> Path:
        return model_path(run, str(model.sha256))

    languages = languages_of(recipe.extract, find)
    mistakes = check_languages(recipe, languages.codes if languages else ())
    for section in CHAINS:
        for name, item in getattr(recipe, section).classifiers.items():
            from curation.classifiers.scorers import scorer

            try:
                scorer(str(find(item.model)), item.label, item.features)
            except Problem as error:
                mistakes.append((f"{section}.classifiers.{name}", str(error)))
        for path, step in getattr(recipe, section).steps():
            mistakes += _check_folders(path, step, run)
    if mistakes:
        raise RecipeError(recipe.name, mistakes)
    spec = recipe.tokenizer
    if spec.load is not None:
        from curation.sentencepiece import as_json
        from curation.tokenization import load_tokenizer

        data = as_json(run.read(model_name(spec.load)), spec.load.file)
        load_tokenizer(data, spec.load.file, spec.end_of_text, spec.begin_of_text)


def _check_folders(path: str, step: Step, run: Folder) -> Iterator[tuple[str, str]]:
    """What is wrong with a step's index or model of names."""
    try:
        if isinstance(step, DecontaminateStep):
            from curation.decontamination import load
            from curation.decontamination.storage import manifest_of

            asked, path = step.decontaminate, f"{path}.decontaminate"
            folder = folder_path(run, str(asked.index.sha256))
            load(folder, check=False)
            there = manifest_of(folder)["benchmarks"]
            for at, name in enumerate(asked.benchmarks):
                if name not in there:
                    yield (
                        f"{path}.benchmarks[{at}]",
                        (f"the index has no `{name}`{close_or_all(name, there)}"),
                    )
        elif isinstance(step, RedactStep) and (names := step.asked.names):
            from curation.pii.names import load_names

            path = f"{path}.redact.names.model"
            load_names(str(folder_path(run, str(names.model.sha256))))
    except Problem as error:
        yield path, str(error)


def differences(old: Recipe, new: Recipe) -> list[tuple[str, str, str]]:
    """What differs, as (YAML path, old, new); where inputs and other runs are decides nothing, nor
    what is expected, nor the engine."""
    said: Any = {
        "parent": True,
        "expect": True,
        "engine": True,
        "inputs": {"__all__": {"root", "run", "storage"}},
        "deduplicate": {"against"},  # the stage is made of their digests
    }

    def flat(value: Any, path: str) -> Iterator[tuple[str, Any]]:
        if isinstance(value, dict) and value.get("sha256"):
            yield f"{path}.sha256", value["sha256"]  # wherever it is
        elif isinstance(value, dict):
            for key, item in value.items():
                yield from flat(item, f"{path}.{key}" if path else str(key))
        elif isinstance(value, list):
            yield f"{path}.length", len(value)
            for index, item in enumerate(value):
                yield from flat(item, f"{path}[{index}]")
        else:
            yield path, value

    dumped = (each.model_dump(mode="json", exclude=said) for each in (old, new))
    left, right = (dict(flat(each, "")) for each in dumped)
    return [
        (path, shown(left.get(path, "nothing")), shown(right.get(path, "nothing")))
        for path in dict.fromkeys([*left, *right])
        if left.get(path) != right.get(path)
    ]
