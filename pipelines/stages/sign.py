"""sign: rows of files -> what deduplication works on, without extraction: signatures, what the rows
are called, and their texts, where they are read again."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Any

import pyarrow as pa

from curation.readers import Record
from curation.readers.rows import time_of, value_of
from pipelines.runs import receipts, rejections
from pipelines.runs.inputs import Rows
from pipelines.runs.mill import Mill
from pipelines.runs.receipts import Attempt, Receipt, Task, bin_pack
from pipelines.runs.rows import BATCH_ROWS, id_of, number, place_of, text_of, without_text
from pipelines.runs.splits import (
    columns,
    in_order,
    input_of,
    range_bytes,
    read_split,
    task_of,
)
from pipelines.runs.steps import Context, Manifest
from pipelines.stages.dedup import stage as deduplicate
from pipelines.stages.dedup.signatures import schema, signature_table
from schemas.deduplicate import ORDERS
from schemas.problems import Problem
from schemas.recipe import Recipe
from schemas.tables import HEX

VERSION = 3
LIBRARIES = ("numpy",)

# Before the name of a column that `keep` names, as a recipe's signals have a family.
ROW = "row."
NAMES = pa.schema(
    [
        pa.field("id", HEX, False),
        pa.field("name", pa.string(), False),
        pa.field("file", pa.string(), False),
    ]
)
_TEXTS = pa.schema([pa.field("id", HEX, False), pa.field("text", pa.large_string(), False)])
# A task signs so many times the least bytes of a split: reading and signing is little work.
_LEAST = 32
# Of a row, what an option may decide by.
_DECIDING = ("row_id", "url", "crawled", "signal")


def relevant(recipe: Recipe) -> Any:
    """What of the recipe decides this stage's output. Raises Problem as `deduplicate` does: before
    hours of signing."""
    inputs = [
        [item.source, item.format, columns(item).model_dump(mode="json")] for item in recipe.inputs
    ]
    return [inputs, deduplicate.relevant(recipe)]


def plan(recipe: Recipe, splits: Sequence[Task]) -> list[Task]:
    """Splits put together until they are worth what a part costs deduplication."""
    tasks = []
    for item in recipe.inputs:
        own = [split for split in splits if split.spec["source"] == item.source]
        weights = [(piece, range_bytes(piece)) for _, piece in in_order(recipe, own)]
        tasks += [
            task_of(item, group) for group in bin_pack(weights, _LEAST * receipts.LEAST_BYTES)
        ]
    return tasks


def run(mill: Mill, step: str, mark: str) -> Manifest:
    """Sign every split. Raises Problem for a column that decides and that no row has."""
    done = mill.do(
        step, sign_split, mill.plan(step, mark, lambda: plan(mill.context.recipe, mill.splits))
    )
    if done.kept:
        _check_found(mill.context)
    return done


def _check_found(context: Context) -> None:
    asked = context.recipe.deduplicate
    keep = asked.keep.removeprefix(ROW)
    names = sorted(
        {own.id for item in context.recipe.inputs if isinstance(own := columns(item), Rows)}
    )
    layout = "name it among the columns"
    counts = [receipt.counts for receipt in context.receipts("sign")]
    for field, decides, problem in (
        ("row_id", names != ["id"], Problem("no row has such a column", f"id {names[0]}")),
        ("url", asked.url, Problem("no row has an address", f"url {asked.url}", layout)),
        (
            "crawled",
            keep in ("newest", "oldest"),
            Problem("no row has a time", f"keep {keep}", layout),
        ),
        ("signal", keep not in ORDERS, Problem("no row has a number of that name", f"keep {keep}")),
    ):
        if decides and not any(each[field] for each in counts):
            raise problem


def sign_split(context: Context, step: str, task: Task) -> Receipt:
    """Sign the documents of a split."""
    options = context.recipe.deduplicate
    by_shingles = options.near is not None and options.near.verify_by == "shingles"
    lost: Counter[str] = Counter()
    found: Counter[str] = Counter()
    records = 0
    with Attempt(context.run, step, task.key) as attempt:
        signatures = attempt.writer("signatures", schema(options), dictionary=("scope",))
        names = attempt.writer("names", NAMES, dictionary=("file",))
        rejected = rejections.writer(attempt)
        texts = None
        if by_shingles or options.spans.levels():
            texts = attempt.writer("documents", _TEXTS)
        documents = _documents(context.recipe, task, rejected.write, lost)
        while rows := list(islice(documents, BATCH_ROWS)):
            signatures.write(signature_table(options, rows))
            names.write([{name: row[name] for name in NAMES.names} for row in rows])
            if texts:
                texts.write([{name: row[name] for name in _TEXTS.names} for row in rows])
            records += len(rows)
            for name in _DECIDING:
                found[name] += sum(row[name] is not None for row in rows)
        counts = {name: found[name] for name in _DECIDING}
        return attempt.commit(records + lost.total(), records, lost, counts)


def _documents(
    recipe: Recipe, task: Task, reject: Any, lost: Counter[str]
) -> Iterator[dict[str, Any]]:
    """What signing needs of each text; the others are rejected, and counted in `lost`."""
    item = input_of(recipe, task)
    keep = recipe.deduplicate.keep
    for file, record in read_split(recipe, task):
        if why := without_text(record):
            reject([rejections.of_record("sign", item, file, record, *why)])
            lost[why[0]] += 1
            continue
        assert isinstance(record, Record)  # noqa: S101 - it holds text
        row_id = id_of(item, record)
        row = record.row or {}
        yield {
            **rejections.origin(item, file, record),
            "name": row_id or place_of(file, record),
            "row_id": row_id,
            "snapshot": item.snapshot,
            "text": text_of(record),
            # `extract` calls it so
            "crawled": record.crawled or time_of(row.get("crawled")),
            "signal": None if keep in ORDERS else number(value_of(row, keep.removeprefix(ROW))),
        }
