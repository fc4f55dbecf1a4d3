"""Files of a run written anew without the text or tokens of some documents; rows stay in place."""

from __future__ import annotations

from collections.abc import Callable, Collection
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipelines.runs.ids import flat, to_bytes
from pipelines.runs.parts import ROW_GROUP_ROWS, PartWriter
from pipelines.runs.store import Folder
from schemas.parquet import open_parquet
from schemas.shard import ShardManifest

Cover = Callable[[pa.Table], pa.Table]

# Of a document's strings, what says where it is from and how it was read; the others go.
_STAY = frozenset(
    (
        *("id", "source", "snapshot", "url", "canonical", "declared_language", "language", "kind"),
        *("format", "user_id", "engine", "charset", "flaw", "file", "offset_kind"),
    )
)


def texts(ids: Collection[str]) -> Cover:
    """Empties the texts of documents, and what the page says of itself in words."""
    wanted = pa.array(sorted(ids), pa.string())

    def cover(table: pa.Table) -> pa.Table:
        taken = pc.is_in(table["id"], wanted)
        for at, field in enumerate(table.schema):
            text = pa.types.is_string(field.type) or pa.types.is_large_string(field.type)
            if text and field.name not in _STAY:
                nothing = pa.scalar(None if field.nullable else "", field.type)
                table = table.set_column(at, field, pc.if_else(taken, nothing, table[field.name]))
        return table

    return cover


def tokens(ids: Collection[str], padding: int) -> Cover:
    """Puts padding in place of all tokens of documents in a token part, of no bytes."""
    wanted = to_bytes(pa.array(sorted(ids), pa.string()))

    def cover(table: pa.Table) -> pa.Table:
        taken = pc.is_in(flat(table["id"]), wanted).to_numpy(zero_copy_only=False)
        for name, nothing in (("tokens", padding), ("widths", 0)):
            if (at := table.schema.get_field_index(name)) < 0:
                continue
            lists = flat(table[name])
            sizes = lists.value_lengths().to_numpy()
            values = np.where(np.repeat(taken, sizes), nothing, lists.flatten().to_numpy())
            offsets = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)
            items = pa.array(values, lists.type.value_type)
            column = pa.LargeListArray.from_arrays(offsets, items).cast(lists.type)
            table = table.set_column(at, table.schema.field(at), column)
        return table

    return cover


def rows(ids: Collection[str], manifest: ShardManifest) -> Cover:
    """Puts padding in place of the segments of documents in shard rows."""
    wanted = to_bytes(pa.array(sorted(ids), pa.string()))

    def cover(table: pa.Table) -> pa.Table:
        lists, grid = flat(table["segments"]), flat(table["input_ids"])
        segments, row = lists.flatten(), pc.list_parent_indices(lists).to_numpy()
        starts = segments.field("start").to_numpy()
        ends = np.append(starts[1:], 0)
        last = np.flatnonzero(np.append(row[1:] != row[:-1], len(row) > 0))
        ends[last] = table["length"].to_numpy()[row[last]]
        values = grid.flatten().to_numpy().reshape(len(grid), manifest.sequence_length).copy()
        taken = pc.is_in(segments.field("document_id"), wanted).to_numpy(zero_copy_only=False)
        for at in np.flatnonzero(taken).tolist():
            values[row[at], starts[at] : ends[at]] = manifest.tokenizer.padding
        kind = grid.type
        column = pa.FixedSizeListArray.from_arrays(
            pa.array(values.reshape(-1), kind.value_type), manifest.sequence_length
        ).cast(kind)
        at = table.schema.get_field_index("input_ids")
        return table.set_column(at, table.schema.field(at), column)

    return cover


def rewrite(run: Folder, path: str, target: Path, cover: Cover) -> PartWriter | None:
    """Write a file of the run anew as the local file `target`, with equal row groups and
    dictionaries; None if nothing of it changes."""
    changed = False
    with run.open(path) as stream:
        file = open_parquet(stream)
        size, dictionary = ROW_GROUP_ROWS, []
        if file.num_row_groups:
            first = file.metadata.row_group(0)
            size = first.num_rows
            columns = [first.column(at) for at in range(first.num_columns)]
            dictionary = [c.path_in_schema for c in columns if "RLE_DICTIONARY" in c.encodings]
        writer = PartWriter(target, file.schema_arrow, size, dictionary)
        for group in range(file.num_row_groups):
            before = file.read_row_group(group, use_threads=False)
            after = cover(before)
            changed = changed or not after.equals(before)
            writer.write(after)
    writer.close()
    return writer if changed else None
