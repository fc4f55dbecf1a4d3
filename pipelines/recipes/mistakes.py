"""What is wrong with a recipe, all of it in one go, in words for its author."""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping, Sequence
from typing import Any

from schemas.files import Places, place_of
from schemas.mistakes import Found, Path, checked
from schemas.problems import Problem
from schemas.recipe import Recipe

Mistake = tuple[str, str]  # YAML path, what is wrong and what would be right

# stand in for what a recipe lacks, so that the rest of it can be checked
_PLACEHOLDERS = {"name": "x", "inputs": [{"source": "x", "root": "x", "files": ["x"]}]}


# Keys that had other names before.
_RENAMED = {
    "judge": "filter",
    "pieces": "spans",
    "pii": "chain: [{redact: [...]}]",
    "least_words": "chain: [{cut: {least_words: ...}}]",
    "languages": "chain: [{languages: {...}}, ...]",
}


class RecipeError(Problem):
    """All that is wrong with a recipe, each with its YAML path."""

    def __init__(
        self, name: str, mistakes: Sequence[Mistake], places: Places | None = None
    ) -> None:
        """`name` is the recipe's file or bundled name; `places`: where its values stand."""
        where = {path: place_of(path, places or {}) for path, _ in mistakes}
        order = {path: (place.file != name, place.line) for path, place in where.items() if place}
        last = (True, math.inf)
        self.mistakes = sorted(dict.fromkeys(mistakes), key=lambda told: order.get(told[0], last))
        count = "1 mistake" if len(self.mistakes) == 1 else f"{len(self.mistakes)} mistakes"
        lines = [f"{name}: {count} in this recipe"]
        for path, text in self.mistakes:
            place = where[path]
            file = f"{place.file}, " if place and place.file != name else ""
            line = f"{file}line {place.line}: " if place else ""
            lines.append(f"  {line}{path}: {text}" if path else f"  {text}")
        super().__init__("\n".join(lines))


def validate(value: Mapping[str, Any]) -> tuple[Recipe | None, list[Mistake]]:
    """The recipe, and every mistake of shape in it.

    Checks that span several keys are made only once those keys are right by themselves, so a
    wrong key is taken out and the rest checked again, until nothing new is found. The recipe is
    what is left then; None if even that is none.
    """
    rest = copy.deepcopy(dict(value))
    mistakes: list[Mistake] = []
    removed: list[Path] = []
    while True:
        recipe, found = checked(Recipe, rest)
        if recipe is not None:
            return recipe, mistakes
        # what follows from a removal is no news
        new = [each for each in found if not any(_follows(each, other) for other in removed)]
        for each in new:
            told = each.text
            if each.kind == "extra_forbidden" and each.path[-1] in _RENAMED:
                told = f"is called `{_RENAMED[str(each.path[-1])]}` now: write that"
            mistakes.append((each.where, told))
        if not new:
            return None, mistakes
        for each in sorted(new, key=lambda each: len(each.path), reverse=True):
            taken = _take_out(rest, each.path)
            if each.kind != "extra_forbidden":
                removed.append(taken)


def _follows(found: Found, removed: Path) -> bool:
    """Whether a mistake is there since a value was taken out: it is that value, in it or around
    it; or what the rest lacks."""
    size = min(len(found.path), len(removed))
    beside = found.kind == "missing" and found.path[:-1] == removed[:-1]
    return beside or found.path[:size] == removed[:size]


def _take_out(rest: dict[str, Any], path: Path) -> Path:
    """Remove the value at `path`, or as little around it as can be; returns what was removed."""
    for size in range(len(path), 0, -1):
        if isinstance(path[size - 1], int):
            continue  # the numbers of other items would change
        holder: Any = rest
        for part in path[: size - 1]:
            try:
                holder = holder[part]
            except (KeyError, IndexError, TypeError):
                holder = None
                break
        key = path[size - 1]
        if size == 1 and key in _PLACEHOLDERS:
            rest[str(key)] = copy.deepcopy(_PLACEHOLDERS[str(key)])
            return path[:1]
        if isinstance(holder, dict) and key in holder:
            del holder[key]
            return path[:size]
    return path
