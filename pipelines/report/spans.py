"""What was cut of the documents that deduplication left, and what of it looks like."""

from __future__ import annotations

from typing import Any

from pipelines.look.display import evidence, line
from pipelines.report import shape
from pipelines.report.reading import RowSample, choose
from pipelines.runs.documents import find, has_raw
from pipelines.runs.steps import Context

EACH = 5
CHARACTERS = 300


def spans(context: Context) -> shape.Spans:
    """Characters by source and level, from the receipts of `curate`; spans of each level."""
    characters = 0
    totals: dict[tuple[str, str], list[int]] = {}
    for receipt in context.receipts("curate"):
        characters += sum(receipt.counts["characters"].values())
        for source, levels in receipt.counts["cut"].items():
            for level, counts in levels.items():
                total = totals.setdefault((source, level), [0, 0])
                total[0] += counts["documents"]
                total[1] += counts["characters"]
    manifest = context.manifest("curate")
    return shape.Spans(
        documents=manifest.records,
        characters=characters,
        short=manifest.rejected.get("cut_short", 0),
        cut=[
            shape.Cut(source=source, level=level, documents=documents, characters=number)
            for (source, level), (documents, number) in sorted(
                totals.items(), key=lambda item: (-item[1][1], item[0])
            )
        ],
        samples=_samples(context),
    )


def _samples(context: Context) -> list[shape.CutSample]:
    """Some spans of each level, in the order of levels; none without raw text."""
    if not has_raw(context):
        return []
    table = RowSample(context, "deduplicate", "cuts").table(["id", "level", "start", "end"])
    chosen = choose(context.recipe.seed, table, table["level"].to_pylist(), EACH)
    rows = [
        row for level in context.recipe.deduplicate.spans.levels() for row in chosen.get(level, [])
    ]
    wanted: dict[str, set[str]] = {}
    for row in rows:
        wanted.setdefault(row["task"], set()).add(row["id"])
    # spans are of the text as it was filtered
    pages = find(context, wanted, ("source", "url", "text"), edited=True)
    return [_sample(row, pages[row["id"]]) for row in rows]


def _sample(row: dict[str, Any], page: dict[str, Any]) -> shape.CutSample:
    text, _, marks = evidence(page["text"], CHARACTERS, [(row["start"], row["end"])])
    return shape.CutSample(
        level=row["level"],
        source=page["source"],
        url=line(page["url"]),
        text=text,
        marks=marks,
    )
