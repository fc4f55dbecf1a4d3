"""What the curated text and the shards are made of: documents, bytes and tokens by source, domain,
language, licence, year, length and score."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from curation.classifiers import signals as classifiers
from pipelines.look.changes import keys_of
from pipelines.look.display import line
from pipelines.report import reading, shape
from pipelines.report.losses import MOST_HOSTS, domain, host, ones
from pipelines.report.reading import Part, RowSample, Total, each_part, sums
from pipelines.runs.ids import flat
from pipelines.runs.steps import Context
from schemas.parquet import open_parquet
from schemas.tables import SIGNALS

TOP = 20
SITES = 250  # pairs of source and domain
_COLUMNS = ("id", "source", "url", "language", "licences", "published", "bytes")
_NUMBERS = ("documents", "bytes", "train_tokens", "train_bytes", "validation_tokens")
# Bytes of a text: a bin for each factor of four.
_LENGTHS = [4**power for power in range(3, 13)]
_DECILES = 10

Keys = npt.NDArray[np.uint64]
Sums = npt.NDArray[np.int64]


def composition(context: Context, *, indexed: bool) -> shape.Composition:
    """Sums over the curated text; `indexed`: whether there is an index, which knows the tokens."""
    sample = RowSample(context, "curate", "text", reading.MOST_SUMMED)
    in_shards = _Tokens(context, sample) if indexed else None
    work = partial(_of_part, sample, in_shards, _scores(context))
    totals: dict[str, Total] = {}
    for found in each_part(work, sample.parts):
        for name, table in found.items():
            totals.setdefault(name, Total(_keys_of(table))).add(table)
    tables = {name: total.table() for name, total in totals.items()}
    sites = _sites(tables.pop("site"))
    by_domain = sums(sites.drop_columns(["source"]), ["domain"])
    tables["domain"] = by_domain.rename_columns(["value", *_NUMBERS])
    return shape.Composition(
        coverage=sample.coverage,
        has_tokens=in_shards is not None,
        parts=[_breakdown(sample, name, table) for name, table in tables.items()],
        sites=[
            shape.Site(source=row["source"], domain=line(row["domain"]), **_numbers(sample, row))
            for row in _top(sites, SITES)
        ],
    )


def _scores(context: Context) -> list[str]:
    """The scores of classifiers that the curated text has."""
    named = [*context.recipe.filter.classifiers.items(), *context.recipe.curate.classifiers.items()]
    return [
        f"{classifiers.FAMILY}.{signal}"
        for name, item in named
        for signal in classifiers.formulas(name, item)
    ]


def _of_part(
    sample: RowSample, in_shards: _Tokens | None, scores: Sequence[str], part: Part
) -> dict[str, pa.Table]:
    """By what documents are, the sums of a part."""
    nested = [f"{SIGNALS}.{name}" for name in scores]
    table = sample.read(part, [*_COLUMNS, *nested])
    count = table.num_rows
    numbers: dict[str, pa.Array] = {"documents": ones(count), "bytes": flat(table["bytes"])}
    found = in_shards.of(table["id"]) if in_shards else np.zeros((3, count), np.int64)
    for name, own in zip(_NUMBERS[2:], found, strict=True):
        numbers[name] = pa.array(own)
    sources = flat(table["source"]).cast(pa.string())
    lists = flat(table["licences"])
    licences = pc.binary_join(lists.cast(pa.list_(pa.string())), ", ")
    by = {
        "source": sources,
        "language": pc.fill_null(flat(table["language"]).cast(pa.string()), ""),
        "licence": licences,
        "year": pc.fill_null(pc.utf8_slice_codeunits(flat(table["published"]), 0, 4), ""),
        "length": pa.array(np.searchsorted(_LENGTHS, table["bytes"].to_numpy(), "right")),
    }
    for name in scores:
        values = pc.struct_field(flat(table[SIGNALS]), name).to_numpy(zero_copy_only=False)
        deciles = np.floor(np.nan_to_num(values, nan=-1.0) * _DECILES)
        by[name] = pa.array(np.clip(deciles, -1, _DECILES - 1).astype(np.int64))
    tables = {
        name: sums(pa.table({"value": own, **numbers}), ["value"]) for name, own in by.items()
    }
    sites = pa.table({"source": sources, "host": host(table["url"]), **numbers})
    return {**tables, "site": sums(sites, ["source", "host"])}


def _sites(hosts: pa.Table) -> pa.Table:
    """The sums of sources and hosts by registered domain, "" for what has none."""
    largest = hosts.sort_by([("bytes", "descending"), ("host", "ascending")]).slice(0, MOST_HOSTS)
    names = pa.array(map(domain, largest["host"].to_pylist()), pa.string())
    return sums(largest.drop_columns(["host"]).append_column("domain", names), ["source", "domain"])


def _breakdown(sample: RowSample, name: str, table: pa.Table) -> shape.Breakdown:
    """The largest parts; lengths, scores and years in their order."""
    ordered = name in ("length", "year") or name.startswith(f"{classifiers.FAMILY}.")
    most = table.num_rows if name not in ("domain", "licence", "language", "year") else TOP
    rows = _top(table, most)
    if ordered:
        rows.sort(key=lambda row: row["value"])
    rest = table.num_rows - len(rows)
    others = {n: (pc.sum(table[n]).as_py() or 0) - sum(row[n] for row in rows) for n in _NUMBERS}
    return shape.Breakdown(
        name=name,
        count=table.num_rows,
        rows=[shape.Kind(value=_said(name, row["value"]), **_numbers(sample, row)) for row in rows],
        others=shape.Kind(value="", **_numbers(sample, others)) if rest else None,
    )


def _said(name: str, value: str | int) -> str:
    """A value as it is shown."""
    if isinstance(value, str):
        return line(value) if name in ("domain", "licence", "year") else value
    if name == "length":
        low = _LENGTHS[value - 1] if value else 0
        return f"{low:,} to {_LENGTHS[value]:,}" if value < len(_LENGTHS) else f"{low:,} and more"
    if value < 0:
        return "not measured"
    return f"{value / _DECILES:.1f} to {(value + 1) / _DECILES:.1f}"


def _top(table: pa.Table, most: int) -> list[dict[str, Any]]:
    """The rows with most tokens, or before there are any most bytes."""
    if not table.num_rows:
        return []
    keys = _keys_of(table)
    order = [("train_tokens", "descending"), ("bytes", "descending")]
    rows: list[dict[str, Any]] = (
        table.sort_by([*order, *((key, "ascending") for key in keys)]).slice(0, most).to_pylist()
    )
    return rows


def _keys_of(table: pa.Table) -> list[str]:
    return [name for name in table.column_names if name not in _NUMBERS]


def _numbers(sample: RowSample, row: Mapping[str, Any]) -> shape.Amount:
    return shape.Amount(**{name: sample.scaled(row[name]) for name in _NUMBERS})  # type: ignore[typeddict-item]


class _Tokens:
    """Tokens of the documents of a sample in the shards: int64[3, n] of the training rows, the
    bytes of text in these, and tokens of the validation rows, by id."""

    def __init__(self, context: Context, sample: RowSample) -> None:
        keys = [keys_of(flat(table["id"])) for _, table in sample.tables(["id"])]
        self._keys: Keys = np.sort(np.concatenate([*keys, np.zeros(0, np.uint64)]))
        self._sums: Sums = np.zeros((3, len(self._keys)), np.int64)
        for table in _segments(context):
            self._add(table)

    def _add(self, table: pa.Table) -> None:
        keys = keys_of(table["id"])
        places = np.minimum(np.searchsorted(self._keys, keys), max(0, len(self._keys) - 1))
        there = self._keys[places] == keys if len(self._keys) else np.zeros(len(keys), np.bool_)
        train = pc.equal(table["split"].cast(pa.string()), "train").to_numpy()
        for row, name, split in ((0, "tokens", train), (1, "bytes", train), (2, "tokens", ~train)):
            own = there & split
            if own.any():  # those of a document are together
                at = places[own]
                first = np.flatnonzero(np.append(True, at[1:] != at[:-1]))
                numbers = table[name].to_numpy()[own].astype(np.int64)
                self._sums[row, at[first]] += np.add.reduceat(numbers, first)

    def of(self, ids: pa.ChunkedArray) -> Sums:
        """Of documents of the sample, in their order."""
        return self._sums[:, np.searchsorted(self._keys, keys_of(flat(ids)))]


def _segments(context: Context) -> Iterator[pa.Table]:
    """The segments of all shard rows, some at a time."""
    for receipt in context.receipts("index"):
        for file in receipt.files:
            if file.kind == "segments":
                with context.home("index").open(file.path) as stream:
                    parquet = open_parquet(stream)
                    for first in range(0, parquet.num_row_groups, 32):
                        groups = list(range(first, min(first + 32, parquet.num_row_groups)))
                        yield parquet.read_row_groups(groups, ["id", "split", "tokens", "bytes"])
