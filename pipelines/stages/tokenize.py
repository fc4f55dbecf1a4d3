"""tokenize: curated text -> token ids, sorted by source and mixing key."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from curation.histogram import Histogram, to_table
from curation.keys import below
from curation.mixture import mixing_keys
from curation.tokenization import Encoded
from pipelines.runs.ids import to_bytes
from pipelines.runs.mill import Mill
from pipelines.runs.parts import read_part
from pipelines.runs.receipts import Attempt, Receipt, Task, pack_parts
from pipelines.runs.steps import Context, Manifest
from pipelines.stages import tokenizer
from schemas.recipe import Recipe
from schemas.tables import HISTOGRAMS, RESERVE, tokens_schema

VERSION = 2
LIBRARIES = ("tiktoken", "tokenizers")

MICRO_BATCH = 256
# Row groups are what a bucket reads of a part: small ones, so that it reads little in vain.
ROW_GROUP_DOCUMENTS = 512


def relevant(recipe: Recipe) -> Any:
    """What of the recipe decides this stage's output."""
    return [recipe.seed, recipe.splits.part_bytes]


def plan(context: Context) -> list[Task]:
    """A task takes as much curated text as makes a part of the recipe's size."""
    sizes = {r.task: sum(r.counts["bytes"].values()) for r in context.receipts("curate")}
    return pack_parts(sizes, context.recipe.splits.part_bytes)


def run(mill: Mill, step: str, mark: str) -> Manifest:
    """Tokenize all curated text."""
    return mill.do(step, tokenize_parts, mill.plan(step, mark, lambda: plan(mill.context)))


def tokenize_parts(context: Context, step: str, task: Task) -> Receipt:
    """Tokenize the documents of some parts and sort them."""
    tokens = tokenizer.load(context)
    reserve = tokenizer.reserves(context)
    home = context.home("curate")
    columns = ("id", "source", "text", "holdout")
    metadata: list[pa.Table] = []
    encoded: list[Encoded] = []
    for key in task.spec["parts"]:
        path = context.receipt("curate", key).file("text").path
        for batch in read_part(home, path, columns, MICRO_BATCH):
            encoded.append(tokens.encode(batch["text"].to_pylist()))
            metadata.append(pa.Table.from_batches([batch.select(["id", "source", "holdout"])]))
    with Attempt(context.run, step, task.key) as attempt:
        schema = tokens_schema(tokens.token_type, widths=tokens.byte_lengths is None)
        parts = attempt.writer(
            "tokens", schema, row_group_rows=ROW_GROUP_DOCUMENTS, dictionary=("source",)
        )
        table = token_table(context.recipe.seed, metadata, encoded, schema)
        parts.write(table)
        counts = write_counts(attempt, table, reserve)
        return attempt.commit(table.num_rows, table.num_rows, counts=counts)


class Counted(NamedTuple):
    """What a token part holds, by source."""

    counts: dict[str, dict[str, int]]
    """Of `documents`, `tokens` and `bytes`."""
    histograms: dict[str, Histogram]
    """Tokens by mixing key."""
    reserve: pa.Table
    """RESERVE rows."""


def counted(table: pa.Table, reserve: Mapping[str, int]) -> Counted:
    """Count a token part; `reserve`: by source the holdout key below which documents are."""
    counts: dict[str, dict[str, int]] = {"tokens": {}, "bytes": {}, "documents": {}}
    found = {}
    reserved = [RESERVE.empty_table()]
    sizes = pc.list_value_length(table["tokens"]).to_numpy()
    for source in sorted(pc.unique(table["source"]).to_pylist()):
        own = pc.equal(table["source"], source).to_numpy()
        found[source] = Histogram.of(table["key"].to_numpy()[own], sizes[own])
        counts["documents"][source] = int(own.sum())
        counts["tokens"][source] = int(sizes[own].sum())
        counts["bytes"][source] = int(table["bytes"].to_numpy()[own].sum())
        held = np.flatnonzero(own & below(table["holdout"].to_numpy(), reserve[source]))
        rows = table.select(["source", "key", "holdout"]).take(held)
        reserved.append(rows.append_column("tokens", pa.array(sizes[held])).cast(RESERVE))
    return Counted(counts, found, pa.concat_tables(reserved))


def write_counts(attempt: Attempt, table: pa.Table, reserve: Mapping[str, int]) -> dict[str, Any]:
    """Write the histograms and the reserve of a token part; returns what its receipt counts."""
    found = counted(table, reserve)
    attempt.writer("histogram", HISTOGRAMS, dictionary=("source",)).write(
        to_table(found.histograms)
    )
    attempt.writer("reserve", RESERVE, dictionary=("source",)).write(found.reserve)
    return found.counts


def token_table(
    seed: int, metadata: list[pa.Table], encoded: list[Encoded], schema: pa.Schema
) -> pa.Table:
    """All documents by (source, key), in the schema of token parts."""
    if not metadata:
        return schema.empty_table()
    rows = pa.concat_tables(metadata).combine_chunks()
    sources = rows["source"].combine_chunks().dictionary_encode()
    names = sources.dictionary.to_pylist()
    packed = to_bytes(rows["id"])
    ids = np.array(packed.to_pylist(), "V16")
    code = np.asarray(sources.indices)
    keys = np.empty(len(ids), np.uint64)
    for number, name in enumerate(names):
        keys[code == number] = mixing_keys(seed, name, ids[code == number])
    lengths = np.concatenate([np.diff(item.offsets) for item in encoded])
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    values = np.concatenate([item.tokens for item in encoded])
    columns = {
        "source": rows["source"],
        "key": pa.array(keys),
        "id": packed,
        "holdout": rows["holdout"],
        "bytes": pa.array(np.concatenate([item.bytes for item in encoded])),
        "tokens": pa.LargeListArray.from_arrays(offsets, pa.array(values)),
    }
    if "widths" in schema.names:
        widths = np.concatenate([item.widths for item in encoded if item.widths is not None])
        columns["widths"] = pa.LargeListArray.from_arrays(offsets, pa.array(widths))
    table = pa.table(columns).cast(schema)
    by_name = np.argsort(np.argsort(names))[code]
    return table.take(np.lexsort((ids.view(">u8").reshape(-1, 2)[:, 1], keys, by_name)))
