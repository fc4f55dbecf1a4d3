"""Clusters of duplicates, from the drop lists."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import chain

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipelines.look.display import line
from pipelines.report import shape
from pipelines.report.losses import Losses
from pipelines.report.reading import find_pages
from pipelines.runs.documents import has_raw
from pipelines.runs.ids import to_bytes
from pipelines.runs.parts import read_table
from pipelines.runs.steps import Context
from schemas.tables import HEX

# Clusters are counted in memory; of a larger run's, 1 in a power of two.
MOST_DROPS = 4_000_000
LARGEST = 10
MEMBERS = 3  # of each of these, documents that are shown
DOMAINS = 15
LEVELS = ("url", "exact", "normalised", "near", "against")


def duplicates(context: Context, lost: Losses) -> shape.Duplicates:
    """Sizes of clusters, the largest ones with some of their dropped documents, and rates."""
    manifest = context.manifest("deduplicate")
    one_in = 1
    while sum(manifest.rejected.values()) > one_in * MOST_DROPS:
        one_in *= 2
    dropped = _dropped(context, one_in)
    clusters = dropped.group_by("representative", use_threads=False).aggregate([("count", "sum")])
    sizes = clusters["count_sum"].to_numpy() + 1
    return shape.Duplicates(
        documents=manifest.records,
        dropped={level: manifest.rejected[level] for level in LEVELS if level in manifest.rejected},
        one_in=one_in,
        clusters=len(sizes),
        sizes=_histogram(sizes),
        largest=_largest(context, dropped, clusters),
        compared=_compared(context),
        coverage=lost.coverage,
        sources=_by_name(lost.sources),
        domains=_by_name(lost.domains, DOMAINS),
    )


def _dropped(context: Context, one_in: int) -> pa.Table:
    """How many documents each level rejected for each one that is kept."""
    total = pa.table(
        {
            "representative": pa.array([], HEX),
            "reason": pa.array([], pa.string()),
            "count": pa.array([], pa.int64()),
        }
    )
    names = total.column_names
    for _, drops in _drop_lists(context, ("representative", "reason")):
        # ids are digests, so their last bits choose clusters as a hash would
        last = np.frombuffer(b"".join(to_bytes(drops["representative"]).to_pylist()), ">u8")[1::2]
        drops = drops.filter(pa.array(last % np.uint64(one_in) == 0))
        own = drops.append_column("count", pa.array(np.ones(drops.num_rows, np.int64)))
        sums = (
            pa.concat_tables([total, own.select(names).cast(total.schema)])
            .group_by(["representative", "reason"], use_threads=False)
            .aggregate([("count", "sum")])
        )
        total = pa.table([sums["representative"], sums["reason"], sums["count_sum"]], names)
    return total


def _compared(context: Context) -> shape.Compared | None:
    near = context.recipe.deduplicate.near
    if near is None:
        return None
    found, edges = context.receipts("deduplicate/candidates"), context.receipts("deduplicate/near")
    return shape.Compared(
        compared=sum(int(receipt.counts["compared"]) for receipt in edges),
        verified=sum(int(receipt.counts["verified"]) for receipt in edges),
        max_bucket=near.max_bucket,
        divided=sum(int(receipt.counts["divided"]) for receipt in found),
        given_up=sum(int(receipt.counts["given_up"]) for receipt in edges),
    )


def _by_name(
    counts: Mapping[str, tuple[int, int]], most: int | None = None
) -> list[shape.DuplicateRate]:
    order = sorted(counts, key=lambda name: (-counts[name][1], name))[:most]
    return [
        shape.DuplicateRate(name=line(name), documents=counts[name][0], dropped=counts[name][1])
        for name in order
    ]


def _drop_lists(context: Context, columns: tuple[str, ...]) -> Iterator[tuple[str, pa.Table]]:
    home = context.home("deduplicate")
    for receipt in context.receipts("deduplicate"):
        file = receipt.file("rejections")
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


def _largest(context: Context, dropped: pa.Table, clusters: pa.Table) -> list[shape.Cluster]:
    order = [("count_sum", "descending"), ("representative", "ascending")]
    rows = clusters.take(pc.sort_indices(clusters, order)[:LARGEST]).to_pylist()
    ids = pa.array([row["representative"] for row in rows], HEX)
    levels: dict[str, dict[str, int]] = {}
    for row in dropped.filter(pc.is_in(dropped["representative"], ids)).to_pylist():
        levels.setdefault(row["representative"], {})[row["reason"]] = row["count"]
    # some dropped documents of each: the first in the order of parts and ids
    members: dict[str, list[tuple[str, str, str]]] = {row["representative"]: [] for row in rows}
    missing = set(members)
    for task, drops in _drop_lists(context, ("id", "reason", "representative")):
        if not missing:
            break
        own = drops.filter(pc.is_in(drops["representative"], pa.array(sorted(missing), HEX)))
        for row in sorted(own.to_pylist(), key=lambda row: row["id"]):
            if len(members[row["representative"]]) < MEMBERS:
                members[row["representative"]].append((task, row["id"], row["reason"]))
        missing = {kept for kept in missing if len(members[kept]) < MEMBERS}
    wanted: dict[str, set[str]] = {}
    for task, member, _ in chain.from_iterable(members.values()):
        wanted.setdefault(task, set()).add(member)
    pages = find_pages(context, wanted) if has_raw(context) else {}
    return [
        shape.Cluster(
            kept_id=row["representative"],
            documents=row["count_sum"] + 1,
            dropped=dict(sorted(levels[row["representative"]].items())),
            samples=[
                shape.ClusterSample(
                    level=level,
                    source=page["source"],
                    url=line(page["url"]),
                    text=line(page["text"]),
                )
                for _, member, level in members[row["representative"]]
                if (page := pages.get(member))
            ],
        )
        for row in rows
    ]
