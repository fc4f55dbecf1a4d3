"""Tables of rules: loaded from YAML, and what fails by them.

The bundled tables are the files of the folder `rules` beside this module.
"""

from __future__ import annotations

import difflib
import operator
from collections.abc import Callable, Hashable, Iterable, Mapping
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from schemas.errors import UserError
from schemas.rules import Operator, Rule, RuleTable

_HOLDS: Mapping[Operator, Callable[[Any, Any], bool]] = {
    ">": operator.gt,
    ">=": operator.ge,
    "<": operator.lt,
    "<=": operator.le,
    "==": operator.eq,
    "!=": operator.ne,
    "in": lambda value, threshold: value in threshold,
    "not in": lambda value, threshold: value not in threshold,
}


class NotMeasuredError(LookupError):
    """A rule asks for a signal that is null or absent: nothing can be decided by it."""


def failing(rules: Iterable[Rule], signals: Mapping[str, float | None]) -> list[str]:
    """The reasons of the rules that do not hold, in order.

    Raises NotMeasuredError for a signal that is null or absent: a document is neither kept nor
    rejected by what was not measured.
    """
    reasons = []
    for rule in rules:
        value = signals.get(rule.signal)
        if value is None:
            raise NotMeasuredError(f"`{rule.signal}`, for the reason `{rule.reason}`: not measured")
        if not _HOLDS[rule.operator](value, rule.threshold):
            reasons.append(rule.reason)
    return reasons


def did_you_mean(name: str, names: Iterable[str]) -> str:
    """`; did you mean ...?` with the closest of the names, or nothing."""
    close = difflib.get_close_matches(name, list(names), n=3)
    return f"; did you mean {' or '.join(f'`{item}`' for item in close)}?" if close else ""


def _bundled() -> Traversable:
    return resources.files("curation").joinpath("rules")


def table_names() -> tuple[str, ...]:
    """Names of the bundled tables, sorted."""
    files = (item.name for item in _bundled().iterdir())
    return tuple(sorted(name.removesuffix(".yaml") for name in files if name.endswith(".yaml")))


def load_table(name_or_path: str, base: Path) -> RuleTable:
    """A bundled table by name, or a YAML file, relative to `base`.

    What ends in `.yaml` or `.yml` or has a `/` is a file. Raises UserError naming the file and
    the key for a table that is not there, no YAML, of the wrong shape, or has a reason twice.
    """
    if "/" in name_or_path or name_or_path.endswith((".yaml", ".yml")):
        path = base / name_or_path
        try:
            return _parse(path.read_text("utf-8"), str(path))
        except (OSError, UnicodeDecodeError) as error:
            raise UserError(f"{path}: cannot read the rule table: {error}") from error
    if name_or_path not in table_names():
        raise UserError(
            f"no rule table is called `{name_or_path}`"
            f"{did_you_mean(name_or_path, table_names()) or '.'} Bundled are "
            f"{', '.join(table_names())}; a file's name ends in .yaml"
        )
    file = f"{name_or_path}.yaml"
    return _parse(_bundled().joinpath(file).read_text("utf-8"), file)


class _Loader(yaml.SafeLoader):
    """YAML's safe loader, but a key that is given twice is an error."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        seen = set()
        for key_node, _ in node.value:
            key = self.construct_object(key_node, deep=True)
            if isinstance(key, Hashable) and key in seen:
                raise yaml.constructor.ConstructorError(
                    None, None, f"the key `{key}` is given twice", key_node.start_mark
                )
            seen.add(key)
        return super().construct_mapping(node, deep)


def _parse(text: str, file: str) -> RuleTable:
    try:
        content = yaml.load(text, _Loader)  # noqa: S506 - a SafeLoader
    except yaml.YAMLError as error:
        raise UserError(f"{file}: no valid YAML: {error}") from error
    try:
        table = RuleTable.model_validate(content)
    except ValidationError as error:
        raise UserError(f"{file}: {_mistakes(error)}") from error
    places: dict[str, int] = {}
    for place, rule in enumerate(table.rules):
        first = places.setdefault(rule.reason, place)
        if first != place:
            raise UserError(
                f"{file}: rules[{place}].reason: `{rule.reason}` is the reason of rules[{first}] "
                "too; a reason must tell which rule failed, give each its own"
            )
    return table


def _mistakes(error: ValidationError) -> str:
    """Each mistake once, with its path in the YAML."""
    found: dict[str, str] = {}
    for item in error.errors():
        location = list(item["loc"])
        message = item["msg"]
        if "threshold" in location and item["type"] != "missing":
            location = location[: location.index("threshold") + 1]
            message = "give a number, a string or a list of strings"
        if item["type"] == "extra_forbidden":
            keys = Rule.model_fields if len(location) > 1 else RuleTable.model_fields
            message = f"unknown key{did_you_mean(str(location[-1]), keys)}"
        path = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in location)
        found.setdefault(path.lstrip(".") or "the table", message)
    return "; ".join(f"{path}: {message}" for path, message in found.items())
