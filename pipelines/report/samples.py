"""Samples: documents and records to look at, chosen by a keyed hash of their ids."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from pipelines.report import formats, shape
from pipelines.report.display import excerpt, line
from pipelines.report.reading import RowSample, choose, find_pages
from pipelines.report.signals import conditions_of, is_for, rules_of
from pipelines.runs.documents import find_rows
from pipelines.runs.steps import Context
from schemas.recipe import Recipe

KEPT = 9
REJECTED = 3
CHARACTERS = 600
_CURATED = ("source", "url", "language", "text", "file", "offset")

Row = dict[str, Any]


def kept(context: Context, curated: RowSample) -> list[shape.Sample]:
    """Some documents of the curated text."""
    table = curated.table(["id"])
    chosen = choose(context.recipe.seed, table, [""] * table.num_rows, KEPT).get("", [])
    paths = {part.task: part.path for part in curated.parts}
    found: dict[bytes, Row] = {}
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


def judged(context: Context, verdicts: pa.Table) -> list[shape.RejectedSamples]:
    """Documents that a rule rejected, by the first of their reasons."""
    rejected = verdicts.filter(pc.greater(pc.list_value_length(verdicts["reasons"]), 0))
    first = [reasons[0] for reasons in rejected["reasons"].to_pylist()]
    chosen = choose(context.recipe.seed, rejected, first, REJECTED)
    pages = _pages(context, chosen)
    samples = {
        reason: [
            _sample(page, _why(context.recipe, row, page), row["reasons"][1:])
            for row in rows
            for page in [pages[row["id"]]]
        ]
        for reason, rows in chosen.items()
    }
    return _by_reason(context, "filter", samples)


def duplicated(context: Context) -> list[shape.RejectedSamples]:
    """Documents that were dropped for another."""
    sample = RowSample(context, "deduplicate", "rejections")
    table = sample.table(["id", "reason", "representative"])
    chosen = choose(context.recipe.seed, table, table["reason"].to_pylist(), REJECTED)
    pages = _pages(context, chosen)
    samples = {
        level: [
            _sample(pages[row["id"]], f"{row['representative'].hex()} is kept instead")
            for row in rows
        ]
        for level, rows in chosen.items()
    }
    return _by_reason(context, "deduplicate", samples)


def cut_short(context: Context) -> list[shape.RejectedSamples]:
    """Documents of which too few words were left when repeated spans were cut."""
    if not context.manifest("curate").rejected:
        return []
    table = RowSample(context, "curate", "rejections").table(["id", "reason", "value"])
    chosen = choose(context.recipe.seed, table, table["reason"].to_pylist(), REJECTED)
    pages = _pages(context, chosen)
    least = context.recipe.curate.least_words
    samples = {
        reason: [
            _sample(pages[row["id"]], f"{row['value']} words are left, must be >= {least}")
            for row in rows
        ]
        for reason, rows in chosen.items()
    }
    return _by_reason(context, "curate", samples)


def _pages(context: Context, rows: Mapping[str, list[Row]]) -> dict[bytes, Row]:
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


def _why(recipe: Recipe, row: Row, page: Row) -> str:
    """The value that decided, and what it had to be."""
    reason, languages = row["reasons"][0], recipe.filter.languages
    for rule in rules_of(recipe):
        if rule["reason"] == reason and is_for(rule, row["language"], row["source"]):
            test = rule["test"]
            if "signal" in test:
                value = formats.exact(row[test["signal"]])
                return f"{test['signal']} is {value}, must be {formats.must(test)}"
            names = dict.fromkeys(item["signal"] for item in conditions_of(rule))
            values = ", ".join(f"{name} is {formats.exact(row[name])}" for name in names)
            return f"{values}; must be: {formats.decide(rule)}"
    language, score = page["language"], page["language_score"]
    if language not in languages:
        return f"language is {language}, kept are {', '.join(sorted(languages))}"
    return f"score of {language} is {score:.3g}, must exceed {languages[language]:.3g}"


def _sample(row: Row, why: str = "", also: list[str] | None = None) -> shape.Sample:
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
