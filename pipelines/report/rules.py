"""What rules there are, what a signal is, and how it is spread over texts, as text."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path

import numpy as np

from curation.chain import Chain
from curation.chain_checks import closest
from curation.classifiers import signals as classifiers
from curation.edits import EDITS
from curation.measures import MEASURES
from curation.rules import alone, asked, chain_names, load_chain, load_table, said, table_names
from curation.steps import table_of
from pipelines.report.formats import exact, share, value
from pipelines.report.shape import Threshold
from pipelines.report.signals import Values, panel, passing
from schemas.chain import EditStep, RulesStep, Step
from schemas.filter import Filter
from schemas.problems import Problem
from schemas.rules import AnyRule, Condition, Row, Rule, RuleTable, conditions

_WIDTH = 100
_ROWS = 20  # of a histogram
_BAR = 40
_BAD_WORDS = "bad_words_"
_QUANTILES = (0, 0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99, 1)


def listing() -> str:
    """The bundled chains, tables, edits and families of signals, each with what it is."""
    lines = ["Chains, for `filter:` in a recipe and for `gristmill filter`:"]
    for name in chain_names():
        chain = load_chain(name, Path())
        lines += _entry(name, _count(chain.chain), chain.description)
    lines += ["", "Tables, for the chain of a recipe and for `gristmill filter`:"]
    for name in table_names():
        table = load_table(name, Path())
        lines += _entry(name, len(table.rules), table.description)
    lines += ["", "Edits, for the chain of a recipe:"]
    for edit in EDITS.values():
        lines += _wrapped(f"  {edit.name:<22}{'':>9}", edit.does)
    lines += ["", "Families of signals, for rules (`gristmill rules explain FAMILY`):"]
    words = [name for name in MEASURES if name.startswith(_BAD_WORDS)]
    for name, item in MEASURES.items():
        if name not in words[1:]:
            shown = f"{_BAD_WORDS}LANGUAGE" if name in words else name
            of = (word.removeprefix(_BAD_WORDS) for word in words)
            lines += _wrapped(
                f"  {shown:<24}{len(item.names):>3}    ",
                f"{item.source}: {', '.join(of)}" if name in words else item.source,
            )
    return "\n".join(lines)


def _count(steps: Sequence[Step]) -> int:
    return sum(len(table.rules) for table in _tables(steps))


def _tables(steps: Sequence[Step]) -> Iterator[RuleTable]:
    for step in steps:
        if isinstance(step, RulesStep) and isinstance(step.rules, RuleTable):
            yield step.rules


def _entry(name: str, rules: int, description: str) -> list[str]:
    head = f"  {name:<22}{rules:>3} rule{'s' if rules != 1 else ' '}  "
    return _wrapped(head, " ".join(description.split()))


def _wrapped(head: str, text: str) -> list[str]:
    """The text behind a head, its further lines as far to the right."""
    return textwrap.wrap(
        text or "-", _WIDTH, initial_indent=head, subsequent_indent=" " * len(head)
    )


def show(name: str) -> str:
    """A chain or table as a page: its steps in order, and the rows of its tables."""
    chain = load_chain(name, Path())
    Chain(chain)  # tells what is wrong with it
    lines = _wrapped(f"{name}: ", " ".join(chain.description.split()))
    if not chain.exhaustive:
        lines += [
            "",
            "exhaustive: false; the first table that rejects is the last, and the signals",
        ]
        lines += ["  of those behind it are null"]
    for step in chain.chain:
        lines.append("")
        head = f"{step.title()}{step.scope()}"
        if isinstance(step, EditStep):
            lines += _wrapped(f"{head}: ", EDITS[step.edit].does)
            continue
        lines.append(head)
        if not isinstance(step, RulesStep):
            continue
        table = table_of(step)
        if table.source:
            lines += _wrapped("  source: ", " ".join(table.source.split()))
        rows = [part for row in table.rules for part in _row(row)]
        wide = max(len(row[0]) for row in rows)
        lines += [f"  {test:<{wide}}  {reason}".rstrip() for test, reason in rows]
    return "\n".join(lines)


def _row(row: Row) -> Iterator[tuple[str, str]]:
    """A line for each condition or inner group; the first has the reason."""
    if isinstance(row, Rule):
        yield said(row), row.reason
        return
    yield f"{'any' if isinstance(row, AnyRule) else 'all'} of", row.reason
    for part in row.any if isinstance(row, AnyRule) else row.all:
        yield f"  {said(part)}", ""


def explain(signal: str, rules: str = "") -> str:
    """What a signal is, by whom, and the rules that test it: the bundled ones, and those of
    `rules`, whose classifiers have signals of their own. Of a family, what each of its signals is.
    Raises Problem."""
    owner = MEASURES.get(signal) or EDITS.get(signal)
    if owner is not None:
        lines = [signal, *_wrapped("  Source: ", owner.source), ""]
        if signal in EDITS:
            lines[1:1] = _wrapped("  Edit: ", EDITS[signal].does)
        for name, formula in owner.formulas.items():
            lines += [f"{signal}.{name}", *_wrapped("  ", formula)]
        return "\n".join(lines)
    formula, source, edit = _defined(signal, rules)
    lines = [signal, *_wrapped("  ", formula)]
    if edit:
        lines += _wrapped("  ", f"Told by the edit `{edit}`, of what it did to the text.")
    lines += _wrapped("  Source: ", source)
    name = signal.rpartition(".")[2]
    others = [other for other in _signals() if other != signal and _same_name(other, name)]
    if others:
        lines += _wrapped("  Of the same name: ", ", ".join(others))
    rows = list(_users(signal, rules))
    lines += ["", "Used by" if rows else "No bundled rule uses it."]
    wide = [max((len(row[at]) for row in rows), default=0) for at in range(3)]
    for row in rows:
        cells = (f"{cell:<{size}}" for cell, size in zip(row, wide, strict=False))
        lines.append(f"  {'  '.join([*cells, *row[3:]])}".rstrip())
    return "\n".join(lines)


def _signals() -> Iterator[str]:
    for measure in MEASURES.values():
        yield from measure.signals
    for edit in EDITS.values():
        yield from edit.signals


def _same_name(signal: str, name: str) -> bool:
    return signal.rpartition(".")[2] == name


def _defined(signal: str, rules: str) -> tuple[str, str, str]:
    """A signal's formula, its source, and the edit that tells it. Raises Problem with the closest
    there are."""
    own = load_chain(rules, Path()) if rules else Filter()
    for called, item in own.classifiers.items():
        for name, formula in classifiers.formulas(called, item).items():
            if signal == f"{classifiers.FAMILY}.{name}":
                return formula, f"the model {item.model.file}, named in {rules}", ""
    family, _, name = signal.rpartition(".")
    every = list(_signals())
    if signal not in every:
        same = [other for other in every if _same_name(other, name)]
        mend = f"; of this name there are {', '.join(same)}" if same else closest(signal, own)
        if signal.startswith(f"{classifiers.FAMILY}.") and not rules:
            mend = ": its model stands in the `classifiers` of a chain"
            raise Problem(
                f"no signal is called `{signal}`{mend}", "rules", "name that chain's file"
            )
        raise Problem(f"no signal is called `{signal}`{mend}")
    owner = MEASURES.get(family) or EDITS[family]
    return owner.formulas[name], owner.source, family if family in EDITS else ""


@cache
def _bundled_rules() -> list[tuple[str, str, Condition]]:
    """Table, reason and each condition of every bundled rule."""
    return [
        (name, row.reason, condition)
        for name in table_names()
        for row in load_table(name, Path()).rules
        for _, condition in conditions(row)
    ]


@cache
def _chains() -> dict[str, list[str]]:
    """The bundled chains that use each bundled table."""
    found: dict[str, list[str]] = {}
    for name in chain_names():
        for table in _tables(load_chain(name, Path()).chain):
            found.setdefault(table.name, []).append(name)
    return found


def _rules(rules: str) -> list[tuple[str, str, Condition]]:
    """Those of the bundled tables, and of the other tables of `rules`."""
    if not rules:
        return _bundled_rules()
    return _bundled_rules() + [
        (table.name, row.reason, condition)
        for table in _tables(load_chain(rules, Path()).chain)
        if table.name not in table_names()
        for row in table.rules
        for _, condition in conditions(row)
    ]


def _users(signal: str, rules: str) -> Iterator[tuple[str, str, str, str]]:
    """Table, condition, reason and chains of each rule on the signal."""
    for name, reason, condition in _rules(rules):
        if condition.signal == signal:
            used = ", ".join(_chains().get(name, [] if name in table_names() else [rules]))
            yield name, asked(condition), reason, f"in {used}" if used else ""


def measuring(signal: str, chain: Chain | None = None) -> Chain:
    """A chain that measures a signal: this one, or one that does so on texts as they are.

    Raises Problem.
    """
    if chain is None:
        _defined(signal, "")
        rule = Rule(signal=signal, operator=">=", threshold=-math.inf, reason="any")
        return Chain(alone(RuleTable(name="any", rules=(rule,))))
    if signal not in chain.signals:
        raise Problem(f"`{signal}` is no signal of these rules: {', '.join(chain.signals)}")
    return chain


def spread(signal: str, found: Sequence[float | None], where: str) -> str:
    """Quantiles and a histogram of the values of a signal, and the share failing bundled
    thresholds. `where` it was measured is told too."""
    values = np.array([item for item in found if item is not None], np.float64)
    lines = ["", f"Over {len(values):,} texts, measured {where}"]
    if missing := len(found) - len(values):
        lines.append(f"{missing:,} more were not measured")
    if not len(values):
        return "\n".join(lines)
    lines.append("")
    lines.append("".join(f"{_quantile(item):>11}" for item in _QUANTILES))
    numbers = np.quantile(values, _QUANTILES, method="nearest").tolist()
    lines.append("".join(f"{_number(item):>11}" for item in numbers))
    thresholds = _thresholds(signal)
    lines += ["", *_histogram(thresholds, values)]
    for item, tables in thresholds:
        failing = int(np.count_nonzero(~passing(item, values)))
        told = f"{item['operator']} {exact(float(item['threshold']))}"
        lines.append(f"{share(failing, len(values)):>8} fail {told:<12} {', '.join(tables)}")
    return "\n".join(lines)


def _quantile(place: float) -> str:
    return {0: "least", 0.5: "median", 1: "most"}.get(place, f"{place:.0%}")


def _number(number: float) -> str:
    """At most four digits, or a whole number."""
    return f"{number:,.0f}" if number.is_integer() else f"{number:.4g}"


def _thresholds(signal: str) -> list[tuple[Threshold, list[str]]]:
    """The thresholds that bundled tables have for a signal, each once, with its tables."""
    found: dict[tuple[str, float], list[str]] = {}
    for name, _, each in _bundled_rules():
        if each.signal == signal and isinstance(each.threshold, int | float):
            found.setdefault((each.operator, float(each.threshold)), []).append(name)
    return [
        (
            Threshold(signal=signal, operator=operator, threshold=number, reason="", grouped=True),
            tables,
        )
        for (operator, number), tables in found.items()
    ]


def _histogram(thresholds: Sequence[tuple[Threshold, list[str]]], values: Values) -> list[str]:
    """Bars of `#`, one line a bin; `<` marks where thresholds are."""
    nowhere = Threshold(signal="", operator=">=", threshold=-math.inf, reason="", grouped=True)
    drawn = panel(
        "", [item for item, _ in thresholds] or [nowhere], values, np.ones(len(values), np.bool_)
    )
    edges, counts = drawn["edges"], drawn["passing"]
    step = math.ceil(len(counts) / _ROWS)
    bins = [
        (edges[at], edges[min(at + step, len(counts))], sum(counts[at : at + step]))
        for at in range(0, len(counts), step)
    ]
    most = max(count for *_, count in bins)
    lines = []
    for number, (low, high, count) in enumerate(bins):
        last = number == len(bins) - 1
        at = [
            f"{item['operator']} {exact(float(item['threshold']))}"
            for item, _ in thresholds
            if low <= float(item["threshold"]) < high or (last and item["threshold"] == high)
        ]
        if drawn["scale"] == "counts":
            first, end = round(low + 0.5), round(high - 0.5)
            label = f"{first:,}" if first == end else f"{first:,} to {end:,}"
        else:
            label = f"{value(low)} to {value(high)}"
        bar = "#" * (math.ceil(_BAR * count / most) if count else 0)
        mark = f"  < {', '.join(at)}" if at else ""
        lines.append(f"{label:>18} {bar:<{_BAR}} {count:>9,}{mark}".rstrip())
    return lines
