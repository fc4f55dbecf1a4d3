"""What is wrong with a chain: names, the order of steps, and which documents they are for."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping

import pyarrow as pa

from curation import own
from curation.classifiers import signals as classifiers
from curation.edits import EDITS
from curation.measures import MEASURES
from curation.pii import TYPES as PII_TYPES
from curation.pii.settings import check as check_redact
from curation.steps import (
    COLUMN,
    CONTAMINATED,
    CONTAMINATION,
    CONTAMINATION_SIGNALS,
    CUT_LEVELS,
    CUT_SHORT,
    LANGUAGE,
    LANGUAGE_SCORE,
    LANGUAGE_SIGNAL,
    NUMBER,
    OF_COLUMNS,
    PERSONAL_DATA,
    PII,
    pii_signal,
    pii_signals,
    table_of,
)
from schemas.chain import (
    Chain,
    ChainStep,
    ClassifiersStep,
    CutStep,
    DecontaminateStep,
    EditStep,
    LanguagesStep,
    RedactStep,
    RulesStep,
    Scope,
)
from schemas.pii import Redact
from schemas.problems import Problem, close_to
from schemas.rules import Condition, conditions
from schemas.tables import column_type

Mistake = tuple[str, str]

# Whose signal it is: `measure`, `change` of the text, or `column`; and its name.
Owners = Mapping[str, tuple[str, str]]
_OWNERS: Owners = {
    **{name: ("measure", item.family) for item in MEASURES.values() for name in item.signals},
    **{name: ("change", item.name) for item in EDITS.values() for name in item.signals},
    **dict.fromkeys((f"{PII}.count", *map(pii_signal, sorted(PII_TYPES))), ("change", "redact")),
    **dict.fromkeys(CONTAMINATION_SIGNALS, ("change", "decontaminate")),
    **{f"cut.{name}": ("change", "cut") for name in ("characters", *CUT_LEVELS)},
}


def column_signals(columns: Mapping[str, str]) -> dict[str, tuple[str, pa.DataType]]:
    """Signals that are columns of a document: the column and its type; `columns`: those that a
    recipe keeps, with the names of their types."""
    kept = {f"{COLUMN}.{name}": (name, column_type(kind)) for name, kind in columns.items()}
    known = {signal: (column, NUMBER) for signal, (column, _) in OF_COLUMNS.items()}
    return {LANGUAGE_SIGNAL: (LANGUAGE_SCORE, NUMBER)} | known | kept


def owners_of(spec: Chain, columns: Mapping[str, str] | None = None) -> dict[str, tuple[str, str]]:
    """Whose each signal is that rules of the chain may test."""
    models = {
        f"{classifiers.FAMILY}.{signal}": ("measure", f"{classifiers.FAMILY}.{name}")
        for name, item in spec.classifiers.items()
        for signal in classifiers.formulas(name, item)
    }
    of_columns = {name: (COLUMN, name) for name in column_signals(columns or {})}
    users = {
        signal: ("measure", family)
        for family, item in own.measures(spec.measures).items()
        for signal in item.signals
    }
    edits = {
        signal: ("change", name)
        for kind, name in own.named_by(spec)
        if kind == "edit" and not _missing(name)
        for signal in own.edit(name).signals
    }
    asked = (step.asked for step in spec.chain if isinstance(step, RedactStep))
    personal = {name: ("change", "redact") for each in asked for name in pii_signals(each)}
    return {**_OWNERS, **models, **of_columns, **users, **edits, **personal}


def _missing(edit: str) -> str:
    """Why there is no such edit."""
    try:
        own.edit(edit)
    except Problem as error:
        return str(error)
    return ""


def check_chain(spec: Chain, columns: Mapping[str, str] | None = None) -> list[Mistake]:
    """Every mistake of a chain: its path in the recipe, and what is wrong and would be right.

    The tables must be in the recipe (`rules.load_table`); raises ValueError for a name.
    """
    if wrong := list(_check_measures(spec)):  # without them signals are not known
        return [*wrong, *_check_edits(spec)]
    return list(_Check(spec, columns or {}).mistakes())


def reasons_of(spec: Chain) -> set[str]:
    """Every reason for which a chain, whose tables are loaded, may reject a document."""
    steps = [step for _, step in spec.steps() if isinstance(step, RulesStep)]
    rules = {row.reason for step in steps for row in table_of(step).rules}
    return {LANGUAGE, LANGUAGE_SCORE, CUT_SHORT, *_step_reasons(spec), *rules}


def _check_measures(spec: Chain) -> Iterator[Mistake]:
    for at in range(len(spec.measures)):
        try:
            own.measures(spec.measures[: at + 1])
        except Problem as error:
            yield f"{spec.SECTION}.measures[{at}]", str(error)
            return


def _check_edits(spec: Chain) -> Iterator[Mistake]:
    for path, step in spec.steps():
        if isinstance(step, EditStep) and (missing := _missing(step.edit)):
            yield f"{path}.edit", missing


class _Check:
    def __init__(self, spec: Chain, columns: Mapping[str, str]) -> None:
        self.spec = spec
        self.columns = columns
        self.owners = owners_of(spec, columns)
        self.types = {name: kind for name, (_, kind) in column_signals(columns).items()}
        # steps so far, in order, each with its place: families measured, changes of the text,
        # languages kept, tables; and reasons
        self.measured: dict[str, list[tuple[str, Scope]]] = {}
        self.changes: list[tuple[str, str, Scope]] = []
        self.kept: list[tuple[str, LanguagesStep]] = []
        self.tables: dict[str, str] = {}
        self.reasons: dict[str, list[tuple[str, Scope]]] = {
            reason: [("a step of its own", Scope())]
            for reason in (LANGUAGE, LANGUAGE_SCORE, CUT_SHORT, *_step_reasons(spec))
        }
        # of a family, what changed the text after it was measured, and for which documents
        self.stale: dict[str, list[tuple[str, Scope]]] = {}

    def mistakes(self) -> Iterator[Mistake]:
        yield from _check_edits(self.spec)
        for at, (here, step) in enumerate(self.spec.steps()):
            if isinstance(step, ChainStep):
                raise ValueError(f"the chain `{step.chain}` is not loaded; see rules.in_full")
            if isinstance(step, LanguagesStep):
                yield from self._languages(here, step)
                continue
            yield from self._limits(here, step.languages, step)
            if isinstance(step, RulesStep):
                yield from self._rules(here, step)
            elif isinstance(step, ClassifiersStep):
                yield from self._classifiers(here, step)
            elif isinstance(step, EditStep):
                yield from self._change(step.edit, f"{here}.edit", here, step)
            elif isinstance(step, RedactStep):
                for path, what in check_redact(step.asked):
                    whole = f"{here}.redact.{path}"
                    # a list is of types
                    is_list = not isinstance(step.redact, Redact)
                    yield whole.replace(".types[", "[") if is_list else whole, what
                yield from self._change("redact", f"{here}.redact", here, step)
            elif isinstance(step, DecontaminateStep):
                rewrites = step.decontaminate.policy == "cut"
                path = f"{here}.decontaminate"
                yield from self._change("decontaminate", path, here, step, rewrites=rewrites)
            elif isinstance(step, CutStep):
                if at or self.spec.SECTION != "curate":
                    yield (
                        f"{here}.cut",
                        "the places of spans are those in the filtered text: `cut` is the first "
                        "step of `curate.chain`, and stands nowhere else",
                    )
                yield from self._change("cut", f"{here}.cut", here, step)

    def _languages(self, here: str, step: LanguagesStep) -> Iterator[Mistake]:
        for place, kept in self.kept:
            if _share(kept, step):
                yield here, f"languages are chosen at {place}: leave one out"
        self.kept.append((here, step))

    def _limits(self, here: str, languages: tuple[str, ...], step: Scope) -> Iterator[Mistake]:
        """A language that no document has any more."""
        for place, kept in self.kept:
            if not _within(step, kept):
                continue
            for index, language in enumerate(languages):
                if language not in kept.languages:
                    yield (
                        f"{here}.languages[{index}]",
                        f"no document in `{language}` is kept: `{place}` has "
                        f"{', '.join(kept.languages)}; add it there, or leave it out here",
                    )

    def _classifiers(self, here: str, step: ClassifiersStep) -> Iterator[Mistake]:
        for index, name in enumerate(step.classifiers):
            if name not in self.spec.classifiers:
                there = ", ".join(self.spec.classifiers) or "none"
                yield (
                    f"{here}.classifiers[{index}]",
                    f"no classifier is called `{name}`: `{self.spec.SECTION}.classifiers` has "
                    f"{there}",
                )
                continue
            family = f"{classifiers.FAMILY}.{name}"
            self.measured.setdefault(family, []).append((here, step))

    def _change(
        self, name: str, path: str, here: str, step: Scope, *, rewrites: bool = True
    ) -> Iterator[Mistake]:
        for other, place, scope in self.changes:
            if other == name and _share(scope, step):
                yield path, f"`{name}` was done at {place}: leave one out"
                break
        self.changes.append((name, here, step))
        for family, places in self.measured.items() if rewrites else ():
            if any(_share(scope, step) for _, scope in places):
                self.stale.setdefault(family, []).append((f"`{name}` at {here}", step))

    def _reason(self, reason: str, row: str, step: Scope) -> Iterator[Mistake]:
        others = self.reasons.setdefault(reason, [])
        other = next((place for place, scope in others if _share(scope, step)), "")
        if other:
            yield (
                f"{row}.reason",
                f"`{reason}` is a reason of {other} too; a reason must tell which rule "
                "failed: give each its own, or limit them to different documents, such as those of "
                "different languages or sources",
            )
        others.append((row, step))

    def _rules(self, here: str, step: RulesStep) -> Iterator[Mistake]:
        table = table_of(step)
        path = f"{here}.rules"
        if table.name in self.tables:
            yield (
                f"{path}.name",
                f"the table `{table.name}` is at {self.tables[table.name]} too: leave one out, or "
                "give it another name",
            )
        self.tables.setdefault(table.name, here)
        for place, rule in enumerate(table.rules):
            row = f"{path}.rules[{place}]"
            yield from self._reason(rule.reason, row, step)
            for inside, condition in conditions(rule):
                where = f"{row}.{inside}" if inside else row
                yield from self._condition(here, where, condition, step)

    def _condition(
        self, here: str, where: str, condition: Condition, step: Scope
    ) -> Iterator[Mistake]:
        signal = condition.signal
        kind, owner = self.owners.get(signal, ("", ""))
        if not kind:
            mend = closest(signal, self.spec, self.columns)
            yield f"{where}.signal", f"no signal is called `{signal}`{mend}"
            return
        if kind == "change":
            done = [
                scope
                for name, _, scope in self.changes
                if name == owner and signal in _signals(scope, signal)
            ]
            own = owner in ("redact", "decontaminate", "cut")
            what = f"`{owner}`" if own else f"the edit `{owner}`"
            if not done:
                step_ = owner if own else f"edit: {owner}"
                yield (
                    f"{where}.signal",
                    f"`{signal}` is a signal of {what}, which is not done before, or not asked for "
                    f"it: put `{step_}` in front of this table",
                )
            elif not any(_within(step, scope) for scope in done):
                yield (
                    f"{where}.signal",
                    f"`{signal}` is a signal of {what}, which is done for fewer documents: limit "
                    "this table to the same",
                )
        if kind == "measure":
            yield from self._stale(here, where, signal, owner, step)
        if wrong := mismatch(condition, self.types.get(signal, NUMBER)):
            yield f"{where}.{wrong[0]}", wrong[1]

    def _stale(
        self, here: str, where: str, signal: str, family: str, step: Scope
    ) -> Iterator[Mistake]:
        """A family of which a document would need a value before and after a change."""
        places = self.measured.setdefault(family, [])
        for place, scope in places:
            for change, changed in self.stale.get(family, ()):
                if _share(scope, step) and _share(changed, step) and _share(changed, scope):
                    yield (
                        f"{where}.signal",
                        f"`{signal}` was measured at {place}, before {change} changed the text, "
                        "and a document has one value of a signal: put all tables that need it on "
                        "one side of the change",
                    )
                    return
        if (here, step) not in places:
            places.append((here, step))


def _step_reasons(spec: Chain) -> Iterator[str]:
    """The reasons of the chain's steps that drop documents only where they are asked to."""
    for step in spec.chain:
        if isinstance(step, RedactStep):
            policies = (step.asked, *step.asked.sources.values())
            if any(each.drop_above is not None for each in policies):
                yield PERSONAL_DATA
        elif isinstance(step, DecontaminateStep) and step.decontaminate.policy == "drop":
            yield CONTAMINATED


def _signals(step: Scope, signal: str) -> tuple[str, ...]:
    """The signals of a step, where these depend on how it is asked; else `signal`."""
    if isinstance(step, RedactStep):
        return pii_signals(step.asked)
    if isinstance(step, DecontaminateStep) and step.decontaminate.policy != "cut":
        return CONTAMINATION_SIGNALS[:2]
    return (signal,)


def _share(one: Scope, other: Scope) -> bool:
    """Whether two steps may be for the same document."""
    mine, theirs = one.limits(), other.limits()
    return all(not set(mine[name]).isdisjoint(theirs[name]) for name in mine.keys() & theirs.keys())


def _within(inner: Scope, outer: Scope) -> bool:
    """Whether a step is for no document that the other one is not for."""
    mine = inner.limits()
    return all(
        name in mine and set(mine[name]) <= set(values) for name, values in outer.limits().items()
    )


def closest(signal: str, spec: Chain, columns: Mapping[str, str] | None = None) -> str:
    """What there is instead of an unknown signal."""
    family, _, name = signal.partition(".")
    if family == classifiers.FAMILY:
        own = [s for n, item in spec.classifiers.items() for s in classifiers.formulas(n, item)]
        return (
            f"{close_to(name, own) or '.'} Its model stands in `{spec.SECTION}.classifiers`, which "
            f"has {', '.join(spec.classifiers) or 'none'}; a `.bucket` needs `cutoffs`"
        )
    if family == COLUMN:
        return (
            f"{close_to(name, columns or ()) or '.'} Columns are named in `columns.keep` of an "
            f"input; there are {', '.join(columns or ()) or 'none'}"
        )
    owner = MEASURES.get(family) or EDITS.get(family)
    if owner is not None:
        return (
            f"{close_to(name, owner.names) or '.'} Of `{family}` there are {', '.join(owner.names)}"
        )
    if of := [name for name in _OWNERS if name.startswith(f"{family}.")]:
        return f"{close_to(signal, of) or '.'} Of `{family}` there are {', '.join(of)}"
    families = [*MEASURES, *EDITS, classifiers.FAMILY, PII, CONTAMINATION, "cut"]
    families += [LANGUAGE, COLUMN]
    return f"{close_to(family, families) or '.'} Signals begin with {', '.join(families)}"


def mismatch(condition: Condition, kind: pa.DataType) -> tuple[str, str] | None:
    """The key of a condition that does not fit the type of its signal, and why."""
    asked, threshold = condition.operator, condition.threshold
    if kind == NUMBER or pa.types.is_integer(kind):
        what = "a number, and cannot be tested by", "a number by >, >=, <, <=, == or !="
        is_number = isinstance(threshold, int | float) and not isinstance(threshold, bool)
        operator = asked not in ("in", "not in")
        fits = is_number and not (isinstance(threshold, float) and math.isnan(threshold))
    elif pa.types.is_boolean(kind):
        what = "true or false, and cannot be tested by", "true or false by == or !="
        operator = asked in ("==", "!=")
        fits = isinstance(threshold, bool)
    else:
        what = "a text, and cannot be tested by", "a text by == or !=, or a list by in or not in"
        operator = asked in ("==", "!=", "in", "not in")
        fits = isinstance(threshold, tuple if asked in ("in", "not in") else str)
    if operator and fits:
        return None
    said = f"`{condition.signal}` is {what[0]} `{asked} {threshold!r}`: compare it with {what[1]}"
    return "threshold" if operator else "operator", said
