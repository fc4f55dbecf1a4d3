"""Samples: documents and records to look at, chosen by a keyed hash of their ids."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from curation.rules import asked, said
from curation.steps import CUT_SHORT, LANGUAGE, LANGUAGE_SCORE, table_of
from pipelines.report import formats, shape
from pipelines.report.display import excerpt, line
from pipelines.report.reading import RowSample, choose, find_pages, find_rows
from pipelines.runs.steps import Context
from schemas.chain import Chain, CutStep, LanguagesStep, RulesStep
from schemas.rules import Condition, Row, conditions

KEPT = 9
REJECTED = 3
CHARACTERS = 600
_CURATED = ("source", "url", "language", "text", "file", "offset")

Values = dict[str, Any]


def kept(context: Context, curated: RowSample) -> list[shape.Sample]:
    """Some documents of the curated text."""
    table = curated.table(["id"])
    chosen = choose(context.recipe.seed, table, [""] * table.num_rows, KEPT).get("", [])
    paths = {part.task: part.path for part in curated.parts}
    found: dict[bytes, Values] = {}
    for task in sorted({row["task"] for row in chosen}):
        ids = {row["id"] for row in chosen if row["task"] == task}
        found.update(find_rows(curated.folder, paths[task], ids, _CURATED))
    return [_sample(found[row["id"]]) for row in chosen]


def unread(context: Context) -> list[shape.RejectedSamples]:
    """Records that no text was extracted from."""
    columns = ("id", "source", "url", "reason", "value", "file", "offset")
    table = RowSample(context, "extract", "rejections").table(columns)
    chosen = choose(context.recipe.seed, table, table["reason"].to_pylist(), REJECTED)
    samples = {
        reason: [_sample({**row, "text": None}, line(row["value"])) for row in rows]
        for reason, rows in chosen.items()
    }
    return _by_reason(context, "extract", samples)


def judged(context: Context, stage: str, verdicts: pa.Table) -> list[shape.RejectedSamples]:
    """Documents that the chain of a stage rejected, by the first of their reasons."""
    rejected = verdicts.filter(pc.greater(pc.list_value_length(verdicts["reasons"]), 0))
    first = [reasons[0] for reasons in rejected["reasons"].to_pylist()]
    chosen = choose(context.recipe.seed, rejected, first, REJECTED)
    pages = _pages(context, chosen)
    spec = getattr(context.recipe, stage)
    samples = {
        reason: [
            _sample(page, _why(spec, reason, row, page), row["reasons"][1:])
            for row in rows
            for page in [pages[row["id"]]]
        ]
        for reason, rows in chosen.items()
    }
    return _by_reason(context, stage, samples)


def duplicated(context: Context) -> list[shape.RejectedSamples]:
    """Documents that were dropped for another."""
    table = RowSample(context, "deduplicate", "drops").table(["id", "level", "kept_id"])
    chosen = choose(context.recipe.seed, table, table["level"].to_pylist(), REJECTED)
    pages = _pages(context, chosen)
    samples = {
        level: [
            _sample(pages[row["id"]], f"{row['kept_id'].hex()} is kept instead") for row in rows
        ]
        for level, rows in chosen.items()
    }
    return _by_reason(context, "deduplicate", samples)


def _pages(context: Context, rows: Mapping[str, list[Values]]) -> dict[bytes, Values]:
    """The extracted pages of rows that have an id and the task that judged them."""
    wanted: dict[str, set[bytes]] = {}
    for own in rows.values():
        for row in own:
            wanted.setdefault(row["task"], set()).add(row["id"])
    return find_pages(context, wanted)


def _by_reason(
    context: Context, stage: str, samples: Mapping[str, list[shape.Sample]]
) -> list[shape.RejectedSamples]:
    """In the order of the ledger, the most frequent reason first."""
    counts = context.manifest(stage).rejected
    return [
        shape.RejectedSamples(
            stage=stage, reason=reason, count=number, samples=samples.get(reason, [])
        )
        for reason, number in sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    ]


def _why(spec: Chain, reason: str, row: Values, page: Values) -> str:
    """The value that decided, and what it had to be."""
    for _, step in spec.steps():
        limits = step.limits().items()
        if not all(row[column] in values for column, values in limits):
            continue
        if isinstance(step, RulesStep):
            for rule in table_of(step).rules:
                if rule.reason == reason:
                    return _told(rule, row)
        elif isinstance(step, LanguagesStep) and reason == LANGUAGE:
            return f"language is {page['language']}, kept are {', '.join(sorted(step.languages))}"
        elif isinstance(step, LanguagesStep) and reason == LANGUAGE_SCORE:
            language, score = page["language"], page["language_score"]
            least = step.languages[language]
            return f"score of {language} is {score:.3g}, must exceed {least:.3g}"
        elif isinstance(step, CutStep) and reason == CUT_SHORT:
            return f"{row['cut.words']:.0f} words are left, must be >= {step.cut.least_words}"
    raise KeyError(reason)


def _told(rule: Row, row: Values) -> str:
    names = dict.fromkeys(each.signal for _, each in conditions(rule))
    values = ", ".join(f"{name} is {formats.exact(row[name])}" for name in names)
    if isinstance(rule, Condition):
        return f"{values}, must be {asked(rule)}"
    return f"{values}; must be: {said(rule)}"


def _sample(row: Values, why: str = "", also: list[str] | None = None) -> shape.Sample:
    text, cut = (None, False) if row["text"] is None else excerpt(row["text"], CHARACTERS)
    return shape.Sample(
        id=row["id"].hex(),
        source=row["source"],
        url=line(row["url"]),
        title=line(row.get("title")),
        language=row.get("language") or "",
        file=line(row["file"]),
        offset=row["offset"],
        text=text,
        cut=cut,
        why=why,
        also=also or [],
    )
