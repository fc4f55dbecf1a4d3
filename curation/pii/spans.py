"""Where personal data stands in a text."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Span:
    """Personal data at [start, end) of a text, in code points; `score` in (0, 1] says how sure."""

    start: int
    end: int
    type: str
    score: float


def apart(spans: Iterable[Span]) -> list[Span]:
    """Those spans, in order, that overlap none surer than they are, nor longer if as sure."""
    chosen: list[Span] = []
    end = 0
    waiting: list[Span] = []
    for span in sorted(set(spans), key=lambda one: (one.start, one.end, one.type)):
        if span.start >= end:
            chosen += _best(waiting)
            waiting = []
        waiting.append(span)
        end = max(end, span.end)
    return chosen + _best(waiting)


def _best(spans: list[Span]) -> list[Span]:
    """`apart` of spans that hang together, by start."""
    if len(spans) < 2:
        return spans
    best: list[Span] = []
    for span in sorted(spans, key=lambda one: (-one.score, one.start - one.end, one.start)):
        if all(span.end <= other.start or other.end <= span.start for other in best):
            best.append(span)
    return sorted(best, key=lambda one: one.start)
