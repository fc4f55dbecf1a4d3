"""index: where every record is, by id and by address, and every document in the shards.

Steps: `index/runs` sorts what some parts hold; `index` merges that by ranges of the key, so that
a file of it is sorted, and after the one before it. Memory is bounded: a task of the first step
holds RUN_ROWS rows, one of the second a row group of each file that it merges.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from curation.urls import sortable
from pipelines.runs.ids import flat, to_text
from pipelines.runs.index import KINDS, between, overlapping
from pipelines.runs.mill import Mill, Stretch
from pipelines.runs.parts import read_table
from pipelines.runs.receipts import Attempt, Receipt, Task, bin_pack
from pipelines.runs.steps import Context, Manifest, fingerprint
from pipelines.runs.store import Folder
from schemas.parquet import open_parquet
from schemas.recipe import Recipe
from schemas.shard import ShardManifest
from schemas.tables import PLACE, SEGMENT

VERSION = 1
LIBRARIES = ()

RUN_ROWS = 1 << 19  # records that a task sorts
RUN_TOKENS = 1 << 27  # of shard files whose segments a task sorts
FILE_ROWS = 1 << 21  # of a merged file, about
GROUP_ROWS = 8192  # of its row groups: what a look-up reads
_SAMPLED = 1 << 14  # rows of a sorted file between two keys that its receipt tells


def relevant(_: Recipe) -> Any:
    """What of the recipe decides this stage's output."""
    return []


def run(mill: Mill, step: str, mark: str) -> Manifest:
    """Both steps, in order."""
    runs = Stretch(f"{step}/runs", fingerprint(mark, "runs"), _run_tasks, sort_parts)
    return mill.chain([runs, Stretch(step, mark, _merge_tasks, merge)])


# --- sorted runs ----------------------------------------------------------------------------


def _run_tasks(context: Context) -> list[Task]:
    records = [(receipt.task, receipt.records) for receipt in context.receipts("extract")]
    files: list[tuple[tuple[str, str, int], int]] = []
    for split, item in _shards(context.run).splits.items():
        first = 0
        for file in item.files:
            files.append(((split, file.path, first), file.tokens))
            first += file.rows
    return [
        *(
            Task(f"records-{number:06d}", {"parts": keys})
            for number, keys in enumerate(bin_pack(records, RUN_ROWS))
        ),
        *(
            Task(f"segments-{number:06d}", {"files": own})
            for number, own in enumerate(bin_pack(files, RUN_TOKENS))
        ),
    ]


def _shards(run: Folder) -> ShardManifest:
    return ShardManifest.model_validate_json(run.read("shards/manifest.json"))


def sort_parts(context: Context, step: str, task: Task) -> Receipt:
    """Sort the records of some parts by id and by address, or the segments of some shard files."""
    tables: dict[str, pa.Table]
    if "files" in task.spec:
        found = [_segments(context.run, *file) for file in task.spec["files"]]
        tables = {"segments": pa.concat_tables([SEGMENT.empty_table(), *found])}
    else:
        records = _records(context, task.spec["parts"])
        addressed = records.filter(pc.is_valid(records["url"]))
        addresses = pa.array(map(sortable, addressed["url"].to_pylist()), pa.string())
        tables = {
            "places": records.select(PLACE.names),
            "addresses": addressed.select(PLACE.names).add_column(0, "address", addresses),
        }
    counts = {}
    with Attempt(context.run, step, task.key) as attempt:
        for kind, table in tables.items():
            schema = KINDS[kind]
            ordered = table.sort_by([(name, "ascending") for name in schema.names[:2]])
            attempt.writer(kind, schema, dictionary=_REPEATED).write(ordered.cast(schema))
            counts[kind] = ordered[schema.names[0]].to_pylist()[::_SAMPLED]
        rows = sum(table.num_rows for table in tables.values())
        return attempt.commit(rows, rows, counts=counts)


_REPEATED = ("part", "split", "file", "source")


def _records(context: Context, parts: Sequence[str]) -> pa.Table:
    """Id, URL and part of all records of some parts."""
    found = []
    for part in parts:
        receipt, home = context.receipt("extract", part), context.home("extract")
        for kind in ("documents", "rejections"):
            table = read_table(home, receipt.file(kind).path, ["id", "url"])
            found.append(
                table.append_column("part", pa.repeat(part, table.num_rows).cast(pa.string()))
            )
    return pa.concat_tables(found)


def _segments(run: Folder, split: str, path: str, first: int) -> pa.Table:
    """SEGMENT rows of a shard file whose first row is the split's row `first`."""
    table = read_table(run, f"shards/{path}", ["length", "source", "segments"])
    lists = flat(table["segments"])
    rows = pc.list_parent_indices(lists).to_numpy()
    segments = lists.flatten()
    starts = segments.field("start").to_numpy()
    ends = np.append(starts[1:], 0)
    last = np.flatnonzero(np.append(rows[1:] != rows[:-1], len(rows) > 0))
    ends[last] = table["length"].to_numpy()[rows[last]]
    count = len(segments)
    columns = {
        "id": to_text(segments.field("document_id")),
        "split": pa.repeat(split, count),
        "row": pa.array(rows + first, pa.int64()),
        "file": pa.repeat(path, count),
        "source": table["source"].cast(pa.string()).take(pa.array(rows)),
        "start": pa.array(starts),
        "tokens": pa.array(ends - starts),
        "document_offset": segments.field("document_offset"),
        "bytes": segments.field("bytes"),
    }
    return pa.table(columns).cast(SEGMENT)


# --- merging --------------------------------------------------------------------------------


def _merge_tasks(context: Context) -> list[Task]:
    tasks = []
    for kind in KINDS:
        keys = sorted(
            key
            for receipt in context.receipts("index/runs")
            for key in receipt.counts.get(kind, ())
        )
        inner = list(dict.fromkeys(keys[:: FILE_ROWS // _SAMPLED][1:]))
        for number, (low, high) in enumerate(zip(["", *inner], [*inner, None], strict=True)):
            tasks.append(Task(f"{kind}-{number:06d}", {"kind": kind, "low": low, "high": high}))
    return tasks


def merge(context: Context, step: str, task: Task) -> Receipt:
    """Merge a range of keys of all sorted files of a kind."""
    kind, low, high = (task.spec[name] for name in ("kind", "low", "high"))
    schema = KINDS[kind]
    paths = [
        file.path
        for receipt in context.receipts("index/runs")
        for file in receipt.files
        if file.kind == kind
    ]
    readers = [_read_range(context.run, path, schema.names[0], low, high) for path in paths]
    with Attempt(context.run, step, task.key) as attempt:
        writer = attempt.writer(kind, schema, row_group_rows=GROUP_ROWS, dictionary=_REPEATED)
        rows = 0
        for table in merged(readers, schema.names[0]):
            writer.write(table)
            rows += table.num_rows
        return attempt.commit(rows, rows, counts={"kind": kind, "low": low, "high": high})


def _read_range(run: Folder, path: str, key: str, low: str, high: str | None) -> Iterator[pa.Table]:
    """The rows of a sorted file with keys in [low, high), a row group at a time."""
    with run.open(path) as stream:
        file = open_parquet(stream)
        for group in overlapping(file.metadata, [(low, high)]):
            table = file.read_row_group(group, use_threads=False)
            table = table.filter(between(table[key], low, high))
            if table.num_rows:
                yield table


def merged(readers: Sequence[Iterator[pa.Table]], key: str) -> Iterator[pa.Table]:
    """Tables of sorted rows, none empty, as one stream of sorted tables; holds one of each."""
    heads = [(table, reader) for reader in readers if (table := next(reader, None))]
    while heads:
        limit = min(table[key][-1].as_py() for table, _ in heads)
        taken, left = [], []
        for table, reader in heads:
            count = pc.sum(pc.less_equal(table[key], limit)).as_py()
            taken.append(table.slice(0, count))
            rest = table.slice(count) if count < table.num_rows else next(reader, None)
            if rest is not None:
                left.append((rest, reader))
        heads = left
        yield pa.concat_tables(taken).sort_by([(key, "ascending")])
