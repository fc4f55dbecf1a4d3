"""A recipe by name or file: read, laid over those it extends, checked in one go and resolved."""

from __future__ import annotations

import copy
import importlib.resources
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from pipelines.recipes.checks import check_groups, check_keep, check_names, check_own
from pipelines.recipes.files import CHAINS, absolute, absolute_path, with_files
from pipelines.recipes.mistakes import Mistake, RecipeError, did_you_mean, validate
from schemas.chain import Chain, CutStep
from schemas.problems import Problem
from schemas.recipe import Recipe

BUNDLED = importlib.resources.files("pipelines") / "recipes"


def names() -> list[str]:
    """Names of the bundled recipes."""
    return sorted(
        item.name.removesuffix(".yaml") for item in BUNDLED.iterdir() if item.name.endswith(".yaml")
    )


def describe() -> list[tuple[str, str]]:
    """Name and description of each bundled recipe."""
    return [(name, str(_read(name)[0].get("description", ""))) for name in names()]


def load(name: str, overrides: Mapping[str, Any] | None = None, *, imports: bool = True) -> Recipe:
    """Read, merge, check and resolve a recipe: a bundled name or a YAML file.

    The result needs no other file than its models: rule tables are inlined and paths absolute.
    `overrides` replaces top-level keys. Without `imports` parts of the user's own are not imported,
    and a chain that names some is not checked. Raises RecipeError with every mistake.
    """
    value, base = _read(name)
    merged, mistakes = _merged(name, value, base)
    return _resolved(name, {**merged, **(overrides or {})}, base, mistakes, imports=imports)


def resolve(name: str, value: Mapping[str, Any], base: str | Path) -> Recipe:
    """The recipe of a mapping, as it would stand in the file `name` in the folder `base`.

    Raises RecipeError with every mistake.
    """
    merged, mistakes = _merged(name, {"name": name, **value}, Path(base).resolve())
    return _resolved(name, merged, Path(base).resolve(), mistakes)


def _resolved(
    name: str,
    value: Mapping[str, Any],
    base: Path,
    known: Sequence[Mistake],
    *,
    imports: bool = True,
) -> Recipe:
    """Check the merged mapping; relative paths are taken from `base`, `known` is told too."""
    value, unknown = _with_weights(value)
    recipe, mistakes = validate(value)
    mistakes = [*known, *unknown, *mistakes]
    if recipe is None:
        raise RecipeError(name, mistakes)
    if recipe.deduplicate.spans.levels():
        recipe = _with_cut(recipe)
    wrong: list[Mistake] = []
    for section in CHAINS:
        spec, found = _with_tables(recipe, section, base, imports=imports)
        wrong += found
        recipe = recipe.model_copy(update={section: spec})
    if imports:
        mistakes += wrong or [*check_keep(recipe), *check_groups(recipe)]
        mistakes += check_own(recipe)
    else:
        mistakes += wrong
    mistakes += check_names(recipe)
    recipe = with_files(recipe, lambda _, file: absolute(file, base))
    deduplicate = recipe.deduplicate.model_copy(
        update={"against": tuple(absolute_path(run, base) for run in recipe.deduplicate.against)}
    )
    inputs = tuple(
        item.model_copy(update={"root": absolute_path(item.root, base)}) for item in recipe.inputs
    )
    if mistakes:
        raise RecipeError(name, mistakes)
    return recipe.model_copy(update={"deduplicate": deduplicate, "inputs": inputs})


def _with_weights(value: Mapping[str, Any]) -> tuple[Mapping[str, Any], list[Mistake]]:
    """The mapping with the weights that mixtures of the literature have where one is named."""
    from pipelines.recipes.mixtures import presets

    value, mistakes = copy.deepcopy(dict(value)), []
    mix = value.get("mix")
    phases = mix.get("phases") if isinstance(mix, dict) else None
    mixtures = [("mix", mix)]
    mixtures += [(f"mix.phases[{at}]", each) for at, each in enumerate(phases or ())]
    for path, mixture in mixtures:
        if not isinstance(mixture, dict) or not isinstance(mixture.get("weights"), str):
            continue
        name = mixture.pop("weights")
        if name in presets():
            mixture["weights"] = dict(presets()[name].weights)
        else:
            mend = did_you_mean(name, list(presets()))
            mistakes.append((f"{path}.weights", f"no mixture is called `{name}`{mend}"))
    return value, mistakes


def _with_cut(recipe: Recipe) -> Recipe:
    """What `deduplicate.spans` finds is cut, if only by default."""
    chain = recipe.curate.chain
    if any(isinstance(step, CutStep) for step in chain):
        return recipe
    cut = CutStep.model_validate({"cut": {}})
    return recipe.model_copy(
        update={"curate": recipe.curate.model_copy(update={"chain": (cut, *chain)})}
    )


def to_yaml(recipe: Recipe) -> str:
    """The whole resolved recipe."""
    return yaml.safe_dump(
        recipe.model_dump(mode="json"), sort_keys=False, allow_unicode=True, width=100
    )


def _with_tables(
    recipe: Recipe, section: str, base: Path, *, imports: bool
) -> tuple[Chain, list[Mistake]]:
    """The chain with its rule tables in full, and what is wrong with it."""
    from curation.chain import check_chain
    from curation.own import named_by
    from curation.rules import in_full

    whole, places, wrong = in_full(getattr(recipe, section), base)
    mistakes = [(f"{section}.{path}", text) for path, text in wrong]
    if imports or not named_by(whole):
        # which numbers the steps that there are
        for found in check_chain(whole, recipe.kept_columns()):
            path, text = (
                re.sub(
                    rf"{section}\.chain\[(\d+)\]", lambda at: f"{section}.{places[int(at[1])]}", x
                )
                for x in found
            )
            mistakes.append((path, text))
    return whole, mistakes


def _read(name: str) -> tuple[dict[str, Any], Path]:
    """The mapping in a recipe file, and the folder from which its paths go."""
    if name in names():
        path, base = BUNDLED / f"{name}.yaml", Path.cwd()
    else:
        path = Path(name)
        if not path.is_file():
            known = ", ".join(names())
            raise Problem(
                f"{name}: no such recipe: neither a file nor one of the bundled ones ({known})"
            )
        base = path.resolve().parent
    from curation.rules import read_yaml

    value = read_yaml(path, name, "recipe")
    if not isinstance(value, dict):
        raise Problem(f"{name}: a recipe is a mapping of keys to values, see `recipe show`")
    return value, base


def _merged(
    name: str, value: Mapping[str, Any], base: Path, seen: tuple[str, ...] = ()
) -> tuple[dict[str, Any], list[Mistake]]:
    """A recipe laid over the one that it `extends`: mappings are merged, all else replaced.

    A chain that `filter` names is put in its place, and replaces what is below. Returns what is
    wrong with a chain, too.
    """
    value = dict(value)
    mistakes: list[Mistake] = []
    names_chain = isinstance(value.get("filter"), str)
    if names_chain:
        try:
            value["filter"] = _chain(value["filter"], base)
        except Problem as error:
            mistakes.append(("filter", str(error)))
            del value["filter"]
    parent = value.pop("extends", None)
    if parent is None:
        return value, mistakes
    if not isinstance(parent, str):
        raise Problem(f"{name}: extends: the name or file of one recipe; this is {parent}")
    other = parent if parent in names() else str(base / parent)
    if other in seen:
        raise Problem(f"{name}: extends: {parent} extends this recipe in turn")
    below, wrong = _merged(other, *_read(other), (*seen, other))
    if names_chain:
        below.pop("filter", None)
    return _overlay(below, value), [*wrong, *mistakes]


def _chain(name: str, base: Path) -> dict[str, Any]:
    """A chain with its tables in full, as it would stand under `filter`."""
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
