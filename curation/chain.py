"""A recipe's chain: from batches of documents to their texts, signals and failing reasons."""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pyarrow as pa

from curation import own
from curation.chain_checks import check_chain, column_signals, owners_of
from curation.classifiers import signals as classifiers
from curation.folders import find_folder
from curation.measures import MEASURES
from curation.measures.view import VERSION as VIEW_VERSION
from curation.rules import applies
from curation.steps import COMPILE, LANGUAGE, LANGUAGE_SCORE, Batch, Known, Ready, Rules
from schemas.base import ModelFile, ModelFolder
from schemas.chain import Chain as Spec
from schemas.chain import DecontaminateStep, RedactStep, Scope
from schemas.problems import Problem

__all__ = ["LANGUAGE", "LANGUAGE_SCORE", "SOURCE", "Chain", "Document", "Outcome", "check_chain"]

SOURCE = "source"

# A batch has at most so many documents, and characters unless it is one document: what measures
# hold of a text takes some 30 bytes a character [measured].
BATCH_DOCUMENTS, BATCH_CHARACTERS = 256, 1 << 21


@dataclass(frozen=True, slots=True)
class Document:
    """What a chain made of a document: see `Outcome`."""

    text: str
    signals: dict[str, Any]
    reasons: list[str]

    @property
    def kept(self) -> bool:
        """Whether nothing failed."""
        return not self.reasons


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a chain made of documents, a value for each.

    `texts` are changed as far as the chain went. `signals` has a column for every signal of the
    chain, null where it was not measured. `reasons` are all that failed, in the order of the chain;
    `values` what decided the first of them, and `details` what it had to be. `found` is personal
    data: `type`, `start`, `end` (code points of the text as it is now; null if a step behind
    `redact` has changed it) and `score`; `replaced`: how much of it was, by type. `hits` are test
    items: `benchmark`, `item`, `score`, `share`, `start` and `end` in the text as the step was
    given it (null if it was found only once others were cut), the best first.
    """

    texts: list[str]
    signals: dict[str, pa.ChunkedArray]
    reasons: list[list[str]]
    values: list[str | None]
    details: list[str | None]
    found: list[list[dict[str, Any]]]
    replaced: list[Counter[str]]
    hits: list[list[dict[str, Any]]]

    @property
    def kept(self) -> list[bool]:
        """Of which documents nothing failed."""
        return [not reasons for reasons in self.reasons]

    def documents(self) -> Iterator[Document]:
        """One after the other."""
        columns = [values.to_pylist() for values in self.signals.values()]
        for at, (text, reasons) in enumerate(zip(self.texts, self.reasons, strict=True)):
            values = (column[at] for column in columns)
            yield Document(text, dict(zip(self.signals, values, strict=True)), reasons)


class Chain:
    """A chain ready to be applied to documents."""

    def __init__(
        self,
        spec: Spec,
        find: Callable[[ModelFile], Path] = classifiers.local_file,
        columns: Mapping[str, str] | None = None,
        code: Mapping[str, str] | None = None,
        *,
        folder: Callable[[ModelFolder], Path] = find_folder,
        seed: int = 0,
    ) -> None:
        """Compile a recipe's `filter` or `curate`.

        `find`: where the file of a classifier's model is, which is loaded when it is first asked.
        `columns`: those that the recipe keeps, with their types. `code`: the marks of parts of the
        user's own, which must be the same here. `folder`: where the folder of a model or an index
        is, which is opened when its first text comes. `seed`: of the recipe. Raises Problem
        with every mistake that `check_chain` finds, ValueError for a table that is given by name.
        """
        own.check(code or {})
        self.columns: Mapping[str, str] = columns or {}
        """Columns that the recipe keeps, with their types."""
        mistakes = check_chain(spec, columns)
        if mistakes:
            raise Problem("\n".join(f"{path}: {message}" for path, message in mistakes))
        self._exhaustive = spec.exhaustive
        models = classifiers.measures(spec.classifiers, find)
        known = Known(
            MEASURES | own.measures(spec.measures) | models,
            owners_of(spec, columns),
            column_signals(columns or {}),
            folder,
            seed,
        )
        self._steps: list[tuple[Scope, Ready]] = [
            (step, COMPILE[type(step)](step, known)) for _, step in spec.steps()
        ]
        measured = {name for _, step in self._steps for name in step.versions}
        rest = {name: item for name, item in models.items() if f"measure {name}" not in measured}
        if rest:
            self._steps.append((Scope(), Rules(rest)))
        steps = [step for _, step in self._steps]
        versions = {name: each for step in steps for name, each in step.versions.items()}
        versions |= own.marks(spec)
        if versions:
            libraries = sorted({name for step in steps for name in step.libraries})
            versions |= {"view": VIEW_VERSION, "unicode": unicodedata.unidata_version}
            versions |= {name: version(name) for name in libraries}
        self.versions: Mapping[str, int | str] = versions
        """What else than the recipe decides: versions of measures, edits and libraries."""
        self.types: Mapping[str, pa.DataType] = {
            name: kind for step in steps for name, kind in step.signals.items()
        }
        """Every signal that an outcome has, in the order in which they are measured."""
        self.redacted: tuple[str, ...] = tuple(
            dict.fromkeys(
                kind for _, step in spec.steps() if isinstance(step, RedactStep)
                for kind in step.asked.every_type()
            )
        )  # fmt: skip
        """Types of personal data that it looks for."""
        self.decontaminates = any(isinstance(step, DecontaminateStep) for step in spec.chain)
        """Whether it looks for test items."""
        limits = [step.limits() for _, step in spec.steps()]
        self.languages: frozenset[str] = frozenset(
            code for _, step in spec.steps() for code in getattr(step, "languages", ())
        )
        """The languages that it names."""
        self.needs: frozenset[str] = frozenset(
            {column for limit in limits for column in limit}
            | {column for step in steps for column in step.needs}
        )
        """Which columns of a document, besides its text, decide anything."""

    @property
    def signals(self) -> tuple[str, ...]:
        """Every signal, in order."""
        return tuple(self.types)

    def apply(self, documents: pa.RecordBatch) -> Outcome:
        """Take documents through the steps.

        Columns: `text`, and those in `needs`. Without `kind` or `format` no document is passed
        by for what it is; without `licences` none has one. A family is measured once, at the first
        step that needs it and is for the document, on the text as changed so far. Unless
        exhaustive, the first step that rejects is the last. Raises ValueError if another column is
        missing.
        """
        columns = dict(zip(documents.schema.names, documents.columns, strict=True))
        if missing := self.needs - columns.keys() - {"kind", "format", "licences"}:
            raise ValueError(f"this chain needs of each document {', '.join(sorted(missing))}")
        outcomes = [self._apply(batch) for batch in _batches(columns)]
        return Outcome(
            [text for each in outcomes for text in each.texts],
            {
                name: pa.chunked_array(
                    [chunk for each in outcomes for chunk in each.signals[name].chunks], kind
                )
                for name, kind in self.types.items()
            },
            [reasons for each in outcomes for reasons in each.reasons],
            [value for each in outcomes for value in each.values],
            [detail for each in outcomes for detail in each.details],
            [found for each in outcomes for found in each.found],
            [replaced for each in outcomes for replaced in each.replaced],
            [hits for each in outcomes for hits in each.hits],
        )

    def _apply(self, documents: Mapping[str, pa.Array]) -> Outcome:
        batch = Batch(documents, self.signals)
        for scope, step in self._steps:
            mask = applies(scope, documents)
            rows = [
                at
                for at in (range(len(batch.views)) if mask is None else _true(mask))
                if self._exhaustive or not batch.reasons[at]
            ]
            if rows:
                step.apply(batch, rows)
        signals = {
            name: pa.chunked_array([batch.signals[name]], kind) for name, kind in self.types.items()
        }
        every = range(len(batch.views))
        return Outcome(
            [batch.text(at) for at in every],
            signals,
            batch.reasons,
            batch.values,
            batch.details,
            [batch.found(at) for at in every],
            batch.replaced,
            batch.hits,
        )


def _batches(documents: Mapping[str, pa.Array]) -> Iterator[dict[str, pa.Array]]:
    """Slices of columns that measures are given at once; they follow from the documents alone."""
    lengths = [len(text) for text in documents["text"].to_pylist()]
    start = characters = 0
    for at, length in enumerate([*lengths, 0]):
        full = at - start == BATCH_DOCUMENTS or characters + length > BATCH_CHARACTERS
        if at > start and (full or at == len(lengths)):
            yield {name: column.slice(start, at - start) for name, column in documents.items()}
            start, characters = at, 0
        characters += length


def _true(mask: pa.BooleanArray) -> list[int]:
    return [at for at, value in enumerate(mask.to_pylist()) if value]
