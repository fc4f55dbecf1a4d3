"""Samples: documents and records to look at, chosen by a keyed hash of their ids."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from pipelines.look.display import evidence, line
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
    return [as_sample(found[row["id"]]) for row in chosen]


def unread(context: Context) -> list[shape.RejectedSamples]:
    """Records that no text was extracted from."""
    columns = ("id", "source", "url", "reason", "value", "file", "offset")
    table = RowSample(context, "extract", "rejections").table(columns)
    chosen = choose(context.recipe.seed, table, table["reason"].to_pylist(), REJECTED)
    samples = {
        reason: [as_sample({**row, "text": None}, line(row["value"])) for row in rows]
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
            as_sample(
                pages[row["id"]],
                f"must be {row['detail']}, is {row['value']}",
                others[row["id"]],
                repeats(pages[row["id"]]["text"], row["detail"]),
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
            as_sample(pages[row["id"]], f"{row['representative']} is kept instead") for row in rows
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


def as_sample(
    row: Values,
    why: str = "",
    also: list[str] | None = None,
    spans: Sequence[tuple[int, int]] = (),
) -> shape.Sample:
    """A row with its origin and text, and why it was kept or not; `spans` of it are marked."""
    text, cut, marks = None, False, list[tuple[int, int]]()
    if row["text"] is not None:
        text, cut, marks = evidence(row["text"], CHARACTERS, spans)
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
        marks=marks,
        why=why,
        also=also or [],
    )


def repeats(text: str, asked: str) -> list[tuple[int, int]]:
    """Spans of a text that a rule on repetition counts, by the name of its signal: lines that
    stand above already, n-grams of words that do, or the most frequent n-gram."""
    text = text[:LOOKED_AT]
    if gram := _GRAM.search(asked):
        words = [match.span() for match in _WORD.finditer(text)]
        size = int(gram["size"])
        grams = [text[words[at][0] : words[at + size - 1][1]].split()
                 for at in range(len(words) - size + 1)]  # fmt: skip
        keys = [" ".join(own).lower() for own in grams]
        counts = Counter(keys)
        top = max(counts, key=lambda key: (counts[key] * len(key), key), default="")
        seen: set[str] = set()
        found = []
        for at, key in enumerate(keys):
            if (key == top and counts[key] > 1) if gram["kind"] == "top" else key in seen:
                found.append((words[at][0], words[at + size - 1][1]))
            seen.add(key)
        return found
    if not _LINES.search(asked):
        return []
    above: set[str] = set()
    found = []
    for match in _LINE.finditer(text):
        if match[0].strip() in above:
            found.append(match.span())
        above.add(match[0].strip())
    return found


LOOKED_AT = 20_000  # characters of a text in which repetitions are looked for
_GRAM = re.compile(r"\b(?P<kind>top|dup)_(?P<size>\d+)_gram")
_LINES = re.compile(r"\bdup_(?:line|para)|\bchar_dup")
_LINE = re.compile(r"[^\n]*\S[^\n]*")
_WORD = re.compile(r"\S+")
