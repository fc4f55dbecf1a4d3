"""What the first stage of a run wrote, task by task, in the order of its input."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence

import pyarrow as pa
import pyarrow.compute as pc

from pipelines.runs.parts import read_part
from pipelines.runs.receipts import Task
from pipelines.runs.splits import in_order
from pipelines.runs.steps import Context

BATCH_ROWS = 256


def rows_in_order(
    context: Context, stage: str, kind: str, tasks: Sequence[Task]
) -> Iterator[pa.Table]:
    """The rows of the files of a kind, in the order of inputs, names of files and records."""

    def read(task: str) -> Iterator[pa.RecordBatch]:
        path = context.receipt(stage, task).file(kind).path
        return read_part(context.home(stage), path, batch_rows=BATCH_ROWS)

    for batch in ordered(context, tasks, read):
        yield pa.Table.from_batches([batch])


def ordered(
    context: Context, tasks: Sequence[Task], read: Callable[[str], Iterable[pa.RecordBatch]]
) -> Iterator[pa.RecordBatch]:
    """What `read` gives for the keys of tasks over the input, in the order of inputs, names of
    files and records; the batches have a column `file`."""
    ranges = [(task.key, piece["file"]) for task, piece in in_order(context.recipe, tasks)]
    last = {key: at for at, (key, _) in enumerate(ranges)}
    readers: dict[str, _ByFile] = {}
    for at, (key, file) in enumerate(ranges):
        if key not in readers:
            readers[key] = _ByFile(read(key))
        yield from readers[key].take(file)
        if at == last[key]:
            del readers[key]


class _ByFile:
    """Batches that are taken file by file."""

    def __init__(self, batches: Iterable[pa.RecordBatch]) -> None:
        self._batches = iter(batches)
        self._rest: pa.RecordBatch | None = None

    def take(self, file: str) -> Iterator[pa.RecordBatch]:
        """The rows of this file, if they are next."""
        while (batch := self._rest or next(self._batches, None)) is not None:
            end = pc.index(pc.equal(batch["file"], file), False).as_py()
            own = batch.num_rows if end < 0 else end
            self._rest = None if end < 0 else batch.slice(own)
            if own:
                yield batch.slice(0, own)
            if self._rest is not None:
                return
