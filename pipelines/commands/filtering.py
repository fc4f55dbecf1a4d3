"""Rows by a chain of rules, for `gristmill filter` and `gristmill rules explain`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import yaml

from curation.chain import LANGUAGE, LANGUAGE_SCORE, SOURCE, Chain, Document
from curation.language import FIRST, SECOND, Languages, canonical, closest
from curation.readers.rows import of_type, value_of
from curation.rules import load_chain, with_languages
from pipelines.commands.language import model_of
from pipelines.recipes.loading import load
from pipelines.runs.rows import Row, number
from schemas.chain import Chain as Spec
from schemas.chain import LanguagesStep
from schemas.filter import Filter
from schemas.mistakes import validated
from schemas.problems import Problem
from schemas.recipe import Recipe
from schemas.tables import with_columns


@dataclass(slots=True)
class Text:
    """A row with what a chain heeds of it."""

    row: Row
    source: str | None
    language: str | None
    score: float | None


LICENCES = "licences"
_DOCUMENTS = pa.schema(
    [
        pa.field("text", pa.large_string()),
        pa.field(LANGUAGE, pa.string()),
        pa.field(LANGUAGE_SCORE, pa.float64()),
        pa.field(SOURCE, pa.string()),
        pa.field(LICENCES, pa.list_(pa.string())),
    ]
)
_MODELS = {"both": f"{FIRST} and {SECOND}", "lid.176": FIRST}


class Filtering:
    """Filters rows by a chain, and counts what becomes of the texts.

    A text's language and score are its row's `language` and `language_score`; where a row lacks
    what the chain needs, `model` names both: see `model_of`. Codes are those of the chain where
    they mean the same. Its source is `source`, else its row's.
    """

    def __init__(self, chain: Chain, source: str = "", model: str = "lid.176") -> None:
        """Nothing is loaded before it is needed."""
        self.chain, self.source, self.model = chain, source, model
        self._languages: Languages | None = None
        self._codes = {canonical(code): code for code in chain.languages}
        # texts, those that are kept, those with a signal that is null
        self.texts = self.kept = self.partly = 0
        # by their first reason, by all, by the only one; by who named the language
        self.first: Counter[str] = Counter()
        self.failing: Counter[str] = Counter()
        self.alone: Counter[str] = Counter()
        self.named: Counter[str] = Counter()

    def __call__(self, rows: Sequence[Row]) -> Iterator[tuple[Text, Document]]:
        """Each text with the chain's outcome for it, in order. Raises Problem."""
        chain = self.chain
        batch = [self._text(row) for row in rows]
        unnamed = [each for each in batch if _lacks(each, chain)]
        if unnamed:
            self._languages = self._languages or _naming(self.model, chain)
            found = self._languages.identify([each.row.text for each in unnamed])
            for each, (code, score) in zip(unnamed, found, strict=True):
                each.language, each.score = self._codes.get(canonical(code), code), score
        if LANGUAGE in chain.needs:
            self.named[f"is named by {_MODELS.get(self.model, self.model)}"] += len(unnamed)
            self.named["is what their rows say"] += len(batch) - len(unnamed)
        for each in batch:
            if SOURCE in chain.needs and not each.source:
                raise Problem(
                    "the rules are limited to sources, and this row has no `source`",
                    each.row.id,
                    "name the source of all",
                )
        columns = {
            "text": [each.row.text for each in batch],
            LANGUAGE: [each.language for each in batch],
            LANGUAGE_SCORE: [each.score for each in batch],
            SOURCE: [each.source for each in batch],
            LICENCES: [_licences(each.row) for each in batch],
        }
        schema = with_columns(_DOCUMENTS, chain.columns)
        for column, kind in chain.columns.items():
            columns[column] = [of_type(value_of(row.values, column), kind) for row in rows]
        for column in ("kind", "format"):
            if column in chain.needs and all(isinstance(r.values.get(column), str) for r in rows):
                columns[column] = [row.values[column] for row in rows]
                schema = schema.append(pa.field(column, pa.string()))
        outcomes = chain.apply(pa.RecordBatch.from_pydict(columns, schema)).documents()
        for each, outcome in zip(batch, outcomes, strict=True):
            self._count(outcome)
            yield each, outcome

    def _text(self, row: Row) -> Text:
        code, own = row.values.get(LANGUAGE), row.values.get(SOURCE)
        language = None
        if isinstance(code, str) and code:
            short = code if len(code) == 2 else canonical(code)
            language = self._codes.get(canonical(code), short)
        source = self.source or (own if isinstance(own, str) else None)
        return Text(row, source, language, number(row.values.get(LANGUAGE_SCORE)))

    def _count(self, outcome: Document) -> None:
        self.texts += 1
        self.kept += outcome.kept
        self.partly += None in outcome.signals.values()
        self.failing.update(outcome.reasons)
        self.first.update(outcome.reasons[:1])
        if len(outcome.reasons) == 1:
            self.alone.update(outcome.reasons)

    def summary(self, lost: Mapping[str, int]) -> str:
        """The counts for a reader, the most frequent reason first; `lost`: records without text."""
        lines = [f"{self.texts:,} documents, {self.kept:,} kept"]
        if self.failing:
            lines.append(f"{'fail':>12}{'as the first':>14}{'alone':>12}")
        for reason, count in sorted(self.failing.items(), key=lambda item: (-item[1], item[0])):
            numbers = f"{count:>12,}{self.first[reason]:>14,}{self.alone[reason]:>12,}"
            lines.append(f"{numbers}  {reason}")
        for kind, count in sorted(lost.items()):
            lines.append(f"{count:>12,} records hold no text: {kind}")
        if self.partly:
            lines.append(
                f"{self.partly:,} were not measured to the end: rules that were not for them, or "
                "behind the first table that rejects, gave no reasons, and their signals are null"
            )
        for who, count in sorted(self.named.items()):
            lines += [f"the language of {count:,} {who}"] if count else []
        return "\n".join(lines)


def _licences(row: Row) -> list[str]:
    """What a row says of its licence, under the usual names."""
    said = next(
        (row.values[name] for name in (LICENCES, "licence", "license") if name in row.values), None
    )
    return [str(each) for each in (said if isinstance(said, list) else [said]) if each]


def _naming(model: str, chain: Chain) -> Languages:
    """The model, which must be able to name the chain's languages. Raises Problem."""
    found = model_of(model)
    named = set(map(canonical, found.codes))
    for code in sorted(chain.languages):
        if canonical(code) not in named:
            raise Problem(
                f"names no language `{code}`{closest(code, found.codes)}", f"model {model}"
            )
    return found


def _lacks(each: Text, chain: Chain) -> bool:
    """Whether the chain needs what the row does not say."""
    return (LANGUAGE in chain.needs and each.language is None) or (
        LANGUAGE_SCORE in chain.needs and each.score is None
    )


def languages_of(asked: str) -> dict[str, float]:
    """Of `en=.65,de` the scores to exceed by language; `any` is none. Raises Problem."""
    if asked == "any":
        return {}
    found = {}
    for part in asked.split(","):
        language, _, score = part.strip().partition("=")
        try:
            found[language] = float(score or 0)
        except ValueError:
            raise Problem("write LANGUAGE or LANGUAGE=.65", f"languages {part}") from None
    return found


def chain_of(
    name: str,
    *,
    exhaustive: bool | None = None,
    languages: Mapping[str, float] | None = None,
    is_recipe: bool = False,
) -> Chain:
    """The chain of a chain's or table's name or file, or of a recipe's; what is not None replaces
    what it says.

    Raises Problem with all that is wrong.
    """
    if languages:
        validated(LanguagesStep, {"languages": languages})
    columns: Mapping[str, str] = {}
    seed = 0
    if is_recipe:
        recipe = load(name)
        spec: Spec = recipe.filter
        columns, seed = recipe.kept_columns(), recipe.seed
    else:
        _check_no_recipe(name)
        spec = load_chain(name, Path())
    spec = with_languages(spec, languages)
    if exhaustive is not None:
        spec = spec.model_copy(update={"exhaustive": exhaustive})
    return Chain(spec, columns=columns, seed=seed)


def _check_no_recipe(name: str) -> None:
    with suppress(OSError, yaml.YAMLError, UnicodeDecodeError):
        value = yaml.safe_load(Path(name).read_text("utf-8"))
        others = Recipe.model_fields.keys() - Filter.model_fields.keys() - {"name"}
        if isinstance(value, dict) and value.keys() & {*others, "extends"}:
            raise Problem("is a recipe", f"rules {name}", "give it as the recipe, not as rules")


def fields_of(chain: Chain) -> list[pa.Field]:
    """The columns that a chain gives a row."""
    return [
        pa.field("source", pa.string()),
        # of the row, or as the model named it; null if the chain does not need it
        pa.field("language", pa.string()),
        pa.field("language_score", pa.float64()),
        pa.field("kept", pa.bool_(), False),
        # all failing reasons, in the order of the chain
        pa.field("reasons", pa.list_(pa.field("item", pa.string(), False)), False),
        *(pa.field(name, kind) for name, kind in chain.types.items()),
    ]


def filtered(each: Text, outcome: Document) -> dict[str, Any]:
    """What a text's row is given: its text as far as the chain edited it, and `fields_of`."""
    return {
        "text": outcome.text,
        "source": each.source,
        "language": each.language,
        "language_score": each.score,
        "kept": outcome.kept,
        "reasons": outcome.reasons,
        **outcome.signals,
    }
