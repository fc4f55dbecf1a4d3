"""Rows by a chain of rules, for `gristmill filter` and `gristmill rules explain`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
from pydantic import ValidationError

from curation.chain import LANGUAGE, LANGUAGE_SCORE, SOURCE, Chain, Outcome
from curation.language import FIRST, SECOND, Languages, canonical, closest
from curation.rules import load_chain
from pipelines.commands.language import model_of
from pipelines.runs.rows import Row, number
from schemas.filter import Filter
from schemas.problems import Problem

_FILTERED = [
    pa.field("id", pa.string(), False),
    pa.field("source", pa.string()),
    # of the row, or as the model named it; null if the chain does not need it
    pa.field("language", pa.string()),
    pa.field("language_score", pa.float64()),
    pa.field("kept", pa.bool_(), False),
    # all failing reasons, in the order of the chain
    pa.field("reasons", pa.list_(pa.field("item", pa.string(), False)), False),
    # as far as the chain edited it
    pa.field("text", pa.large_string(), False),
]


@dataclass(slots=True)
class Text:
    """A row with what a chain heeds of it."""

    row: Row
    source: str | None
    language: str | None
    score: float | None


@dataclass
class Filtered:
    """What became of texts: how many, by their first reason, by all, by the only one; how many have
    signals that are null; and who named the languages."""

    texts: int = 0
    kept: int = 0
    first: Counter[str] = field(default_factory=Counter)
    failing: Counter[str] = field(default_factory=Counter)
    alone: Counter[str] = field(default_factory=Counter)
    partly: int = 0
    named: Counter[str] = field(default_factory=Counter)

    def add(self, outcome: Outcome) -> None:
        """Count one."""
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
    rules: str, *, exhaustive: bool | None = None, languages: Mapping[str, float] | None = None
) -> Chain:
    """A chain's or table's name or file, ready to judge; what is not None replaces what it says.

    Raises Problem with all that is wrong.
    """
    changes = {"exhaustive": exhaustive, "languages": languages}
    over = {name: value for name, value in changes.items() if value is not None}
    spec = load_chain(rules, Path()).model_dump(exclude={"description"})
    try:
        return Chain(Filter.model_validate(spec | over))
    except ValidationError as error:
        told = {".".join(map(str, each["loc"])): each["msg"] for each in error.errors()}
        raise Problem("; ".join(f"{path}: {message}" for path, message in told.items())) from None


def filter_rows(
    chain: Chain,
    every: Iterable[list[Row]],
    judged: Filtered,
    *,
    source: str = "",
    model: str = "lid.176",
) -> Iterator[tuple[Text, Outcome]]:
    """Each text with the chain's judgement of it, in order.

    A text's language and score are its row's `language` and `language_score`; where a row lacks
    what the chain needs, `model` names both: see `model_of`. Codes are those of the chain where
    they mean the same. Its source is `source`, else its row's. Raises Problem.
    """
    languages: Languages | None = None
    codes = {canonical(code): code for code in chain.languages}
    for rows in every:
        batch = [_text(row, source, codes) for row in rows]
        unnamed = [each for each in batch if _lacks(each, chain)]
        if unnamed:
            languages = languages or _naming(model, chain)
            found = languages.identify([each.row.text for each in unnamed])
            for each, (code, score) in zip(unnamed, found, strict=True):
                each.language, each.score = codes.get(canonical(code), code), score
        if LANGUAGE in chain.needs:
            judged.named[f"is named by {_MODELS.get(model, model)}"] += len(unnamed)
            judged.named["is what their rows say"] += len(batch) - len(unnamed)
        for each in batch:
            if SOURCE in chain.needs and not each.source:
                raise Problem(
                    "the rules are limited to sources, and this row has no `source`",
                    each.row.id,
                    "name the source of all",
                )
            outcome = chain.apply(
                each.row.text, each.language or "", each.score or 0, each.source or ""
            )
            judged.add(outcome)
            yield each, outcome


def _text(row: Row, source: str, codes: Mapping[str, str]) -> Text:
    """A row with what a chain heeds of it."""
    code, own = row.values.get("language"), row.values.get("source")
    if isinstance(code, str) and code:
        short = code if len(code) == 2 else canonical(code)
        code = codes.get(canonical(code), short)
    else:
        code = None
    score = number(row.values.get("language_score"))
    return Text(row, source or (own if isinstance(own, str) else None), code, score)


_MODELS = {"both": f"{FIRST} and {SECOND}", "lid.176": FIRST}


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


def schema_of(chain: Chain) -> pa.Schema:
    """Of what the command writes of each text, besides its row's other columns."""
    return pa.schema([*_FILTERED, *(pa.field(name, pa.float64()) for name in chain.signals)])


def filtered(each: Text, outcome: Outcome) -> dict[str, Any]:
    """A row of `schema_of`, with the other columns of the text's row behind it."""
    own = {
        "id": each.row.id,
        "source": each.source,
        "language": each.language,
        "language_score": each.score,
        "kept": outcome.kept,
        "reasons": outcome.reasons,
        "text": outcome.text,
        **outcome.signals,
    }
    return {**own, **{name: item for name, item in each.row.values.items() if name not in own}}
