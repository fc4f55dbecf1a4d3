"""Clusters of duplicates, from the drop lists."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipelines.parts import read_table
from pipelines.report import shape
from pipelines.report.display import line
from pipelines.report.reading import find_pages
from pipelines.steps import Context

# Clusters are counted in memory; of a larger run's, 1 in a power of two.
MOST_DROPS = 4_000_000
LARGEST = 10


def duplicates(context: Context) -> shape.Duplicates:
    """Sizes of clusters, and the largest ones with one of their dropped documents."""
    manifest = context.manifest("deduplicate")
    one_in = 1
    while sum(manifest.rejected.values()) > one_in * MOST_DROPS:
        one_in *= 2
    clusters = _clusters(context, one_in)
    sizes = clusters["near"].to_numpy() + clusters["exact"].to_numpy() + 1
    return shape.Duplicates(
        documents=manifest.records,
        dropped={level: manifest.rejected.get(level, 0) for level in ("exact", "near")},
        one_in=one_in,
        clusters=len(sizes),
        sizes=_histogram(sizes),
        largest=_largest(context, clusters.append_column("documents", pa.array(sizes))),
    )


def _clusters(context: Context, one_in: int) -> pa.Table:
    """A row a cluster: kept_id, and how many documents each level dropped for it."""
    total = pa.table(
        {
            "kept_id": pa.array([], pa.binary(16)),
            "exact": pa.array([], pa.int64()),
            "near": pa.array([], pa.int64()),
        }
    )
    names = total.column_names
    for _, drops in _drop_lists(context, ("kept_id", "level")):
        # ids are digests, so their last bits choose clusters as a hash would
        last = np.frombuffer(b"".join(drops["kept_id"].to_pylist()), ">u8")[1::2]
        drops = drops.filter(pa.array(last % np.uint64(one_in) == 0))
        exact = pc.equal(drops["level"], "exact").cast(pa.int64())
        own = pa.table({"kept_id": drops["kept_id"], "exact": exact, "near": pc.subtract(1, exact)})
        sums = (
            pa.concat_tables([total, own.cast(total.schema)])
            .group_by("kept_id", use_threads=False)
            .aggregate([("exact", "sum"), ("near", "sum")])
        )
        total = pa.table([sums["kept_id"], sums["exact_sum"], sums["near_sum"]], names)
    return total


def _drop_lists(context: Context, columns: tuple[str, ...]) -> Iterator[tuple[str, pa.Table]]:
    home = context.home("deduplicate")
    for receipt in context.receipts("deduplicate"):
        file = receipt.file("drops")
        if file.rows:
            yield receipt.task, read_table(home, file.path, columns)


def _histogram(sizes: np.ndarray[tuple[int], np.dtype[np.int64]]) -> list[shape.ClusterSizes]:
    """Clusters of 2, 3, 4, 5 to 9, 10 to 99, 100 to 999, ... documents."""
    bins = []
    low, high = 2, 2
    while len(sizes) and low <= sizes.max():
        inside = int(((sizes >= low) & (sizes <= high)).sum())
        bins.append(shape.ClusterSizes(smallest=low, largest=high, clusters=inside))
        low = high + 1
        high = low if low < 5 else 10 ** len(str(low)) - 1
    return bins


def _largest(context: Context, clusters: pa.Table) -> list[shape.Cluster]:
    order = [("documents", "descending"), ("kept_id", "ascending")]
    rows = clusters.take(pc.sort_indices(clusters, order)[:LARGEST]).to_pylist()
    # one dropped document of each: the first in the order of parts and ids
    members: dict[bytes, tuple[str, bytes]] = {}
    missing = {row["kept_id"] for row in rows}
    for task, drops in _drop_lists(context, ("id", "kept_id")):
        if not missing:
            break
        own = drops.filter(pc.is_in(drops["kept_id"], pa.array(sorted(missing), pa.binary(16))))
        for row in sorted(own.to_pylist(), key=lambda row: row["id"]):
            members.setdefault(row["kept_id"], (task, row["id"]))
        missing -= members.keys()
    wanted: dict[str, set[bytes]] = {}
    for task, member in members.values():
        wanted.setdefault(task, set()).add(member)
    pages = find_pages(context, wanted)
    return [
        shape.Cluster(
            kept_id=row["kept_id"].hex(),
            documents=row["documents"],
            exact=row["exact"],
            near=row["near"],
            source=page["source"],
            url=line(page["url"]),
            text=line(page["text"]),
        )
        for row in rows
        for page in [pages[members[row["kept_id"]][1]]]
    ]
