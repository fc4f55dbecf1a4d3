"""What the steps of a chain do with a batch of documents; see `curation.chain`.

A step is known by its class in `schemas.chain`; `COMPILE` has for each how it is made ready.
"""

from __future__ import annotations

import abc
import functools
import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from curation import own
from curation.classifiers.signals import FAMILY as CLASSIFIER
from curation.edits import Edit
from curation.folders import find_folder
from curation.language import canonical
from curation.licences import restrictive
from curation.lines import normalised
from curation.measures import Measure, View
from curation.rules import holds, said
from schemas.base import ModelFolder
from schemas.chain import (
    ClassifiersStep,
    CutStep,
    DecontaminateStep,
    EditStep,
    LanguagesStep,
    RedactStep,
    RulesStep,
)
from schemas.decontamination import Decontaminate
from schemas.deduplicate import Spans
from schemas.pii import Redact
from schemas.rules import Row, RuleTable, conditions

if TYPE_CHECKING:
    from curation.decontamination import Detector, Hit
    from curation.pii import Span

LANGUAGE = "language"
LANGUAGE_SCORE = "language_score"
LANGUAGE_SIGNAL = "language.score"
CUT_SHORT = "cut_short"
CUT_LEVELS = tuple(Spans.model_fields)
PII = "pii"
PERSONAL_DATA = "personal_data"  # reason of a document with too much of it
CONTAMINATION = "contamination"
CONTAMINATED = "contaminated"  # reason of a document with a test item
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
        # personal data, with its places in the text of the last member; by type, how much of it
        # was replaced; and test items
        self._found: list[tuple[list[Span], str]] = [([], "") for _ in texts]
        self.replaced: list[Counter[str]] = [Counter() for _ in texts]
        self.hits: list[list[dict[str, Any]]] = [[] for _ in texts]
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

    def find(self, at: int, places: list[Span]) -> None:
        """Take down personal data, with its places in a document's text as it is now."""
        self._found[at] = places, self.text(at)

    def found(self, at: int) -> list[dict[str, Any]]:
        """The personal data of a document: see PERSONAL_DATA in `schemas.tables`."""
        places, text = self._found[at]
        stays = bool(places) and text == self.text(at)
        return [
            {
                "type": one.type,
                "start": one.start if stays else None,
                "end": one.end if stays else None,
                "score": round(one.score, 4),
            }
            for one in places
        ]

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
    columns: of documents that are signals, by signal: the column and its type; folder: where a
    folder of a model or an index is; seed: of the recipe.
    """

    measures: Mapping[str, Measure]
    owners: Mapping[str, tuple[str, str]]
    columns: Mapping[str, tuple[str, pa.DataType]]
    folder: Callable[[ModelFolder], Path] = find_folder
    seed: int = 0


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


class Redacting(Ready):
    """Finds personal data, and replaces it by policies."""

    def __init__(self, asked: Redact, known: Known) -> None:
        """`asked`: what is looked for, and what becomes of it."""
        from curation import pii
        from curation.pii.names import libraries
        from curation.pii.settings import Redaction

        self._redaction = Redaction(asked, known.seed, known.folder)
        self._types = asked.every_type()
        self.signals = dict.fromkeys(pii_signals(asked), NUMBER)
        self.versions = {"redact": pii.VERSION}
        policies = (asked, *asked.sources.values())
        if any("fake" in (each.policy, *each.policies.values()) for each in policies):
            self.versions |= {"redact seed": known.seed}
        if asked.sources:
            self.needs = frozenset({"source"})
        self.libraries = frozenset({*pii.LIBRARIES, *(libraries() if asked.names else ())})
        self._most = {label: own.drop_above for label, own in {"": asked, **asked.sources}.items()}

    def apply(self, batch: Batch, rows: list[int]) -> None:
        """How much of each type was found is told by signals."""
        texts = [batch.text(at) for at in rows]
        sources = None
        if "source" in self.needs:
            every = batch.documents["source"].to_pylist()
            sources = [every[at] or "" for at in rows]
        done = self._redaction.redact(texts, sources)
        for place, (at, (redacted, too_many)) in enumerate(zip(rows, done, strict=True)):
            if redacted.text != texts[place]:
                batch.rewrite(at, redacted.text)
            batch.find(at, redacted.places)
            batch.replaced[at] += redacted.counts
            counts = Counter(span.type for span in redacted.spans)
            batch.signals[f"{PII}.count"][at] = float(counts.total())
            for kind in self._types:
                batch.signals[pii_signal(kind)][at] = float(counts[kind])
            if too_many:
                label = sources[place] if sources else ""
                most = self._most.get(label, self._most[""])
                batch.reject(at, PERSONAL_DATA, (f"{PII}.count",), f"{PII}.count <= {most}")


def pii_signals(asked: Redact) -> tuple[str, ...]:
    """The signals of a step `redact`."""
    return (f"{PII}.count", *map(pii_signal, asked.every_type()))


def pii_signal(kind: str) -> str:
    """The signal that counts a type of personal data: `pii.email_address`."""
    return f"{PII}.{kind.lower()}"


CONTAMINATION_SIGNALS = tuple(
    f"{CONTAMINATION}.{name}" for name in ("score", "items", "characters", "words")
)


class Decontaminating(Ready):
    """Finds test items, and drops documents, cuts passages, or only tells."""

    def __init__(self, asked: Decontaminate, known: Known) -> None:
        """`asked`: by which index, and what becomes of texts."""
        from curation import decontamination

        self._asked, self._folder = asked, known.folder
        cuts = asked.policy == "cut"
        self.signals = dict.fromkeys(CONTAMINATION_SIGNALS[: 4 if cuts else 2], NUMBER)
        self.versions = {"decontaminate": decontamination.VERSION}
        self.libraries = frozenset({"numpy"})

    @functools.cached_property
    def _detector(self) -> Detector:
        """The index is mapped, so that the processes of a machine share it."""
        from curation.decontamination import Detector, load

        index = self._asked.index
        # a folder with a digest was checked by that
        found = load(self._folder(index), check=index.sha256 is None)
        return Detector(found, self._asked.least_score, frozenset(self._asked.benchmarks))

    def apply(self, batch: Batch, rows: list[int]) -> None:
        """`contamination.words`, those that are left, is null where nothing is cut."""
        found = self._detector.find([batch.text(at) for at in rows])
        for at, hits in zip(rows, found, strict=True):
            signals = {f"{CONTAMINATION}.score": hits[0].score if hits else 0.0}
            if self._asked.policy == "cut":
                signals |= self._cut(batch, at, hits)
            else:
                batch.hits[at] = [asdict(hit) for hit in hits]
            signals[f"{CONTAMINATION}.items"] = float(len(batch.hits[at]))
            batch.store([at], [signals])
            if hits and self._asked.policy == "drop":
                self._drop(batch, at, hits[0])
            elif signals.get(f"{CONTAMINATION}.words", math.inf) < self._asked.least_words:
                words = f"{CONTAMINATION}.words"
                batch.reject(at, CUT_SHORT, (words,), f"words left >= {self._asked.least_words}")

    def _drop(self, batch: Batch, at: int, hit: Hit) -> None:
        score = f"{CONTAMINATION}.score"
        batch.reject(at, CONTAMINATED, (score,), f"{score} < {self._asked.least_score:g}")
        if len(batch.reasons[at]) == 1:
            batch.values[at] = f"{exact(hit.score)} of {hit.benchmark} {hit.item}"

    def _cut(self, batch: Batch, at: int, hits: list[Hit]) -> dict[str, float]:
        """Cut until nothing is found. An item that is found only then has no place in the text."""
        from curation.decontamination.words import hashes
        from curation.dedup.spans import cut

        before = text = batch.text(at)
        every = {(hit.benchmark, hit.item): asdict(hit) for hit in hits}
        more = hits
        while more:
            starts, ends = (
                np.array([getattr(hit, end) for hit in more]) for end in ("start", "end")
            )
            text = cut(text, starts, ends)
            (more,) = self._detector.find([text])
            for hit in more:
                moved = {**asdict(hit), "start": None, "end": None}
                every.setdefault((hit.benchmark, hit.item), moved)
        batch.hits[at] = list(every.values())
        signals = {f"{CONTAMINATION}.characters": float(len(before) - len(text))}
        if hits:
            batch.rewrite(at, text)
            signals[f"{CONTAMINATION}.words"] = float(hashes([text])[1][0])
        return signals


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
    RedactStep: lambda step, known: Redacting(step.asked, known),
    DecontaminateStep: lambda step, known: Decontaminating(step.decontaminate, known),
    CutStep: lambda step, _: CutSpans(step.cut.least_words),
}


def table_of(step: RulesStep) -> RuleTable:
    """A step's table. Raises ValueError if it is not loaded."""
    if isinstance(step.rules, str):
        raise ValueError(f"the table `{step.rules}` is not loaded; see curation.rules.load_table")
    return step.rules
