"""What a measure is: a pure function of a view that returns numbers, its signals."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from curation.measures.view import View

Signals = dict[str, float]


def round_signal(value: float) -> float:
    """A signal as it is stored and tested: 9 decimals, as a 64-bit float.

    Signals are rounded here and nowhere else. A share of up to 4 million parts that differs from
    a threshold of two decimals differs by more than this takes away, so that no published rule
    decides otherwise; and the stored value gives the stored verdict again.
    """
    return round(float(value), 9)


def ratio(part: float, whole: float) -> float:
    """`part / whole`; a share of nothing is 0, so that every text has every signal."""
    return part / whole if whole else 0.0


@dataclass(frozen=True, slots=True)
class Measure:
    """A family of signals.

    `version` is bumped by hand when a value changes; `formulas` has, in order, the signals it
    gives, without the family, and what each is; `source` says by whom; `libraries` whose versions
    may change a value; `by_language` if a value depends on the language of the view.

    `function` gives the values of a view by name; if `batched`, those of each view of a list. The
    values of a text must not depend on the other texts of its batch.
    """

    family: str
    version: int
    formulas: Mapping[str, str]
    function: Callable[[Any], Any]
    libraries: tuple[str, ...] = ()
    source: str = ""
    by_language: bool = False
    batched: bool = False

    @property
    def names(self) -> tuple[str, ...]:
        """The signals, in order, without the family."""
        return tuple(self.formulas)

    @property
    def signals(self) -> tuple[str, ...]:
        """The full names, `family.signal`."""
        return tuple(f"{self.family}.{name}" for name in self.names)

    def __call__(self, view: View) -> Signals:
        """The rounded signals of a text by full name, in the order of `signals`."""
        return self.many([view])[0]

    def many(self, views: Sequence[View]) -> list[Signals]:
        """The signals of each of some texts."""
        function: Callable[[Any], Any] = self.function
        every: Iterable[Mapping[str, float]] = (
            function(views) if self.batched else map(function, views)
        )
        names = [(f"{self.family}.{name}", name) for name in self.formulas]
        return [{full: round_signal(values[name]) for full, name in names} for values in every]
