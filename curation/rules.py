"""Tables of rules and chains of them: loaded from YAML, and what fails by them.

The bundled tables are the files of the folder `rules` beside this module, the bundled chains those
of its folder `chains`; its README says where they differ from their references.
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

from curation.edits import EDITS
from schemas.errors import UserError
from schemas.recipe import EditStep, Judge, RulesStep
from schemas.rules import Contract, Operator, Rule, RuleTable

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


def chain_names() -> tuple[str, ...]:
    """Names of the bundled chains, sorted."""
    files = (item.name for item in _bundled().joinpath("chains").iterdir())
    return tuple(sorted(name.removesuffix(".yaml") for name in files if name.endswith(".yaml")))


def is_file(name_or_path: str) -> bool:
    """Whether a name is one of a file: it ends in `.yaml` or `.yml` or has a `/`."""
    return "/" in name_or_path or name_or_path.endswith((".yaml", ".yml"))


def load_table(name_or_path: str, base: Path) -> RuleTable:
    """A bundled table by name, or a YAML file (`is_file`), relative to `base`.

    Raises UserError naming the file and the key for a table that is not there, no YAML, of the
    wrong shape, or has a reason twice.
    """
    if is_file(name_or_path):
        path = base / name_or_path
        return _table(read_yaml(path, str(path), "rule table"), str(path))
    if name_or_path not in table_names():
        raise UserError(
            f"no rule table is called `{name_or_path}`"
            f"{did_you_mean(name_or_path, table_names()) or '.'} Bundled are "
            f"{', '.join(table_names())}; a file's name ends in .yaml"
        )
    file = f"{name_or_path}.yaml"
    return _table(read_yaml(_bundled().joinpath(file), file, "rule table"), file)


def load_chain(name_or_path: str, base: Path) -> Judge:
    """A bundled chain by name, or a YAML file, relative to `base`, that holds what stands under
    `judge` in a recipe; its tables are loaded, files of them relative to the chain's folder.

    The file may also be a rule table, and the name one of a table: it is a chain of its own, behind
    the edits that give its signals. Raises UserError as `load_table` does; `check_chain` tells
    what is wrong with a chain itself.
    """
    if is_file(name_or_path):
        path = base / name_or_path
        file, folder = str(path), path.parent
        content = read_yaml(path, file, "chain")
        if isinstance(content, dict) and "rules" in content:
            return _alone(_table(content, file))
    elif name_or_path in chain_names():
        file, folder = f"chains/{name_or_path}.yaml", base
        content = read_yaml(_bundled().joinpath(file), file, "chain")
    elif name_or_path in table_names():
        return _alone(load_table(name_or_path, base))
    else:
        names = (*chain_names(), *table_names())
        raise UserError(
            f"no chain or rule table is called `{name_or_path}`"
            f"{did_you_mean(name_or_path, names) or '.'} Bundled are the chains "
            f"{', '.join(chain_names())}, and the tables {', '.join(table_names())}; a file's "
            "name ends in .yaml"
        )
    try:
        judge = Judge.model_validate(content)
    except ValidationError as error:
        raise UserError(f"{file}: {_mistakes(error, Judge)}") from error
    steps = (
        RulesStep(rules=load_table(step.rules, folder))
        if isinstance(step, RulesStep) and isinstance(step.rules, str)
        else step
        for step in judge.chain
    )
    return judge.model_copy(update={"chain": tuple(steps)})


def _alone(table: RuleTable) -> Judge:
    """A chain of one table, behind the edits that give its signals."""
    families = dict.fromkeys(rule.signal.partition(".")[0] for rule in table.rules)
    edits = (EditStep(edit=name) for name in families if name in EDITS)
    return Judge(chain=(*edits, RulesStep(rules=table)))


def read_yaml(path: Path | Traversable, file: str, kind: str) -> Any:
    """What a YAML file holds. Raises UserError, naming `file`, if it cannot be read."""
    try:
        return yaml.load(path.read_text("utf-8"), _Loader)  # noqa: S506 - a SafeLoader
    except yaml.YAMLError as error:
        raise UserError(f"{file}: no valid YAML: {error}") from error
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{file}: cannot read the {kind}: {error}") from error


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


def _table(content: Any, file: str) -> RuleTable:
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


_KINDS: Mapping[type[Contract], str] = {RuleTable: "table", Judge: "chain"}


def _mistakes(error: ValidationError, model: type[Contract] = RuleTable) -> str:
    """Each mistake once, with its path in the YAML."""
    found: dict[str, str] = {}
    for item in error.errors():
        location = list(item["loc"])
        message = item["msg"]
        if "threshold" in location and item["type"] != "missing":
            location = location[: location.index("threshold") + 1]
            message = "give a number, a string or a list of strings"
        if item["type"] == "extra_forbidden":
            keys = Rule.model_fields if len(location) > 1 else model.model_fields
            message = f"unknown key{did_you_mean(str(location[-1]), keys)}"
        path = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in location)
        found.setdefault(path.lstrip(".") or f"the {_KINDS[model]}", message)
    return "; ".join(f"{path}: {message}" for path, message in found.items())
