"""What stages lost in bytes and to whom: sums over the verdicts of `filter`, part by part."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from functools import cache, partial

import pyarrow as pa
import pyarrow.compute as pc

from curation.urls import registered_domain
from pipelines.report import reading, shape
from pipelines.report.reading import Part, RowSample, Total, each_part, sums
from pipelines.runs.ids import flat
from pipelines.runs.parts import read_table
from pipelines.runs.steps import Context

# Hosts whose registered domains are looked up; of a run with more, those with most documents.
MOST_HOSTS = 50_000
_HOST = r"^[A-Za-z][A-Za-z0-9+.-]*://(?:[^/?#@]*@)?(?P<host>\[[^\]/?#]*\]|[^/?#:]+)"


@dataclass(frozen=True)
class Losses:
    """Sums over documents that were filtered, those looked at, scaled up to all.

    filtered: bytes by the first reason; alone: documents and bytes by reason and source, of those
    that have one reason; dropped: bytes by level of deduplication, of what it kept by an empty
    name; sources, domains: of what came to deduplication, documents and how many it dropped.
    """

    coverage: shape.Coverage
    filtered: dict[str, int]
    alone: dict[str, dict[str, tuple[int, int]]]
    dropped: dict[str, int]
    sources: dict[str, tuple[int, int]]
    domains: dict[str, tuple[int, int]]


def losses(context: Context, *, deduplicated: bool) -> Losses:
    """Sums over what `filter` said; `deduplicated`: whether that stage is finished."""
    sample = RowSample(context, "filter", "signals", reading.MOST_SUMMED)
    drops = {}
    if deduplicated:
        drops = {r.task: r.file("rejections").path for r in context.receipts("deduplicate")}
    work = partial(_of_part, context, sample, drops)
    totals = [Total(["reason", "source", "alone"]), Total(["level"]), Total(["source", "host"])]
    for found in each_part(work, sample.parts):
        for total, table in zip(totals, found, strict=True):
            total.add(table)
    gone, dropped, came = (total.table().to_pylist() for total in totals)
    scaled = sample.scaled
    filtered: Counter[str] = Counter()
    alone: dict[str, dict[str, tuple[int, int]]] = {}
    for row in gone:
        filtered[row["reason"]] += row["bytes"]
        if row["alone"]:
            own = alone.setdefault(row["reason"], {})
            own[row["source"]] = scaled(row["documents"]), scaled(row["bytes"])
    sources: dict[str, tuple[int, int]] = {}
    hosts: dict[str, tuple[int, int]] = {}
    for row in came:
        for name, counted in ((row["source"], sources), (row["host"], hosts)):
            documents, lost = counted.get(name, (0, 0))
            counted[name] = documents + row["documents"], lost + row["dropped"]
    by_domain = {name: own for name, own in _by_domain(hosts).items() if name}
    return Losses(
        sample.coverage,
        {reason: scaled(size) for reason, size in filtered.items()},
        alone,
        {row["level"]: scaled(row["bytes"]) for row in dropped},
        *(
            {name: (scaled(documents), scaled(lost)) for name, (documents, lost) in each.items()}
            for each in (sources, by_domain)
        ),
    )


def _of_part(
    context: Context, sample: RowSample, drops: dict[str, str], part: Part
) -> tuple[pa.Table, pa.Table, pa.Table]:
    """By reason, source and whether it is the only one: documents and bytes that `filter`
    rejected; by level, bytes that deduplication dropped; by source and host, what came to it."""
    table = sample.read(part, ["id", "source", "url", "kept", "reasons", "bytes"])
    lost = table.filter(pc.invert(table["kept"]))
    gone = pa.table(
        {
            "reason": pc.list_element(lost["reasons"], 0),
            "source": lost["source"].cast(pa.string()),
            "alone": pc.equal(pc.list_value_length(lost["reasons"]), 1),
            "documents": ones(lost.num_rows),
            "bytes": lost["bytes"],
        }
    )
    came = table.filter(table["kept"])
    levels = pa.nulls(came.num_rows, pa.string())
    if drops and came.num_rows:
        path = drops[part.task]
        own = read_table(context.home("deduplicate"), path, ["id", "reason"])
        levels = (
            flat(own["reason"]).cast(pa.string()).take(pc.index_in(came["id"], flat(own["id"])))
        )
    dropped = pa.table({"level": pc.fill_null(levels, ""), "bytes": came["bytes"]})
    rates = pa.table(
        {
            "source": came["source"].cast(pa.string()),
            "host": host(came["url"]),
            "documents": ones(came.num_rows),
            "dropped": pc.is_valid(levels).cast(pa.int64()),
        }
    )
    return (
        sums(gone, ["reason", "source", "alone"]),
        sums(dropped, ["level"]),
        sums(rates, ["source", "host"]),
    )


def rejected_bytes(context: Context, stage: str) -> dict[str, int]:
    """By reason, bytes of the texts that the chain of `curate` rejects, or of the records that
    `extract` does; of these not those that are rows of a table."""
    found = []
    kind = "rejections" if stage == "extract" else "signals"
    sample = RowSample(context, stage, kind, reading.MOST_SUMMED)
    for part in sample.parts:
        if stage == "extract":
            table = sample.read(part, ["reason", "length", "offset_kind"])
            table = table.filter(pc.not_equal(table["offset_kind"], "row"))
            reasons, sizes = table["reason"].cast(pa.string()), table["length"]
        else:
            table = sample.read(part, ["kept", "reasons", "bytes"])
            table = table.filter(pc.invert(table["kept"]))
            reasons, sizes = pc.list_element(table["reasons"], 0), table["bytes"]
        found.append(sums(pa.table({"reason": reasons, "bytes": sizes}), ["reason"]))
    rows = sums(pa.concat_tables(found), ["reason"]).to_pylist() if found else []
    return {row["reason"]: sample.scaled(row["bytes"]) for row in rows}


def ones(count: int) -> pa.Array:
    """int64[n] of 1."""
    return pa.repeat(pa.scalar(1, pa.int64()), count)


def host(urls: pa.ChunkedArray) -> pa.Array:
    """string[n]: the host of each URL in lower case, "" without one."""
    found = pc.extract_regex(flat(urls).cast(pa.string()), _HOST)
    return pc.fill_null(pc.utf8_lower(found.field("host")), "")


def _by_domain(hosts: dict[str, tuple[int, int]]) -> dict[str, tuple[int, int]]:
    """The same by registered domain, "" for hosts without one."""
    largest = sorted(hosts, key=lambda name: (-hosts[name][0], name))[:MOST_HOSTS]
    found: dict[str, tuple[int, int]] = {}
    for name in largest:
        documents, lost = found.get(domain(name), (0, 0))
        found[domain(name)] = documents + hosts[name][0], lost + hosts[name][1]
    return found


@cache
def domain(name: str) -> str:
    """The registered domain of a host, "" if it has none."""
    return registered_domain(f"http://{name}/") if name else ""
