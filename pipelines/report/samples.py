"""Samples: documents and records to look at, chosen by a keyed hash of their ids."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pipelines.look.display import excerpt, line
from pipelines.report import shape
from pipelines.report.reading import RowSample, choose, find_pages
from pipelines.runs.documents import find_rows, has_raw
from pipelines.runs.steps import Context

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
    found: dict[str, Values] = {}
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


def rejected_by_rules(context: Context, stage: str) -> list[shape.RejectedSamples]:
    """Documents that the chain of a stage rejected, by the first of their reasons."""
    if not has_raw(context):
        return _by_reason(context, stage, {})
    if not context.manifest(stage).rejected:
        return []
    table = RowSample(context, stage, "rejections").table(["id", "reason", "value", "detail"])
    chosen = choose(context.recipe.seed, table, table["reason"].to_pylist(), REJECTED)
    pages = _pages(context, chosen)
    others = _others(context, stage, chosen)
    samples = {
        reason: [
            _sample(
                pages[row["id"]], f"must be {row['detail']}, is {row['value']}", others[row["id"]]
            )
            for row in rows
        ]
        for reason, rows in chosen.items()
    }
    return _by_reason(context, stage, samples)


def _others(context: Context, stage: str, rows: Mapping[str, list[Values]]) -> dict[str, list[str]]:
    """The further reasons of rows, by id."""
    wanted: dict[str, set[str]] = {}
    for own in rows.values():
        for row in own:
            wanted.setdefault(row["task"], set()).add(row["id"])
    found = {}
    for task, ids in sorted(wanted.items()):
        path = context.receipt(stage, task).file("signals").path
        for id_, row in find_rows(context.home(stage), path, ids, ("reasons",)).items():
            found[id_] = row["reasons"][1:]
    return found


def duplicated(context: Context) -> list[shape.RejectedSamples]:
    """Documents that were dropped for another."""
    if not has_raw(context):
        return _by_reason(context, "deduplicate", {})
    sample = RowSample(context, "deduplicate", "rejections")
    table = sample.table(["id", "reason", "representative"])
    chosen = choose(context.recipe.seed, table, table["reason"].to_pylist(), REJECTED)
    pages = _pages(context, chosen)
    samples = {
        level: [
            _sample(pages[row["id"]], f"{row['representative']} is kept instead") for row in rows
        ]
        for level, rows in chosen.items()
    }
    return _by_reason(context, "deduplicate", samples)


def _pages(context: Context, rows: Mapping[str, list[Values]]) -> dict[str, Values]:
    """The extracted pages of rows that have an id and their part."""
    wanted: dict[str, set[str]] = {}
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


def _sample(row: Values, why: str = "", also: list[str] | None = None) -> shape.Sample:
    text, cut = (None, False) if row["text"] is None else excerpt(row["text"], CHARACTERS)
    return shape.Sample(
        id=row["id"],
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
