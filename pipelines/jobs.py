"""The Beam side of a step: one DoFn, one output, one receipt a task."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import apache_beam as beam

from pipelines.receipts import Task
from pipelines.steps import Context, Work, execute


class Execute(beam.DoFn):
    """Does the task of each element; what it returns to the engine decides nothing."""

    def __init__(self, context: Context, step: str, work: Work) -> None:
        """`work` is a function of a module, so that workers import it by name."""
        self.context, self.step, self.work = context, step, work

    def process(self, element: str) -> Iterator[str]:
        """`element` is a task in JSON."""
        yield execute(self.context, self.step, self.work, Task.from_json(element)).task


def seeded(
    pipeline: beam.Pipeline, chunks: beam.PCollection, keys: Iterable[str], label: str
) -> beam.PCollection:
    """Group packed chunks by key; every one of `keys` has a group, if only of nothing."""
    empty = pipeline | f"{label}: all keys" >> beam.Create(
        [(key, b"") for key in keys], reshuffle=False
    )
    return (
        (chunks, empty)
        | f"{label}: with empty ones" >> beam.Flatten()
        | f"{label}: by key" >> beam.GroupByKey()
    )
