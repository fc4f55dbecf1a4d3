"""What the steps of a chain do with a batch of documents; see `curation.chain`.

A step is known by its class in `schemas.chain`; `COMPILE` has for each how it is made ready.
"""

from __future__ import annotations

import abc
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from curation import own
from curation.classifiers.signals import FAMILY as CLASSIFIER
from curation.edits import Edit
from curation.language import canonical
from curation.licences import restrictive
from curation.lines import normalised
from curation.measures import Measure, View
from curation.rules import holds, said
from schemas.chain import (
    ClassifiersStep,
    CutStep,
    EditStep,
    LanguagesStep,
    RedactStep,
    RulesStep,
)
from schemas.deduplicate import Spans
from schemas.rules import Row, RuleTable, conditions

LANGUAGE = "language"
LANGUAGE_SCORE = "language_score"
LANGUAGE_SIGNAL = "language.score"
CUT_SHORT = "cut_short"
CUT_LEVELS = tuple(Spans.model_fields)
PII = "pii"
COLUMN = "column"  # family of the columns that a recipe keeps
NUMBER = pa.float64()
# Signals that follow from a column of documents: which, and how.
OF_COLUMNS: Mapping[str, tuple[str, Callable[[Any], float]]] = {
    "licence.restrictive": ("licences", restrictive),
}


class NotMeasuredError(LookupError):
    """A rule asks for a signal that is null: nothing can be decided by what was not measured."""


class Batch:
    """Documents on their way through a chain."""

    def __init__(self, documents: Mapping[str, pa.Array], signals: Sequence[str]) -> None:
        """`documents`: columns, see `Chain.apply`; `signals`: all of the chain."""
        texts = documents["text"].to_pylist()
        languages = self.language(documents, len(texts))
        self.documents = documents
        self._texts = texts
        # steps see lines normalised
        self.views = [
            View(normalised(text), canonical(code))
            for text, code in zip(texts, languages, strict=True)
        ]
        self._views = list(self.views)
        self.signals: dict[str, list[Any]] = {name: [None] * len(texts) for name in signals}
        self.reasons: list[list[str]] = [[] for _ in texts]
        # what decided the first reason, and what it had to be
        self.values: list[str | None] = [None] * len(texts)
        self.details: list[str | None] = [None] * len(texts)
        # by family, whether a document's signals are measured
        self._measured: dict[str, list[bool]] = {}

    def text(self, at: int) -> str:
        """A document's text, with its own line ends unless an edit has changed it."""
        changed = self.views[at].text != self._views[at].text
        return self.views[at].text if changed else self._texts[at]

    def rewrite(self, at: int, text: str) -> None:
        """Put another text in a document's place, whose line ends stay."""
        self._texts[at] = text
        self.views[at] = self._views[at] = self.views[at].edited(normalised(text))

    @staticmethod
    def language(documents: Mapping[str, pa.Array], size: int) -> list[str]:
        """The language of each document, "" if it is not known."""
        if LANGUAGE not in documents:
            return [""] * size
        return [code or "" for code in documents[LANGUAGE].to_pylist()]

    def unmeasured(self, family: str, rows: Sequence[int]) -> list[int]:
        """Those of the rows whose signals of a family are not measured yet; now they are."""
        measured = self._measured.setdefault(family, [False] * len(self.views))
        found = [at for at in rows if not measured[at]]
        for at in found:
            measured[at] = True
        return found

    def reject(self, at: int, reason: str, signals: Sequence[str], asked: str) -> None:
        """A document fails: by which signals, and what was asked of them."""
        if not self.reasons[at]:
            values = [(name, exact(self.signals[name][at])) for name in dict.fromkeys(signals)]
            several = (f"{name} is {value}" for name, value in values)
            self.values[at] = values[0][1] if len(values) == 1 else ", ".join(several)
            self.details[at] = asked
        self.reasons[at].append(reason)

    def store(self, rows: Sequence[int], signals: Sequence[Mapping[str, Any]]) -> None:
        """Take down signals of the rows."""
        for at, values in zip(rows, signals, strict=True):
            for name, value in values.items():
                self.signals[name][at] = value


def exact(value: Any) -> str:
    """A signal as it is stored: 50, 0.123456789; null for none."""
    if value is None:
        return "null"
    if isinstance(value, float) and math.isfinite(value):
        return f"{value:.9f}".rstrip("0").rstrip(".")
    return str(value).lower() if isinstance(value, bool) else str(value)


class Ready(abc.ABC):
    """A step that is ready.

    signals: those that it measures, with their types; versions, libraries: what decides its
    results; needs: columns of a document that do.
    """

    signals: Mapping[str, pa.DataType]
    versions: Mapping[str, int | str] = MappingProxyType({})
    libraries: frozenset[str] = frozenset()
    needs: frozenset[str] = frozenset()

    @abc.abstractmethod
    def apply(self, batch: Batch, rows: list[int]) -> None:
        """Do it for the rows of a batch: change their views, signals and reasons."""


@dataclass(frozen=True)
class Known:
    """What a chain's steps may name.

    measures: by family, classifiers by `classifier.NAME`; owners: whose each signal is;
    columns: of documents that are signals, by signal: the column and its type.
    """

    measures: Mapping[str, Measure]
    owners: Mapping[str, tuple[str, str]]
    columns: Mapping[str, tuple[str, pa.DataType]]


class Rules(Ready):
    """Measures families of signals, takes columns as signals, and tests rules."""

    def __init__(
        self,
        measures: Mapping[str, Measure],
        columns: Mapping[str, tuple[str, pa.DataType]] = MappingProxyType({}),
        rules: Sequence[Row] = (),
    ) -> None:
        """`columns`: by signal, the column and its type."""
        every = measures.values()
        self._measures, self._columns = measures, columns
        self.signals = {name: NUMBER for item in every for name in item.signals}
        self.signals |= {signal: kind for signal, (_, kind) in columns.items()}
        self.versions = {f"measure {name}": item.version for name, item in measures.items()}
        self.libraries = frozenset(name for item in every for name in item.libraries)
        needs = {column for column, _ in columns.values()}
        if any(item.by_language for item in every):
            needs.add(LANGUAGE)
        self.needs = frozenset(needs)
        self._rules = [
            (row, [condition.signal for _, condition in conditions(row)], said(row))
            for row in rules
        ]

    def apply(self, batch: Batch, rows: list[int]) -> None:
        """A family is measured once for a document, by the first step that is for it."""
        for family, measure in self._measures.items():
            waiting = batch.unmeasured(family, rows)
            batch.store(waiting, measure.many([batch.views[at] for at in waiting]))
        for signal, (column, _) in self._columns.items():
            there = column in batch.documents
            values = batch.documents[column].to_pylist() if there else [None] * len(batch.views)
            if signal in OF_COLUMNS:
                values = [OF_COLUMNS[signal][1](value) for value in values]
            batch.store(rows, [{signal: values[at]} for at in rows])
        names = dict.fromkeys(name for _, signals, _ in self._rules for name in signals)
        columns = {
            name: pa.array([batch.signals[name][at] for at in rows], self.signals.get(name, NUMBER))
            for name in names
        }
        for rule, signals, asked in self._rules:
            held = holds(rule, columns)
            if held.null_count and not any(name.startswith(f"{COLUMN}.") for name in signals):
                raise NotMeasuredError(f"`{rule.reason}`: a signal of it was not measured")
            # what a row does not say is not what must hold
            failed = ~pc.fill_null(held, False).to_numpy(zero_copy_only=False)
            for place in np.flatnonzero(failed).tolist():
                batch.reject(rows[place], rule.reason, signals, asked)


class Change(Ready):
    """An edit."""

    def __init__(self, edit: Edit) -> None:
        """`edit`: which."""
        self._edit = edit
        self.signals = dict.fromkeys(edit.signals, NUMBER)
        self.versions = {f"edit {edit.name}": edit.version}
        self.libraries = frozenset(edit.libraries)

    def apply(self, batch: Batch, rows: list[int]) -> None:
        """Edit, and tell what was done."""
        done = self._edit.many([batch.views[at] for at in rows])
        for at, edited in zip(rows, done, strict=True):
            batch.views[at] = edited.view
        batch.store(rows, [edited.signals for edited in done])


class Languages(Ready):
    """Keeps languages."""

    def __init__(self, least: Mapping[str, float]) -> None:
        """`least`: by language, the score to exceed."""
        self._least = least
        self._asked = languages_said(least)
        self.signals = {LANGUAGE_SIGNAL: NUMBER}
        self.needs = frozenset({LANGUAGE, LANGUAGE_SCORE})

    def apply(self, batch: Batch, rows: list[int]) -> None:
        """The reason is `language` or `language_score`."""
        languages = batch.documents[LANGUAGE].to_pylist()
        scores = batch.documents[LANGUAGE_SCORE].to_pylist()
        for at in rows:
            batch.signals[LANGUAGE_SIGNAL][at] = scores[at]
            least = self._least.get(languages[at])
            if least is None:
                batch.reject(at, LANGUAGE, (), self._asked[LANGUAGE])
                if len(batch.reasons[at]) == 1:
                    batch.values[at] = languages[at]
            elif not scores[at] > least:
                batch.reject(at, LANGUAGE_SCORE, (LANGUAGE_SIGNAL,), self._asked[LANGUAGE_SCORE])


def languages_said(least: Mapping[str, float]) -> dict[str, str]:
    """What a choice of languages asks for, by the reason of what has it not."""
    scores = (f"{number:.9g} ({code})" for code, number in least.items())
    return {
        LANGUAGE: f"language {' or '.join(least)}",
        LANGUAGE_SCORE: f"a score of its language above {', '.join(scores)}",
    }


class Redact(Ready):
    """Replaces personal data."""

    def __init__(self, kinds: Sequence[str]) -> None:
        """`kinds`: types of it, of `pii.TYPES`."""
        from curation import pii

        self._replace, self._kinds = pii.replace, tuple(kinds)
        self.signals = dict.fromkeys([f"{PII}.count", *map(pii_signal, kinds)], NUMBER)
        self.versions = {"redact": pii.VERSION}
        self.libraries = frozenset(pii.LIBRARIES)

    def apply(self, batch: Batch, rows: list[int]) -> None:
        """How many of each type were replaced is told by signals."""
        for at in rows:
            before = batch.text(at)
            text, counts = self._replace(before, self._kinds)
            if text != before:
                batch.rewrite(at, text)
            batch.signals[f"{PII}.count"][at] = float(counts.total())
            for kind in self._kinds:
                batch.signals[pii_signal(kind)][at] = float(counts[kind])


def pii_signal(kind: str) -> str:
    """The signal that counts a type of personal data: `pii.email_address`."""
    return f"{PII}.{kind.lower()}"


class CutSpans(Ready):
    """Cuts the spans in the column `cuts`: of each document level, start and end in characters."""

    def __init__(self, least_words: int) -> None:
        """`least_words`: that must be left of a document that is cut."""
        self._least_words = least_words
        names = ("cut.characters", *(f"cut.{level}" for level in CUT_LEVELS), "cut.words")
        self.signals = dict.fromkeys(names, NUMBER)
        self.needs = frozenset({"cuts"})

    def apply(self, batch: Batch, rows: list[int]) -> None:
        """`cut.words`, the words that are left, is null where nothing is cut."""
        from curation.dedup.keyed_spans import hashed
        from curation.dedup.spans import cut

        cuts = batch.documents["cuts"].to_pylist()
        for at in rows:
            spans = cuts[at]
            sizes = dict.fromkeys(CUT_LEVELS, 0.0)
            for span in spans:
                sizes[span["level"]] += span["end"] - span["start"]
            signals = {f"cut.{level}": size for level, size in sizes.items()}
            signals["cut.characters"] = sum(sizes.values())
            if spans:
                starts, ends = (np.array([span[end] for span in spans]) for end in ("start", "end"))
                text = cut(batch.text(at), starts, ends)
                batch.rewrite(at, text)
                signals["cut.words"] = float(len(hashed([text])[0]))
            batch.store([at], [signals])
            if signals.get("cut.words", self._least_words) < self._least_words:
                batch.reject(at, CUT_SHORT, ("cut.words",), f"words left >= {self._least_words}")


def _rules(step: RulesStep, known: Known) -> Ready:
    rules = table_of(step).rules
    signals = dict.fromkeys(each.signal for row in rules for _, each in conditions(row))
    families = dict.fromkeys(
        owner for kind, owner in map(known.owners.__getitem__, signals) if kind == "measure"
    )
    columns = {name: known.columns[name] for name in signals if name in known.columns}
    return Rules({name: known.measures[name] for name in families}, columns, rules)


def _classifiers(step: ClassifiersStep, known: Known) -> Ready:
    names = [f"{CLASSIFIER}.{name}" for name in step.classifiers]
    return Rules({name: known.measures[name] for name in names})


COMPILE: Mapping[type, Callable[[Any, Known], Ready]] = {
    RulesStep: _rules,
    ClassifiersStep: _classifiers,
    EditStep: lambda step, _: Change(own.edit(step.edit)),
    LanguagesStep: lambda step, _: Languages(step.languages),
    RedactStep: lambda step, _: Redact(step.redact),
    CutStep: lambda step, _: CutSpans(step.cut.least_words),
}


def table_of(step: RulesStep) -> RuleTable:
    """A step's table. Raises ValueError if it is not loaded."""
    if isinstance(step.rules, str):
        raise ValueError(f"the table `{step.rules}` is not loaded; see curation.rules.load_table")
    return step.rules
