"""The Beam graphs of a run's jobs: what crosses a shuffle, and how it is keyed."""

import pickle
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import apache_beam as beam
import pytest
from apache_beam.portability.api import beam_runner_api_pb2 as proto
from apache_beam.portability.common_urns import primitives
from apache_beam.runners.pipeline_context import PipelineContext

from pipelines.engines import runners
from pipelines.engines.graph import build
from pipelines.engines.jobs import Barrier, ByKey, Cut, Job, Receive
from pipelines.engines.runners import Engine
from pipelines.recipes.loading import resolve
from pipelines.run import Run
from tests.runs import REPOSITORY

RECIPE = {
    "extends": "demo.yaml",
    "deduplicate": {"scope": "global", "url": "best", "normalised": True, "spans": {"lines": True}},
}


class Look:
    """Remembers what comes to a shuffle."""

    def __init__(self, label: str, seen: list[tuple[str, bytes]]) -> None:
        self.label, self.seen = label, seen

    def process(self, element: tuple[Any, bytes]) -> Iterator[tuple[Any, bytes]]:
        self.seen.append((self.label, element[1]))
        yield element


class Made(NamedTuple):
    run: Run
    jobs: list[Job]
    seen: list[tuple[str, bytes]]  # chunks, with the label of their shuffle


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    """A run with all kinds of shuffles, its jobs, and what was shuffled."""
    jobs: list[Job] = []
    seen: list[tuple[str, bytes]] = []
    run_here = runners.run_here

    def record(job: Job, receive: Receive, scratch: Path | None) -> None:
        jobs.append(job)
        steps: list[Any] = []
        for step in job.steps:
            steps += [Look(step.label, seen), step] if isinstance(step, ByKey) else [step]
        run_here(Job(job.items, steps), receive, scratch)

    recipe = resolve("graphs", RECIPE, str(REPOSITORY / "tests" / "data"))
    run = Run.create(recipe, str(tmp_path_factory.mktemp("graphs") / "run"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(runners, "run_here", record)
        run.go(Engine())
    return Made(run, jobs, seen)


def graph(job: Job) -> proto.Pipeline:
    """A job as an engine that is elsewhere is given it."""
    pipeline = beam.Pipeline()
    build(job, pipeline, deal=True)
    return pipeline.to_runner_api()


def test_every_shuffle_has_a_deterministic_key(made: Made) -> None:
    seen = 0
    for job in made.jobs:
        components = graph(job).components
        context = PipelineContext(components)
        for transform in components.transforms.values():
            if transform.spec.urn == primitives.GROUP_BY_KEY.urn:
                (name,) = transform.inputs.values()
                coder = context.coders.get_by_id(components.pcollections[name].coder_id)
                assert coder.key_coder().is_deterministic(), transform.unique_name
                seen += 1
    assert seen > len(made.jobs)


def test_side_inputs_are_counts_of_barriers(made: Made) -> None:
    for job in [*made.jobs, Job(["a"], [Cut(), Barrier("then", Cut())])]:
        held = 0
        for transform in graph(job).components.transforms.values():
            if transform.spec.urn == primitives.PAR_DO.urn:
                payload = proto.ParDoPayload.FromString(transform.spec.payload)
                held += len(payload.side_inputs)
        assert held == sum(isinstance(step, Barrier) for step in job.steps)


def test_keys_cross_a_shuffle_and_texts_do_not(made: Made) -> None:
    batches = made.run.documents("extract", ["text"])
    whole = [text for batch in batches for text in batch["text"].to_pylist()]
    texts = {text[50:80].encode() for text in whole if len(text) > 200}
    assert len(texts) > 50
    assert {"digests", "leaves", "keys", "requests", "members", "spans"} <= {
        label for label, _ in made.seen
    }
    for label, chunk in made.seen:
        assert not [text for text in texts if text in chunk], label


def test_elements_of_a_shuffle_stay_under_a_megabyte(made: Made) -> None:
    for label, chunk in [*made.seen, ("large", bytes(5 << 20))]:
        for element in Cut().process((label, chunk)):
            assert len(pickle.dumps(element)) < 1 << 20, label
