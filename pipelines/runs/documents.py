"""The documents of a run as its stages left them: read here alone, by part or by id.

A part is what one task of `filter` was given. Its documents stand where `extract` wrote them; what
`filter` changed of a text stands apart, and so does what is cut of it. Where deduplication works on
files as they are, a part is one task of `sign`, and its documents are those of that task.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from pipelines.runs.ids import flat
from pipelines.runs.parts import read_part, read_table
from pipelines.runs.steps import Context
from pipelines.runs.store import Folder
from schemas.parquet import open_parquet
from schemas.problems import Problem
from schemas.tables import CUT, HEX

# Stages that leave documents.
STAGES = ("extract", "filter", "deduplicate", "curate")
# The files of raw text, by their stage, the columns that `gristmill prune` takes out of them, and
# the file in which it names their folders, a line each.
RAW = {"extract": "documents", "filter": "edits"}
RAW_COLUMNS = ("text", "title", "author")
PRUNED = "pruned.txt"
BATCH_ROWS = 256
# Rows of text that are decoded at once to find a few.
_FEW_ROWS = 16
_TEXT = "text"  # the column of which only few are held


def read(context: Context, stage: str, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
    """Every document that a finished stage kept, in the order of parts, with these columns.

    The text is as the stage left it; `deduplicate` cuts nothing of a text, `curate` does. Raises
    Problem for a stage that leaves none.
    """
    if stage not in STAGES:
        raise Problem(f"{stage}: leaves no documents; these do: {', '.join(STAGES)}", "stage")
    if stage in ("extract", "curate"):
        kind = RAW.get(stage, "text")
        if stage == "extract":
            check_raw(context, columns)
        for receipt in context.receipts(stage):
            yield from read_part(context.home(stage), receipt.file(kind).path, columns, BATCH_ROWS)
        return
    for receipt in context.receipts("filter"):
        wanted = kept(context, receipt.task)
        if stage == "deduplicate":
            wanted = wanted.filter(pc.invert(pc.is_in(wanted, dropped(context, receipt.task))))
        yield from of_part(context, receipt.task, columns, wanted)


def has_raw(context: Context) -> bool:
    """Whether no run that holds raw text of this one was pruned."""
    return not any(context.home(stage).exists(PRUNED) for stage in RAW)


def check_raw(context: Context, columns: Sequence[str] = RAW_COLUMNS) -> None:
    """Raises Problem if the raw text of a run was taken away, and one of the columns is of it."""
    for home in (context.home(stage) for stage in RAW):
        if not set(columns).isdisjoint(RAW_COLUMNS) and home.exists(PRUNED):
            raise Problem(
                "`gristmill prune` has taken its raw text away, which this needs",
                home.url,
                "make a new run that has not this one as its parent",
            )


def of_part(
    context: Context, task: str, columns: Sequence[str], wanted: pa.Array | None = None
) -> Iterator[pa.RecordBatch]:
    """The documents of a part with `wanted` ids (None: of all), in order, as `filter` left them.

    Batches have at most BATCH_ROWS rows; `columns` include `id`.
    """
    check_raw(context, columns)
    changed = _edits(context, task, wanted) if "text" in columns else None
    for home, path in _files(context, task):
        for batch in read_part(home, path, columns, BATCH_ROWS):
            if wanted is not None:
                batch = batch.filter(pc.is_in(batch["id"], wanted))
            if changed is not None and changed.num_rows and batch.num_rows:
                batch = _overlaid(batch, changed)
            if batch.num_rows:
                yield batch


def find(
    context: Context,
    wanted: Mapping[str, Collection[str]],
    columns: Sequence[str],
    *,
    edited: bool = False,
) -> dict[str, dict[str, Any]]:
    """Rows by id; `wanted` names ids by the part in which they stand.

    Texts are as extracted, or, if `edited`, as `filter` left them.
    """
    check_raw(context, columns)
    found: dict[str, dict[str, Any]] = {}
    for task in sorted(wanted):
        missing = set(wanted[task])
        for home, path in _files(context, task):
            rows = find_rows(home, path, missing, columns)
            found.update(rows)
            missing -= rows.keys()
            if not missing:
                break
        if edited:
            changed = _edits(context, task, pa.array(sorted(wanted[task]), HEX))
            for row in changed.to_pylist() if changed is not None else ():
                found[row["id"]]["text"] = row["text"]
    return found


def find_rows(
    folder: Folder, path: str, ids: Collection[str], columns: Sequence[str] | None = None
) -> dict[str, dict[str, Any]]:
    """Rows of a file by their column `id`, with all columns if none are named; few are held at a
    time, as texts may be long."""
    chosen = None if columns is None else ["id", *columns]
    wanted = pa.array(sorted(ids), HEX)
    found: dict[str, dict[str, Any]] = {}
    with folder.open(path) as stream:
        file = open_parquet(stream)
        for group in range(file.num_row_groups):
            if len(found) == len(wanted):
                break
            column = file.read_row_group(group, ["id"], use_threads=False)["id"]
            places = pc.indices_nonzero(pc.is_in(column, wanted)).to_pylist()
            if places and _TEXT not in (chosen or file.schema_arrow.names):
                table = file.read_row_group(group, chosen, use_threads=False)
                found.update((row["id"], row) for row in table.take(places).to_pylist())
            elif places:
                first = 0
                for batch in file.iter_batches(_FEW_ROWS, [group], chosen, use_threads=False):
                    own = [at - first for at in places if first <= at < first + batch.num_rows]
                    if own:
                        found.update((row["id"], row) for row in batch.take(own).to_pylist())
                    first += batch.num_rows
                    if first > places[-1]:
                        break
    return found


def kept(context: Context, task: str) -> pa.Array:
    """Ids of the documents of a part that `filter` kept."""
    path = context.receipt("filter", task).file("signals").path
    table = read_table(context.home("filter"), path, ["id", "kept"])
    return flat(table.filter(table["kept"])["id"])


def dropped(context: Context, task: str) -> pa.Array:
    """Ids of the documents of a part that `deduplicate` rejected."""
    path = context.receipt("deduplicate", task).file("rejections").path
    return flat(read_table(context.home("deduplicate"), path, ["id"])["id"])


_SPAN = ("level", "start", "end")
CUTS = pa.list_(pa.struct([CUT.field(name) for name in _SPAN]))


def clusters(context: Context, task: str) -> pa.Table:
    """CLUSTER rows: for which documents of a part others were dropped, and how many."""
    path = context.receipt("deduplicate", task).file("clusters").path
    return read_table(context.home("deduplicate"), path)


class Cuts:
    """What is cut of the documents of a part after deduplication."""

    def __init__(self, context: Context, task: str) -> None:
        """`deduplicate` is finished."""
        files = [file for file in context.receipt("deduplicate", task).files if file.kind == "cuts"]
        home = context.home("deduplicate")
        table = read_table(home, files[0].path) if files else CUT.empty_table()
        documents = table["id"].to_pylist()
        # those of a document are together
        borders = [at for at, own in enumerate(documents) if not at or own != documents[at - 1]]
        self._places = {
            documents[at]: slice(at, end) for at, end in pairwise([*borders, len(documents)])
        }
        self._columns = {name: table[name].to_numpy() for name in _SPAN}

    def __len__(self) -> int:
        """How many documents are cut."""
        return len(self._places)

    def of(self, document: str) -> list[dict[str, Any]]:
        """The spans of a document, in order: level, start and end."""
        place = self._places.get(document, slice(0))
        columns = (self._columns[name][place].tolist() for name in _SPAN)
        return [dict(zip(_SPAN, span, strict=True)) for span in zip(*columns, strict=True)]


class Personal:
    """The personal data that `filter` found in the documents of a part."""

    def __init__(self, context: Context, task: str) -> None:
        """`filter` is finished."""
        found = [f for f in context.receipt("filter", task).files if f.kind == "personal_data"]
        rows = read_table(context.home("filter"), found[0].path).to_pylist() if found else []
        self._by_id = {row["id"]: row["personal_data"] for row in rows}

    def of(self, document: str, *, stays: bool) -> list[dict[str, Any]]:
        """Of a document: see FINDINGS in `schemas.tables`; `stays`: its text is as it was left."""
        found: list[dict[str, Any]] = self._by_id.get(document, [])
        return found if stays else [{**each, "start": None, "end": None} for each in found]


def _files(context: Context, task: str) -> list[tuple[Folder, str]]:
    """The files of documents of a part."""
    if context.signed == "sign":
        path = context.receipt("sign", task).file("documents").path
        return [(context.home("sign"), path)]
    keys = parts(context)[task]
    home = context.home("extract")
    return [(home, context.receipt("extract", key).file("documents").path) for key in keys]


def parts(context: Context) -> dict[str, list[str]]:
    """The tasks of `extract` whose documents each part has."""
    return {task.key: task.spec["parts"] for task in context.tasks("filter")}


def _edits(context: Context, task: str, wanted: pa.Array | None) -> pa.Table | None:
    if context.signed == "sign":
        return None
    path = context.receipt("filter", task).file("edits").path
    table = read_table(context.home("filter"), path)
    return table if wanted is None else table.filter(pc.is_in(table["id"], wanted))


def _overlaid(batch: pa.RecordBatch, changed: pa.Table) -> pa.RecordBatch:
    """The batch with the texts that were changed."""
    place = pc.index_in(batch["id"], flat(changed["id"]))
    texts = pc.coalesce(flat(changed["text"]).take(place), batch["text"])
    return batch.set_column(batch.schema.get_field_index("text"), batch.schema.field("text"), texts)
