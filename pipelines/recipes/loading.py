"""A recipe by name or file: read, laid over those it extends, checked in one go and resolved."""

from __future__ import annotations

import copy
import importlib.resources
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from pipelines.recipes.checks import (
    check_files,
    check_groups,
    check_keep,
    check_names,
    check_own,
)
from pipelines.recipes.files import CHAINS, absolute, absolute_path, with_files
from pipelines.recipes.mistakes import Mistake, RecipeError, validate
from pipelines.recipes.scopes import check_scopes, kinds_of
from pipelines.runs.store import Folder
from schemas.chain import CutStep
from schemas.files import Places, Replace, joined, read_placed
from schemas.mistakes import shown, types_inside
from schemas.problems import Problem, close_or_all, close_to
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


def load(
    name: str,
    overrides: Mapping[str, Any] | None = None,
    *,
    imports: bool = True,
    files: bool = False,
    inputs: bool = True,
) -> Recipe:
    """Read, merge, check and resolve a recipe: a bundled name or a YAML file.

    The result needs no other file than its models: rule tables are inlined and paths absolute.
    `overrides` replaces top-level keys. Without `imports` parts of the user's own are not imported,
    and a chain that names some is not checked. `files`: those that it names must be there, of the
    inputs only with `inputs`. Raises RecipeError with every mistake.
    """
    value, places, base = _read(name)
    layer, mistakes = _merged(value, places, base, (name,))
    for key, over in (overrides or {}).items():
        layer.put(key, over, {})
    recipe, wrong = _resolved(layer.value, base, imports=imports)
    mistakes += wrong
    if recipe is not None and files:
        mistakes += check_files(recipe, inputs=inputs)
    if recipe is None or mistakes:
        raise layer.error(name, mistakes)
    return recipe


def resolve(name: str, value: Mapping[str, Any], base: str | Path) -> Recipe:
    """The recipe of a mapping, as it would stand in the file `name` in the folder `base`.

    Raises RecipeError with every mistake.
    """
    folder = Path(base).resolve()
    layer, mistakes = _merged({"name": name, **value}, {}, folder)
    recipe, wrong = _resolved(layer.value, folder)
    if recipe is None or mistakes or wrong:
        raise layer.error(name, [*mistakes, *wrong])
    return recipe


def origins(name: str) -> list[tuple[str, Any, str]]:
    """Every value of a recipe before its chains and tables are put in, as (path, value, where it
    stands: a file and line, or `default`). Raises RecipeError."""
    value, places, base = _read(name)
    layer, mistakes = _merged(value, places, base, (name,))
    recipe, wrong = validate(layer.value)
    if recipe is None or mistakes or wrong:
        raise layer.error(name, [*mistakes, *wrong])

    def flat(item: Any, path: str) -> Iterator[tuple[str, Any, str]]:
        inner = item.items() if isinstance(item, dict) else enumerate(item)
        for key, each in inner:
            below = joined(path, key)
            if isinstance(each, dict | list) and each:
                yield from flat(each, below)
            else:
                place = layer.places.get(below)
                yield below, each, f"{place.file}, line {place.line}" if place else "default"

    return list(flat(recipe.model_dump(mode="json", exclude={"code"}), ""))


def _resolved(
    value: Mapping[str, Any], base: Path, *, imports: bool = True
) -> tuple[Recipe | None, list[Mistake]]:
    """The recipe of the merged mapping, and all that is wrong with it; relative paths are taken
    from `base`."""
    from curation.chain import check_chain
    from curation.own import named_by

    value, unknown = _with_weights(_with_runs(value, base))
    recipe, mistakes = validate(value)
    mistakes = [*unknown, *mistakes]
    if recipe is None:
        return None, mistakes
    recipe, numbers, wrong = _in_full(recipe, base)
    mistakes += wrong
    found: list[Mistake] = []
    for section in CHAINS:
        spec = getattr(recipe, section)
        if imports or not named_by(spec):
            found += check_chain(spec, recipe.kept_columns())
    if imports:
        found += [] if found or wrong else [*check_keep(recipe), *check_groups(recipe)]
        found += check_own(recipe)
    found += check_names(recipe)
    found += check_scopes(recipe, kinds_of(recipe))

    def place(match: re.Match[str]) -> str:
        return numbers[match[1]][int(match[2])]

    # of the steps as they stand in the file
    step = re.compile(r"\b(filter|curate)\.chain\[(\d+)\]")
    mistakes += [(step.sub(place, path), step.sub(place, text)) for path, text in found]
    recipe = with_files(recipe, lambda _, file: absolute(file, base))
    deduplicate = recipe.deduplicate.model_copy(
        update={"against": tuple(absolute_path(run, base) for run in recipe.deduplicate.against)}
    )
    inputs = tuple(
        item.model_copy(update={"root": absolute_path(item.root, base)}) for item in recipe.inputs
    )
    return recipe.model_copy(update={"deduplicate": deduplicate, "inputs": inputs}), mistakes


def _with_runs(value: Mapping[str, Any], base: Path) -> Mapping[str, Any]:
    """The mapping with the inputs of a run where `{run: RUN}` stands for them. Raises Problem if
    there is no run."""
    from pipelines.recipes.saving import read_saved

    given = value.get("inputs")
    given = [given] if isinstance(given, dict) else given
    if not isinstance(given, list):
        return value
    inputs: list[Any] = []
    for item in given:
        if isinstance(item, dict) and set(item) == {"run"}:
            run = absolute_path(str(item["run"]), base)
            saved = read_saved(Folder(run)).inputs
            inputs += [{**each.model_dump(mode="json"), "run": run} for each in saved]
        else:
            inputs.append(item)
    return {**value, "inputs": inputs}


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
            mend = close_or_all(name, list(presets()))
            mistakes.append((f"{path}.weights", f"no mixture is called `{name}`{mend}"))
    return value, mistakes


def to_yaml(recipe: Recipe) -> str:
    """The whole resolved recipe."""
    return yaml.safe_dump(
        recipe.model_dump(mode="json"), sort_keys=False, allow_unicode=True, width=100
    )


def _in_full(recipe: Recipe, base: Path) -> tuple[Recipe, dict[str, list[str]], list[Mistake]]:
    """The recipe with its tables and chains in full, and a cut of what `deduplicate.spans` finds;
    of each chain the paths at which its steps stand in the file; and what cannot be loaded."""
    from curation.rules import in_full

    numbers: dict[str, list[str]] = {}
    mistakes: list[Mistake] = []
    for section in CHAINS:
        spec, places, wrong = in_full(getattr(recipe, section), base)
        mistakes += [(f"{section}.{path}", text) for path, text in wrong]
        numbers[section] = [f"{section}.{place}" for place in places]
        recipe = recipe.model_copy(update={section: spec})
    chain = recipe.curate.chain
    if recipe.deduplicate.spans.levels() and not any(isinstance(step, CutStep) for step in chain):
        cut = CutStep.model_validate({"cut": {}})
        curate = recipe.curate.model_copy(update={"chain": (cut, *chain)})
        recipe = recipe.model_copy(update={"curate": curate})
        numbers["curate"].insert(0, "deduplicate.spans")
    return recipe, numbers, mistakes


def _read(name: str) -> tuple[dict[str, Any], Places, Path]:
    """The mapping in a recipe file, where its values stand, and the folder from which its paths
    go."""
    if name in names():
        path, base = BUNDLED / f"{name}.yaml", Path.cwd()
    else:
        path = Path(name)
        if not path.is_file():
            known = ", ".join(names())
            raise Problem(
                f"{name}: no such recipe: neither a file nor one of the bundled ones ({known})"
                f"{close_to(path.name, names())}"
            )
        base = path.resolve().parent
    value, places = read_placed(path, name, "recipe")
    if not isinstance(value, dict):
        raise Problem(f"{name}: a recipe is a mapping of keys to values, see `recipe show`")
    return value, places, base


@dataclass
class Layer:
    """A recipe as far as its files are laid over each other, and where its values stand."""

    value: dict[str, Any]
    places: Places
    names_chain: bool = False  # `filter` is a name

    def error(self, name: str, mistakes: Sequence[Mistake]) -> RecipeError:
        """All that is wrong with it, each under the path that it has in the file."""
        if self.names_chain:
            inside = re.compile(r"^filter\.chain\[0\](\.chain$|(?=\.chain\[))")
            mistakes = [(inside.sub("filter", path), text) for path, text in mistakes]
        return RecipeError(name, mistakes, self.places)

    def put(self, path: str, value: Any, places: Places) -> None:
        """A value of the top at its place, with the places of what is in it."""
        self.value[path] = value
        self.moved(path, path, places)

    def moved(self, path: str, of: str, places: Places) -> None:
        """What is below a path comes from another file: the places of `of` there."""
        self.places = {at: place for at, place in self.places.items() if not _below(at, path)}
        for at, place in places.items():
            if _below(at, of):
                self.places[path + at[len(of) :]] = place


def _below(path: str, above: str) -> bool:
    """Whether a path is another one, or stands in it."""
    return path == above or path.startswith((f"{above}.", f"{above}["))


def _merged(
    value: Mapping[str, Any], places: Places, base: Path, seen: tuple[str, ...] = ()
) -> tuple[Layer, list[Mistake]]:
    """A recipe laid over the one that it `extends`, and what is wrong with the files.

    Mappings are merged, all else is replaced; a mapping with `replace: true`, or marked `!replace`,
    replaces what is below too, and `null` takes an inherited key out, where it is no value of its
    own. A chain that `filter` names replaces what is below.
    """
    own = Layer(_anchored(dict(value), base), dict(places))
    if isinstance(named := own.value.get("filter"), str):
        own.value["filter"] = {"replace": True, "chain": [{"chain": named}]}
        own.names_chain = True
        if place := own.places.get("filter"):
            own.places |= dict.fromkeys(
                ("filter.chain", "filter.chain[0]", "filter.chain[0].chain"), place
            )
    parent = own.value.pop("extends", None)
    below, mistakes = Layer({}, {}), list[Mistake]()
    if parent is not None:
        if not isinstance(parent, str):
            return own, [("extends", f"is the name or file of one recipe; this is {shown(parent)}")]
        other = parent if parent in names() else str(base / parent)
        if other in seen and other not in names():
            return own, [("extends", f"{parent} extends this recipe in turn")]
        try:
            content, where, folder = _read(other)
            below, mistakes = _merged(content, where, folder, (*seen, other))
        except Problem as error:
            mistakes = [("extends", str(error))]
    spec = own.value.get("filter")
    if isinstance(spec, dict) and "chain" in spec:
        below.names_chain = own.names_chain
    _overlay(below, below.value, own, own.value, "", [Recipe])
    below.moved("extends", "extends", own.places)
    return below, mistakes


def _anchored(value: dict[str, Any], base: Path) -> dict[str, Any]:
    """A recipe with the files of its tables and chains by their full paths, so that they are found
    from a recipe in another folder that extends it."""
    from curation.rules import is_file

    def anchored(name: Any) -> Any:
        return str(base / name) if isinstance(name, str) and is_file(name) else name

    result = dict(value)
    if isinstance(result.get("filter"), str):
        result["filter"] = anchored(result["filter"])
    for section in CHAINS:
        spec = result.get(section)
        if isinstance(spec, dict) and isinstance(spec.get("chain"), list):
            steps = [
                {k: anchored(v) if k in ("rules", "chain") else v for k, v in step.items()}
                if isinstance(step, dict)
                else step
                for step in spec["chain"]
            ]
            result[section] = type(spec)({**spec, "chain": steps})
    return result


def _overlay(
    layer: Layer,
    below: dict[str, Any],
    own: Layer,
    above: dict[str, Any],
    path: str,
    held: list[Any],
) -> None:
    """Lay a mapping over another one at a path of both, in place."""
    for key, value in above.items():
        here = joined(path, str(key))
        inside = types_inside(held, key)
        if isinstance(value, dict):
            replaces = isinstance(value, Replace) or value.get("replace") is True
            value = {k: v for k, v in value.items() if k != "replace" or v is not True}
            if isinstance(below.get(key), dict) and not replaces:
                layer.places.pop(here, None)
                layer.places |= {at: place for at, place in own.places.items() if at == here}
                _overlay(layer, below[key], own, value, here, inside)
                continue
            # what is in it may be marked too
            fresh: dict[str, Any] = {}
            layer.moved(here, here, own.places)
            _overlay(layer, fresh, own, value, here, inside)
            value = fresh
        elif value is None and key in below and inside and type(None) not in inside:
            del below[key]
            layer.moved(here, here, {})
            continue
        below[key] = value
        layer.moved(here, here, own.places)
    # of two that exclude each other the upper one counts
    if path == "tokenizer" and len({"train", "load"} & set(above)) == 1:
        (other,) = {"train", "load"} - set(above)
        below.pop(other, None)
        layer.moved(f"tokenizer.{other}", "", {})
