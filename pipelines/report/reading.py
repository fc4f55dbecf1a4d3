"""Reading a run's parts within bounds: all rows of a small run, a keyed sample of a large one."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from curation.keys import key64, key64_many
from pipelines.report.shape import Coverage
from pipelines.runs.documents import find
from pipelines.runs.steps import Context
from schemas.parquet import open_parquet

# At most about so many rows of a kind are held, some 100 MB with all their signals. A share of
# them is within 0.25 percentage points of the whole's (two standard errors).
MOST_ROWS = 200_000
# Sums of a few columns are over all rows, of a run of more documents over so many.
MOST_SUMMED = 12_000_000
# A large run gives rows of at least so many of its parts.
LEAST_PARTS = 100
_WAITING_ROWS = 1 << 18
_PAGE = ("source", "url", "title", "language", "language_score", "text", "file", "offset")


T = TypeVar("T")


@dataclass(frozen=True)
class Part:
    """A file of a task, and the row groups of it that are looked at: None for all."""

    task: str
    path: str
    groups: tuple[int, ...] | None = None


class RowSample:
    """The rows of one kind of files that a stage wrote, or whole row groups of them.

    Which ones a keyed hash of task and group decides, so that a run has one sample.
    """

    def __init__(self, context: Context, stage: str, kind: str, most: int | None = None) -> None:
        """`stage` is finished; its tasks wrote a file of this kind each. most: rows that are
        looked at, MOST_ROWS if None."""
        self.folder = context.home(stage)
        receipts = context.receipts(stage)
        files = {receipt.task: receipt.file(kind) for receipt in receipts}
        rows = sum(file.rows for file in files.values())
        self.parts = [Part(task, file.path) for task, file in files.items()]
        looked_at = rows
        if rows > (most := most or MOST_ROWS):
            looked_at = self._choose(context.recipe.seed, most)
        self.coverage = Coverage(rows=rows, looked_at=looked_at)

    def _choose(self, seed: int, most: int) -> int:
        """Keep a sample of the parts; returns its rows."""
        quota = most // min(len(self.parts), LEAST_PARTS)
        chosen, taken = [], 0
        for part in sorted(self.parts, key=lambda part: key64(seed, "report part", part.task)):
            with self.folder.open(part.path) as stream:
                metadata = pq.read_metadata(stream)
            groups, own = [], 0
            for group in sorted(
                range(metadata.num_row_groups),
                key=lambda group: key64(seed, "report group", part.task, group),
            ):
                groups.append(group)
                own += metadata.row_group(group).num_rows
                if own >= quota:
                    break
            chosen.append(Part(part.task, part.path, tuple(sorted(groups))))
            taken += own
            if taken >= most:
                break
        self.parts = sorted(chosen, key=lambda part: part.task)
        return taken

    def tables(self, columns: Sequence[str]) -> Iterator[tuple[Part, pa.Table]]:
        """The rows looked at, part by part."""
        for part in self.parts:
            yield part, self.read(part, columns)

    def read(self, part: Part, columns: Sequence[str]) -> pa.Table:
        """The rows of a part that are looked at."""
        with self.folder.open(part.path) as stream:
            file = open_parquet(stream)
            groups = range(file.num_row_groups) if part.groups is None else part.groups
            return file.read_row_groups(list(groups), columns, use_threads=False)

    def table(self, columns: Sequence[str]) -> pa.Table:
        """All rows looked at, with a column `task`."""
        tables = [
            table.append_column("task", pa.repeat(pa.scalar(part.task), table.num_rows))
            for part, table in self.tables(columns)
        ]
        return pa.concat_tables(tables)

    def scaled(self, count: int) -> int:
        """A count of rows looked at, scaled up to all."""
        looked_at = self.coverage["looked_at"]
        return round(count * self.coverage["rows"] / looked_at) if looked_at else 0


def each_part(work: Callable[[Part], T], parts: Sequence[Part]) -> Iterator[T]:
    """What the parts give, in their order; a few are read side by side."""
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        yield from pool.map(work, parts)


class Total:
    """A growing sum of tables by the columns `by`; holds about twice its own rows."""

    def __init__(self, by: Sequence[str]) -> None:
        """Nothing yet."""
        self._by, self._tables = by, list[pa.Table]()
        self._rows = self._waiting = 0

    def add(self, table: pa.Table) -> None:
        """Rows to add up."""
        self._tables.append(table)
        self._waiting += table.num_rows
        if self._waiting > max(_WAITING_ROWS, self._rows):
            self._tables = [self.table()]
            self._rows, self._waiting = self._tables[0].num_rows, 0

    def table(self) -> pa.Table:
        """The sums; at least one table was added."""
        return sums(pa.concat_tables(self._tables), self._by)


def sums(table: pa.Table, by: Sequence[str]) -> pa.Table:
    """The rows of a table of numbers added up by the columns `by`, which come first."""
    numbers = [name for name in table.column_names if name not in by]
    grouped = table.group_by(list(by), use_threads=False)
    found = grouped.aggregate([(name, "sum") for name in numbers])
    columns = [found[name] for name in by] + [found[f"{name}_sum"] for name in numbers]
    return pa.table(columns, [*by, *numbers])


def choose(
    seed: int, table: pa.Table, labels: Sequence[str], most: int
) -> dict[str, list[dict[str, Any]]]:
    """By label, at most `most` of the table's rows with it, by a keyed hash of their `id`."""
    keys = key64_many(seed, "report", table["id"].to_pylist())
    chosen: dict[str, list[int]] = {}
    for index in np.argsort(keys, kind="stable").tolist():
        own = chosen.setdefault(labels[index], [])
        if len(own) < most:
            own.append(index)
    return {label: table.take(indices).to_pylist() for label, indices in chosen.items()}


def find_pages(
    context: Context, wanted: Mapping[str, Collection[str]]
) -> dict[str, dict[str, Any]]:
    """Extracted pages by id; `wanted` names ids by their part."""
    return find(context, wanted, _PAGE)
