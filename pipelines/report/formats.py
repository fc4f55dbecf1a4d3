"""Numbers as a reader wants them."""

from __future__ import annotations

import math

from pipelines.report.shape import ClusterSizes, Condition, Rule

OPERATORS = {">=": "≥", "<=": "≤", "!=": "≠", "==": "=", ">": ">", "<": "<"}


def count(number: int) -> str:
    """12,345."""
    return f"{number:,}"


def plural(number: int, one: str, many: str = "") -> str:
    """1 document; 12,345 documents."""
    return f"{number:,} {one if number == 1 else many or one + 's'}"


def share(part: float, whole: float) -> str:
    """12.3%. All and nothing are said only of what is all or nothing."""
    if not whole:
        return "–"
    percent = 100 * part / whole
    if part and percent < 0.1:
        return "< 0.1%"
    if part != whole and 99.9 < percent < 100:
        return "> 99.9%"
    return f"{percent:.0f}%" if part in (0, whole) else f"{percent:.1f}%"


def size(number: int) -> str:
    """Bytes in decimal units: 12.3 MB."""
    value = float(number)
    for unit in ("bytes", "kB", "MB", "GB", "TB"):
        if value < 999.5:
            return f"{number:,} bytes" if unit == "bytes" else f"{value:.3g} {unit}"
        value /= 1000
    return f"{value:,.3g} PB"


def duration(seconds: float) -> str:
    """12 ms, 0.4 s, 12 s, 3 min 20 s, 2 h 5 min."""
    if seconds < 0.1:
        return f"{1000 * seconds:.0f} ms"
    if seconds < 60:
        return f"{seconds:.1f} s" if seconds < 10 else f"{seconds:.0f} s"
    large, small, unit, under = (
        (*divmod(round(seconds), 60), "min", "s")
        if seconds < 3600
        else (*divmod(round(seconds / 60), 60), "h", "min")
    )
    return f"{large:,} {unit} {small} {under}" if small else f"{large:,} {unit}"


def value(number: float) -> str:
    """A signal's value or a threshold in few characters: 0.12, 50, 100k."""
    if math.isinf(number):
        return "∞" if number > 0 else "−∞"
    for unit, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(number) >= unit * (10 if letter == "k" else 1):
            return f"{number / unit:.3g}{letter}"
    if float(number).is_integer():
        return f"{number:,.0f}"
    return f"{number:.3g}"


def rate(number: float) -> str:
    """A number of three digits or a whole one: 0.0123, 48.2, 1,530."""
    return f"{number:,.0f}" if number >= 100 else f"{number:.3g}"


def exact(number: float) -> str:
    """A signal's value as it is stored: 0.123456789, 12,345."""
    return f"{number:,.9f}".rstrip("0").rstrip(".")


def size_range(item: ClusterSizes) -> str:
    """2; 5–9; 1k–10k."""
    low, high = item["smallest"], item["largest"]
    if low == high:
        return str(low)
    return f"{low}–{high}" if high < 1000 else f"{low // 1000}k–{(high + 1) // 1000}k"


def must(condition: Condition) -> str:
    """What a condition asks of its signal: ≥ 50."""
    return f"{OPERATORS[condition['operator']]} {value(float(condition['threshold']))}"


def decide(rule: Rule) -> str:
    """A whole rule: gopher.words ≥ 50 (of de, fr)."""
    words = (OPERATORS.get(word, word) for word in rule["test"].split(" "))
    return " ".join(words) + rule["scope"]
