"""Documents that survive document-level deduplication, with their texts."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from curation.dedup.nodes import Array, factorize
from pipelines.runs.steps import Context
from pipelines.stages.dedup.edges import drops, undropped
from pipelines.stages.dedup.signatures import parts, texts_of

# Texts that are looked at together.
_DOCUMENTS, _CHARACTERS = 256, 1 << 22


class Survivors:
    """The surviving documents of a part of signatures, numbered by `row`."""

    def __init__(self, context: Context, number: int) -> None:
        """`number`: of the part. The step `deduplicate/documents` is finished."""
        self.context, self.number = context, number
        part = parts(context)[number]
        table = part.read(["id", "scope", "preference"])
        dropped = drops(context, number, "deduplicate/documents")
        table = table.filter(undropped(table["id"], [dropped]))
        self.ids: pa.ChunkedArray = table["id"]
        self.scopes: list[str] = table["scope"].to_pylist()
        self.nodes: Array = part.nodes(table, number)

    def __len__(self) -> int:
        return len(self.nodes)

    def ranks(self) -> npt.NDArray[np.int64]:
        """The place of each document in the order of preference, [n]."""
        return factorize(self.nodes)[1]

    def texts(self) -> Iterator[tuple[int, list[str]]]:
        """The row of the first of some texts, and the texts."""
        if not len(self):
            return
        ids = iter(self.ids.to_pylist())
        batch: list[str] = []
        first = characters = 0
        for id_, text in texts_of(self.context, self.number, self.ids):
            if id_ != next(ids):
                raise AssertionError(f"part {self.number}: signatures and texts differ in order")
            if batch and (len(batch) == _DOCUMENTS or characters + len(text) > _CHARACTERS):
                yield first, batch
                first, batch, characters = first + len(batch), [], 0
            batch.append(text)
            characters += len(text)
        if batch:
            yield first, batch
