"""Jobs as Beam pipelines."""

from __future__ import annotations

import argparse
from collections.abc import Iterable
from typing import Any

import apache_beam as beam
from apache_beam.options.pipeline_options import DirectOptions, PipelineOptions

from pipelines.engines.jobs import ByKey, Job, Spill, Step, Unspill


class ShuffleOptions(PipelineOptions):
    """Where the engine's workers have one disk, a folder on it for what they shuffle."""

    @classmethod
    def _add_argparse_args(cls, parser: argparse.ArgumentParser) -> None:
        parser.add_argument("--shuffle_folder")


class Do(beam.DoFn):
    """A step of a job."""

    def __init__(self, step: Step) -> None:
        """`step` does all of the work."""
        self.step = step

    def process(self, element: Any) -> Iterable[Any]:
        """`element`: of the step."""
        return self.step.process(element)


def run(job: Job, pipeline: beam.Pipeline) -> None:
    """Build the job on an empty pipeline, and run it to its end."""
    elements = pipeline | beam.Create(job.items, reshuffle=False)
    if pipeline.options.view_as(DirectOptions).direct_num_workers > 1:
        elements = elements | beam.Reshuffle()
    for number, step in enumerate(job.steps):
        if isinstance(step, ByKey):
            elements = _grouped(elements, step)
        else:
            elements = elements | f"{number}: {type(step).__name__}" >> beam.ParDo(Do(step))
    pipeline.run().wait_until_finish()


def _grouped(chunks: beam.PCollection, by: ByKey) -> beam.PCollection:
    folder, label = chunks.pipeline.options.view_as(ShuffleOptions).shuffle_folder, by.label
    if folder is not None:  # before they are flattened, which would send them
        chunks = chunks | f"{label}: to disk" >> beam.ParDo(Do(Spill(folder)))
    if empty := [(key, b"") for key in by.keys]:
        none = chunks.pipeline | f"{label}: all keys" >> beam.Create(empty, reshuffle=False)
        chunks = (chunks, none) | f"{label}: with empty ones" >> beam.Flatten()
    groups = chunks | f"{label}: by key" >> beam.GroupByKey()
    if folder is not None:
        groups = groups | f"{label}: from disk" >> beam.ParDo(Do(Unspill(folder)))
    return groups
