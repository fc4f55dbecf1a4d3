"""A job as a Beam graph."""

from __future__ import annotations

import argparse
from collections.abc import Iterable
from typing import Any

import apache_beam as beam
from apache_beam.options.pipeline_options import PipelineOptions

from pipelines.engines.jobs import Barrier, ByKey, Cut, Job, Joined, Spill, Step, Unspill


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


class Then(beam.DoFn):
    """What goes on after a barrier."""

    def __init__(self, step: Step) -> None:
        """`step`: the barrier's."""
        self.step = step

    def process(self, _: None, count: int) -> Iterable[Any]:  # noqa: ARG002 - waited for
        """`count`: of the elements that came to the barrier."""
        return self.step.process(None)


def build(job: Job, pipeline: beam.Pipeline, *, deal: bool) -> None:
    """Build the job on an empty pipeline; `deal`: its elements out to several workers."""
    elements = pipeline | beam.Create(job.items, reshuffle=False)
    if deal:
        elements = elements | beam.Reshuffle()
    for number, step in enumerate(job.steps):
        if isinstance(step, ByKey):
            elements = _grouped(elements, step)
        elif isinstance(step, Barrier):
            elements = _after(elements, step)
        else:
            elements = elements | f"{number}: {type(step).__name__}" >> beam.ParDo(Do(step))


def _after(elements: beam.PCollection, barrier: Barrier) -> beam.PCollection:
    label, count = barrier.label, beam.combiners.CountCombineFn()
    # a side input is there only when all of it is, also if it is nothing
    all_ = elements | f"{label}: wait" >> beam.CombineGlobally(count).as_singleton_view()
    once = elements.pipeline | f"{label}: once" >> beam.Create([None], reshuffle=False)
    then = once | f"{label}: then" >> beam.ParDo(Then(barrier.then), all_)
    return then | f"{label}: deal" >> beam.Reshuffle()


def _grouped(chunks: beam.PCollection, by: ByKey) -> beam.PCollection:
    folder, label = chunks.pipeline.options.view_as(ShuffleOptions).shuffle_folder, by.label
    out, back = (Cut(), Joined()) if folder is None else (Spill(folder), Unspill(folder))
    # before they are flattened, which would send them
    chunks = chunks | f"{label}: make small" >> beam.ParDo(Do(out))
    if empty := [(key, b"") for key in by.keys]:
        none = chunks.pipeline | f"{label}: all keys" >> beam.Create(empty, reshuffle=False)
        chunks = (chunks, none) | f"{label}: with empty ones" >> beam.Flatten()
    groups = chunks | f"{label}: by key" >> beam.GroupByKey()
    return groups | f"{label}: make whole" >> beam.ParDo(Do(back))
