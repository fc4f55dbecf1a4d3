"""What is wrong with the shape of a value that a user wrote: pydantic's errors in our words."""

from __future__ import annotations

import types
import typing
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal, NamedTuple, TypeVar, Union

import yaml
from pydantic import BaseModel, ValidationError

from schemas.files import joined
from schemas.problems import Problem, close_or_all, close_to
from schemas.secrets import redacted

Path = tuple[str | int, ...]
Model = TypeVar("Model", bound=BaseModel)

_WORDS = {
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    str: "a text",
    types.NoneType: "null",
}
_QUOTES = (
    "YAML reads `yes`, `on` and `true`, and `no`, `off` and `false`, as true and false: put quotes "
    "around it if it is a word"
)
# errors of pydantic that say that a value is of another type
_TYPE = ("_type", "_parsing", "_error", "int_from_float", "_tag_invalid", "_tag_not_found")


class Found(NamedTuple):
    """A mistake: the path of its value, the words, and pydantic's kind of it."""

    path: Path
    text: str
    kind: str

    @property
    def where(self) -> str:
        """The path as text: `a.b[2].c`."""
        return written(self.path)


def written(path: Path) -> str:
    """`a.b[2].c`."""
    text = ""
    for part in path:
        text = joined(text, part)
    return text


def checked(model: type[Model], value: Any) -> tuple[Model | None, list[Found]]:
    """The value as its model, None if anything is wrong with its shape; and all that is.

    Checks that span several keys are made only if those keys are right by themselves.
    """
    traps = list(_traps(value, [model], ()))
    made = None
    found: list[Found] = []
    try:
        made = model.model_validate(value)
    except ValidationError as error:
        found = [_found(dict(item), model, value) for item in error.errors()]
    found = [x for x in found if not any(x.path[: len(trap.path)] == trap.path for trap in traps)]
    every = [*traps, *found]
    # that a list or a choice is wrong is no news where something in it is
    inner = {each.path[:size] for each in every for size in range(len(each.path))}
    told = [
        each
        for each in every
        if not (each.path in inner and (each.kind == "too_short" or each.kind.endswith(_TYPE)))
    ]
    once = list({(each.path, each.text): each for each in told}.values())
    return (None if once else made), once


def validated(model: type[Model], value: Any, where: str = "", root: str = "") -> Model:
    """The value as its model. Raises Problem with all that is wrong, each with its path behind
    `root`, or `where` if there is one mistake of the whole."""
    made, mistakes = checked(model, value)
    if made is not None:
        return made
    told = [(".".join(filter(None, (root, each.where))), each.text) for each in mistakes]
    if len(told) == 1:
        raise Problem(told[0][1], where or told[0][0])
    raise Problem("; ".join(f"{path}: {text}" if path else text for path, text in told), where)


def _found(item: dict[str, Any], model: type[BaseModel], value: Any) -> Found:
    """A mistake of a pydantic error: its location holds names of union members besides keys."""
    path: list[str | int] = []
    held: list[Any] = [model]  # what may stand here
    chosen: list[Any] = held  # of a union, the member that it is taken for
    here = value
    location = item["loc"]
    for number, part in enumerate(location):
        last = number == len(location) - 1
        is_key = (
            (isinstance(part, str) and isinstance(here, Mapping) and part in here)
            or (isinstance(part, int) and isinstance(here, Sequence) and not isinstance(here, str))
            or (last and item["type"] == "missing")
        )
        if not is_key:
            named = [each for each in chosen if getattr(each, "__name__", "") == part]
            chosen = named or chosen
            continue
        holder = chosen
        path.append(part)
        held = chosen = types_inside(chosen, part)
        try:
            here = here[part]
        except (KeyError, IndexError, TypeError):
            here = None
    if item["type"] == "extra_forbidden":
        known = [name for each in holder if _is_model(each) for name in each.model_fields]
        return Found(tuple(path), f"unknown key{close_or_all(str(path[-1]), known)}", item["type"])
    return Found(tuple(path), _text(item, held), item["type"])


def _text(item: dict[str, Any], held: Sequence[Any]) -> str:
    kind, given = item["type"], item.get("input")
    if kind == "missing":
        return "is missing, and has no default"
    if kind == "value_error":
        return str(item["ctx"]["error"])
    if kind in ("too_short", "too_long"):
        least = item["ctx"].get("min_length")
        size = f"at least {least}" if least is not None else f"at most {item['ctx']['max_length']}"
        return (
            f"must have {size} entr{'y' if size.endswith(' 1') else 'ies'}; this is {shown(given)}"
        )
    if not kind.endswith(_TYPE):
        message = str(item["msg"]).partition(" should ")[2] or str(item["msg"])
        return f"must {message}; this is {shown(given)}"
    told = f"must be {expected(held)}; this is {shown(given)}"
    if isinstance(given, bool):
        return f"{told}. {_QUOTES}"
    if isinstance(given, int | float) and str in held:
        return f"{told}: put quotes around it"
    if isinstance(given, str):
        return f"{told}{close_to(given, map(str, _choices(held)))}"
    return told


def _traps(value: Any, held: Sequence[Any], path: Path) -> Iterator[Found]:
    """Where YAML made a truth value of a word, and pydantic would make 1 or 0 of it."""
    if isinstance(value, bool):
        if held and not any(each in (bool, Any, object) for each in held):
            yield Found(
                path, f"must be {expected(held)}; this is {shown(value)}. {_QUOTES}", "trap"
            )
    elif isinstance(value, Mapping):
        for key, inner in value.items():
            if isinstance(key, bool):
                yield Found(path, f"has the key {shown(key)}. {_QUOTES}", "trap")
            else:
                yield from _traps(inner, types_inside(held, key), (*path, key))
    elif isinstance(value, list | tuple):
        for at, inner in enumerate(value):
            yield from _traps(inner, types_inside(held, at), (*path, at))


def may_be(annotation: Any) -> Iterator[Any]:
    """The types that a value may be of, a union's one by one."""
    origin = typing.get_origin(annotation)
    if origin is typing.Annotated:
        yield from may_be(typing.get_args(annotation)[0])
    elif origin in (Union, types.UnionType):
        for each in typing.get_args(annotation):
            yield from may_be(each)
    else:
        yield types.NoneType if annotation is None else annotation


def types_inside(held: Sequence[Any], part: str | int) -> list[Any]:
    """The types that may stand under a key, or at a place, of values of these types."""
    return [found for each in held for found in _inside(each, part)]


def _inside(each: Any, part: str | int) -> Iterator[Any]:
    origin, inner = typing.get_origin(each), typing.get_args(each)
    if _is_model(each):
        if part in each.model_fields:
            yield from may_be(each.model_fields[part].annotation)
    elif origin in (dict, Mapping) and inner:
        yield from may_be(inner[1])
    elif origin in (tuple, list) and inner:
        fixed = origin is tuple and inner[-1] is not Ellipsis
        yield from may_be(
            inner[part if fixed and isinstance(part, int) and part < len(inner) else 0]
        )


def _is_model(each: Any) -> bool:
    return isinstance(each, type) and issubclass(each, BaseModel)


def _choices(held: Sequence[Any]) -> list[Any]:
    return [
        value
        for each in held
        if typing.get_origin(each) is Literal
        for value in typing.get_args(each)
    ]


def expected(held: Sequence[Any]) -> str:
    """What a value must be: `a whole number`, `a list or null`, "one of `a`, `b`"."""
    words = []
    for each in held:
        origin = typing.get_origin(each)
        if origin is Literal:
            words.append("one of " + ", ".join(f"`{value}`" for value in typing.get_args(each)))
        elif each in _WORDS:
            words.append(_WORDS[each])
        else:
            words.append("a list" if origin in (tuple, list) else "a mapping")
    if "a number" in words:
        words = [word for word in words if word != "a whole number"]
    *rest, last = dict.fromkeys(words) or ["something else"]
    return f"{', '.join(rest)} or {last}" if rest else last


def shown(value: Any) -> str:
    """A value as YAML on one line, cut to what a message can hold."""
    try:
        text = yaml.safe_dump(value, default_flow_style=True, width=10**6, allow_unicode=True)
    except yaml.YAMLError:  # of Python, not of a file
        text = repr(value)
    text = redacted(text.strip().removesuffix("...").strip())
    return text if len(text) <= 60 else f"{text[:57]}..."
