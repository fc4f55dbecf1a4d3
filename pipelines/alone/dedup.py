"""`gristmill dedup`: which documents of some files are duplicates, without a run.

The files are signed, then the stage of a run does the rest, in a folder of its own.
"""

from __future__ import annotations

import os
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from pydantic import ValidationError

from curation.keys import document_id
from curation.readers import Damage, Record
from curation.readers.suffixes import format_of
from pipelines.alone.rows import Rows, writing
from pipelines.dedup.edges import CutList
from pipelines.dedup.signatures import schema, signature_table
from pipelines.inputs import input_at
from pipelines.mill import Mill, Progress
from pipelines.parts import read_table
from pipelines.receipts import Attempt, Receipt, Task
from pipelines.recipes.loading import load, to_yaml
from pipelines.runners import Engine
from pipelines.splits import input_of, plan_splits, read_split
from pipelines.stages import deduplicate
from pipelines.steps import Context, Manifest
from pipelines.store import Folder, is_remote
from schemas.deduplicate import NEAR, Deduplicate
from schemas.errors import UserError
from schemas.inputs import LAYOUTS, Input, Layout
from schemas.recipe import Recipe
from schemas.tables import DEDUPLICATED, ID

_BATCH = 256
_NAMES = pa.schema([pa.field("id", ID, False), pa.field("name", pa.string(), False)])
_TEXTS = pa.schema([pa.field("id", ID, False), pa.field("text", pa.large_string(), False)])
_MARK = "alone"


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
    quiet: bool = False,
) -> Counter[str]:
    """Write a row for every document of files, folders or patterns to `output`: DEDUPLICATED.

    Order is that of the paths, of names, and of records. `recipe` gives the options, `over` lies
    over its `deduplicate`, `reading` is `format` and `columns` of the inputs. Memory is that of
    the engine, and some 100 bytes for each cluster. `index`: a folder for what is kept, that
    later calls and runs can be deduplicated `against`. Returns how many records ended how:
    `kept`, a level, or why a record is no document. Raises UserError.
    """
    reading = dict(reading or {})
    columns = reading.pop("columns", "text")
    if columns not in LAYOUTS:
        raise UserError(f"--columns {columns}: not known; one of {', '.join(LAYOUTS)}")
    inputs = [
        _named(Input(source=f"in{number}", **input_at(path), **reading), columns, id_column)
        for number, path in enumerate(paths)
    ]
    asked = Recipe(name="dedup", inputs=tuple(inputs), deduplicate=options(recipe, over or {}))
    with tempfile.TemporaryDirectory(prefix="gristmill-") as scratch:
        run = Folder(index or f"{scratch}/run")
        run.make()
        if index and run.exists("recipe.yaml"):
            raise UserError(f"--index {index}: holds an index or a run: give a new folder")
        run.create("recipe.yaml", to_yaml(asked).encode())
        splits = _splits(asked, id_column)
        mill = Mill(Context(run, asked), engine or Engine(), splits, Progress(quiet))
        tasks = mill.plan("judge", _MARK, lambda: splits)
        read = mill.do("judge", sign_split, tasks)
        done = deduplicate.run(mill, "deduplicate", _MARK)
        with writing(output, DEDUPLICATED) as rows:
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
        raise UserError(f"{key}: {first['msg'].removeprefix('Value error, ')}") from None


def over_of(asked: Mapping[str, Any]) -> dict[str, Any]:
    """What the options of a command line lay over a recipe's `deduplicate`."""
    over = {
        name: value
        for name in ("exact", "normalised", "url", "keep")
        if (value := asked.get(name)) is not None
    }
    if asked.get("pieces") is not None:
        over["pieces"] = pieces_of(asked["pieces"])
    if asked.get("against"):
        over["against"] = [
            url if is_remote(url) else os.path.abspath(url) for url in asked["against"]
        ]
    near: dict[str, Any] | None = {}
    if asked.get("near") is not None:
        near = near_of(asked["near"])
    if near is not None:
        near |= {
            name: value
            for name in ("verify", "verify_by")
            if (value := asked.get(name)) is not None
        }
    return {**over, "near": near}


def near_of(text: str) -> dict[str, Any] | None:
    """`deduplicate.near` of a name, or of bands, rows and words (or characters) of a shingle:
    `14,8,5`, `20,13,24c`; `none` for none. Raises UserError."""
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
        raise UserError(
            f"--near {text}: give {', '.join(NEAR)}, none, or bands, rows and words of a shingle, "
            "such as 14,8,5 (20,13,24c: of characters)"
        ) from None


def pieces_of(text: str) -> dict[str, Any]:
    """`deduplicate.pieces` of levels with the number that they are about, if it is another than
    the published one: `lines,sentences=2,substring`. Raises UserError."""
    found: dict[str, Any] = {}
    for word in text.split(","):
        level, given, number = word.partition("=")
        if level not in _PIECES or (given and level in ("lines", "paragraphs")):
            raise UserError(
                f"--pieces {text}: give one or more of lines, paragraphs, sentences=3, bloom=13 "
                "(words of an n-gram), substring=50 (tokens), with commas between them"
            )
        found[level] = _PIECES[level](number)
    return found


_PIECES: dict[str, Callable[[str], Any]] = {
    "lines": lambda _: True,
    "paragraphs": lambda _: True,
    "sentences": lambda size: size or 3,
    "bloom": lambda size: {"words": size} if size else {},
    "substring": lambda size: {"tokens": size} if size else {},
}


def _named(item: Input, layout: Layout, id_column: str) -> Input:
    """The input with its columns; of what a reader of lines brings, a row's id is the title."""
    columns = LAYOUTS[layout]
    found = {name for pattern in item.files for name, _ in Folder(item.root).glob(pattern)}
    if item.format != "parquet" and not any(map(_is_parquet, found)):
        columns = columns.model_copy(update={"title": id_column})
    return item.model_copy(update={"columns": columns})


def _is_parquet(name: str) -> bool:
    return format_of(name) == "parquet"


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
    keeps_texts = by_shingles or options.pieces.levels()
    lost: Counter[str] = Counter()
    records = 0
    with Attempt(context.run, step, task.key) as attempt:
        signatures = attempt.writer("signatures", schema(options), dictionary=("scope",))
        names = attempt.writer("names", _NAMES)
        texts = attempt.writer("documents", _TEXTS) if keeps_texts else None
        for rows in _batches(_documents(context.recipe, task, lost)):
            signatures.write(signature_table(options, rows))
            names.write(pa.table({name: [row[name] for row in rows] for name in _NAMES.names}))
            if texts:
                texts.write([{"id": row["id"], "text": row["text"]} for row in rows])
            records += len(rows)
        return attempt.commit(records + lost.total(), records, lost)


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
            "name": ids.of(file, record) or f"{file}:{record.offset or record.inner}",
            "source": item.source,
            "snapshot": item.snapshot,
            "url": record.url,
            "text": text,
            "crawled": record.crawled,
        }


class _Ids:
    """What the rows of a split are called."""

    def __init__(self, item: Input, task: Task) -> None:
        self._root, self._column = Folder(item.root), task.spec["id"]
        self._formats = {piece["file"]: piece["format"] for piece in task.spec["ranges"]}
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
            raise UserError(
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
    home = context.home("judge")
    parts = [
        (judged.file("names").path, dropped.file("drops").path, CutList(context, dropped.task))
        for judged, dropped in zip(
            context.receipts("judge"), context.receipts(done.step), strict=True
        )
    ]
    kept_ids = pa.array([], pa.binary(16))
    for _, drops, _ in parts:
        own = read_table(home, drops, ["kept_id"])["kept_id"]
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
    names: pa.Table, dropped: pa.Table, cuts: CutList, known: pa.Table, known_ids: pa.Array
) -> list[dict[str, Any]]:
    own = dropped.take(np.arange(0))
    if dropped.num_rows:
        own = dropped.filter(pc.is_in(dropped["id"], pa.concat_arrays(names["id"].chunks)))
    representatives = known["name"].take(pc.index_in(own["kept_id"], known_ids)).to_pylist()
    levels = own["level"].to_pylist()
    # what stands in an index may have the id of a document here
    representatives = [
        None if level == "against" else name
        for name, level in zip(representatives, levels, strict=True)
    ]
    why = dict(
        zip(
            own["id"].to_pylist(),
            zip(own["kept_id"].to_pylist(), representatives, levels, strict=True),
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
                "cut": _cut(cuts, id_) if cuts else [],
            }
        )
    return result


def _cut(cuts: CutList, document: bytes) -> list[dict[str, Any]]:
    return [
        {"level": by, "start": start, "end": end}
        for by, start, end in zip(*(column.tolist() for column in cuts.of(document)), strict=True)
    ]


def _prune(run: Folder) -> None:
    """Leave of the run what `against` needs."""
    for name in ("judge", *(f"deduplicate/{step}" for step in _INNER)):
        (run / name).remove()


_INNER = (
    *(f"{level}{part}" for level in ("url", "exact", "normalised") for part in ("", "-drops")),
    "candidates",
    "near",
    "labels",
    *("documents", "pieces", "repeated", "bloom", "substring", "drops", "cuts"),
)
