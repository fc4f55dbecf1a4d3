"""Which items of test sets stand in a finished run, and in which split of its shards."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc

from pipelines.runs import documents
from pipelines.runs.ids import to_bytes, to_text
from pipelines.runs.steps import Context
from schemas.parquet import open_parquet
from schemas.shard import ShardManifest

if TYPE_CHECKING:
    from curation.decontamination import Detector


def occurrences(
    context: Context, detector: Detector, shards: ShardManifest
) -> Iterator[dict[str, Any]]:
    """A row for each item in a curated document, the best of a document first: `benchmark`, `item`,
    `score`, `share`, its `start` and `end` in the text, the document's `id`, `source` and `url`,
    and the `split` that holds the document, or a part of it; null if none does."""
    found: list[dict[str, Any]] = []
    for batch in documents.read(context, "curate", ("id", "source", "url", "text")):
        hits = detector.find(batch["text"].to_pylist())
        rows = batch.drop_columns(["text"]).to_pylist()
        found += [
            {**asdict(hit), **row} for row, own in zip(rows, hits, strict=True) for hit in own
        ]
    ids = pa.array(sorted({row["id"] for row in found}), pa.string())
    splits = _splits(context, shards, to_bytes(ids))
    for row in found:
        yield {**row, "split": splits.get(row["id"])}


def _splits(context: Context, shards: ShardManifest, wanted: pa.Array) -> Mapping[str, str]:
    """The split of each document of these that has one, by id."""
    found: dict[str, str] = {}
    for name, split in shards.splits.items():
        for each in split.files:
            with (context.run / "shards").open(each.path) as stream:
                file = open_parquet(stream)
                for batch in file.iter_batches(columns=["segments"], use_threads=False):
                    ids = pc.struct_field(pc.list_flatten(batch["segments"]), "document_id")
                    own = pc.unique(ids.filter(pc.is_in(ids, wanted)))
                    found |= dict.fromkeys(to_text(own).to_pylist(), name)
    return found
