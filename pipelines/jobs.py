"""The Beam side of a step: one DoFn, one output, one receipt a task."""

from __future__ import annotations

import argparse
import uuid
from collections.abc import Iterable, Iterator
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import Any

import apache_beam as beam
from apache_beam.options.pipeline_options import DirectOptions, PipelineOptions

from pipelines.receipts import Task
from pipelines.steps import Context, Work, execute

SPILLED_BYTES = 4096  # smaller chunks are no more than what says where they would stand

Place = tuple[str, int, int]  # name of a file, first byte, bytes


class Execute(beam.DoFn):
    """Does the task of each element; what it returns to the engine decides nothing."""

    def __init__(self, context: Context, step: str, work: Work) -> None:
        """`work` is a function of a module, so that workers import it by name."""
        self.context, self.step, self.work = context, step, work

    def process(self, element: str) -> Iterator[str]:
        """`element` is a task in JSON."""
        yield execute(self.context, self.step, self.work, Task.from_json(element)).task


class ShuffleOptions(PipelineOptions):
    """Where the engine's workers have one disk, a folder on it for what they shuffle."""

    @classmethod
    def _add_argparse_args(cls, parser: argparse.ArgumentParser) -> None:
        parser.add_argument("--shuffle_folder")


class Spill(beam.DoFn):
    """(key, chunk) -> (key, where in a file the chunk stands), or the chunk itself if small."""

    def __init__(self, folder: str) -> None:
        """`folder` takes a file for every worker."""
        self.folder = folder

    def setup(self) -> None:
        """Open the file."""
        self.name = uuid.uuid4().hex
        self.file = (Path(self.folder) / self.name).open("wb", buffering=0)

    def teardown(self) -> None:
        """Close it."""
        self.file.close()

    def process(self, element: tuple[Any, bytes]) -> Iterator[tuple[Any, bytes | Place]]:
        """`element` is a chunk with its key."""
        key, chunk = element
        if len(chunk) < SPILLED_BYTES:
            yield key, chunk
        else:
            start = self.file.tell()
            self.file.write(chunk)
            yield key, (self.name, start, len(chunk))


class Unspill(beam.DoFn):
    """(key, chunks or their places) -> (key, chunks)."""

    def __init__(self, folder: str) -> None:
        """`folder`: that of `Spill`."""
        self.folder = Path(folder)

    def process(
        self, element: tuple[Any, Iterable[bytes | Place]]
    ) -> Iterator[tuple[Any, list[bytes]]]:
        """`element` is a group."""
        key, values = element
        chunks = [value for value in values if isinstance(value, bytes)]
        places = sorted(value for value in values if not isinstance(value, bytes))
        for name, own in groupby(places, key=itemgetter(0)):
            with (self.folder / name).open("rb", buffering=0) as file:
                for _, start, size in own:
                    file.seek(start)
                    chunks.append(file.read(size))
        yield key, chunks


def dealt(pipeline: beam.Pipeline, items: Iterable[Any]) -> beam.PCollection:
    """Elements, dealt out to the workers if there are several."""
    elements = pipeline | beam.Create(items, reshuffle=False)
    alone = pipeline.options.view_as(DirectOptions).direct_num_workers == 1
    return elements if alone else elements | beam.Reshuffle()


def by_key(chunks: beam.PCollection, label: str, keys: Iterable[Any] = ()) -> beam.PCollection:
    """Group packed chunks by key; every one of `keys` has a group, if only of nothing.

    Where workers have one disk only the place of a chunk crosses the shuffle, and the chunks lie
    on the disk until the job has ended: the local runners hold in memory, several times, what
    they shuffle. And Beam 2.77 loses some of what worker processes of FnApiRunner send to it
    when that is a hundred megabytes and the processors are busy [measured].
    """
    folder = chunks.pipeline.options.view_as(ShuffleOptions).shuffle_folder
    if folder is not None:  # before they are flattened, which would send them
        chunks = chunks | f"{label}: to disk" >> beam.ParDo(Spill(folder))
    if empty := [(key, b"") for key in keys]:
        none = chunks.pipeline | f"{label}: all keys" >> beam.Create(empty, reshuffle=False)
        chunks = (chunks, none) | f"{label}: with empty ones" >> beam.Flatten()
    groups = chunks | f"{label}: by key" >> beam.GroupByKey()
    if folder is not None:
        groups = groups | f"{label}: from disk" >> beam.ParDo(Unspill(folder))
    return groups
