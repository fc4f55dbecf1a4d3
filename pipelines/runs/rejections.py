"""Rejections: the one record of what a stage did not keep, see REJECTION in `schemas.tables`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc

from curation.keys import document_id
from pipelines.runs.parts import PartWriter, read_part
from pipelines.runs.receipts import Attempt
from pipelines.runs.steps import Context
from schemas.inputs import Input
from schemas.tables import REJECTION

if TYPE_CHECKING:
    from curation.readers import Damage, Record

KIND = "rejections"
# The step of each stage that writes them.
STEPS = {
    "sign": "sign",
    "extract": "extract",
    "filter": "filter",
    "deduplicate": "deduplicate",
    "curate": "curate",
    "mix": "mix/rejections",
}
_REPEATED = ("stage", "reason", "source", "file")


def table(stage: str, ids: pa.Array, reasons: pa.Array | str, **columns: pa.Array) -> pa.Table:
    """Rows for documents with these ids; what is not given is null."""
    count = len(ids)
    if isinstance(reasons, str):
        reasons = pa.repeat(reasons, count)
    given = {"id": ids, "stage": pa.repeat(stage, count), "reason": reasons, **columns}
    return pa.table(
        [
            given[field.name] if field.name in given else pa.nulls(count, field.type)
            for field in REJECTION
        ],
        schema=REJECTION,
    )


def origin(item: Input, file: str, record: Record | Damage) -> dict[str, Any]:
    """What a document and a rejection say of the record that they are from, and its id."""
    return {
        "id": document_id(item.source, file, record.offset, record.offset_kind).hex(),
        "source": item.source,
        "url": getattr(record, "url", None),
        "file": file,
        "offset": record.offset,
        "offset_kind": record.offset_kind,
        "row_group": record.group,
        "length": record.length,
    }


def of_record(
    stage: str, item: Input, file: str, record: Record | Damage, reason: str, value: str | None
) -> dict[str, Any]:
    """A row for a record that became no document."""
    return {**origin(item, file, record), "stage": stage, "reason": reason, "value": value}


def writer(attempt: Attempt, *repeated: str) -> PartWriter:
    """The file of a task's rejections; `repeated`: more columns with few values."""
    return attempt.writer(KIND, REJECTION, dictionary=(*_REPEATED, *repeated))


def read(
    context: Context, stages: Sequence[str], reason: str | None, columns: Sequence[str] | None
) -> Iterator[pa.RecordBatch]:
    """The rejections of finished stages, in their order and that of their parts."""
    for stage in stages:
        step = STEPS[stage]
        if not context.home(stage).exists(f"{step}/manifest.json"):
            continue
        wanted = None if columns is None else list(dict.fromkeys([*columns, "reason"]))
        for receipt in context.receipts(step):
            path = receipt.file(KIND).path
            for batch in read_part(context.home(stage), path, wanted):
                if reason is not None:
                    batch = batch.filter(pc.equal(batch["reason"], reason))
                if batch.num_rows:
                    yield batch if columns is None else batch.select(columns)
