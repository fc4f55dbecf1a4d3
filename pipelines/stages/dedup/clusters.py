"""What a run of `sign` and `deduplicate` found, for each document: rows of DEDUPLICATED."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import pyarrow as pa
import pyarrow.compute as pc

from pipelines.runs.documents import Cuts
from pipelines.runs.ids import flat
from pipelines.runs.in_order import BATCH_ROWS, ordered
from pipelines.runs.parts import read_part, read_table
from pipelines.runs.receipts import Task
from pipelines.runs.steps import Context
from schemas.tables import DEDUPLICATED, HEX

_CUT = DEDUPLICATED.field("cut").type


def clusters(context: Context, tasks: Sequence[Task]) -> Iterator[pa.Table]:
    """The rows in the order of inputs, names of files and records.

    Holds some 100 bytes for each cluster, and the drop and cut lists of a part.
    """
    home, step = context.home("deduplicate"), "deduplicate"
    names = {r.task: r.file("names").path for r in context.receipts("sign")}
    drops = {r.task: r.file("rejections").path for r in context.receipts(step)}
    ids = pa.array([], HEX)
    for path in drops.values():
        own = read_table(home, path, ["representative"])["representative"]
        ids = pc.unique(pa.concat_arrays([ids, *own.chunks]))
    found = [read_table(home, path, ["id", "name"]) for path in names.values()]
    known = pa.concat_tables(table.filter(pc.is_in(table["id"], ids)) for table in found)
    known_ids, known_names = flat(known["id"]), flat(known["name"])

    def read(task: str) -> Iterator[pa.RecordBatch]:
        dropped = read_table(home, drops[task], ["id", "reason", "representative"])
        reasons, representatives = flat(dropped["reason"]), flat(dropped["representative"])
        cuts = Cuts(context, task)
        for batch in read_part(home, names[task], batch_rows=BATCH_ROWS):
            place = pc.index_in(batch["id"], flat(dropped["id"]))
            level, kept_for = reasons.take(place).cast(pa.string()), representatives.take(place)
            kept = level.is_null()
            other = known_names.take(pc.index_in(kept_for, known_ids))
            # what stands in an index may have the id of a document here
            other = pc.if_else(pc.equal(level, "against"), pa.scalar(None, pa.string()), other)
            yield pa.RecordBatch.from_arrays(
                [
                    batch["name"],
                    pc.coalesce(kept_for, batch["id"]),
                    pc.if_else(kept, batch["name"], other),
                    kept,
                    level,
                    pa.array(
                        [cuts.of(id_) if cuts else [] for id_ in batch["id"].to_pylist()], _CUT
                    ),
                    batch["file"],
                ],
                names=[*DEDUPLICATED.names, "file"],
            )

    for batch in ordered(context, tasks, read):
        yield pa.Table.from_batches([batch.select(DEDUPLICATED.names)]).cast(DEDUPLICATED)
