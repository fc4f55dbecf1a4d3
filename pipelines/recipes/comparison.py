"""`gristmill recipe diff`: two recipes, or sets of rules, side by side."""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from curation.rules import asked, load_chain, said, table_names
from curation.steps import table_of
from pipelines.recipes.loading import load, names
from pipelines.recipes.saving import read_saved
from pipelines.runs.store import Folder, is_remote
from schemas.chain import Chain, RulesStep
from schemas.files import read_yaml
from schemas.filter import Filter
from schemas.recipe import Recipe
from schemas.rules import Row, Rule

_WIDTH = 100
_KEY = 44
_SIDE = (_WIDTH - _KEY - 2) // 2
# the two names stand above; where the files were, and were read from, decides nothing
_SAID = {"name", "description", "parent"}


@dataclass(frozen=True)
class Standing:
    """A rule in its chain: what it asks of what, and where it stands.

    what: the signal, or the conditions of a group; family, name: of the signal; asks: such as
    `>= 50`, nothing of a group; bound: `least`, `most` or the operator; scope: of which documents.
    """

    what: str
    family: str
    name: str
    asks: str
    bound: str
    scope: str
    reason: str
    table: str


@dataclass(frozen=True)
class Pair:
    """Rules of two chains that ask the same kind of thing; None: the other one has none."""

    left: Standing | None
    right: Standing | None

    @property
    def kind(self) -> str:
        """`equal`, `changed`, `left`, `right`, or `measured`: one name by another measure."""
        if self.left is None:
            return "right"
        if self.right is None:
            return "left"
        if self.left.what != self.right.what:
            return "measured" if self.left.family else "changed"
        same = (self.left.asks, self.left.scope) == (self.right.asks, self.right.scope)
        return "equal" if same else "changed"


@dataclass(frozen=True)
class Comparison:
    """Two recipes or sets of rules: their names, the steps of their chains, their rules, and the
    other keys that differ as (path, left, right), those of `filter` if one is but rules."""

    names: tuple[str, str]
    steps: tuple[list[str], list[str]]
    rules: list[Pair]
    keys: list[tuple[str, Any, Any]]


def recipe_at(name: str) -> Recipe | Filter:
    """A bundled recipe, a file, or the frozen recipe of a run's folder; or the rules of a bundled
    table, or of a file of a table or chain. Raises Problem."""
    if name in names():
        return load(name, imports=False)
    if is_remote(name) or Path(name).is_dir():
        return read_saved(Folder(name))
    return load_chain(name, Path()) if _is_rules(name) else load(name, imports=False)


def _is_rules(name: str) -> bool:
    if name in table_names():
        return True
    content = read_yaml(Path(name), name, "recipe") if Path(name).is_file() else None
    return isinstance(content, dict) and not content.keys().isdisjoint(("chain", "rules"))


def compare(left: Recipe | Filter, right: Recipe | Filter, called: tuple[str, str]) -> Comparison:
    """What two recipes have in common and what not; `called`: what to call them. Of a recipe and a
    set of rules it is their rules."""
    whole = isinstance(left, Recipe) and isinstance(right, Recipe)
    one, other = (_chains(side, whole) for side in (left, right))
    rests = [_rest(side) if whole else {"filter": _rest(side)["filter"]} for side in (left, right)]
    return Comparison(
        called,
        (_steps(one), _steps(other)),
        _pairs(list(_rules(one)), list(_rules(other))),
        list(_keys(rests[0], rests[1], "")),
    )


def _chains(side: Recipe | Filter, whole: bool) -> list[Chain]:
    """What filters documents: a recipe as a whole also after deduplication."""
    if isinstance(side, Filter):
        return [side]
    return [side.filter, side.curate] if whole else [side.filter]


def _rest(side: Recipe | Filter) -> dict[str, Any]:
    """All that is no rule."""
    if isinstance(side, Filter):
        return {"filter": side.model_dump(mode="json", exclude={"chain", "description"})}
    rest = side.model_dump(
        mode="json",
        exclude={**dict.fromkeys(_SAID, True), "inputs": {"__all__": {"root", "run", "storage"}}},
    )
    del rest["filter"]["chain"], rest["curate"]["chain"]
    return rest


def _keys(left: Any, right: Any, path: str) -> Iterator[tuple[str, Any, Any]]:
    """Mappings key by key; all else whole."""
    if isinstance(left, dict) and isinstance(right, dict):
        for key in dict.fromkeys([*left, *right]):
            below = f"{path}.{key}" if path else key
            yield from _keys(left.get(key), right.get(key), below)
    elif left != right:
        yield path, left, right


def _steps(specs: Sequence[Chain]) -> list[str]:
    """In order; those after deduplication say so."""
    return [
        f"{'' if spec.SECTION == 'filter' else f'{spec.SECTION}: '}{step.title()}{step.scope()}"
        for spec in specs
        for step in spec.chain
    ]


def _rules(specs: Sequence[Chain]) -> Iterator[Standing]:
    for spec in specs:
        for step in spec.chain:
            if isinstance(step, RulesStep):
                for row in table_of(step).rules:
                    yield _standing(row, step)


def _standing(row: Row, step: RulesStep) -> Standing:
    place = (step.scope(), row.reason, table_of(step).name)
    if isinstance(row, Rule):
        family, _, name = row.signal.rpartition(".")
        bound = {">": "least", "<": "most"}.get(row.operator[0], row.operator)
        return Standing(row.signal, family, name, asked(row), bound, *place)
    return Standing(said(row), "", "", "", "", *place)


def _pairs(left: list[Standing], right: list[Standing]) -> list[Pair]:
    """Rules on one signal and bound belong together; of what is left, those on signals of one
    name, and groups of one reason."""
    keys: Sequence[Callable[[Standing], object]] = (
        lambda item: (item.what, item.bound, item.scope),
        lambda item: (item.what, item.bound),
        lambda item: (item.family != "", item.name or item.reason, item.bound),
    )
    partners: dict[int, Standing] = {}
    rest = list(right)
    for key in keys:
        for place, item in enumerate(left):
            other = next((each for each in rest if key(each) == key(item)), None)
            if place not in partners and other is not None:
                partners[place] = other
                rest.remove(other)
    return [
        *(Pair(item, partners.get(place)) for place, item in enumerate(left)),
        *(Pair(None, item) for item in rest),
    ]


def as_json(found: Comparison) -> dict[str, Any]:
    """The comparison as JSON."""
    return {
        "recipes": list(found.names),
        "steps": [list(steps) for steps in found.steps],
        "rules": [
            {
                "kind": pair.kind,
                "left": pair.left and vars(pair.left),
                "right": pair.right and vars(pair.right),
            }
            for pair in found.rules
        ],
        "keys": [{"key": path, "left": one, "right": other} for path, one, other in found.keys],
    }


def as_text(found: Comparison) -> str:
    """The comparison as a page of 100 columns."""
    left, right = (name if len(name) < _SIDE else f"..{name[3 - _SIDE :]}" for name in found.names)
    kinds = [pair.kind for pair in found.rules]
    lines = [_line("", left, right)]
    if found.steps[0] != found.steps[1]:
        lines += ["", *_row("chain", *("\n".join(steps) or "-" for steps in found.steps))]
    if found.rules:
        equal = kinds.count("equal")
        lines += ["", f"Rules: {equal} of {len(kinds)} equal" + (", not shown" if equal else "")]
    for kind, head in (
        ("changed", "Other thresholds or documents"),
        ("measured", "The same name, by another measure (see `gristmill rules explain`)"),
        ("left", f"Only {left}"),
        ("right", f"Only {right}"),
    ):
        pairs = [pair for pair in found.rules if pair.kind == kind]
        if pairs:
            lines += ["", head]
        for pair in pairs:
            lines += _rule(pair, (left, right))
    if found.keys:
        lines += ["", "Other keys"]
        for path, one, other in found.keys:
            lines += _row(f"  {path}", _shown(one), _shown(other))
    elif found.steps[0] == found.steps[1] and set(kinds) <= {"equal"}:
        lines += ["", "No difference."]
    return "\n".join(lines)


def _rule(pair: Pair, called: tuple[str, str]) -> list[str]:
    sides = (pair.left, pair.right)
    item = next(side for side in sides if side is not None)
    if not item.family:
        lines = [f"  {item.reason}"]
        for name, side in zip(called, sides, strict=True):
            if side is not None:
                head = f"    {name}{side.scope}: "
                lines += textwrap.wrap(
                    side.what, _WIDTH, initial_indent=head, subsequent_indent=" " * len(head)
                )
        return lines
    measured = pair.kind == "measured"
    cells = [
        "-"
        if side is None
        else f"{side.family if measured else ''} {side.asks}{side.scope}".strip()
        for side in sides
    ]
    return _row(f"  {item.name if measured else item.what}", *cells)


def _row(key: str, left: str, right: str) -> list[str]:
    """A row of three columns, cells of several lines."""
    cells = [
        [
            part
            for text in cell.split("\n")
            for part in textwrap.wrap(text, size, subsequent_indent="  ") or [""]
        ]
        for cell, size in ((key, _KEY), (left, _SIDE), (right, _SIDE))
    ]
    height = max(map(len, cells))
    return [_line(*(cell[at] if at < len(cell) else "" for cell in cells)) for at in range(height)]


def _line(key: str, left: str, right: str) -> str:
    return f"{key:<{_KEY}} {left:<{_SIDE}} {right}".rstrip()


def _shown(value: Any) -> str:
    if isinstance(value, dict):
        value = {key: item for key, item in value.items() if item is not None}
    text = yaml.safe_dump(
        value, default_flow_style=True, width=10**6, allow_unicode=True, sort_keys=False
    ).strip()
    return text.removesuffix("...").strip()
