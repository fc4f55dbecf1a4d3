"""`gristmill why` and `gristmill query`."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterable
from typing import TYPE_CHECKING

from pipelines.commands.parsing import Add

if TYPE_CHECKING:
    import pyarrow as pa


def add_why(add: Add) -> None:
    """Add `why`."""
    why = add(
        "why",
        "Tell what became of a page, stage by stage, and why.",
        "gristmill why runs/one https://example.org/page",
        _why,
    )
    why.add_argument("run", metavar="RUN", help="folder or URL of the run")
    why.add_argument("record", metavar="URL|ID", help="its URL, or a document's id")
    shown = why.add_mutually_exclusive_group()
    shown.add_argument("--text", action="store_true", help="the text, as the run left it")
    shown.add_argument("--html", action="store_true", help="the bytes of the original record")
    shown.add_argument("--json", action="store_true", help="an object a line")


def _why(options: argparse.Namespace) -> int:
    from dataclasses import asdict

    from pipelines.look import why
    from pipelines.look.display import visible
    from pipelines.run import Run

    run = Run.open(options.run)
    told_of: Iterable[why.Story] = why.stories(run, options.record)
    if options.text:  # of several records at a URL, those that have one
        every = list(told_of)
        told_of = [told for told in every if told.extracted] or every
    for number, told in enumerate(told_of):
        if options.html:
            sys.stdout.buffer.write(why.original(run, told))
        elif options.text:
            text = why.text_of(run, told)
            print(visible(text) if sys.stdout.isatty() else text)
        elif options.json:
            print(json.dumps(asdict(told), ensure_ascii=False, default=str))
        else:
            print("\n" * bool(number) + why.tell(told))
    return 0


def add_query(add: Add) -> None:
    """Add `query`."""
    query = add(
        "query",
        "Ask the tables of a run by SQL; without a question, tell what tables there are.",
        'gristmill query runs/one "SELECT reason, count(*) FROM rejections GROUP BY ALL"',
        _query,
    )
    query.add_argument("run", metavar="RUN", help="folder or URL of the run")
    query.add_argument("sql", nargs="?", metavar="SQL", help="one SELECT, as DuckDB knows it")
    query.add_argument(
        "--output",
        metavar="OUT",
        help="a .parquet, .csv or .jsonl (.gz, .zst) file; `-`: JSON lines on standard output; "
        f"default: a table of at most {_ROWS} rows",
    )


_ROWS = 200
_WIDTH = 60  # of a column


def _query(options: argparse.Namespace) -> int:
    import pyarrow as pa

    from pipelines.commands.options import writing
    from pipelines.look.query import described, query
    from pipelines.run import Run

    run = Run.open(options.run)
    if options.sql is None:
        print(described(run))
        return 0
    found = query(run, options.sql)
    if options.output is None:
        print(_table(found))
        return 0
    with writing(options.output, found.schema) as out:
        for batch in found:
            out.write(pa.Table.from_batches([batch]))
    return 0


def _table(found: pa.RecordBatchReader) -> str:
    """The first rows, in columns."""
    from pipelines.look.display import visible

    rows: list[list[str]] = []
    more = False
    for batch in found:
        rows += [[_cell(value) for value in row.values()] for row in batch.to_pylist()]
        if more := len(rows) > _ROWS:
            break
    shown = [[visible(cell) for cell in row] for row in [found.schema.names, *rows[:_ROWS]]]
    widths = [max(map(len, column)) for column in zip(*shown, strict=True)]
    numeric = [_is_number(kind) for kind in found.schema.types]
    lines = [
        "  ".join(
            cell.rjust(width) if right else cell.ljust(width)
            for cell, width, right in zip(row, widths, numeric, strict=True)
        ).rstrip()
        for row in shown
    ]
    rest = [f"... and more: --output FILE writes all, this table shows {_ROWS}"] if more else []
    return "\n".join([*lines, *rest])


def _cell(value: object) -> str:
    text = "" if value is None else f"{value:.6g}" if isinstance(value, float) else str(value)
    text = " ".join(text.split())
    return text if len(text) <= _WIDTH else text[: _WIDTH - 1] + "…"


def _is_number(kind: pa.DataType) -> bool:
    """Whether values of a type stand to the right."""
    import pyarrow as pa

    return bool(pa.types.is_integer(kind) or pa.types.is_floating(kind))
