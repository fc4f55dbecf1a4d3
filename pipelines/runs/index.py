"""Look-ups in a run's index, which its last stage writes: sorted files, of which a look-up reads
the row groups whose statistics allow for the key."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Collection, Iterator, Sequence

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from curation.urls import addresses_below, sortable
from pipelines.runs.parts import read_part
from pipelines.runs.steps import Context
from schemas.parquet import open_parquet
from schemas.tables import ADDRESS, PLACE, SEGMENT

# The kinds of files; the first column is the key.
KINDS = {"places": PLACE, "addresses": ADDRESS, "segments": SEGMENT}

Range = tuple[str, str | None]  # [low, high); None: no end


def has_index(context: Context) -> bool:
    """Whether the run is finished, and has one."""
    return context.run.exists("index/manifest.json")


def places(context: Context, ids: Collection[str]) -> dict[str, str]:
    """By id of records that are there, the task of `extract` that read them."""
    if has_index(context):
        tables = _find(context, "places", [_point(id_) for id_ in ids])
    else:
        wanted = pa.array(sorted(ids), pa.string())
        tables = (table.filter(pc.is_in(table["id"], wanted)) for table in _scan(context, ["id"]))
    return {row["id"]: row["part"] for table in tables for row in table.to_pylist()}


def at_url(context: Context, url: str) -> dict[str, str]:
    """The same by an address, however it is spelled."""
    return _addressed(context, [_point(sortable(url))])


def below(context: Context, domain: str) -> dict[str, str]:
    """The same for all addresses of a host and of the hosts below it. Raises Problem for what is
    no host."""
    return _addressed(context, list(addresses_below(domain)))


def _addressed(context: Context, ranges: list[Range]) -> dict[str, str]:
    if has_index(context):
        tables = _find(context, "addresses", ranges)
    else:
        tables = (_in_ranges(table, ranges) for table in _scan(context, ["id", "url"]))
    return {row["id"]: row["part"] for table in tables for row in table.to_pylist()}


def segments(context: Context, ids: Collection[str]) -> pa.Table:
    """SEGMENT rows of documents. The run has an index."""
    tables = list(_find(context, "segments", [_point(id_) for id_ in ids]))
    return pa.concat_tables([SEGMENT.empty_table(), *tables])


def between(keys: pa.ChunkedArray, low: str, high: str | None) -> pa.ChunkedArray:
    """Which keys are in [low, high)."""
    mask = pc.greater_equal(keys, low)
    return mask if high is None else pc.and_(mask, pc.less(keys, high))


def overlapping(metadata: pq.FileMetaData, ranges: Sequence[Range]) -> Iterator[int]:
    """The row groups that may hold keys of sorted, disjoint ranges."""
    lows = [low for low, _ in ranges]
    for group in range(metadata.num_row_groups):
        known = metadata.row_group(group).column(0).statistics
        # of very long keys there are none
        if known is None or not known.has_min_max or _touches(lows, ranges, known.min, known.max):
            yield group


def _touches(lows: Sequence[str], ranges: Sequence[Range], least: str, most: str) -> bool:
    """Whether one of the ranges has keys in [least, most]."""
    at = bisect_left(lows, least)
    if at < len(lows) and lows[at] <= most:
        return True
    high = ranges[at - 1][1] if at else ""
    return high is None or high > least


def _point(key: str) -> Range:
    return key, key + "\0"


def _find(context: Context, kind: str, ranges: list[Range]) -> Iterator[pa.Table]:
    """The rows of a kind with keys in disjoint ranges."""
    ranges = sorted(set(ranges))
    key = KINDS[kind].names[0]
    for receipt in context.receipts("index"):
        low, high = receipt.counts["low"], receipt.counts["high"]
        own = [r for r in ranges if (high is None or r[0] < high) and (r[1] is None or r[1] > low)]
        if receipt.counts["kind"] != kind or not own:
            continue
        with context.run.open(receipt.file(kind).path) as stream:
            file = open_parquet(stream)
            for group in overlapping(file.metadata, own):
                yield _among(file.read_row_group(group, use_threads=False), key, own)


def _among(table: pa.Table, key: str, ranges: Sequence[Range]) -> pa.Table:
    points = [low for low, high in ranges if high == low + "\0"]
    mask = pc.is_in(table[key], pa.array(points, pa.string()))
    for low, high in ranges:
        if high != low + "\0":
            mask = pc.or_(mask, between(table[key], low, high))
    return table.filter(mask)


def _in_ranges(table: pa.Table, ranges: Sequence[Range]) -> pa.Table:
    own = table.filter(pc.is_valid(table["url"]))
    addresses = pa.chunked_array([pa.array(map(sortable, own["url"].to_pylist()), pa.string())])
    return _among(own.append_column("address", addresses), "address", ranges)


def _scan(context: Context, columns: Sequence[str]) -> Iterator[pa.Table]:
    """All records of a run that has no index, with the columns and `part`."""
    for receipt in context.receipts("extract"):
        for kind in ("documents", "rejections"):
            path = receipt.file(kind).path
            for batch in read_part(context.home("extract"), path, columns, 1 << 16):
                part = pa.repeat(receipt.task, batch.num_rows).cast(pa.string())
                yield pa.Table.from_batches([batch]).append_column("part", part)
