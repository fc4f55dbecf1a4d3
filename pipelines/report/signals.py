"""What the rules did: their reasons, and the distributions of the signals that they judge."""

from __future__ import annotations

import math
import operator
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from pipelines.report import shape
from pipelines.steps import Context
from schemas.recipe import Recipe, RulesStep
from schemas.rules import Rule, RuleTable

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
    """All rules of the chain, in order; each has a reason of its own."""
    return [
        shape.Rule(
            table=step.rules.name,
            reason=rule.reason,
            signal=rule.signal,
            operator=rule.operator,
            threshold=_threshold(rule),
        )
        for step in recipe.judge.chain
        if isinstance(step, RulesStep) and isinstance(step.rules, RuleTable)
        for rule in step.rules.rules
    ]


def _threshold(rule: Rule) -> float | Literal["inf", "-inf"]:
    # signals are numbers, so a checked chain compares them with numbers
    threshold = float(rule.threshold)  # type: ignore[arg-type]
    if math.isinf(threshold):  # JSON knows none
        return "inf" if threshold > 0 else "-inf"
    return threshold


def holds(rule: shape.Rule, values: Values) -> Mask:
    """For which values, float64[n], a rule holds."""
    return _COMPARE[rule["operator"]](values, float(rule["threshold"]))


def judgement(context: Context, verdicts: pa.Table, coverage: shape.Coverage) -> shape.Judgement:
    """Reasons of the stage `judge`, from its receipts, and from the verdicts looked at."""
    first: Counter[str] = Counter(context.manifest("judge").rejected)
    failing: Counter[str] = Counter()
    edited = 0
    for receipt in context.receipts("judge"):
        failing.update(receipt.counts["failing"])
        edited += int(receipt.counts["edited"])
    lists = verdicts["reasons"].to_pylist()
    alone = Counter(reasons[0] for reasons in lists if len(reasons) == 1)
    rules = {rule["reason"]: rule for rule in rules_of(context.recipe)}
    reasons = [
        shape.Reason(
            reason=name,
            rule=rules.get(name),
            first=first[name],
            failing=failing[name],
            alone=alone[name],
        )
        for name in sorted({*failing, *rules})
    ]
    return shape.Judgement(
        exhaustive=context.recipe.judge.exhaustive,
        languages=dict(context.recipe.judge.languages),
        coverage=coverage,
        edited=edited,
        reasons=sorted(reasons, key=lambda item: (-item["failing"], item["reason"])),
        panels=panels(context.recipe, verdicts),
    )


def panels(recipe: Recipe, verdicts: pa.Table) -> list[shape.Panel]:
    """A histogram for every signal that a table of the chain judges."""
    groups: dict[tuple[str, str], list[shape.Rule]] = {}
    for rule in rules_of(recipe):
        groups.setdefault((rule["table"], rule["signal"]), []).append(rule)
    return [
        panel(rules, verdicts[signal].to_numpy().astype(np.float64))
        for (_, signal), rules in groups.items()
    ]


def panel(rules: Sequence[shape.Rule], values: Values) -> shape.Panel:
    """The histogram of float64[n] values, NaN for not measured, under rules on one signal."""
    measured = values[~np.isnan(values)]
    thresholds = [float(rule["threshold"]) for rule in rules]
    scale, edges = _bins(measured, [item for item in thresholds if math.isfinite(item)])
    passes = np.logical_and.reduce([holds(rule, measured) for rule in rules])
    inside = np.clip(measured, edges[0], edges[-1])
    return shape.Panel(
        table=rules[0]["table"],
        signal=rules[0]["signal"],
        rules=list(rules),
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
