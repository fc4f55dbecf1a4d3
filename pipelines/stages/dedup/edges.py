"""Edges and rejections on disk: what the steps of deduplication hand to each other."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from curation.dedup.nodes import EDGE, NODE, Array, ids
from pipelines.runs import rejections
from pipelines.runs.ids import to_bytes, to_text
from pipelines.runs.parts import read_table
from pipelines.runs.receipts import Attempt, PartFile, Receipt
from pipelines.runs.steps import Context
from schemas.tables import CLUSTER
from schemas.tables import EDGE as EDGE_TABLE


def edge_files(context: Context, step: str) -> list[PartFile]:
    """Files of edges that a step wrote."""
    return [receipt.file("edges") for receipt in context.receipts(step)]


def edges_table(edges: Array) -> pa.Table:
    """EDGE or LINK rows as they are stored."""
    columns = [
        pa.FixedSizeBinaryArray.from_buffers(
            pa.binary(NODE.itemsize), len(edges), [None, pa.py_buffer(edges[end].tobytes())]
        )
        for end in ("a", "b")
    ]
    has_similarity = "similarity" in (edges.dtype.names or ())
    similarity = edges["similarity"] if has_similarity else np.ones(len(edges), "<f4")
    return pa.Table.from_arrays([*columns, pa.array(similarity)], schema=EDGE_TABLE)


def read_edges(context: Context, path: str) -> Array:
    """EDGE rows of a file."""
    table = read_table(context.home("deduplicate"), path)
    edges = np.empty(table.num_rows, EDGE)
    for end in ("a", "b"):
        column = pa.concat_arrays(table[end].chunks) if table.num_rows else None
        if column is not None:
            data = column.buffers()[1]
            edges[end] = np.frombuffer(data, NODE)[column.offset : column.offset + len(column)]
    edges["similarity"] = table["similarity"].to_numpy()
    return edges


def commit_edges(attempt: Attempt, edges: Array, counts: dict[str, int]) -> Receipt:
    """Write EDGE or LINK rows as the task's one file, and its receipt."""
    attempt.writer("edges", EDGE_TABLE).write(edges_table(edges))
    return attempt.commit(len(edges), len(edges), counts=counts)


def ids_column(nodes: Array) -> pa.FixedSizeBinaryArray:
    """The ids of NODE rows."""
    data = pa.py_buffer(ids(nodes).tobytes())
    return pa.FixedSizeBinaryArray.from_buffers(pa.binary(16), len(nodes), [None, data])


def rejection_table(links: Array, levels: Sequence[str]) -> pa.Table:
    """REJECTION rows of what the first ends of links are kept for, by id."""
    order = np.lexsort((links["b"]["id_low"], links["b"]["id_high"]))
    return rejections.table(
        "deduplicate",
        to_text(ids_column(links["b"][order])),
        pa.array(levels, pa.string()).take(pa.array(order)),
        representative=to_text(ids_column(links["a"][order])),
    )


def cluster_table(roots: Array) -> pa.Table:
    """CLUSTER rows of the roots of links, a root once for every link: by id."""
    distinct, counts = np.unique(ids(roots), axis=0, return_counts=True)
    data = pa.py_buffer(distinct.tobytes())
    column = pa.FixedSizeBinaryArray.from_buffers(pa.binary(16), len(distinct), [None, data])
    return pa.table([to_text(column), pa.array(counts, pa.int64())], schema=CLUSTER)


def keyed_drops(context: Context, part: int, levels: Sequence[str]) -> dict[str, pa.Array]:
    """By level, the ids of the part that it dropped."""
    return {level: drops(context, part, f"deduplicate/{level}-drops") for level in levels}


def drops(context: Context, part: int, step: str) -> pa.Array:
    """The ids of the part that a step dropped."""
    path = context.receipts(step)[part].file("rejections").path
    return to_bytes(read_table(context.home("deduplicate"), path, ["id"])["id"])


def undropped(column: pa.ChunkedArray, drops: Iterable[pa.Array]) -> pa.ChunkedArray:
    """Which ids of a column are in none of some lists."""
    mask = pa.chunked_array([np.ones(len(column), np.bool_)])
    for drop in drops:
        if len(drop):
            mask = pc.and_(mask, pc.invert(pc.is_in(column, drop)))
    return mask
