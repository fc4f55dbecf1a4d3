"""Recipes: found, read, checked in one go, resolved and frozen into a run."""

from __future__ import annotations

import hashlib
import importlib.resources
import posixpath
import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from pipelines.mistakes import Mistake, did_you_mean, shown, validate
from pipelines.steps import model_path
from pipelines.store import Folder, is_remote
from schemas.errors import UserError
from schemas.recipe import (
    LISTS,
    Classifier,
    EditStep,
    Extract,
    Judge,
    ModelFile,
    Recipe,
    RulesStep,
)

SHOWN = 20  # differences that a message tells
BUNDLED = importlib.resources.files("pipelines") / "recipes"


class RecipeError(UserError):
    """All that is wrong with a recipe, each with its YAML path."""

    def __init__(self, name: str, mistakes: list[Mistake]) -> None:
        """`name` is the recipe's file or bundled name."""
        self.mistakes = mistakes
        lines = [f"  {path}: {text}" if path else f"  {text}" for path, text in mistakes]
        count = "1 mistake" if len(mistakes) == 1 else f"{len(mistakes)} mistakes"
        super().__init__("\n".join([f"{name}: {count} in this recipe", *lines]))


def names() -> list[str]:
    """Names of the bundled recipes."""
    return sorted(
        item.name.removesuffix(".yaml") for item in BUNDLED.iterdir() if item.name.endswith(".yaml")
    )


def load(name: str, overrides: Mapping[str, Any] | None = None) -> Recipe:
    """Read, merge, check and resolve a recipe: a bundled name or a YAML file.

    The result needs no other file than its models: rule tables are inlined and paths absolute.
    `overrides` replaces top-level keys. Raises RecipeError with every mistake.
    """
    value, base, mistakes = _merged(name)
    value.update(overrides or {})
    return resolve(name, value, base, mistakes)


def resolve(
    name: str, value: Mapping[str, Any], base: Path, known: Sequence[Mistake] = ()
) -> Recipe:
    """Check the merged mapping; relative paths are taken from `base`, `known` is told too."""
    recipe, mistakes = validate(value)
    mistakes = [*known, *mistakes]
    if recipe is None:
        raise RecipeError(name, mistakes)
    judge, wrong = _with_tables(recipe.judge, base)
    mistakes += wrong or _check_keep(recipe.deduplicate.keep, judge)
    mistakes += _check_names(recipe)
    extract, judge = _with_files(recipe.extract, judge, lambda _, file: _absolute(file, base))
    tokenizer = recipe.tokenizer
    if tokenizer.load is not None:
        tokenizer = tokenizer.model_copy(update={"load": _absolute(tokenizer.load, base)})
    deduplicate = recipe.deduplicate.model_copy(
        update={"against": tuple(_absolute_path(run, base) for run in recipe.deduplicate.against)}
    )
    inputs = tuple(
        item.model_copy(update={"root": _absolute_path(item.root, base)}) for item in recipe.inputs
    )
    if mistakes:
        raise RecipeError(name, mistakes)
    return recipe.model_copy(
        update={
            "judge": judge,
            "extract": extract,
            "deduplicate": deduplicate,
            "tokenizer": tokenizer,
            "inputs": inputs,
        }
    )


def _with_tables(judge: Judge, base: Path) -> tuple[Judge, list[Mistake]]:
    """The chain with its rule tables in full, and what is wrong with it."""
    from curation.judgement import check_chain
    from curation.rules import load_table

    chain: list[RulesStep | EditStep] = []
    places: list[int] = []
    mistakes: list[Mistake] = []
    for index, step in enumerate(judge.chain):
        if isinstance(step, RulesStep) and isinstance(step.rules, str):
            try:
                step = step.model_copy(update={"rules": load_table(step.rules, base)})
            except UserError as error:
                mistakes.append((f"judge.chain[{index}].rules", str(error)))
                continue
        chain.append(step)
        places.append(index)
    whole = judge.model_copy(update={"chain": tuple(chain)})

    def place(match: re.Match[str]) -> str:
        return f"judge.chain[{places[int(match[1])]}]"

    for path, text in check_chain(whole):  # which numbers the steps that there are
        mistakes.append((re.sub(r"judge\.chain\[(\d+)\]", place, path), text))
    return whole, mistakes


def _check_keep(keep: str, judge: Judge) -> list[Mistake]:
    """What `deduplicate.keep` names must be measured by the chain, which has no mistake."""
    from curation.judgement import Chain

    signals = Chain(judge).signals if "." in keep else (keep,)
    if keep in signals:
        return []
    there = did_you_mean(keep, signals) if signals else ", which measures none"
    return [("deduplicate.keep", f"`{keep}` is no signal of this recipe's chain{there}")]


def _check_names(recipe: Recipe) -> list[Mistake]:
    """Names that others know: kinds of personal data, sources of the inputs, languages."""
    from curation.language import bundled, languages_of
    from curation.pii import KINDS

    mistakes = [
        (f"curate.pii[{index}]", f"`{kind}` is not known{did_you_mean(kind, KINDS)}")
        for index, kind in enumerate(recipe.curate.pii)
        if kind not in KINDS
    ]
    limited = [
        (f"judge.chain[{index}]", step)
        for index, step in enumerate(recipe.judge.chain)
        if isinstance(step, RulesStep)
    ]
    sources = [item.source for item in recipe.inputs]
    mistakes += [
        (f"{path}.sources[{at}]", f"no input has the source `{name}`{did_you_mean(name, sources)}")
        for path, step in limited
        for at, name in enumerate(step.sources)
        if sources and name not in sources
    ]
    models = (recipe.extract.language_model, recipe.extract.second_opinion)
    known = all(model is None or model.file in _bundled_models() for model in models)
    if known and _languages(recipe):
        languages = languages_of(recipe.extract, lambda model: bundled(model.file))
        mistakes += _check_languages(recipe, languages.codes)
    return mistakes


def _languages(recipe: Recipe) -> list[tuple[str, str]]:
    """The languages in the recipe, each with its path."""
    return [
        *((f"extract.languages[{at}]", code) for at, code in enumerate(recipe.extract.languages)),
        *((f"judge.languages.{code}", code) for code in recipe.judge.languages),
        *(
            (f"judge.chain[{index}].languages[{at}]", code)
            for index, step in enumerate(recipe.judge.chain)
            if isinstance(step, RulesStep)
            for at, code in enumerate(step.languages)
        ),
        *(
            (f"judge.classifiers.{name}.cutoffs.{code}", code)
            for name, item in recipe.judge.classifiers.items()
            for code in item.cutoffs
        ),
    ]


def _check_languages(recipe: Recipe, codes: Collection[str]) -> list[Mistake]:
    """Languages in the recipe that its model, which has these codes, never names."""
    from curation.language import closest

    model = recipe.extract.language_model.file.rpartition("/")[2]
    return [
        (path, f"{model} names no language `{code}`{closest(code, codes)}")
        for path, code in _languages(recipe)
        if code not in codes
    ]


def _read(name: str) -> tuple[dict[str, Any], Path]:
    """The mapping in a recipe file, and the folder from which its paths go."""
    if name in names():
        path, base = BUNDLED / f"{name}.yaml", Path.cwd()
    else:
        path = Path(name)
        if not path.is_file():
            known = ", ".join(names())
            raise UserError(
                f"{name}: no such recipe: neither a file nor one of the bundled ones ({known})"
            )
        base = path.resolve().parent
    from curation.rules import read_yaml

    value = read_yaml(path, name, "recipe")
    if not isinstance(value, dict):
        raise UserError(f"{name}: a recipe is a mapping of keys to values, see `recipe show`")
    return value, base


def _merged(name: str, seen: tuple[str, ...] = ()) -> tuple[dict[str, Any], Path, list[Mistake]]:
    """A recipe laid over the one that it `extends`: mappings are merged, all else replaced.

    A chain that `judge` names is put in its place, and replaces what is below. Returns the folder
    from which paths go, too, and what is wrong with a chain.
    """
    value, base = _read(name)
    mistakes: list[Mistake] = []
    names_chain = isinstance(value.get("judge"), str)
    if names_chain:
        try:
            value["judge"] = _chain(value["judge"], base)
        except UserError as error:
            mistakes.append(("judge", str(error)))
            del value["judge"]
    parent = value.pop("extends", None)
    if parent is None:
        return value, base, mistakes
    if not isinstance(parent, str):
        raise UserError(f"{name}: extends: the name or file of one recipe; this is {parent}")
    other = parent if parent in names() else str(base / parent)
    if other in seen:
        raise UserError(f"{name}: extends: {parent} extends this recipe in turn")
    below, _, wrong = _merged(other, (*seen, other))
    if names_chain:
        below.pop("judge", None)
    return _overlay(below, value), base, [*wrong, *mistakes]


def _chain(name: str, base: Path) -> dict[str, Any]:
    """A chain with its tables in full, as it would stand under `judge`."""
    from curation.rules import load_chain

    return load_chain(name, base).model_dump(mode="json", exclude={"description"})


def _overlay(below: dict[str, Any], above: dict[str, Any]) -> dict[str, Any]:
    result = dict(below)
    for key, value in above.items():
        if isinstance(value, dict) and isinstance(result.get(key), dict):
            result[key] = _overlay(result[key], value)
        else:
            result[key] = value
    # of two that exclude each other the upper one counts
    tokenizer = above.get("tokenizer")
    if isinstance(tokenizer, dict) and len({"train", "load"} & set(tokenizer)) == 1:
        (other,) = {"train", "load"} - set(tokenizer)
        result["tokenizer"].pop(other, None)
    return result


def _absolute_path(path: str, base: Path) -> str:
    return path if is_remote(path) else posixpath.normpath(posixpath.join(base, path))


def _absolute(model: ModelFile, base: Path) -> ModelFile:
    if is_remote(model.file) or model.file in _bundled_models():
        return model
    return model.model_copy(update={"file": _absolute_path(model.file, base)})


def _with_files(
    extract: Extract, judge: Judge, change: Callable[[str, ModelFile], ModelFile]
) -> tuple[Extract, Judge]:
    """The sections with each of their files changed; `change` is given its YAML path too."""
    lists = {
        kind: tuple(
            change(f"extract.block.{kind}[{index}]", file)
            for index, file in enumerate(getattr(extract.block, kind))
        )
        for kind in LISTS
    }
    second = extract.second_opinion
    models = {
        "language_model": change("extract.language_model", extract.language_model),
        "second_opinion": second and change("extract.second_opinion", second),
        "block": extract.block.model_copy(update=lists),
    }
    classifiers = {
        name: item.model_copy(
            update={"model": change(f"judge.classifiers.{name}.model", item.model)}
        )
        for name, item in judge.classifiers.items()
    }
    return (
        extract.model_copy(update=models),
        judge.model_copy(update={"classifiers": classifiers}),
    )


@cache
def _bundled_models() -> dict[str, Any]:
    """Models and lists that come with gristmill, by name."""
    folders = [importlib.resources.files("curation") / name for name in ("models", "lists")]
    return {item.name: item for folder in folders for item in folder.iterdir()}


def with_models(recipe: Recipe, run: Folder) -> Recipe:
    """Copy the recipe's model files into the run and name them by digest.

    Raises UserError if one is missing or has another checksum than the recipe says.
    """
    extract, judge = _with_files(
        recipe.extract, recipe.judge, lambda path, file: _freeze(path, file, run)
    )
    described = {
        name: _with_card(f"judge.classifiers.{name}", item)
        for name, item in judge.classifiers.items()
    }
    judge = judge.model_copy(update={"classifiers": described})
    tokenizer = recipe.tokenizer
    if tokenizer.load is not None:
        tokenizer = tokenizer.model_copy(
            update={"load": _freeze("tokenizer.load", tokenizer.load, run)}
        )
    return recipe.model_copy(update={"extract": extract, "judge": judge, "tokenizer": tokenizer})


def _with_card(path: str, item: Classifier) -> Classifier:
    """A classifier with what the card beside its model says, if there is one."""
    from curation.classifiers import card_path, read_card

    folder, _, file = item.model.file.rpartition("/")
    try:
        data = Folder(folder or "/").read(card_path(file).name)
    except (OSError, ValueError):
        return item
    try:
        card = read_card(data, str(item.model.sha256), item.model.file)
    except UserError as error:
        raise UserError(f"{path}.model: {error}") from None
    if card is None:
        return item
    told = {"label": item.label or card["label"], "features": tuple(card["settings"]["lists"])}
    return item.model_copy(update=told)


def _freeze(path: str, model: ModelFile, run: Folder) -> ModelFile:
    bundled = _bundled_models()
    try:
        if model.file in bundled:
            data = bundled[model.file].read_bytes()
        else:
            folder, _, file = model.file.rpartition("/")
            data = Folder(folder or "/").read(file)
    except (OSError, ValueError) as error:
        raise UserError(f"{path}.file: {model.file}: cannot be read: {error}") from None
    sha256 = hashlib.sha256(data).hexdigest()
    if model.sha256 not in (None, sha256):
        raise UserError(
            f"{path}.sha256: {model.file} has the checksum {sha256}, not {model.sha256}"
        )
    frozen = model.model_copy(update={"sha256": sha256})
    if not run.exists(model_name(frozen)):
        run.create(model_name(frozen), data)
    return frozen


def check_models(recipe: Recipe, run: Folder) -> None:
    """Load the run's models once, so that a file that is none is found out before any work is
    done; and check the languages in the recipe, which must be some that its model can name.

    Raises UserError.
    """
    from curation.classifiers import scorer
    from curation.language import languages_of
    from curation.tokenization import load_tokenizer

    def find(model: ModelFile) -> Path:
        return model_path(run, str(model.sha256))

    mistakes = _check_languages(recipe, languages_of(recipe.extract, find).codes)
    for name, item in recipe.judge.classifiers.items():
        try:
            scorer(str(find(item.model)), item.label, item.features)
        except UserError as error:
            mistakes.append((f"judge.classifiers.{name}", str(error)))
    if mistakes:
        raise RecipeError(recipe.name, mistakes)
    spec = recipe.tokenizer
    if spec.load is not None:
        data = run.read(model_name(spec.load))
        load_tokenizer(data, spec.load.file, spec.end_of_text, spec.begin_of_text)


def model_name(model: ModelFile) -> str:
    """Where a run holds its copy of a frozen model file."""
    return f"models/{str(model.sha256)[:16]}-{posixpath.basename(model.file)}"


def to_yaml(recipe: Recipe) -> str:
    """The whole resolved recipe."""
    return yaml.safe_dump(
        recipe.model_dump(mode="json"), sort_keys=False, allow_unicode=True, width=100
    )


def freeze(recipe: Recipe, run: Folder) -> Recipe:
    """Write the recipe into the run, or check that the run has this same recipe.

    Raises UserError that names what differs.
    """
    if run.exists("recipe.yaml"):
        frozen = thaw(run)
        resolved = with_models(recipe, run)
        differing = differences(frozen, resolved)
        if differing:
            lines = "\n".join(
                f"  {path}: {old} there, {new} now" for path, old, new in differing[:SHOWN]
            )
            if len(differing) > SHOWN:
                lines += f"\n  and {len(differing) - SHOWN} more"
            raise UserError(
                f"{run.url}: this run was begun with another recipe. What differs:\n{lines}\n"
                f"Use another --output (with `--parent {run.url}` equal stages are taken over)"
            )
        return frozen
    there = (
        run.names()
        if run.local is None
        else [item.name for item in run.local.iterdir() if not item.name.startswith(".")]
    )
    if set(there) - {"models"}:  # which a first try leaves that failed by its models
        raise UserError(f"{run.url}: is not empty and holds no run. Give --output a new folder")
    resolved = with_models(recipe, run)
    check_models(resolved, run)
    run.create("recipe.yaml", to_yaml(resolved).encode())
    return resolved


def thaw(run: Folder) -> Recipe:
    """The frozen recipe of a run."""
    try:
        data = run.read("recipe.yaml")
    except (FileNotFoundError, NotADirectoryError):
        raise UserError(f"{run.url}: no run here (it has no recipe.yaml)") from None
    return Recipe.model_validate(yaml.safe_load(data))


def differences(old: Recipe, new: Recipe) -> list[tuple[str, str, str]]:
    """What differs, as (YAML path, old, new); `parent` decides nothing and is left out."""

    def flat(value: Any, path: str) -> Iterator[tuple[str, Any]]:
        if isinstance(value, dict):
            for key, item in value.items():
                yield from flat(item, f"{path}.{key}" if path else str(key))
        elif isinstance(value, list):
            yield f"{path}.length", len(value)
            for index, item in enumerate(value):
                yield from flat(item, f"{path}[{index}]")
        else:
            yield path, value

    left = dict(
        flat(
            old.model_dump(mode="json", exclude={"parent": True, "inputs": {"__all__": {"root"}}}),
            "",
        )
    )
    right = dict(
        flat(
            new.model_dump(mode="json", exclude={"parent": True, "inputs": {"__all__": {"root"}}}),
            "",
        )
    )
    return [
        (path, shown(left.get(path, "nothing")), shown(right.get(path, "nothing")))
        for path in dict.fromkeys([*left, *right])
        if left.get(path) != right.get(path)
    ]


def describe() -> list[tuple[str, str]]:
    """Name and description of each bundled recipe."""
    return [(name, str(_read(name)[0].get("description", ""))) for name in names()]
