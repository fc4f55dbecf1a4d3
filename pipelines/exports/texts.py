"""The curated text of a run in files by source: JSON lines, Parquet, a Hugging Face data set."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import pyarrow as pa
import pyarrow.compute as pc

from pipelines.run import Run
from pipelines.runs.card import ALL, NAME, markdown
from pipelines.runs.parts import read_part
from pipelines.runs.rows import writing
from pipelines.runs.store import Folder
from pipelines.stages import curate

FILE_BYTES = 1 << 30  # of text in a file
BATCH_ROWS = 256
_INNER = ("holdout",)  # columns that only the run needs


def jsonl(run: Run, folder: Folder, sources: Sequence[str]) -> None:
    """`SOURCE-NNNNN.jsonl.gz`."""
    _write(run, folder, sources, "{}-{:05d}.jsonl.gz")


def parquet(run: Run, folder: Folder, sources: Sequence[str]) -> None:
    """`SOURCE-NNNNN.parquet`."""
    _write(run, folder, sources, "{}-{:05d}.parquet")


def hf(run: Run, folder: Folder, sources: Sequence[str]) -> None:
    """`data/SOURCE-NNNNN.parquet` and, last, the card, with a configuration of each source."""
    _write(run, folder, sources, "data/{}-{:05d}.parquet")
    # digits tell the number from the end of another label
    files = {name: f"data/{name}-{'[0-9]' * 5}.parquet" for name in sources}
    card = markdown(run.context, _schema(run), {**files, ALL: "data/*.parquet"}, sources)
    folder.replace(NAME, card.encode())


def _write(run: Run, folder: Folder, sources: Sequence[str], name: str) -> None:
    """Write files of some FILE_BYTES of text of each source."""
    schema = _schema(run)
    for source in sources:
        batches, number, is_done = _texts(run, source, schema.names), 0, False
        while not is_done:
            with writing(f"{folder.url}/{name.format(source, number)}", schema) as out:
                is_done, held = True, 0
                for batch in batches:
                    out.write(pa.Table.from_batches([batch]))
                    held += pc.sum(batch["bytes"]).as_py()
                    if held >= FILE_BYTES:
                        is_done = False
                        break
            number += 1


def _schema(run: Run) -> pa.Schema:
    whole = curate.schema(run.recipe)
    fields = [field for field in whole if field.name not in _INNER]
    return pa.schema(fields, metadata=whole.metadata)


def _texts(run: Run, source: str, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
    """The rows of a source, in the order of parts."""
    context = run.context
    for receipt in context.receipts("curate"):
        if source in receipt.counts["bytes"]:
            path = receipt.file("text").path
            for batch in read_part(context.home("curate"), path, columns, BATCH_ROWS):
                if (own := batch.filter(pc.equal(batch["source"], source))).num_rows:
                    yield own
