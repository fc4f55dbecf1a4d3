"""From a text to its verdict: edits, signals and rules in the order of a recipe's chain."""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from curation.classifiers import signals as classifiers
from curation.edits import EDITS, Edit
from curation.language import canonical
from curation.lines import normalised
from curation.measures import MEASURES, Measure, View
from curation.measures.view import VERSION as VIEW_VERSION
from curation.rules import failing
from schemas.base import ModelFile
from schemas.filter import EditStep, Filter, RulesStep
from schemas.problems import Problem, close_to
from schemas.rules import Condition, Row, RuleTable, conditions

LANGUAGE = "language"
LANGUAGE_SCORE = "language_score"
SOURCE = "source"

# Whose signal it is: `measure` or `edit`, and its name.
_OWNERS = {
    **{name: ("measure", item.family) for item in MEASURES.values() for name in item.signals},
    **{name: ("edit", item.name) for item in EDITS.values() for name in item.signals},
}


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a chain made of a document.

    `text` is edited as far as the chain went. `signals` has every signal of the chain, null where
    it was not measured. `reasons` are all that failed, in the order of the chain.
    """

    text: str
    signals: dict[str, float | None]
    reasons: list[str]

    @property
    def kept(self) -> bool:
        """Whether no rule failed."""
        return not self.reasons


def check_chain(spec: Filter) -> list[tuple[str, str]]:
    """Every mistake of a chain: its path in the recipe, and what is wrong and would be right.

    The tables must be in the recipe (`rules.load_table`); raises ValueError for a name.
    """
    return list(_check(spec))


def _owners(spec: Filter) -> dict[str, tuple[str, str]]:
    """Whose each signal is, those of the chain's own classifiers too."""
    own = {
        f"{classifiers.FAMILY}.{signal}": ("measure", f"{classifiers.FAMILY}.{name}")
        for name, item in spec.classifiers.items()
        for signal in classifiers.formulas(name, item)
    }
    return _OWNERS | own


def _check(spec: Filter) -> Iterator[tuple[str, str]]:
    owners = _owners(spec)
    measured: dict[str, str] = {}  # by family: where
    edited: dict[str, str] = {}  # by edit: where
    tables: dict[str, str] = {}
    # by reason: where, and of which documents
    reasons = {
        name: [("filter.languages", RulesStep(rules=""))] for name in (LANGUAGE, LANGUAGE_SCORE)
    }
    stale: dict[str, str] = {}  # families measured before an edit: that edit
    for number, step in enumerate(spec.chain):
        here = f"filter.chain[{number}]"
        if isinstance(step, EditStep):
            path = f"{here}.edit"
            if step.edit not in EDITS:
                yield (
                    path,
                    f"no edit is called `{step.edit}`{close_to(step.edit, EDITS) or '.'} "
                    f"There are {', '.join(EDITS)}",
                )
            elif step.edit in edited:
                yield path, f"`{step.edit}` was done at {edited[step.edit]}: leave one out"
            edited.setdefault(step.edit, here)
            for family in measured:
                stale.setdefault(family, f"`{step.edit}` at {here}")
            continue
        if spec.languages:
            for index, language in enumerate(step.languages):
                if language not in spec.languages:
                    yield (
                        f"{here}.languages[{index}]",
                        f"no document in `{language}` is kept: `filter.languages` has "
                        f"{', '.join(spec.languages)}; add it there, or leave it out here",
                    )
        table = _table(step)
        path = f"{here}.rules"
        if table.name in tables:
            yield (
                f"{path}.name",
                f"the table `{table.name}` is at {tables[table.name]} too: leave one out, or give "
                "it another name",
            )
        tables.setdefault(table.name, here)
        for place, rule in enumerate(table.rules):
            row = f"{path}.rules[{place}]"
            others = reasons.setdefault(rule.reason, [])
            other = next((there for there, scope in others if _share(scope, step)), "")
            if other:
                yield (
                    f"{row}.reason",
                    f"`{rule.reason}` is a reason of {other} too; a reason must tell which rule "
                    "failed: give each its own, or limit them to documents of different languages "
                    "or sources",
                )
            others.append((row, step))
            for inside, condition in conditions(rule):
                where = f"{row}.{inside}" if inside else row
                kind, owner = owners.get(condition.signal, ("", ""))
                if not kind:
                    mend = closest(condition.signal, spec)
                    yield (
                        f"{where}.signal",
                        f"no signal is called `{condition.signal}`{mend}",
                    )
                    continue
                if kind == "edit" and owner not in edited:
                    yield (
                        f"{where}.signal",
                        f"`{condition.signal}` is a signal of the edit `{owner}`, which is not "
                        f"done before: put `edit: {owner}` in front of this table",
                    )
                if kind == "measure" and owner in stale:
                    yield (
                        f"{where}.signal",
                        f"`{condition.signal}` was measured at {measured[owner]}, before the edit "
                        f"{stale[owner]} changed the text, and a document has one value of a "
                        "signal: put all tables that need it on one side of the edit",
                    )
                elif kind == "measure":
                    measured.setdefault(owner, here)
                mismatch = _mismatch(condition)
                if mismatch:
                    yield f"{where}.{mismatch}", _needs_number(condition)


def _share(one: RulesStep, other: RulesStep) -> bool:
    """Whether two steps may judge the same document."""
    return all(
        not mine or not theirs or not set(mine).isdisjoint(theirs)
        for mine, theirs in (
            (one.languages, other.languages),
            (one.sources, other.sources),
        )
    )


def _table(step: RulesStep) -> RuleTable:
    if isinstance(step.rules, str):
        raise ValueError(f"the table `{step.rules}` is not loaded; see curation.rules.load_table")
    return step.rules


def closest(signal: str, spec: Filter) -> str:
    """What there is instead of an unknown signal."""
    family, _, name = signal.partition(".")
    if family == classifiers.FAMILY:
        own = [s for n, item in spec.classifiers.items() for s in classifiers.formulas(n, item)]
        return (
            f"{close_to(name, own) or '.'} Its model stands in `filter.classifiers`, which has "
            f"{', '.join(spec.classifiers) or 'none'}; a `.bucket` needs `cutoffs`"
        )
    owner = MEASURES.get(family) or EDITS.get(family)
    if owner is not None:
        return (
            f"{close_to(name, owner.names) or '.'} Of `{family}` there are {', '.join(owner.names)}"
        )
    families = [*MEASURES, *EDITS, classifiers.FAMILY]
    return f"{close_to(family, families) or '.'} Signals begin with {', '.join(families)}"


def _mismatch(condition: Condition) -> str:
    """The key of a condition that does not fit a number; every signal is one."""
    if condition.operator in ("in", "not in"):
        return "operator"
    threshold = condition.threshold
    if isinstance(threshold, bool) or not isinstance(threshold, int | float):
        return "threshold"
    return "threshold" if math.isnan(threshold) else ""


def _needs_number(condition: Condition) -> str:
    return (
        f"`{condition.signal}` is a number, and cannot be judged by `{condition.operator} "
        f"{condition.threshold!r}`: compare it with a number by >, >=, <, <=, == or !="
    )


@dataclass(frozen=True, slots=True)
class _Table:
    """A step of rules. languages, sources: of which documents; empty for all."""

    measures: Mapping[str, Measure]
    rules: tuple[Row, ...]
    languages: frozenset[str]
    sources: frozenset[str]

    def is_for(self, language: str, source: str) -> bool:
        return (not self.languages or language in self.languages) and (
            not self.sources or source in self.sources
        )


class Chain:
    """A chain ready to judge documents."""

    def __init__(
        self, spec: Filter, find: Callable[[ModelFile], Path] = classifiers.local_file
    ) -> None:
        """Compile a recipe's `filter`.

        `find`: where the file of a classifier's model is, which is loaded when it is first asked.
        Raises Problem with every mistake that `check_chain` finds, ValueError for a table that
        is given by name.
        """
        mistakes = check_chain(spec)
        if mistakes:
            raise Problem("\n".join(f"{path}: {message}" for path, message in mistakes))
        self._least = dict(spec.languages)
        self._exhaustive = spec.exhaustive
        self._steps: list[Edit | _Table] = []
        signals: dict[str, None] = {}
        needs = {LANGUAGE, LANGUAGE_SCORE} if spec.languages else set()
        versions: dict[str, int | str] = {}
        libraries: set[str] = set()
        owner_of = _owners(spec)
        known = MEASURES | classifiers.measures(spec.classifiers, find)

        def take(measures: Mapping[str, Measure]) -> None:
            for name, item in measures.items():
                signals.update(dict.fromkeys(item.signals))
                versions[f"measure {name}"] = item.version
                libraries.update(item.libraries)
            if any(item.by_language for item in measures.values()):
                needs.add(LANGUAGE)

        for step in spec.chain:
            if isinstance(step, EditStep):
                edit = EDITS[step.edit]
                self._steps.append(edit)
                signals |= dict.fromkeys(edit.signals)
                versions[f"edit {edit.name}"] = edit.version
                libraries.update(edit.libraries)
                continue
            rules = _table(step).rules
            owners = dict.fromkeys(
                owner_of[condition.signal] for row in rules for _, condition in conditions(row)
            )
            measures = {name: known[name] for kind, name in owners if kind == "measure"}
            scope = (frozenset(step.languages), frozenset(step.sources))
            self._steps.append(_Table(measures, rules, *scope))
            if step.languages:
                needs.add(LANGUAGE)
            if step.sources:
                needs.add(SOURCE)
            take(measures)
        rest = {
            name: item
            for name, item in known.items()
            if item.family == classifiers.FAMILY and f"measure {name}" not in versions
        }
        if rest:
            self._steps.append(_Table(rest, (), frozenset(), frozenset()))
            take(rest)
        if versions:
            versions |= {"view": VIEW_VERSION, "unicode": unicodedata.unidata_version}
            versions |= {name: version(name) for name in sorted(libraries)}
        self.signals: tuple[str, ...] = tuple(signals)
        """Every signal that an outcome has, in the order in which they are measured."""
        self.versions: Mapping[str, int | str] = versions
        """What else than the recipe decides: versions of measures, edits and libraries."""
        self.languages: frozenset[str] = frozenset(spec.languages).union(
            *(step.languages for step in spec.chain if isinstance(step, RulesStep))
        )
        """The languages that it names."""
        self.needs: frozenset[str] = frozenset(needs)
        """Which of `language`, `language_score` and `source` of a document decide anything."""

    def apply(self, text: str, language: str, language_score: float, source: str = "") -> Outcome:
        """Edit, measure and judge a document.

        A family is measured once, at the first table that needs it and is for the document, on the
        text as edited so far. Unless exhaustive, the first table that rejects (or the language) is
        the last. Steps see its lines normalised; a text that no edit changes is given back as it
        came. Raises ValueError if a table is limited to sources and none is given.
        """
        if not source and SOURCE in self.needs:
            raise ValueError("a table of this chain is limited to sources: say which this is of")
        signals: dict[str, float | None] = dict.fromkeys(self.signals)
        measured: set[str] = set()
        reasons = self._language_reasons(language, language_score)
        plain = normalised(text)
        view = View(plain, canonical(language))
        for step in self._steps:
            if reasons and not self._exhaustive:
                break
            if isinstance(step, Edit):
                edited = step(view)
                signals |= edited.signals
                view = edited.view
                continue
            if not step.is_for(language, source):
                continue
            for name, measure in step.measures.items():
                if name not in measured:
                    measured.add(name)
                    signals |= measure(view)
            reasons += failing(step.rules, signals)
        return Outcome(text if view.text == plain else view.text, signals, reasons)

    def _language_reasons(self, language: str, score: float) -> list[str]:
        if not self._least:
            return []
        least = self._least.get(language)
        if least is None:
            return [LANGUAGE]
        return [] if score > least else [LANGUAGE_SCORE]
