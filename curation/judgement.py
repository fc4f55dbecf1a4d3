"""From a text to its verdict: edits, signals and rules in the order of a recipe's chain."""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib.metadata import version

from curation.edits import EDITS, Edit
from curation.measures import MEASURES, Measure, View
from curation.measures.view import VERSION as VIEW_VERSION
from curation.rules import did_you_mean, failing
from schemas.errors import UserError
from schemas.recipe import EditStep, Judge, RulesStep
from schemas.rules import Rule, RuleTable

LANGUAGE = "language"
LANGUAGE_SCORE = "language_score"

# Whose signal it is: `measure` or `edit`, and its name.
_OWNERS = {
    **{name: ("measure", item.family) for item in MEASURES.values() for name in item.signals},
    **{name: ("edit", item.name) for item in EDITS.values() for name in item.signals},
}


@dataclass(frozen=True, slots=True)
class Judgement:
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


def check_chain(judge: Judge) -> list[tuple[str, str]]:
    """Every mistake of a chain: its path in the recipe, and what is wrong and would be right.

    The tables must be in the recipe (`rules.load_table`); raises ValueError for a name.
    """
    return list(_check(judge))


def _check(judge: Judge) -> Iterator[tuple[str, str]]:
    measured: dict[str, str] = {}  # by family: where
    edited: dict[str, str] = {}  # by edit: where
    tables: dict[str, str] = {}
    reasons = dict.fromkeys((LANGUAGE, LANGUAGE_SCORE), "judge.languages")
    stale: dict[str, str] = {}  # families measured before an edit: that edit
    for number, step in enumerate(judge.chain):
        here = f"judge.chain[{number}]"
        if isinstance(step, EditStep):
            path = f"{here}.edit"
            if step.edit not in EDITS:
                yield (
                    path,
                    f"no edit is called `{step.edit}`{did_you_mean(step.edit, EDITS) or '.'} "
                    f"There are {', '.join(EDITS)}",
                )
            elif step.edit in edited:
                yield path, f"`{step.edit}` was done at {edited[step.edit]}: leave one out"
            edited.setdefault(step.edit, here)
            for family in measured:
                stale.setdefault(family, f"`{step.edit}` at {here}")
            continue
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
            where = f"{path}.rules[{place}]"
            if rule.reason in reasons:
                yield (
                    f"{where}.reason",
                    f"`{rule.reason}` is a reason of {reasons[rule.reason]} too; a reason must "
                    "tell which rule failed, give each its own",
                )
            reasons.setdefault(rule.reason, where)
            kind, owner = _OWNERS.get(rule.signal, ("", ""))
            if not kind:
                yield f"{where}.signal", f"no signal is called `{rule.signal}`{_closest(rule)}"
                continue
            if kind == "edit" and owner not in edited:
                yield (
                    f"{where}.signal",
                    f"`{rule.signal}` is a signal of the edit `{owner}`, which is not done before: "
                    f"put `edit: {owner}` in front of this table",
                )
            if kind == "measure" and owner in stale:
                yield (
                    f"{where}.signal",
                    f"`{rule.signal}` was measured at {measured[owner]}, before the edit "
                    f"{stale[owner]} changed the text, and a document has one value of a signal: "
                    "put all tables that need it on one side of the edit",
                )
            elif kind == "measure":
                measured.setdefault(owner, here)
            mismatch = _mismatch(rule)
            if mismatch:
                yield f"{where}.{mismatch}", _needs_number(rule)


def _table(step: RulesStep) -> RuleTable:
    if isinstance(step.rules, str):
        raise ValueError(f"the table `{step.rules}` is not loaded; see curation.rules.load_table")
    return step.rules


def _closest(rule: Rule) -> str:
    """What there is instead of an unknown signal."""
    family, _, name = rule.signal.partition(".")
    owner = MEASURES.get(family) or EDITS.get(family)
    if owner is not None:
        return (
            f"{did_you_mean(name, owner.names) or '.'} Of `{family}` there are "
            f"{', '.join(owner.names)}"
        )
    families = [*MEASURES, *EDITS]
    return f"{did_you_mean(family, families) or '.'} Signals begin with {', '.join(families)}"


def _mismatch(rule: Rule) -> str:
    """The key of a rule that does not fit a number; every signal is one."""
    if rule.operator in ("in", "not in"):
        return "operator"
    threshold = rule.threshold
    if isinstance(threshold, bool) or not isinstance(threshold, int | float):
        return "threshold"
    return "threshold" if math.isnan(threshold) else ""


def _needs_number(rule: Rule) -> str:
    return (
        f"`{rule.signal}` is a number, and cannot be judged by `{rule.operator} "
        f"{rule.threshold!r}`: compare it with a number by >, >=, <, <=, == or !="
    )


class Chain:
    """A chain ready to judge documents."""

    def __init__(self, judge: Judge) -> None:
        """Compile a recipe's `judge`.

        Raises UserError with every mistake that `check_chain` finds, ValueError for a table that
        is given by name.
        """
        mistakes = check_chain(judge)
        if mistakes:
            raise UserError("\n".join(f"{path}: {message}" for path, message in mistakes))
        self._languages = dict(judge.languages)
        self._exhaustive = judge.exhaustive
        self._steps: list[Edit | tuple[list[Measure], tuple[Rule, ...]]] = []
        signals: dict[str, None] = {}
        versions: dict[str, int | str] = {}
        libraries: set[str] = set()
        for step in judge.chain:
            if isinstance(step, EditStep):
                edit = EDITS[step.edit]
                self._steps.append(edit)
                signals |= dict.fromkeys(edit.signals)
                versions[f"edit {edit.name}"] = edit.version
                libraries.update(edit.libraries)
                continue
            rules = _table(step).rules
            owners = dict.fromkeys(_OWNERS[rule.signal] for rule in rules)
            families = [MEASURES[name] for kind, name in owners if kind == "measure"]
            new = [item for item in families if f"measure {item.family}" not in versions]
            self._steps.append((new, rules))
            for item in new:
                signals |= dict.fromkeys(item.signals)
                versions[f"measure {item.family}"] = item.version
                libraries.update(item.libraries)
        if versions:
            versions |= {"view": VIEW_VERSION, "unicode": unicodedata.unidata_version}
            versions |= {name: version(name) for name in sorted(libraries)}
        self.signals: tuple[str, ...] = tuple(signals)
        """Every signal that a judgement has, in the order in which they are measured."""
        self.versions: Mapping[str, int | str] = versions
        """What else than the recipe decides: versions of measures, edits and libraries."""

    def judge(self, text: str, language: str, language_score: float) -> Judgement:
        """Edit, measure and judge a document.

        A family is measured once, at the first table that needs it, on the text as edited so
        far. Unless exhaustive, the first table that rejects (or the language) is the last.
        """
        signals: dict[str, float | None] = dict.fromkeys(self.signals)
        reasons = self._language_reasons(language, language_score)
        view = View(text, language)
        for step in self._steps:
            if reasons and not self._exhaustive:
                break
            if isinstance(step, Edit):
                edited = step(view)
                signals |= edited.signals
                view = edited.view
                continue
            measures, rules = step
            for measure in measures:
                signals |= measure(view)
            reasons += failing(rules, signals)
        return Judgement(view.text, signals, reasons)

    def _language_reasons(self, language: str, score: float) -> list[str]:
        if not self._languages:
            return []
        least = self._languages.get(language)
        if least is None:
            return [LANGUAGE]
        return [] if score > least else [LANGUAGE_SCORE]
