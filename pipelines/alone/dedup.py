"""`gristmill dedup`: which documents of some files are duplicates, without a run.

The files are signed, then the stage of a run does the rest, in a folder of its own.
"""

from __future__ import annotations

import os
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from pydantic import ValidationError

from curation.keys import document_id
from curation.readers import Damage, Record
from pipelines.alone.rows import Rows, writing
from pipelines.alone.texts import AskedColumns, number, spooled
from pipelines.engines.runners import Engine
from pipelines.recipes.loading import load, to_yaml
from pipelines.runs.documents import Cuts
from pipelines.runs.events import Listener, ignore
from pipelines.runs.inputs import columns_of, input_at
from pipelines.runs.mill import Mill
from pipelines.runs.parts import read_table
from pipelines.runs.receipts import Attempt, Receipt, Task
from pipelines.runs.splits import input_of, plan_splits, read_split
from pipelines.runs.steps import Context, Manifest
from pipelines.runs.store import Folder, is_remote
from pipelines.stages.dedup import stage as deduplicate
from pipelines.stages.dedup.signatures import schema, signature_table
from schemas.deduplicate import NEAR, ORDERS, Deduplicate
from schemas.inputs import Input
from schemas.problems import Problem
from schemas.recipe import Recipe
from schemas.tables import DEDUPLICATED, ID

_BATCH = 256
_NAMES = pa.schema([pa.field("id", ID, False), pa.field("name", pa.string(), False)])
_TEXTS = pa.schema([pa.field("id", ID, False), pa.field("text", pa.large_string(), False)])
_MARK = "alone"
# Of a row, what an option may decide by.
_DECIDING = ("name", "url", "crawled", "signal")
# Before the name of a column that `keep` names, as a recipe's signals have a family.
_ROW = "row."


def deduplicate_files(
    paths: Sequence[str],
    output: str,
    *,
    recipe: str | None = None,
    over: Mapping[str, Any] | None = None,
    reading: Mapping[str, Any] | None = None,
    id_column: str = "id",
    index: str | None = None,
    engine: Engine | None = None,
    listener: Listener = ignore,
) -> Counter[str]:
    """Write a row for every document of files, folders or patterns to `output`: DEDUPLICATED.

    Order is that of the paths, of names, and of records; `-` is standard input, JSON lines. A path
    is a source of its own, whose name SOURCE=PATH gives. `recipe` gives the options, `over` lies
    over its `deduplicate`, `reading` is `format` and `columns` of the inputs; a signal that `keep`
    names is a column of numbers. Memory is that of the engine, and some 100 bytes for each
    cluster. `index`: a folder for what is kept, that later calls and runs can be deduplicated
    `against`. Returns how many records ended how: `kept`, a level, or why a record is no document.
    Raises Problem.
    """
    asked = options(recipe, over or {})
    deduplicate.relevant(Recipe(name="dedup", deduplicate=asked))  # before hours of signing
    with (
        tempfile.TemporaryDirectory(prefix="gristmill-") as scratch,
        writing(output, DEDUPLICATED) as rows,
    ):
        inputs = _inputs(paths, dict(reading or {}), id_column, asked.keep, Path(scratch))
        whole = Recipe(name="dedup", inputs=inputs, deduplicate=asked)
        run = Folder(index or f"{scratch}/run")
        run.make()
        if index and run.exists("recipe.yaml"):
            raise Problem(f"--index {index}: holds an index or a run: give a new folder")
        run.create("recipe.yaml", to_yaml(whole).encode())
        splits = _splits(whole, id_column)
        mill = Mill(Context(run, whole), engine or Engine(), splits, listener)
        tasks = mill.plan("filter", _MARK, lambda: splits)
        read = mill.do("filter", sign_split, tasks)
        _check_found(mill.context, id_column)
        done = deduplicate.run(mill, "deduplicate", _MARK)
        _write(mill.context, done, rows)
        if index:
            _prune(run)
    return Counter({**read.rejected, "kept": done.kept, **done.rejected})


def options(recipe: str | None, over: Mapping[str, Any]) -> Deduplicate:
    """The recipe's `deduplicate`, or the defaults, with `over` laid over them."""
    base = (load(recipe).deduplicate if recipe else Deduplicate()).model_dump()
    near = over.get("near", {})
    if near == {}:
        near = base["near"]
    elif near is not None and base["near"] is not None:
        near = {**base["near"], **near}
    try:
        return Deduplicate.model_validate({**base, **over, "near": near})
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in ("deduplicate", *first["loc"]))
        raise Problem(f"{key}: {first['msg'].removeprefix('Value error, ')}") from None


def over_of(asked: Mapping[str, Any]) -> dict[str, Any]:
    """What the options of a command line lay over a recipe's `deduplicate`."""
    over = {
        name: value
        for name in ("scope", "exact", "normalised", "url", "keep", "prefer")
        if (value := asked.get(name)) is not None
    }
    if over.get("keep", ".").isidentifier() and over["keep"] not in ORDERS:
        over["keep"] = _ROW + over["keep"]
    if asked.get("spans") is not None:
        over["spans"] = spans_of(asked["spans"])
    if asked.get("against"):
        over["against"] = [
            url if is_remote(url) else os.path.abspath(url) for url in asked["against"]
        ]
    near: dict[str, Any] | None = {}
    if asked.get("near") is not None:
        near = near_of(asked["near"])
    verify = {
        name: value for name in ("verify", "verify_by") if (value := asked.get(name)) is not None
    }
    if near is None and verify:
        raise Problem("--near none: leaves nothing to verify: take --verify and --verify-by away")
    return {**over, "near": near if near is None else near | verify}


def near_of(text: str) -> dict[str, Any] | None:
    """`deduplicate.near` of a name, or of bands, rows and words (or characters) of a shingle:
    `14,8,5`, `20,13,24c`; `none` for none. Raises Problem."""
    if text == "none":
        return None
    if text in NEAR:
        return NEAR[text].model_dump()
    bands, _, rest = text.partition(",")
    rows, _, size = rest.partition(",")
    unit = "shingle_characters" if size.endswith("c") else "shingle_words"
    try:
        return {"bands": int(bands), "rows": int(rows), unit: int(size.removesuffix("c"))}
    except ValueError:
        raise Problem(
            f"--near {text}: give {', '.join(NEAR)}, none, or bands, rows and words of a shingle, "
            "such as 14,8,5 (20,13,24c: of characters)"
        ) from None


def spans_of(text: str) -> dict[str, Any]:
    """`deduplicate.spans` of levels with the number that they are about, if it is another than
    the published one: `lines,sentences=2,substring`. Raises Problem."""
    found: dict[str, Any] = {}
    for word in text.split(","):
        level, given, number = word.partition("=")
        if level not in _SPANS or (given and level in ("lines", "paragraphs")):
            raise Problem(
                f"--spans {text}: give one or more of lines, paragraphs, sentences=3, bloom=13 "
                "(words of an n-gram), substring=50 (tokens), with commas between them"
            )
        found[level] = _SPANS[level](number)
    return found


_SPANS: dict[str, Callable[[str], Any]] = {
    "lines": lambda _: True,
    "paragraphs": lambda _: True,
    "sentences": lambda size: size or 3,
    "bloom": lambda size: {"words": size} if size else {},
    "substring": lambda size: {"tokens": size} if size else {},
}


def _inputs(
    paths: Sequence[str], reading: dict[str, Any], id_column: str, keep: str, scratch: Path
) -> tuple[Input, ...]:
    """The inputs; of what a reader of lines brings, a row's id is the title, the column that `keep`
    names the licence."""
    layout = columns_of(reading.pop("columns", "text"))
    # addresses and times are read where there are some
    fields = {"url": "url", "crawled": "date"} | layout.named()
    if keep not in ORDERS:
        fields["licence"] = keep.removeprefix(_ROW)
    columns = AskedColumns(**{**fields, "title": id_column})
    found: dict[str, Input] = {}
    for path in paths:
        source, equals, place = path.partition("=")
        if not equals or "/" in source or os.path.exists(path):
            source, place = f"in{len(found)}", path
        if source in found:
            raise Problem(f"{path}: another input is `{source}`: give this one another name")
        if place == "-":
            place = spooled(scratch / "standard-input.jsonl")
        asked = {"source": source, **input_at(place), **reading, "columns": columns}
        try:
            found[source] = Input.model_validate(asked)
        except ValidationError as error:
            first = error.errors()[0]
            raise Problem(f"{path}: {first['loc'][0]}: {first['msg']}") from None
    return tuple(found.values())


def _check_found(context: Context, id_column: str) -> None:
    """Raise Problem for a column that decides and that no row has."""
    receipts = context.receipts("filter")
    if not any(receipt.kept for receipt in receipts):
        return
    asked = context.recipe.deduplicate
    keep = asked.keep.removeprefix(_ROW)
    layout = "give the layout of the rows by --columns"
    for field, decides, message in (
        ("name", id_column != "id", f"--id {id_column}: no row has such a column"),
        ("url", asked.url, f"--url {asked.url}: no row has an address: {layout}"),
        ("crawled", keep in ("newest", "oldest"), f"--keep {keep}: no row has a time: {layout}"),
        ("signal", keep not in ORDERS, f"--keep {keep}: no row has a number of that name"),
    ):
        if decides and not any(receipt.counts[field] for receipt in receipts):
            raise Problem(message)


def _splits(recipe: Recipe, id_column: str) -> list[Task]:
    """The splits in the order of the input, under numbers."""
    return [
        Task(f"{number:06d}", {**task.spec, "id": id_column}, task.size)
        for number, task in enumerate(plan_splits(recipe))
    ]


def sign_split(context: Context, step: str, task: Task) -> Receipt:
    """Sign the documents of a split."""
    options = context.recipe.deduplicate
    by_shingles = options.near is not None and options.near.verify_by == "shingles"
    keeps_texts = by_shingles or options.spans.levels()
    lost: Counter[str] = Counter()
    records = 0
    found: Counter[str] = Counter()
    with Attempt(context.run, step, task.key) as attempt:
        signatures = attempt.writer("signatures", schema(options), dictionary=("scope",))
        names = attempt.writer("names", _NAMES)
        texts = attempt.writer("documents", _TEXTS) if keeps_texts else None
        for rows in _batches(_documents(context.recipe, task, lost)):
            signatures.write(signature_table(options, rows))
            called = [row["name"] or row["place"] for row in rows]
            names.write(pa.table({"id": [row["id"] for row in rows], "name": called}))
            if texts:
                texts.write([{"id": row["id"], "text": row["text"]} for row in rows])
            records += len(rows)
            for name in _DECIDING:
                found[name] += sum(row[name] is not None for row in rows)
        counts = {name: found[name] for name in _DECIDING}
        return attempt.commit(records + lost.total(), records, lost, counts)


def _batches(rows: Iterator[dict[str, Any]]) -> Iterator[list[dict[str, Any]]]:
    batch = []
    for row in rows:
        batch.append(row)
        if len(batch) == _BATCH:
            yield batch
            batch = []
    if batch:
        yield batch


def _documents(recipe: Recipe, task: Task, lost: Counter[str]) -> Iterator[dict[str, Any]]:
    """What signing needs of each text; `lost` counts what is none."""
    item = input_of(recipe, task)
    ids = _Ids(item, task)
    by_signal = recipe.deduplicate.keep not in ORDERS
    for file, record in read_split(recipe, task):
        if isinstance(record, Damage):
            lost[record.kind] += 1
            continue
        text = _text(record)
        if text is None:
            lost["not_text"] += 1
            continue
        yield {
            "id": document_id(item.source, file, record.offset, record.offset_kind),
            "name": ids.of(file, record),
            "place": f"{file}:{record.offset or record.inner}",
            "source": item.source,
            "snapshot": item.snapshot,
            "url": record.url,
            "text": text,
            "crawled": record.crawled,
            "signal": number(record.licence) if by_signal and record.kind == "text" else None,
        }


class _Ids:
    """What the rows of a split are called."""

    def __init__(self, item: Input, task: Task) -> None:
        self._root, self._column = Folder(item.root), task.spec["id"]
        self._formats = {each["file"]: each.get("format") for each in task.spec["ranges"]}
        self._file = ""
        self._values: pa.ChunkedArray | None = None

    def of(self, file: str, record: Record) -> str | None:
        """The row's id; None if it has none."""
        if self._formats[file] != "parquet":
            return record.title
        if file != self._file:
            self._file, self._values = file, self._read(file)
        return None if self._values is None else self._values[record.offset].as_py()

    def _read(self, file: str) -> pa.ChunkedArray | None:
        """The column of ids, of whatever type, as strings."""
        with self._root.open(file) as stream:
            parquet = pq.ParquetFile(stream)
            if self._column not in parquet.schema_arrow.names:
                return None
            column = parquet.read([self._column], use_threads=False)[self._column]
        try:
            return column.cast(pa.string())
        except pa.ArrowException:
            raise Problem(
                f"{self._root.url}/{file}: `{self._column}` is a column of {column.type}, which "
                "cannot name rows: give another one by --id"
            ) from None


def _text(record: Record) -> str | None:
    if record.text is not None:
        return record.text
    if record.kind in ("text", "conversion"):
        return record.payload.decode(errors="replace")
    return None


def _write(context: Context, done: Manifest, rows: Rows) -> None:
    """The rows of all documents, part by part."""
    home = context.home("filter")
    parts = [
        (judged.file("names").path, dropped.file("rejections").path, Cuts(context, dropped.task))
        for judged, dropped in zip(
            context.receipts("filter"), context.receipts(done.step), strict=True
        )
    ]
    kept_ids = pa.array([], pa.binary(16))
    for _, drops, _ in parts:
        own = read_table(home, drops, ["representative"])["representative"]
        kept_ids = pc.unique(pa.concat_arrays([kept_ids, *own.chunks]))
    found = [_NAMES.empty_table()]
    for names, *_ in parts:
        table = read_table(home, names)
        found.append(table.filter(pc.is_in(table["id"], kept_ids)))
    known = pa.concat_tables(found)
    known_ids = pa.concat_arrays(known["id"].chunks)
    for names, drops, cuts in parts:
        table, dropped = read_table(home, names), read_table(home, drops)
        for start in range(0, table.num_rows, _BATCH):
            rows.write(_rows(table.slice(start, _BATCH), dropped, cuts, known, known_ids))


def _rows(
    names: pa.Table, dropped: pa.Table, cuts: Cuts, known: pa.Table, known_ids: pa.Array
) -> list[dict[str, Any]]:
    own = dropped.take(np.arange(0))
    if dropped.num_rows:
        own = dropped.filter(pc.is_in(dropped["id"], pa.concat_arrays(names["id"].chunks)))
    representatives = known["name"].take(pc.index_in(own["representative"], known_ids)).to_pylist()
    levels = own["reason"].to_pylist()
    # what stands in an index may have the id of a document here
    representatives = [
        None if level == "against" else name
        for name, level in zip(representatives, levels, strict=True)
    ]
    why = dict(
        zip(
            own["id"].to_pylist(),
            zip(own["representative"].to_pylist(), representatives, levels, strict=True),
            strict=True,
        )
    )
    result = []
    for id_, name in zip(names["id"].to_pylist(), names["name"].to_pylist(), strict=True):
        cluster, representative, level = why.get(id_, (id_, name, None))
        result.append(
            {
                "id": name,
                "cluster": cluster.hex(),
                "representative": representative,
                "kept": level is None,
                "level": level,
                "cut": cuts.of(id_) if cuts else [],
            }
        )
    return result


def _prune(run: Folder) -> None:
    """Leave of the run what `against` needs."""
    for name in ("filter", *(f"deduplicate/{step}" for step in _INNER)):
        (run / name).remove()


_INNER = (
    *(f"{level}{part}" for level in ("url", "exact", "normalised") for part in ("", "-drops")),
    "candidates",
    "near",
    "labels",
    *("documents", "spans", "repeated", "bloom", "substring"),
)
