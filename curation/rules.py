"""Tables of rules and chains of them: loaded from YAML, and what fails by them.

The bundled tables are the files of the folder `rules` beside this module, the bundled chains those
of its folder `chains`; its README says where they differ from their references.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import reduce
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any, TypeVar

import pyarrow as pa
import pyarrow.compute as pc

from curation.edits import EDITS
from curation.folders import beside
from schemas.base import Contract
from schemas.chain import (
    Chain,
    ChainStep,
    EditStep,
    LanguagesStep,
    RulesStep,
    Scope,
    Step,
)
from schemas.files import Places, place_of, read_placed
from schemas.filter import NamedChain
from schemas.mistakes import checked
from schemas.problems import Problem, close_to
from schemas.rules import (
    AnyOf,
    AnyRule,
    Condition,
    Group,
    Operator,
    Row,
    RuleTable,
    conditions,
)

Columns = Mapping[str, pa.Array]
Some = TypeVar("Some", bound=Chain)
Shape = TypeVar("Shape", bound=Contract)

_COMPARE: Mapping[Operator, Callable[[pa.Array, Any], pa.Array]] = {
    ">": pc.greater,
    ">=": pc.greater_equal,
    "<": pc.less,
    "<=": pc.less_equal,
    "==": pc.equal,
    "!=": pc.not_equal,
}


def holds(rule: Row | Condition | Group, signals: Columns) -> pa.BooleanArray:
    """For which documents a rule holds, by columns of their signals: bool [documents].

    Null where a signal of the rule is null (not measured), also where the other conditions of a
    group would decide. Raises KeyError for a signal that has no column.
    """
    if isinstance(rule, Condition):
        return _compare(rule, signals[rule.signal])
    some = isinstance(rule, AnyRule | AnyOf)
    parts = rule.any if isinstance(rule, AnyRule | AnyOf) else rule.all
    join = pc.or_ if some else pc.and_  # null if either is
    return reduce(join, (holds(part, signals) for part in parts))


def _compare(condition: Condition, values: pa.Array) -> pa.BooleanArray:
    threshold = condition.threshold
    if condition.operator in ("in", "not in"):
        among = pc.is_in(values, pa.array(threshold, values.type))
        found = among if condition.operator == "in" else pc.invert(among)
        return pc.if_else(pc.is_valid(values), found, None)
    if pa.types.is_floating(values.type):
        threshold = float(threshold)  # type: ignore[arg-type]
    return _COMPARE[condition.operator](values, threshold)


def applies(scope: Scope, documents: Columns) -> pa.BooleanArray | None:
    """For which documents a step is, by columns `source`, `kind`, `format` and `language`: bool
    [documents]; None for all. What a document is not known to be does not limit it: a column that
    is not there."""
    limits = scope.limits().items()
    masks = [
        pc.is_in(documents[column], pa.array(values, documents[column].type))
        for column, values in limits
        if column in documents
    ]
    return reduce(pc.and_, masks) if masks else None


def said(rule: Row | Condition | Group) -> str:
    """A rule in a line: `a.b >= 1 or (c.d < 2 and e.f > 3)`."""
    if isinstance(rule, Condition):
        return f"{rule.signal} {asked(rule)}"
    word, parts = ("or", rule.any) if isinstance(rule, AnyRule | AnyOf) else ("and", rule.all)
    return f" {word} ".join(
        said(part) if isinstance(part, Condition) else f"({said(part)})" for part in parts
    )


def asked(condition: Condition) -> str:
    """What a condition asks of its signal: `>= 50`."""
    number = condition.threshold
    text = f"{number:.9g}" if isinstance(number, int | float) else str(number)
    return f"{condition.operator} {text}"


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

    Raises Problem naming the file and the key for a table that is not there, no YAML, of the
    wrong shape, or has a reason twice.
    """
    if is_file(name_or_path):
        path = base / name_or_path
        return _table(*read_placed(path, str(path), "rule table"), str(path))
    if name_or_path not in table_names():
        raise Problem(
            f"no rule table is called `{name_or_path}`"
            f"{close_to(name_or_path, table_names()) or '.'} Bundled are "
            f"{', '.join(table_names())}; a file's name ends in .yaml"
        )
    file = f"{name_or_path}.yaml"
    return _table(*read_placed(_bundled().joinpath(file), file, "rule table"), file)


def load_chain(name_or_path: str, base: Path, within: tuple[str, ...] = ()) -> NamedChain:
    """A bundled chain by name, or a YAML file, relative to `base`, that holds what stands under
    `filter` in a recipe and a description; its tables and chains are loaded, files of them and of
    classifiers' models relative to the chain's folder.

    The file may also be a rule table, and the name one of a table: it is a chain of its own, behind
    the edits that give its signals. `within`: the chains that take this one in. Raises Problem as
    `load_table` does; `check_chain` tells what is wrong with a chain itself.
    """
    if is_file(name_or_path):
        path = base / name_or_path
        file, folder = str(path), path.parent
        content, places = read_placed(path, file, "chain")
        if isinstance(content, dict) and "rules" in content:
            return alone(_table(content, places, file))
    elif name_or_path in chain_names():
        file, folder = f"chains/{name_or_path}.yaml", base
        content, places = read_placed(_bundled().joinpath(file), file, "chain")
    elif name_or_path in table_names():
        return alone(load_table(name_or_path, base))
    else:
        names = (*chain_names(), *table_names())
        raise Problem(
            f"no chain or rule table is called `{name_or_path}`"
            f"{close_to(name_or_path, names) or '.'} Bundled are the chains "
            f"{', '.join(chain_names())}, and the tables {', '.join(table_names())}; a file's "
            "name ends in .yaml"
        )
    if file in within:
        raise Problem(f"{file}: is a part of itself, by {' and '.join(within)}")
    chain = _valid(NamedChain, content, places, file)
    chain = chain.with_files(lambda _, named: beside(named, folder))
    whole, _, mistakes = in_full(chain, folder, (*within, file))
    if mistakes:
        raise Problem("; ".join(f"{file}: {path}: {message}" for path, message in mistakes))
    return whole


def in_full(
    spec: Some, base: Path, within: tuple[str, ...] = ()
) -> tuple[Some, list[str], list[tuple[str, str]]]:
    """A chain with its tables and the steps of the chains that it takes in; of each step where it
    stands, `chain[0]`, or `chain[0].chain[2]` in another chain; and what could not be loaded, with
    its place. `base`, `within`: see `load_chain`."""
    steps: list[Step] = []
    places: list[str] = []
    mistakes: list[tuple[str, str]] = []
    more: dict[str, Any] = {"classifiers": dict(spec.classifiers), "measures": spec.measures}
    more["exhaustive"] = spec.exhaustive
    for at, step in enumerate(spec.chain):
        here = f"chain[{at}]"
        try:
            if isinstance(step, ChainStep):
                inner = with_languages(load_chain(step.chain, base, within), step.languages)
                for number, each in enumerate(inner.chain):
                    steps.append(_narrowed(each, step))
                    places.append(f"{here}.chain[{number}]")
                more["exhaustive"] &= inner.exhaustive
                for name, item in inner.classifiers.items():
                    if more["classifiers"].setdefault(name, item) != item:
                        raise Problem(f"its classifier `{name}` is another one here")
                more["measures"] = tuple(dict.fromkeys([*more["measures"], *inner.measures]))
                continue
            if isinstance(step, RulesStep) and isinstance(step.rules, str):
                step = step.model_copy(update={"rules": load_table(step.rules, base)})
            steps.append(step)
            places.append(here)
        except Problem as error:
            mistakes.append((f"{here}.{step.KEY}", str(error)))
    return spec.model_copy(update={"chain": tuple(steps), **more}), places, mistakes


def with_languages(chain: Some, languages: Mapping[str, float] | None) -> Some:
    """The chain keeping these languages, each with the score to exceed, instead of its own; `{}`
    keeps all, None leaves it as it is."""
    if languages is None:
        return chain
    rest = tuple(step for step in chain.chain if not isinstance(step, LanguagesStep))
    first = (LanguagesStep(languages=dict(languages)),) if languages else ()
    return chain.model_copy(update={"chain": (*first, *rest)})


def _narrowed(step: Step, outer: Scope) -> Step:
    """The step for the documents that `outer` is for too. Raises Problem if there are none."""
    limits = {}
    for name in ("sources", "kinds", "formats"):
        mine, theirs = getattr(step, name), getattr(outer, name)
        limits[name] = tuple(each for each in mine if each in theirs or not theirs) or theirs
        if mine and theirs and not set(mine) & set(theirs):
            raise Problem(
                f"its step `{step.title()}` is for {name} {', '.join(mine)}, and here it is for "
                f"{', '.join(theirs)}: no document is both"
            )
    return step.model_copy(update=limits)


def alone(table: RuleTable) -> NamedChain:
    """A chain of one table, behind the edits that give its signals."""
    signals = (condition.signal for row in table.rules for _, condition in conditions(row))
    families = dict.fromkeys(signal.partition(".")[0] for signal in signals)
    edits = (EditStep(edit=name) for name in families if name in EDITS)
    return NamedChain(description=table.description, chain=(*edits, RulesStep(rules=table)))


def _valid(model: type[Shape], content: Any, places: Places, file: str) -> Shape:
    made, mistakes = checked(model, content)
    if made is None:
        told = []
        for each in mistakes:
            place = place_of(each.where, places)
            line = f"line {place.line}: " if place else ""
            kind = "the table" if model is RuleTable else "the chain"
            told.append(f"{line}{each.where or kind}: {each.text}")
        raise Problem(f"{file}: {'; '.join(told)}")
    return made


def _table(content: Any, places: Places, file: str) -> RuleTable:
    table = _valid(RuleTable, content, places, file)
    first_at: dict[str, int] = {}
    for place, rule in enumerate(table.rules):
        first = first_at.setdefault(rule.reason, place)
        if first != place:
            raise Problem(
                f"{file}: rules[{place}].reason: `{rule.reason}` is the reason of rules[{first}] "
                "too; a reason must tell which rule failed, give each its own"
            )
    return table
