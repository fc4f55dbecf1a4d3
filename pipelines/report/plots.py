"""Inline SVG: bars and histograms that take the width they are given and the page's colours.

Places across are percentages and places down are pixels, so that a plot may become narrower
while its letters keep their size. Colours are classes of the page's style sheet, for light and
dark. What a plot says is also said in words or numbers beside it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from markupsafe import Markup

from pipelines.report import formats, shape

_BAR = 14
_PLOT = 96  # height of a histogram's bars
_TOP = 16  # room for the labels of thresholds
_BOTTOM = 18  # room for the labels of the axis


def bar(parts: Sequence[tuple[str, float]], whole: float, mark: float | None = None) -> Markup:
    """A horizontal bar: parts (colour class, amount) side by side, on a track of `whole`.

    `mark` draws a line where a planned amount would end.
    """
    shapes = [_rect("track", 0, 0, 100, _BAR)]
    left = 0.0
    for colour, amount in parts:
        width = _percent(amount, whole)
        if width:
            shapes.append(_rect(colour, left, 0, max(width, 0.15), _BAR))
        left += width
    if mark is not None:
        shapes.append(_line("mark", _percent(mark, whole), -2, _BAR + 2))
    return _svg("bar", _BAR, shapes)


def step(stage: shape.Stage, whole: int) -> Markup:
    """A step of the waterfall: what a stage kept, and beside it what it rejected, by reason."""
    shapes = [_rect("track", 0, 0, 100, 22)]
    left = _percent(stage["kept"], whole)
    for amount in stage["rejected"].values():
        width = _percent(amount, whole)
        shapes.append(_rect("rejected", left, 0, max(width, 0.15), 22))
        left += width
        if width > 0.5:
            shapes.append(_line("gap", left, 0, 22))
    shapes.append(_rect("kept", 0, 0, _percent(stage["kept"], whole), 22))
    return _svg("bar", 22, shapes)


def histogram(panel: shape.Panel) -> Markup:
    """A signal's histogram with its thresholds.

    Heights go with the square root of the number, or a spike would flatten the rest.
    """
    bins = list(zip(panel["passing"], panel["failing"], strict=True))
    most = max((passing + failing for passing, failing in bins), default=0)
    width = 100 / len(bins)
    floor = _TOP + _PLOT
    shapes = []
    for index, (passing, failing) in enumerate(bins):
        if not passing + failing:
            continue
        height = max(_PLOT * math.sqrt((passing + failing) / most), 1.5)
        low = height * failing / (passing + failing)
        left, wide = index * width, width * 0.86
        title = _bin_title(panel, index, passing, failing)
        pair = [
            _rect("kept", left, floor - height, wide, height - low),
            _rect("rejected", left, floor - low, wide, low),
        ]
        shapes.append(Markup("<g><title>{}</title>{}</g>").format(title, Markup("").join(pair)))
    shapes.append(_rect("axis", 0, floor, 100, 1))
    for row, item in enumerate(panel["thresholds"]):
        shapes += _threshold(panel, item, 11 * (row + 1))
    shapes += _axis(panel, floor + 14)
    return _svg("histogram", floor + _BOTTOM, shapes)


def columns(sizes: Sequence[shape.ClusterSizes]) -> Markup:
    """Clusters by size, each column with its number; heights by square root."""
    most = max(item["clusters"] for item in sizes)
    width = min(100 / len(sizes), 12.5)
    floor = _TOP + _PLOT
    shapes = []
    for index, item in enumerate(sizes):
        left, centre = index * width + width * 0.1, (index + 0.5) * width
        if item["clusters"]:
            height = max(_PLOT * math.sqrt(item["clusters"] / most), 1.5)
            shapes.append(_rect("rejected", left, floor - height, width * 0.8, height))
            shapes.append(
                _text("label", centre, floor - height - 4, formats.value(item["clusters"]))
            )
        shapes.append(_text("tick", centre, floor + 14, size_range(item)))
    shapes.append(_rect("axis", 0, floor, width * len(sizes), 1))
    return _svg("histogram", floor + _BOTTOM, shapes)


def size_range(item: shape.ClusterSizes) -> str:
    """2; 5–9; 1k–10k."""
    low, high = item["smallest"], item["largest"]
    if low == high:
        return str(low)
    return f"{low}–{high}" if high < 1000 else f"{low // 1000}k–{(high + 1) // 1000}k"


def _bin_title(panel: shape.Panel, index: int, passing: int, failing: int) -> str:
    low, high = panel["edges"][index : index + 2]
    if panel["scale"] == "counts":
        where = formats.value(round(low + 0.5))
    else:
        where = f"{formats.value(low)} to {formats.value(high)}"
    return f"{where}: {passing:,} pass, {failing:,} fail"


def _threshold(panel: shape.Panel, item: shape.Threshold, baseline: float) -> list[Markup]:
    number = float(item["threshold"])
    if math.isinf(number):
        return []
    if panel["scale"] == "counts":  # between the last that passes and the first that does not
        number += -0.5 if item["operator"] in (">=", "<") else 0.5
    place = _place(panel, number)
    left = place > 55
    text = _text(
        "rule", place, baseline, formats.must(item), "end" if left else "start", -4 if left else 4
    )
    return [_line("threshold", place, 2, _TOP + _PLOT), text]


def _place(panel: shape.Panel, number: float) -> float:
    """Where a value is across the panel, in percent."""
    low, high = panel["edges"][0], panel["edges"][-1]
    if panel["scale"] == "log":
        low, high, number = math.log1p(low), math.log1p(high), math.log1p(max(number, low))
    return min(100.0, max(0.0, _percent(number - low, high - low)))


def _axis(panel: shape.Panel, baseline: float) -> list[Markup]:
    """The ends of the axis, and on a logarithmic one the powers of ten between."""
    low, high = panel["edges"][0], panel["edges"][-1]
    if panel["scale"] == "counts":
        low, high = low + 0.5, high - 0.5
        if low == high:
            return [_text("tick", 50, baseline, formats.value(low))]
        half = 50 / len(panel["passing"])
    else:
        half = 0.0
    labels = [
        _text("tick", half, baseline, formats.value(low), "start" if half < 5 else "middle"),
        _text("tick", 100 - half, baseline, formats.value(high), "end" if half < 5 else "middle"),
    ]
    if panel["scale"] == "log":
        powers = [10.0**power for power in range(12) if low < 10**power < high]
        labels += [
            _text("tick", place, baseline, formats.value(power))
            for power in powers
            if 18 < (place := _place(panel, power)) < 84
        ]
    return labels


def _percent(part: float, whole: float) -> float:
    return 100 * part / whole if whole else 0.0


def _svg(kind: str, height: float, shapes: Sequence[Markup]) -> Markup:
    return Markup('<svg class="{}" width="100%" height="{:g}" aria-hidden="true">{}</svg>').format(
        kind, height, Markup("").join(shapes)
    )


def _rect(colour: str, left: float, top: float, width: float, height: float) -> Markup:
    return Markup(
        '<rect class="{}" x="{:.2f}%" y="{:.1f}" width="{:.2f}%" height="{:.1f}"/>'
    ).format(colour, left, top, width, height)


def _line(kind: str, place: float, top: float, bottom: float) -> Markup:
    return Markup('<line class="{}" x1="{:.2f}%" x2="{:.2f}%" y1="{:g}" y2="{:g}"/>').format(
        kind, place, place, top, bottom
    )


def _text(
    kind: str, place: float, baseline: float, text: str, anchor: str = "middle", shift: float = 0
) -> Markup:
    return Markup(
        '<text class="{}" x="{:.2f}%" y="{:.1f}" dx="{:g}" text-anchor="{}">{}</text>'
    ).format(kind, place, baseline, shift, anchor, text)
