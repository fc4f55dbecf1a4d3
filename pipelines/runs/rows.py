"""Rows of files: texts with all their columns in, rows to JSON lines or Parquet out."""

from __future__ import annotations

import csv
import json
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, time
from itertools import islice
from pathlib import Path
from typing import IO, Any, Protocol, TextIO

import pyarrow as pa

from curation.readers import Damage, Record
from curation.readers.rows import value_of
from pipelines.runs import rejections
from pipelines.runs.events import Listener, Warned
from pipelines.runs.inputs import Rows as RowColumns
from pipelines.runs.parts import PartWriter
from pipelines.runs.receipts import Task
from pipelines.runs.splits import columns, in_order, input_of, plan_splits, read_split, unreadable
from pipelines.runs.store import Folder
from schemas.inputs import Input, Splits
from schemas.problems import Problem
from schemas.recipe import Recipe

BATCH_ROWS = 256
_JSONL = (".jsonl", ".jsonl.gz", ".jsonl.zst")
_WHOLE = 1 << 62  # bytes of a split: every file in one


@dataclass(slots=True)
class Row:
    """A text and its row. id: of the row, or its file and place; values: all columns but the
    text's."""

    id: str
    text: str
    values: dict[str, Any]


def batches(
    inputs: Sequence[Input], lost: Callable[[dict[str, Any]], None], listener: Listener
) -> Iterator[list[Row]]:
    """The texts of inputs in the order of inputs, names and records, some at a time.

    The inputs' columns are `inputs.Rows`. `lost` is given a rejection for each record that holds no
    text, named by its place; `listener` a warning for each file that cannot be read. Raises
    Problem.
    """
    recipe = Recipe(name="rows", inputs=tuple(inputs), splits=Splits(bytes=_WHOLE))
    tasks = plan_splits(recipe) if inputs else []
    for path, why in unreadable(recipe, tasks):
        listener(Warned(f"is not read: {why}", path, ""))
    rows = _rows(recipe, tasks, lost)
    unnamed = {own.id for item in inputs if isinstance(own := columns(item), RowColumns)} - {"id"}
    while batch := list(islice(rows, BATCH_ROWS)):
        if any(value_of(row.values, name) not in (None, "") for row in batch for name in unnamed):
            unnamed = set()
        yield batch
    if unnamed:
        raise Problem("no row has such a column", f"id {min(unnamed)}")


def _rows(
    recipe: Recipe, tasks: Sequence[Task], lost: Callable[[dict[str, Any]], None]
) -> Iterator[Row]:
    for whole, piece in in_order(recipe, tasks):
        task = Task(whole.key, {**whole.spec, "ranges": [piece]})
        item = input_of(recipe, task)
        for file, record in read_split(recipe, task):
            if why := without_text(record):
                row = rejections.of_record("read", item, file, record, *why)
                lost({**row, "id": place_of(file, record)})
                continue
            assert isinstance(record, Record)  # noqa: S101 - it holds text
            own = record.row or {"url": record.url, "crawled": record.crawled}
            values = {name: value for name, value in own.items() if name != columns(item).text}
            yield Row(id_of(item, record) or place_of(file, record), text_of(record), values)


def without_text(record: Record | Damage) -> tuple[str, str | None] | None:
    """Why a record holds no text: the reason and the value that decided; None if it does."""
    if isinstance(record, Damage):
        return f"damaged_{record.kind}", record.detail
    if record.text is None and record.kind not in ("text", "conversion"):
        return "not_text", record.kind
    return None


def text_of(record: Record) -> str:
    """The text of a record that holds one."""
    return record.payload.decode(errors="replace") if record.text is None else record.text


def place_of(file: str, record: Record | Damage) -> str:
    """What a row without an id is called."""
    return f"{file}:{record.offset or record.inner}"


def id_of(item: Input, record: Record) -> str | None:
    """The id of a record's row; None if it has none. Raises Problem for a list or mapping."""
    asked = columns(item)
    if record.row is None or not isinstance(asked, RowColumns):
        return None
    value = value_of(record.row, asked.id)
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, list | dict):
        place = f"{item.root}/..., row at {record.offset}"
        raise Problem(
            f"its `{asked.id}` is a {type(value).__name__}, which cannot name rows", place
        )
    return None if value is None or value == "" else str(value)


def number(value: Any) -> float | None:
    """The number that a row has, be it as text; None if it has none."""
    try:
        return None if value is None or isinstance(value, bool) else float(value)
    except (TypeError, ValueError):
        return None


class Writer(Protocol):
    """Takes rows."""

    def write(self, rows: Sequence[dict[str, Any]] | pa.Table) -> None:
        """Add rows, in this order."""


class Lines:
    """JSON lines; times are ISO 8601, bytes are hexadecimal."""

    def __init__(self, stream: IO[bytes] | pa.NativeFile) -> None:
        """`stream` takes them."""
        self._stream = stream

    def write(self, rows: Iterable[Mapping[str, Any]] | pa.Table) -> None:
        """Add rows."""
        for row in rows.to_pylist() if isinstance(rows, pa.Table) else rows:
            self._stream.write(_ENCODER.encode(row).encode() + b"\n")


def _plain(value: Any) -> str:
    if isinstance(value, bytes):
        return value.hex()
    return (
        value.isoformat().replace("+00:00", "Z") if isinstance(value, date | time) else str(value)
    )


_ENCODER = json.JSONEncoder(ensure_ascii=False, default=_plain)


class Csv:
    """Comma-separated values; lists and mappings are JSON, null is nothing."""

    def __init__(self, stream: TextIO, schema: pa.Schema) -> None:
        """`stream` takes them, the names of the columns first."""
        self._writer = csv.writer(stream, lineterminator="\n")
        self._writer.writerow(schema.names)

    def write(self, rows: Sequence[dict[str, Any]] | pa.Table) -> None:
        """Add rows."""
        for row in rows.to_pylist() if isinstance(rows, pa.Table) else rows:
            self._writer.writerow(_cell(value) for value in row.values())


def _cell(value: Any) -> Any:
    if isinstance(value, list | dict):
        return _ENCODER.encode(value)
    return value if value is None or isinstance(value, str | int | float) else _plain(value)


class _Parquet:
    """Parquet with columns beyond the schema's, whose types are known when all rows are.

    Rows wait in a file beside the one to be written.
    """

    def __init__(self, path: Path, schema: pa.Schema) -> None:
        self._path, self._schema, self._others = path, schema, pa.schema([])
        self._large: set[str] = set()  # columns with integers that int64 does not hold
        self._waiting = path.with_name(".waiting")
        self._spool = pa.OSFile(str(self._waiting), "wb")

    def write(self, rows: Sequence[dict[str, Any]] | pa.Table) -> None:
        if isinstance(rows, pa.Table):
            rows = rows.to_pylist()
        names = dict.fromkeys(name for row in rows for name in row)
        others = [name for name in names if name not in self._schema.names]
        table = pa.Table.from_pylist(rows, self._schema)
        for name in others:
            table = table.append_column(name, self._column(name, [row.get(name) for row in rows]))
        try:
            found = table.select(others).schema.remove_metadata()
            self._others = pa.unify_schemas([self._others, found], promote_options="permissive")
        except pa.ArrowException as error:
            raise self._mixed(str(error)) from None
        with pa.ipc.new_stream(self._spool, table.schema) as stream:
            stream.write_table(table)

    def _column(self, name: str, values: list[Any]) -> pa.Array:
        try:
            try:
                return pa.array(values)
            except OverflowError:  # at least 2^63
                self._large.add(name)
                return pa.array(values, pa.uint64())
        except (pa.ArrowException, OverflowError) as error:
            raise self._mixed(f"`{name}`: {error}") from None

    def _mixed(self, why: str) -> Problem:
        return Problem(
            f"a column has values of several types: {why}",
            self._path.name,
            "write JSON lines, which can have them",
        )

    def close(self) -> None:
        """Write the file."""
        self._spool.close()
        fields = [
            field.with_type(pa.uint64() if field.name in self._large else _typed(field.type))
            for field in self._others
        ]
        whole = pa.schema([*self._schema, *fields], metadata=self._schema.metadata)
        writer = PartWriter(self._path, whole)
        with pa.OSFile(str(self._waiting), "rb") as spool:
            while spool.tell() < spool.size():
                table = pa.ipc.open_stream(spool).read_all()
                for field in whole:
                    if field.name not in table.column_names:
                        table = table.append_column(field, pa.nulls(table.num_rows, field.type))
                try:
                    writer.write(table.select(whole.names).cast(whole))
                except pa.ArrowException as error:
                    raise self._mixed(str(error)) from None
        writer.close()


def _typed(kind: pa.DataType) -> pa.DataType:
    """The type with strings for what no value tells the type of."""
    if pa.types.is_list(kind):
        return pa.list_(_typed(kind.value_type))
    if pa.types.is_struct(kind):
        return pa.struct([field.with_type(_typed(field.type)) for field in kind])
    return pa.string() if pa.types.is_null(kind) else kind


@contextmanager
def writing(path: str, schema: pa.Schema, *, more: bool = False) -> Iterator[Writer]:
    """A writer of rows of `schema` to a local path or fsspec URL.

    `more`: rows may have other columns too. The file appears whole at the end, over an older one,
    or not at all. Raises Problem if its suffix is neither `.jsonl`, `.jsonl.gz`, `.jsonl.zst`,
    `.csv` nor `.parquet`.
    """
    if not path.endswith((".parquet", ".csv", *_JSONL)):
        raise Problem(f"its name must end in .parquet, .csv, {', '.join(_JSONL)}, or be `-`", path)
    parent, _, name = path.rpartition("/")
    folder = Folder(parent or ("/" if path.startswith("/") else "."))
    try:
        scratch = folder.scratch()
    except OSError as error:
        raise Problem(f"cannot be written: {error}", path) from None
    part = scratch / name
    try:
        if name.endswith(".parquet"):
            writer = _Parquet(part, schema) if more else PartWriter(part, schema)
            yield writer
            writer.close()
        elif name.endswith(".csv"):
            with part.open("w", encoding="utf-8", newline="") as text:
                yield Csv(text, schema)
        else:
            with pa.output_stream(str(part), compression="detect") as stream:
                yield Lines(stream)
        folder.publish(part, name)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
