"""Groups of documents by rule, which a mixture takes for sources."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pyarrow as pa
import pyarrow.compute as pc

from curation.chain_checks import Mistake, mismatch
from curation.rules import Columns, holds
from schemas.mix import Grouping
from schemas.problems import close_to
from schemas.rules import conditions

VERDICT = ("source", "kind", "format", "language")
COPIES, DOMAIN = "document.copies", "document.domain"
# What rules of groups may test of every document, besides signals and kept columns.
SIGNALS: Mapping[str, pa.DataType] = {
    **{f"document.{name}": pa.string() for name in VERDICT},
    DOMAIN: pa.string(),
    COPIES: pa.float64(),
}


def signals_of(groups: Sequence[Grouping]) -> set[str]:
    """The signals that the rules of groups test."""
    return {each.signal for group in groups for _, each in conditions(group.when)}


def labels(groups: Sequence[Grouping], sources: pa.Array, signals: Columns) -> pa.Array:
    """The group of each document: the first whose rule holds, else its source. A rule over a signal
    that is null holds not."""
    found = sources
    for group in reversed(groups):
        found = pc.if_else(pc.fill_null(holds(group.when, signals), False), group.name, found)
    return found


def check(groups: Sequence[Grouping], types: Mapping[str, pa.DataType]) -> list[Mistake]:
    """What is wrong with the rules, by their paths in a recipe; `types`: of signals."""
    known = {**types, **SIGNALS}
    mistakes = []
    for at, group in enumerate(groups):
        for inside, condition in conditions(group.when):
            path = f"mix.groups[{at}].when{f'.{inside}' if inside else ''}"
            signal = condition.signal
            if signal not in known:
                mend = close_to(signal, known) or f". Of every document: {', '.join(SIGNALS)}"
                mistakes.append((f"{path}.signal", f"no chain measures `{signal}`{mend}"))
            elif wrong := mismatch(condition, known[signal]):
                mistakes.append((f"{path}.{wrong[0]}", wrong[1]))
    return mistakes
