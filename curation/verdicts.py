"""What a chain's rules say of documents by signals that are stored, without their texts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from curation.rules import Columns, applies, holds, said
from curation.steps import (
    COLUMN,
    LANGUAGE,
    LANGUAGE_SCORE,
    LANGUAGE_SIGNAL,
    languages_said,
    table_of,
)
from schemas.chain import Chain, LanguagesStep, RulesStep, Scope
from schemas.rules import Condition, Row, conditions


@dataclass(frozen=True)
class Criterion:
    """A reason to reject a document: a row of a rule table, or a choice of languages.

    table: its name, `languages` for the choice; asked: what must hold, in a line.
    """

    table: str
    reason: str
    asked: str
    scope: Scope
    rule: Row | None = None

    @property
    def signals(self) -> tuple[str, ...]:
        """What it tests."""
        if self.rule is None:
            return () if self.reason == LANGUAGE else (LANGUAGE_SIGNAL,)
        return tuple(dict.fromkeys(each.signal for _, each in conditions(self.rule)))

    @property
    def columns(self) -> frozenset[str]:
        """The columns of stored verdicts that decide it."""
        return frozenset((*self.signals, *self.scope.limits())) | {LANGUAGE}

    def failed(self, documents: Columns) -> pa.BooleanArray:
        """Which documents fail, bool [n]; null where a signal was not measured, false where the
        test is not for a document. Raises KeyError for a signal that has no column."""
        if self.rule is None:
            found = self._language(documents)
        else:
            found = pc.invert(holds(self.rule, documents))
            if any(name.startswith(f"{COLUMN}.") for name in self.signals):
                # what a row does not say is not what must hold
                found = pc.fill_null(found, True)
        mask = applies(self.scope, documents)
        return found if mask is None else pc.and_kleene(found, mask)

    def _language(self, documents: Columns) -> pa.BooleanArray:
        least: Mapping[str, float] = self.scope.languages  # type: ignore[attr-defined]
        codes = pa.array(least, pa.string())
        place = pc.index_in(documents[LANGUAGE], codes)
        if self.reason == LANGUAGE:
            return pc.is_null(place)
        bounds = pa.array(least.values(), pa.float64()).take(place)
        passed = pc.greater(documents[LANGUAGE_SIGNAL], bounds)
        return pc.and_kleene(pc.invert(passed), pc.is_valid(place))

    def with_threshold(self, threshold: Any) -> Criterion:
        """The same with another threshold; it is a row of one condition."""
        assert isinstance(self.rule, Condition)  # noqa: S101 - see `sweepable`
        rule = self.rule.model_copy(update={"threshold": threshold})
        return replace(self, rule=rule, asked=said(rule))

    @property
    def sweepable(self) -> bool:
        """Whether it has one threshold, which is a number."""
        rule = self.rule
        return isinstance(rule, Condition) and type(rule.threshold) in (int, float)


def criteria(chain: Chain) -> Iterator[Criterion]:
    """The tests of a chain that stored signals decide, in order."""
    for _, step in chain.steps():
        if isinstance(step, RulesStep):
            table = table_of(step)
            for row in table.rules:
                yield Criterion(table.name, row.reason, said(row), step, row)
        elif isinstance(step, LanguagesStep):
            asked = languages_said(step.languages)
            for reason in (LANGUAGE, LANGUAGE_SCORE):
                yield Criterion("languages", reason, asked[reason], step)
