"""Documents of a bucket to the rows of a shard file."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from curation.histogram import Counts
from curation.mixture import document_order
from curation.packing import pack
from curation.tokenization import Tokens
from pipelines.runs.parts import logical_digest
from pipelines.runs.receipts import Attempt
from pipelines.stages.mix.tokenparts import TokenArray, flat_tokens
from schemas.mix import Mix
from schemas.shard import row_group_rows


class Documents(NamedTuple):
    """Some documents of a source, or pieces of them, in the order in which files have them."""

    tokens: TokenArray  # of one after the other
    widths: TokenArray | None  # bytes of each token, where ids do not tell
    sizes: Counts
    ids: pa.Array
    firsts: Counts  # tokens of a document before its piece
    epoch: int


def documents(table: pa.Table, firsts: Counts, lasts: Counts, epoch: int) -> Documents:
    """Rows of a token part, of each the tokens from `firsts` to `lasts`."""
    tokens = flat_tokens(table["tokens"], firsts, lasts)
    has_widths = "widths" in table.column_names
    widths = flat_tokens(table["widths"], firsts, lasts) if has_widths else None
    # copied: a slice would keep its row group
    ids = table["id"].combine_chunks().take(pa.array(np.arange(table.num_rows)))
    return Documents(tokens, widths, lasts - firsts, ids, firsts, epoch)


def pack_source(
    seed: int,
    mix: Mix,
    tokens: Tokens,
    found: list[Documents],
    source: str,
    names: Sequence[str],
) -> tuple[pa.Table, dict[str, int]]:
    """The rows of one source, and what they hold; `found` is emptied."""
    none = np.empty(0, np.int64)
    epoch = np.repeat([each.epoch for each in found], [len(each.ids) for each in found])
    sizes = np.concatenate([none, *(each.sizes for each in found)])
    firsts = np.concatenate([none, *(each.firsts for each in found)])
    ids = pa.concat_arrays([pa.array([], pa.binary(16)), *(each.ids for each in found)])
    flat = np.concatenate([np.empty(0, tokens.token_type), *(each.tokens for each in found)])
    widths = None
    if tokens.byte_lengths is None:
        those = (each.widths for each in found if each.widths is not None)
        widths = np.concatenate([np.empty(0, np.uint32), *those])
    found.clear()
    keys = np.frombuffer(ids.buffers()[1] or b"", "V16", len(ids))
    order = document_order(seed, source, epoch.astype(np.int64), keys)
    starts = (np.cumsum(sizes) - sizes)[order]
    epoch, sizes, firsts = epoch[order], sizes[order], firsts[order]
    rows, cut = pack(
        flat,
        np.concatenate([[0], np.cumsum(sizes)]),
        ids.take(pa.array(order)),
        packing=mix.packing,
        starts=starts,
        firsts=firsts,
        vocabulary=tokens.vocabulary,
        byte_lengths=tokens.byte_lengths,
        widths=widths,
        padding=tokens.padding,
        sequence_length=mix.sequence_length,
        source=source,
        sources=names,
    )
    first = epoch == 0
    begun = firsts == 0  # what goes on from an earlier phase is counted there
    spelled = pc.sum(pc.struct_field(pc.list_flatten(rows["segments"]), "bytes")).as_py()
    return rows, {
        "rows": rows.num_rows,
        "cut": cut,
        "tokens": len(flat),
        "documents": int(begun.sum()),
        "bytes": spelled or 0,
        "first_documents": int((first & begun).sum()),
        "first_tokens": int(sizes[first].sum()),
    }


def write_rows(
    attempt: Attempt, schema: pa.Schema, rows: Sequence[pa.Table], order: Counts, folder: str
) -> dict[str, Any]:
    """Write rows in another order as a shard file in `folder`, none if there are no rows.

    Returns the `row_groups` of the file and a digest of its `layout`, as the manifest has them.
    """
    size = row_group_rows(schema.field("input_ids").type.list_size)
    groups: list[dict[str, Any]] = []
    layout = _layout(rows, order)
    if len(order):
        # Ids of text are smaller and sooner written without a dictionary; the lowest level takes
        # two thirds of the time, and a twentieth more bytes.
        writer = attempt.writer(
            "rows", schema, folder=folder, row_group_rows=size, dictionary=("source",),
            compression_level=1,
        )  # fmt: skip
        for start in range(0, len(order), size):
            ids = _input_ids(rows, order[start : start + size], schema.field("input_ids").type)
            group = layout.slice(start, size).add_column(0, schema.field("input_ids"), ids)
            groups.append({"rows": len(ids), "tokens": pc.sum(group["length"]).as_py()})
            writer.write(group)
        writer.close()
        for each, (_, digest) in zip(groups, writer.digests, strict=True):
            each["digest"] = digest
    return {"row_groups": groups, "layout": logical_digest(layout)}


def _layout(rows: Sequence[pa.Table], order: Counts) -> pa.Table:
    """All columns of rows in another order but their tokens."""
    others = pa.concat_tables([table.drop_columns(["input_ids"]) for table in rows])
    return others.take(pa.array(order)).combine_chunks()


def _input_ids(rows: Sequence[pa.Table], order: Counts, kind: pa.DataType) -> pa.Array:
    """The tokens of some rows; no others are copied."""
    first = 0
    found = np.empty((len(order), kind.list_size), str(kind.value_type))
    for table in rows:
        for chunk in table["input_ids"].chunks:
            matrix = chunk.flatten().to_numpy().reshape(-1, kind.list_size)
            own = (order >= first) & (order < first + len(matrix))
            found[own] = matrix[order[own] - first]
            first += len(matrix)
    return pa.FixedSizeListArray.from_arrays(found.reshape(-1), type=kind)
