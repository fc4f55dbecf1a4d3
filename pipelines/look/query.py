"""SQL over the tables of a run, by DuckDB: it reads them and nothing else, and writes nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import groupby
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.dataset as ds

from pipelines.run import Run
from pipelines.runs import rejections
from pipelines.runs.steps import Context
from pipelines.runs.store import Folder
from schemas.parquet import open_dataset
from schemas.problems import Problem
from schemas.tables import DESCRIPTION, REJECTION, field, maybe

_BATCH_ROWS = 4096
# No extension is fetched, and no variable of ours is taken for a table.
_CLOSED: dict[str, str | bool | int | float | list[str]] = {
    "autoinstall_known_extensions": "false",
    "autoload_known_extensions": "false",
    "allow_community_extensions": "false",
    "python_enable_replacements": "false",
}
_HOST = r"regexp_extract(lower(url), '^[a-z][a-z0-9+.-]*://(?:[^/?#@]*@)?([^/?#:]+)', 1)"


@dataclass(frozen=True)
class Table:
    """A table that queries may name.

    needs: the stage that must be finished; rows: its data; more: by name, columns that SQL makes
    of others, and what they mean.
    """

    needs: str
    says: str
    rows: Callable[[Run], Any]
    more: dict[str, tuple[str, str]]


def _files(stage: str, kind: str) -> Callable[[Run], ds.Dataset]:
    return lambda run: dataset(run.context, [(stage, stage, kind)])


def _ledger(run: Run) -> pa.Table:
    rows = [
        {"stage": stage, "records": counts["records"], "reason": reason, "documents": number}
        for stage, counts in run.ledger.items()
        for reason, number in [(None, counts["kept"]), *counts["rejected"].items()]
    ]
    return pa.Table.from_pylist(rows, LEDGER)


def _tasks(run: Run) -> pa.Table:
    rows = [
        {"stage": stage, **{name: getattr(receipt, name) for name in ("task", "records", "kept")},
         **vars(receipt.usage)}
        for stage in run.stages
        for receipt in run.context.receipts(stage)
    ]  # fmt: skip
    return pa.Table.from_pylist(rows, TASKS)


def _rejections(run: Run) -> ds.Dataset:
    done = run.stages
    steps = [(stage, step) for stage, step in rejections.STEPS.items() if stage in done]
    there = [
        (stage, step, rejections.KIND)
        for stage, step in steps
        if run.context.home(stage).exists(f"{step}/manifest.json")
    ]
    return dataset(run.context, there)


def _members(run: Run) -> ds.Dataset:
    return dataset(run.context, [("deduplicate", "deduplicate", "clusters")])


LEDGER = pa.schema(
    [
        field("stage", pa.string(), "The stage."),
        field("records", pa.int64(), "How many came to the stage."),
        maybe("reason", pa.string(), "Why documents were rejected; null: they were kept."),
        field("documents", pa.int64(), "How many were."),
    ]
)
TASKS = pa.schema(
    [
        field("stage", pa.string(), "The stage."),
        field("task", pa.string(), "Key of the task."),
        field("records", pa.int64(), "How many it was given."),
        field("kept", pa.int64(), "How many it kept."),
        field("wall_seconds", pa.float64(), "Seconds that it took, by the clock."),
        field("cpu_seconds", pa.float64(), "Seconds of processors."),
        field("peak_bytes", pa.int64(), "The most memory that it held, in bytes."),
    ]
)
TABLES: dict[str, Table] = {
    "documents": Table(
        "extract",
        "Every record of which a text was found, with the text as extracted.",
        _files("extract", "documents"),
        {"host": (_HOST, "Host of the URL, in lower case; empty without one.")},
    ),
    "signals": Table(
        "filter", "What `filter` said of every document.", _files("filter", "signals"), {}
    ),
    "rejections": Table("extract", "What stages did not keep, and why.", _rejections, {}),
    "clusters": Table(
        "deduplicate",
        "Every document that deduplication kept for others (`dropped` of them). Its duplicates are "
        "in `rejections` by their `representative`.",
        _members,
        {},
    ),
    "curated": Table(
        "curate",
        "The text as it is fit to publish, with the signals of `curate`.",
        _files("curate", "text"),
        {"host": (_HOST, "Host of the URL, in lower case; empty without one.")},
    ),
    "shards": Table(
        "index", "The segments of all rows of the shards.", _files("index", "segments"), {}
    ),
    "ledger": Table("extract", "Where every record went, by stage and reason.", _ledger, {}),
    "tasks": Table("extract", "What every task of a stage took.", _tasks, {}),
}


def dataset(context: Context, steps: Iterable[tuple[str, str, str]]) -> ds.Dataset:
    """The files of a kind that steps wrote, by (stage, step, kind); pages are checked as they are
    read."""
    paths = [
        (context.home(stage).url, file.path)
        for stage, step, kind in steps
        for receipt in context.receipts(step)
        for file in receipt.files
        if file.kind == kind
    ]
    parts = []
    for home, own in groupby(paths, lambda each: each[0]):
        filesystem, root = Folder(home).arrow()
        names = [f"{root}/{path}" for _, path in own]
        parts.append(open_dataset(names, filesystem))
    if not parts:
        return ds.dataset(REJECTION.empty_table())
    return parts[0] if len(parts) == 1 else ds.dataset(parts)


def connect(run: Run) -> duckdb.DuckDBPyConnection:
    """A connection that knows the tables of a run as far as it is finished.

    It can open no file and no address, load nothing, and change none of this.
    """
    connection = duckdb.connect(":memory:", config=_CLOSED)
    done = run.stages
    for name, table in TABLES.items():
        if table.needs in done:
            columns = "".join(f", {sql} AS {called}" for called, (sql, _) in table.more.items())
            connection.register(f"_{name}", table.rows(run))
            connection.execute(f"CREATE VIEW {name} AS SELECT *{columns} FROM _{name}")  # noqa: S608 - ours
    connection.execute("SET enable_external_access = false")
    connection.execute("SET lock_configuration = true")
    return connection


def query(run: Run, sql: str) -> pa.RecordBatchReader:
    """The rows of one SELECT over the run's TABLES. Raises Problem for anything else, for wrong
    SQL, and for a table of a stage that is not finished."""
    connection = connect(run)
    try:
        statements = connection.extract_statements(sql)
        if [each.type for each in statements] != [duckdb.StatementType.SELECT]:
            raise Problem("is not one SELECT: a run is only read", "query")
        return connection.sql(statements[0].query).to_arrow_reader(_BATCH_ROWS)
    except duckdb.Error as error:
        there = ", ".join(name for name, table in TABLES.items() if table.needs in run.stages)
        mend = f"tables are {there}" if isinstance(error, duckdb.CatalogException) else ""
        raise Problem(" ".join(str(error).split()), "query", mend) from None


def described(run: Run) -> str:
    """The tables of a run, with what each column is."""
    lines = []
    for name, table in TABLES.items():
        if table.needs not in run.stages:
            lines += [f"{name}: is there when the stage `{table.needs}` is finished", ""]
            continue
        lines.append(f"{name}: {table.says}")
        columns = [
            (item.name, str(item.type), (item.metadata or {}).get(DESCRIPTION, b"").decode())
            for item in table.rows(run).schema
        ]
        columns += [(called, "string", says) for called, (_, says) in table.more.items()]
        lines += [f"  {called:<28} {kind:<20} {says}".rstrip() for called, kind, says in columns]
        lines.append("")
    return "\n".join(lines)
