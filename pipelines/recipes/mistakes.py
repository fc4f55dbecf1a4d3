"""What is wrong with a recipe, all of it in one go, in words for its author."""

from __future__ import annotations

import copy
import difflib
from collections.abc import Iterator, Mapping
from typing import Any, get_origin

import yaml
from pydantic import BaseModel, ValidationError

from schemas.problems import Problem
from schemas.recipe import Recipe

Mistake = tuple[str, str]  # YAML path, what is wrong and what would be right
Path = tuple[str | int, ...]

# stand in for what a recipe lacks, so that the rest of it can be checked
_PLACEHOLDERS = {"name": "x", "inputs": [{"source": "x", "root": "x", "files": ["x"]}]}


# Keys that had other names before.
_RENAMED = {
    "judge": "filter",
    "pieces": "spans",
    "pii": "chain: [{redact: [...]}]",
    "least_words": "chain: [{cut: {least_words: ...}}]",
}


class RecipeError(Problem):
    """All that is wrong with a recipe, each with its YAML path."""

    def __init__(self, name: str, mistakes: list[Mistake]) -> None:
        """`name` is the recipe's file or bundled name."""
        self.mistakes = mistakes
        lines = [f"  {path}: {text}" if path else f"  {text}" for path, text in mistakes]
        count = "1 mistake" if len(mistakes) == 1 else f"{len(mistakes)} mistakes"
        super().__init__("\n".join([f"{name}: {count} in this recipe", *lines]))


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
        try:
            return Recipe.model_validate(rest), mistakes
        except ValidationError as error:
            items = [(*_locate(item["loc"]), dict(item)) for item in error.errors()]
        new = []
        for path, model, item in items:
            # what follows from a removal, or only says that a part is wrong, is no news
            follows = any(_touch(path, other) for other in removed)
            whole = item["type"] == "too_short" and any(
                len(other) > len(path) and _touch(path, other) for other, _, _ in items
            )
            if not follows and not whole:
                new.append((path, item["type"]))
                mistakes.append((_text(path), _sentence(item, path, model)))
        if not new:
            return None, mistakes
        for path, kind in sorted(new, key=lambda item: len(item[0]), reverse=True):
            taken = _take_out(rest, path)
            if kind != "extra_forbidden":
                removed.append(taken)


def _touch(a: Path, b: Path) -> bool:
    """Whether one is the other or lies in it."""
    size = min(len(a), len(b))
    return a[:size] == b[:size]


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


def _sentence(error: dict[str, Any], path: Path, model: type[BaseModel] | None) -> str:
    """A pydantic error in a sentence that says what would be right."""
    kind = error["type"]
    if kind == "extra_forbidden" and path[-1] in _RENAMED:
        return f"is called `{_RENAMED[str(path[-1])]}` now: write that"
    if kind == "extra_forbidden":
        known = list(model.model_fields) if model is not None else []
        return f"not a key that a recipe has here{did_you_mean(str(path[-1]), known)}"
    if kind == "missing":
        return "is missing, and has no default"
    if kind == "value_error":
        return str(error["ctx"]["error"])
    message = str(error["msg"])
    return f"{message[0].lower()}{message[1:]}; this is {shown(error.get('input'))}"


def did_you_mean(name: str, known: Any) -> str:
    """`: did you mean X?`, or the list of what is known."""
    close = difflib.get_close_matches(name, list(known), n=1, cutoff=0.5)
    if close:
        return f": did you mean `{close[0]}`?"
    return f": one of {', '.join(f'`{item}`' for item in known)}"


def shown(value: Any) -> str:
    """A value as YAML on one line, cut to what a message can hold."""
    text = yaml.safe_dump(value, default_flow_style=True, width=10**6, allow_unicode=True).strip()
    text = text.removesuffix("...").strip()
    return text if len(text) <= 60 else f"{text[:57]}..."


def _text(path: Path) -> str:
    """`a.b[2].c`."""
    text = ""
    for part in path:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else str(part)
    return text


def _locate(location: Path) -> tuple[Path, type[BaseModel] | None]:
    """The YAML path, without the names of union members that pydantic puts between; and the
    model in which its last key stands."""
    path: list[str | int] = []
    model: type[BaseModel] | None = Recipe
    holder: type[BaseModel] | None = Recipe
    named = False  # whether the next part is the name of an entry
    for part in location:
        if isinstance(part, int):
            path.append(part)
            continue
        if part == "[key]":  # what pydantic calls the key of a mapping
            continue
        member = next((item for item in _models(Recipe) if item.__name__ == part), None)
        if member is not None or part == "str":
            model = member
            continue
        holder = model
        path.append(part)
        if named:
            named = False
            continue
        model = None
        if holder is not None and part in holder.model_fields:
            annotation = holder.model_fields[part].annotation
            inner = list(_inner(annotation))
            named = bool(inner) and get_origin(annotation) is dict
            model = inner[0] if len(inner) == 1 else None
    return tuple(path), holder


def _inner(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for part in getattr(annotation, "__args__", ()):
        yield from _inner(part)


def _models(model: type[BaseModel]) -> Iterator[type[BaseModel]]:
    yield model
    for item in model.model_fields.values():
        for inner in _inner(item.annotation):
            yield from _models(inner)
