"""What the rules did: their reasons, and the distributions of the signals that they test."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from curation.rules import applies, holds, said
from curation.steps import CONTAMINATED, CUT_SHORT, PERSONAL_DATA, languages_said, table_of
from pipelines.report import shape
from pipelines.report.losses import Losses
from pipelines.runs.steps import Context
from schemas.chain import (
    Chain,
    CutStep,
    DecontaminateStep,
    LanguagesStep,
    RedactStep,
    RulesStep,
    Scope,
)
from schemas.rules import Condition, Row, conditions

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

_CONDITION = ("signal", "operator", "threshold")

Test = tuple[RulesStep, Row]


def rules_of(spec: Chain) -> list[Test]:
    """All rules of a chain, in order, each with its step."""
    return [
        (step, rule)
        for _, step in spec.steps()
        if isinstance(step, RulesStep)
        for rule in table_of(step).rules
    ]


def signals_of(spec: Chain) -> list[str]:
    """The signals that rules of a chain test, in order."""
    tested = (each.signal for _, rule in rules_of(spec) for _, each in conditions(rule))
    return list(dict.fromkeys(tested))


def _by_reason(spec: Chain) -> dict[str, list[shape.Rule]]:
    """What must hold, by the reason of what does not; several are for different documents."""
    found: dict[str, list[shape.Rule]] = {}
    for _, step in spec.steps():
        if isinstance(step, RulesStep):
            table = table_of(step)
            for row in table.rules:
                rule = shape.Rule(table=table.name, test=said(row), scope=step.scope())
                found.setdefault(row.reason, []).append(rule)
        elif isinstance(step, LanguagesStep):
            for reason, test in languages_said(step.languages).items():
                rule = shape.Rule(table="languages", test=test, scope=step.scope())
                found.setdefault(reason, []).append(rule)
    return found


def passing(condition: shape.Condition, values: Values) -> Mask:
    """Which of measured values, float64[n], a condition holds for."""
    asked = Condition.model_validate({key: condition[key] for key in _CONDITION})  # type: ignore[literal-required]
    held: Mask = holds(asked, {asked.signal: pa.array(values)}).to_numpy(zero_copy_only=False)
    return held


def filtering(
    context: Context,
    verdicts: pa.Table,
    coverage: shape.Coverage,
    lost: Losses,
    ratios: Mapping[str, float] | None,
) -> shape.Filtering:
    """Reasons of the stage `filter`, from its receipts, and from the verdicts looked at. ratios:
    tokens a byte by source, see `pipelines.look.sweep.tokens_a_byte`."""
    first: Counter[str] = Counter(context.manifest("filter").rejected)
    failing: Counter[str] = Counter()
    edited = 0
    for receipt in context.receipts("filter"):
        failing.update(receipt.counts["failing"])
        edited += int(receipt.counts["edited"])
    rules = _by_reason(context.recipe.filter)
    tested = _tested(context.recipe.filter, verdicts)
    rows = coverage["rows"] / max(1, coverage["looked_at"])
    reasons = [
        shape.Reason(
            reason=name,
            rules=rules.get(name, []),
            tested=round(rows * tested[name]),
            first=first[name],
            failing=failing[name],
            alone=sum(number for number, _ in lost.alone.get(name, {}).values()),
            costs=[
                shape.Cost(
                    source=source,
                    documents=documents,
                    bytes=size,
                    tokens=None if ratios is None else round(size * ratios.get(source, ratios[""])),
                )
                for source, (documents, size) in sorted(
                    lost.alone.get(name, {}).items(), key=lambda item: (-item[1][1], item[0])
                )
            ],
        )
        for name in sorted({*failing, *rules})
    ]
    return shape.Filtering(
        exhaustive=context.recipe.filter.exhaustive,
        coverage=coverage,
        summed=lost.coverage,
        edited=edited,
        reasons=sorted(reasons, key=lambda item: (-item["failing"], item["reason"])),
        panels=panels(context.recipe.filter, verdicts),
    )


def _tested(spec: Chain, verdicts: pa.Table) -> Counter[str]:
    """By reason, how many of the documents looked at a step tested that gives this reason: those
    that it is for, and, unless the chain is exhaustive, that no step before it rejects."""
    columns = {name: verdicts[name] for name in verdicts.column_names}
    failed = [frozenset(reasons) for reasons in verdicts["reasons"].to_pylist()]
    came = np.ones(len(failed), np.bool_)
    tested: dict[str, Mask] = {}
    for _, step in spec.steps():
        mask = applies(step, columns)
        own = came if mask is None else came & mask.to_numpy()
        reasons = _reasons_of(step)
        for reason in reasons:
            tested[reason] = tested.get(reason, False) | own
        if reasons and not spec.exhaustive:
            gone = np.fromiter((not reasons.isdisjoint(each) for each in failed), np.bool_)
            came = came & ~(own & gone)
    return Counter({reason: int(mask.sum()) for reason, mask in tested.items()})


_GIVEN: dict[type[Scope], frozenset[str]] = {
    RedactStep: frozenset({PERSONAL_DATA}),
    DecontaminateStep: frozenset({CONTAMINATED, CUT_SHORT}),
    CutStep: frozenset({CUT_SHORT}),
}


def _reasons_of(step: Scope) -> frozenset[str]:
    """The reasons that a step may give."""
    if isinstance(step, RulesStep):
        return frozenset(rule.reason for rule in table_of(step).rules)
    if isinstance(step, LanguagesStep):
        return frozenset(languages_said(step.languages))
    return _GIVEN.get(type(step), frozenset())


def panels(spec: Chain, verdicts: pa.Table) -> list[shape.Panel]:
    """A histogram for every signal that a table of the chain tests, of the documents that the
    table is for."""
    columns = {name: verdicts[name] for name in verdicts.column_names}
    kept = verdicts["kept"].to_numpy()
    found = []
    for _, step in spec.steps():
        if not isinstance(step, RulesStep):
            continue
        groups: dict[str, list[shape.Threshold]] = {}
        for rule in table_of(step).rules:
            for _, condition in conditions(rule):
                if pa.types.is_floating(columns[condition.signal].type):
                    own = _threshold(condition, rule.reason, rule is not condition)
                    groups.setdefault(condition.signal, []).append(own)
        mask = applies(step, columns)
        is_for = slice(None) if mask is None else mask.to_numpy()
        for signal, thresholds in groups.items():
            numbers = columns[signal].to_numpy().astype(np.float64)[is_for]
            found.append(panel(table_of(step).name, thresholds, numbers, kept[is_for]))
    return found


def _threshold(condition: Condition, reason: str, grouped: bool) -> shape.Threshold:
    number: float | Literal["inf", "-inf"] = float(condition.threshold)  # type: ignore[arg-type]
    if math.isinf(float(number)):  # JSON knows none
        number = "inf" if float(number) > 0 else "-inf"
    return shape.Threshold(
        signal=condition.signal,
        operator=condition.operator,
        threshold=number,
        reason=reason,
        grouped=grouped,
    )


def panel(
    table: str, thresholds: Sequence[shape.Threshold], values: Values, kept: Mask
) -> shape.Panel:
    """The histogram of float64[n] values, NaN for not measured, under conditions on one signal;
    bool[n] kept: whose documents were kept."""
    known = ~np.isnan(values)
    measured = values[known]
    numbers = [float(item["threshold"]) for item in thresholds]
    scale, edges = _bins(measured, [item for item in numbers if math.isfinite(item)])
    passes = np.ones(len(measured), np.bool_)
    for item in thresholds:
        if not item["grouped"]:
            passes &= passing(item, measured)
    inside = np.clip(measured, edges[0], edges[-1])
    return shape.Panel(
        table=table,
        signal=thresholds[0]["signal"],
        thresholds=list(thresholds),
        scale=scale,
        edges=[float(f"{edge:.9g}") for edge in edges],
        passing=np.histogram(inside[passes], edges)[0].tolist(),
        failing=np.histogram(inside[~passes], edges)[0].tolist(),
        kept=np.histogram(inside[kept[known]], edges)[0].tolist(),
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
