"""Samples: documents and records to look at, chosen by a keyed hash of their ids."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pyarrow as pa

from pipelines.report import formats, shape
from pipelines.report.display import excerpt, line
from pipelines.report.reading import RowSample, find_pages, find_rows, sampling_keys, smallest
from pipelines.report.signals import rules_of
from pipelines.steps import Context
from schemas.recipe import Recipe

KEPT = 9
REJECTED = 3
CHARACTERS = 600

Row = dict[str, Any]


def kept(context: Context, curated: RowSample) -> list[shape.Sample]:
    """Some documents of the curated text."""
    table = curated.table(["id"])
    if table is None:
        return []
    keys = sampling_keys(context.recipe.seed, table["id"])
    chosen = smallest(keys, [""] * len(keys), KEPT).get("", [])
    ids, tasks = table["id"].take(chosen).to_pylist(), table["task"].take(chosen).to_pylist()
    paths = {part.task: part.path for part in curated.parts}
    columns = ("source", "url", "language", "text", "file", "offset")
    found: dict[bytes, Row] = {}
    for task in sorted(set(tasks)):
        own = {item for item, its in zip(ids, tasks, strict=True) if its == task}
        found.update(find_rows(curated.folder, paths[task], own, columns))
    return [_sample(found[item]) for item in ids]


def unread(context: Context) -> list[shape.RejectedSamples]:
    """Records that no text was extracted from."""
    sample = RowSample(context, "extract", "rejections")
    table = sample.table(["id", "source", "url", "reason", "value", "file", "offset"])
    chosen = _choose(context, table, "reason")
    rows = {reason: table.take(indices).to_pylist() for reason, indices in chosen.items()}
    return _by_reason(
        context,
        "extract",
        {
            reason: [_sample({**row, "text": None}, line(row["value"])) for row in own]
            for reason, own in rows.items()
        },
    )


def judged(context: Context, verdicts: pa.Table | None) -> list[shape.RejectedSamples]:
    """Documents that a rule rejected, by the first of their reasons."""
    if verdicts is None:
        return []
    rejected = verdicts.filter(pa.array([bool(item) for item in verdicts["reasons"].to_pylist()]))
    first = pa.array([item[0] for item in rejected["reasons"].to_pylist()], pa.string())
    chosen = _choose(context, rejected.append_column("first", first), "first")
    rows = {reason: rejected.take(indices).to_pylist() for reason, indices in chosen.items()}
    pages = _pages(context, rows)
    return _by_reason(
        context,
        "judge",
        {
            reason: [
                _sample(page, _why(context.recipe, row, page), row["reasons"][1:])
                for row in own
                for page in [pages[row["id"]]]
            ]
            for reason, own in rows.items()
        },
    )


def duplicated(context: Context) -> list[shape.RejectedSamples]:
    """Documents that were dropped for another."""
    table = RowSample(context, "deduplicate", "drops").table(["id", "level", "kept_id"])
    chosen = _choose(context, table, "level")
    rows = {level: table.take(indices).to_pylist() for level, indices in chosen.items()}
    pages = _pages(context, rows)
    return _by_reason(
        context,
        "deduplicate",
        {
            level: [
                _sample(pages[row["id"]], f"{row['kept_id'].hex()} is kept instead") for row in own
            ]
            for level, own in rows.items()
        },
    )


def _choose(context: Context, table: pa.Table | None, column: str) -> dict[str, list[int]]:
    if table is None:
        return {}
    keys = sampling_keys(context.recipe.seed, table["id"])
    return smallest(keys, table[column].to_pylist(), REJECTED)


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
    reason, languages = row["reasons"][0], recipe.judge.languages
    for rule in rules_of(recipe):
        if rule["reason"] == reason:
            value = formats.exact(row[rule["signal"]])
            return f"{rule['signal']} is {value}, must be {formats.must(rule)}"
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
