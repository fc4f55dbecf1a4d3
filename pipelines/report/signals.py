"""What the rules did: their reasons, and the distributions of the signals that they test."""

from __future__ import annotations

import math
import operator
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from pipelines.report import shape
from pipelines.runs.steps import Context
from schemas.filter import RulesStep
from schemas.recipe import Recipe
from schemas.rules import AllOf, AllRule, AnyOf, AnyRule, Condition, Group, Row, RuleTable

Values = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]

BINS = 40
# A whole-number signal with no more values than this has a bin for each.
_MOST_COUNTS = 60
_LEAST_COUNTS = 6
# A signal whose tail is so many times its median is shown on a logarithmic scale.
_LONG_TAIL = 10
# What is beyond these quantiles on either side is put into the outermost bins.
_OUTLIERS = 0.005

_COMPARE: dict[str, Callable[[Values, float], Mask]] = {
    ">": operator.gt,
    ">=": operator.ge,
    "<": operator.lt,
    "<=": operator.le,
    "==": operator.eq,
    "!=": operator.ne,
}


def rules_of(recipe: Recipe) -> list[shape.Rule]:
    """All rules of the chain, in order; those for the same documents have reasons of their own."""
    return [
        shape.Rule(
            table=step.rules.name,
            reason=rule.reason,
            test=_test(rule),
            languages=list(step.languages),
            sources=list(step.sources),
        )
        for step in recipe.filter.chain
        if isinstance(step, RulesStep) and isinstance(step.rules, RuleTable)
        for rule in step.rules.rules
    ]


def _test(rule: Row | Condition | Group) -> shape.Condition | shape.AnyOf | shape.AllOf:
    if isinstance(rule, AnyRule | AnyOf):
        return shape.AnyOf(any=[_test(part) for part in rule.any])
    if isinstance(rule, AllRule | AllOf):
        return shape.AllOf(all=[_test(part) for part in rule.all])
    # signals are numbers, so a checked chain compares them with numbers
    threshold: float | Literal["inf", "-inf"] = float(rule.threshold)  # type: ignore[arg-type]
    if math.isinf(float(threshold)):  # JSON knows none
        threshold = "inf" if float(threshold) > 0 else "-inf"
    return shape.Condition(signal=rule.signal, operator=rule.operator, threshold=threshold)


def conditions_of(rule: shape.Rule) -> list[shape.Condition]:
    """The conditions of a rule, in order."""

    def flat(test: shape.Condition | shape.AnyOf | shape.AllOf) -> Iterator[shape.Condition]:
        if "signal" in test:
            yield test
        else:
            for part in test["any"] if "any" in test else test["all"]:
                yield from flat(part)

    return list(flat(rule["test"]))


def is_for(rule: shape.Rule, language: str, source: str) -> bool:
    """Whether a rule is for documents of this language and source."""
    return (not rule["languages"] or language in rule["languages"]) and (
        not rule["sources"] or source in rule["sources"]
    )


def holds(condition: shape.Condition, values: Values) -> Mask:
    """For which values, float64[n], a condition holds."""
    return _COMPARE[condition["operator"]](values, float(condition["threshold"]))


def filtering(context: Context, verdicts: pa.Table, coverage: shape.Coverage) -> shape.Filtering:
    """Reasons of the stage `filter`, from its receipts, and from the verdicts looked at."""
    first: Counter[str] = Counter(context.manifest("filter").rejected)
    failing: Counter[str] = Counter()
    edited = 0
    for receipt in context.receipts("filter"):
        failing.update(receipt.counts["failing"])
        edited += int(receipt.counts["edited"])
    lists = verdicts["reasons"].to_pylist()
    alone = Counter(reasons[0] for reasons in lists if len(reasons) == 1)
    rules: dict[str, list[shape.Rule]] = {}
    for rule in rules_of(context.recipe):
        rules.setdefault(rule["reason"], []).append(rule)
    reasons = [
        shape.Reason(
            reason=name,
            rules=rules.get(name, []),
            first=first[name],
            failing=failing[name],
            alone=alone[name],
        )
        for name in sorted({*failing, *rules})
    ]
    return shape.Filtering(
        exhaustive=context.recipe.filter.exhaustive,
        languages=dict(context.recipe.filter.languages),
        coverage=coverage,
        edited=edited,
        reasons=sorted(reasons, key=lambda item: (-item["failing"], item["reason"])),
        panels=panels(context.recipe, verdicts),
    )


def panels(recipe: Recipe, verdicts: pa.Table) -> list[shape.Panel]:
    """A histogram for every signal that a table of the chain judges."""
    groups: dict[tuple[str, str], list[shape.Threshold]] = {}
    tables: dict[str, shape.Rule] = {}
    for rule in rules_of(recipe):
        tables.setdefault(rule["table"], rule)
        conditions = conditions_of(rule)
        for condition in conditions:
            groups.setdefault((rule["table"], condition["signal"]), []).append(
                shape.Threshold(
                    **condition, reason=rule["reason"], grouped="signal" not in rule["test"]
                )
            )
    found = []
    for (table, signal), thresholds in groups.items():
        values = verdicts[signal].to_numpy().astype(np.float64)
        rule = tables[table]
        if rule["languages"] or rule["sources"]:
            pairs = zip(
                verdicts["language"].to_pylist(), verdicts["source"].to_pylist(), strict=True
            )
            values = values[[is_for(rule, *pair) for pair in pairs]]
        found.append(panel(table, thresholds, values))
    return found


def panel(table: str, thresholds: Sequence[shape.Threshold], values: Values) -> shape.Panel:
    """The histogram of float64[n] values, NaN for not measured, under conditions on one signal."""
    measured = values[~np.isnan(values)]
    numbers = [float(item["threshold"]) for item in thresholds]
    scale, edges = _bins(measured, [item for item in numbers if math.isfinite(item)])
    passes = np.ones(len(measured), np.bool_)
    for item in thresholds:
        if not item["grouped"]:
            passes &= holds(item, measured)
    inside = np.clip(measured, edges[0], edges[-1])
    return shape.Panel(
        table=table,
        signal=thresholds[0]["signal"],
        thresholds=list(thresholds),
        scale=scale,
        edges=[float(f"{edge:.9g}") for edge in edges],
        passing=np.histogram(inside[passes], edges)[0].tolist(),
        failing=np.histogram(inside[~passes], edges)[0].tolist(),
        below=int((measured < edges[0]).sum()),
        above=int((measured > edges[-1]).sum()),
        missing=len(values) - len(measured),
    )


def _bins(
    values: Values, thresholds: Sequence[float]
) -> tuple[Literal["linear", "log", "counts"], Values]:
    """Edges that hold all thresholds and nearly all values, and their scale."""
    quantiles = [_OUTLIERS, 0.5, 1 - _OUTLIERS]
    least, median, most = (
        np.quantile(values, quantiles).tolist() if len(values) else (0.0, 0.0, 0.0)
    )
    low, high = min([least, *thresholds]), max([most, *thresholds])
    whole = bool(np.all(values == np.floor(values))) and all(t.is_integer() for t in thresholds)
    if whole:
        low, high = math.floor(low), math.ceil(high)
    if whole and high - low <= _MOST_COUNTS:
        return "counts", np.arange(low, max(high, low + _LEAST_COUNTS - 1) + 1.5) - 0.5
    if low >= 0 and high > _LONG_TAIL * max(median, 1.0):
        low, high = _outward(low, -1), _outward(high, 1)
        edges = np.expm1(np.linspace(np.log1p(low), np.log1p(high), BINS + 1))
        edges[0], edges[-1] = low, high
        return "log", edges
    # what is beyond a threshold has some room too
    room = 0.08 * (high - low) or 0.5
    if high in thresholds:
        high += room
    if low in thresholds and low > 0:
        low -= min(room, low)
    if 0 < low < high / 4:
        low = 0.0
    low, high = _outward(low, -1), _outward(high, 1)
    if low == high:
        low, high = low - room, high + room
    return "linear", np.linspace(low, high, BINS + 1)


def _outward(value: float, direction: int) -> float:
    """The next number of two digits below (-1) or above (1)."""
    if value == 0:
        return 0.0
    unit = 10.0 ** (math.floor(math.log10(abs(value))) - 1)
    places = direction * math.ceil(direction * value / unit - 1e-9)
    return float(f"{places * unit:.2g}")
