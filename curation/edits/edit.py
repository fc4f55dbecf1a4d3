"""What an edit is: a pure function from a view to another one, with signals of what it did."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from curation.measures import Signals, View, round_signal


@dataclass(frozen=True, slots=True)
class Edited:
    """An edited text, as the view that the next measures share, and the edit's signals."""

    view: View
    signals: Signals

    @property
    def text(self) -> str:
        """The text after the edit."""
        return self.view.text


@dataclass(frozen=True, slots=True)
class Edit:
    """A named change of a text.

    `version` is bumped by hand when a text or value changes; `formulas` has, in order, the signals
    it gives, without the edit's name, and what each is; `source` says by whom; `libraries` whose
    versions may change any of them. What it does to the text says its function's docstring.

    `function` gives the edited view and values by name of a view; if `batched`, of each of a list.
    """

    name: str
    version: int
    formulas: Mapping[str, str]
    function: Callable[[Any], Any]
    libraries: tuple[str, ...] = ()
    source: str = ""
    batched: bool = False

    @property
    def names(self) -> tuple[str, ...]:
        """The signals, in order, without the edit's name."""
        return tuple(self.formulas)

    @property
    def does(self) -> str:
        """What it does to a text."""
        function = getattr(self.function, "func", self.function)  # of a variant
        return " ".join((function.__doc__ or "").split())

    @property
    def signals(self) -> tuple[str, ...]:
        """The full names, `edit.signal`."""
        return tuple(f"{self.name}.{name}" for name in self.names)

    def __call__(self, view: View) -> Edited:
        """The edited text, with rounded signals by full name in the order of `signals`."""
        return self.many([view])[0]

    def many(self, views: Sequence[View]) -> list[Edited]:
        """Each of some texts edited."""
        every = self.function(views) if self.batched else map(self.function, views)
        return [Edited(edited, self._signals(values)) for edited, values in every]

    def _signals(self, values: Mapping[str, float]) -> Signals:
        return {f"{self.name}.{name}": round_signal(values[name]) for name in self.formulas}
