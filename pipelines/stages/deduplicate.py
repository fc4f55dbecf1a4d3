"""deduplicate: signatures -> which documents are dropped, and for which they are dropped.

Exact duplicates first, then near ones; edges of both go into one graph, and of each component
the smallest node (see `curation.dedup.nodes`) is kept. Steps, each with receipts of its own:

    exact         stars of equal digests, by ranges of the digest
    exact-drops   the leaves of these stars, by part: they take no part in what follows
    near          verified edges, by band and range of the band's key
    round-NN      rounds of large-star and small-star, only while the graph is large
    labels        components of a graph that fits into one task
    (the stage)   drop lists, by part

Only keys cross a shuffle, in packed chunks, and signatures of those documents that share a
band's key with another. A pass is as many ranges as fit the memory of the engine; how many
those are never changes the answer.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import apache_beam as beam
import numpy as np

from curation.dedup import components
from curation.dedup.nodes import LINK
from pipelines.edges import commit_edges, edge_files, read_edges
from pipelines.jobs import seeded
from pipelines.keyshuffles import (
    DIGEST,
    KEY,
    BandChunks,
    Candidates,
    CommitDrops,
    CommitExact,
    CommitLeaves,
    CommitNear,
    CommitStars,
    DigestChunks,
    FetchSignatures,
    LeafChunks,
    LinkChunks,
    keys_of,
    member,
)
from pipelines.mill import Mill
from pipelines.receipts import Attempt, Receipt, Task
from pipelines.steps import Context, Manifest, fingerprint
from schemas.recipe import Near, Recipe

VERSION = 1
LIBRARIES = ("numpy", "scipy")

RANGE_BYTES = 32 << 20  # packed keys that one range of a shuffle holds
ENGINE_OVERHEAD = 8  # bytes held a byte shuffled: the local runner 4-7, Prism 8 [measured]
BYTES_PER_LINK = 512  # of memory, to find the components of a graph in one task


def relevant(recipe: Recipe) -> Any:
    """What of the recipe decides this stage's output."""
    return recipe.deduplicate.model_dump(mode="json")


def plan(context: Context) -> list[Task]:
    """The last step's tasks: a drop list for each part of signatures."""
    return [
        Task(receipt.task, {"part": part}, receipt.kept)
        for part, receipt in enumerate(context.receipts("judge"))
    ]


def run(mill: Mill, step: str, mark: str) -> Manifest:
    """All steps, in order."""
    stage = Steps(mill, step, mill.plan(step, mark, lambda: plan(mill.context)))
    edges = []
    if mill.context.recipe.deduplicate.exact:
        edges.append(stage.exact())
        stage.exact_drops(edges[0])
    if (near := mill.context.recipe.deduplicate.near) is not None:
        edges.append(stage.near(near))
    return stage.drops(stage.labels(edges))


class Steps:
    """The steps of the stage, on one run."""

    def __init__(self, mill: Mill, step: str, tasks: list[Task]) -> None:
        """`tasks` are those of the last step."""
        self.mill, self.step, self.tasks = mill, step, tasks
        self.context = mill.context
        self.parts = list(range(len(tasks)))
        self.documents = mill.context.manifest("judge").kept
        self.mark = fingerprint(
            VERSION, relevant(self.context.recipe), self.context.manifest("judge").digest
        )

    def _plan(self, name: str, tasks: list[Task]) -> tuple[str, list[Task]]:
        step = f"{self.step}/{name}"
        return step, self.mill.plan(step, fingerprint(self.mark, name), lambda: tasks)

    def _ranges(self, rows: int, row_bytes: int, bands: int = 1) -> list[Task]:
        """Tasks for equal ranges of a hash, `bands` times; their number follows from `rows`."""
        count = max(1, -(-rows * row_bytes // RANGE_BYTES))
        return [
            Task(f"{band:04d}-{index:06d}", {"band": band, "index": index, "of": count})
            for band in range(bands)
            for index in range(count)
        ]

    def _passes(self, tasks: list[Task], task_bytes: int) -> list[list[Task]]:
        size = max(1, self.mill.engine.memory // (ENGINE_OVERHEAD * max(1, task_bytes)))
        return [tasks[start : start + size] for start in range(0, len(tasks), size)]

    def _small(self, rows: int) -> bool:
        """Whether a shuffle of so many rows is not worth starting worker processes."""
        return rows < 20_000

    def exact(self) -> str:
        """Stars of equal digests."""
        step, tasks = self._plan("exact", self._ranges(self.documents, DIGEST.itemsize))

        def build(pipeline: beam.Pipeline, waiting: Sequence[Task]) -> None:
            chunks = self._over_parts(pipeline) | beam.ParDo(DigestChunks(self.context, waiting))
            _ = seeded(pipeline, chunks, keys_of(waiting), "digests") | beam.ParDo(
                CommitExact(self.context, step)
            )

        passes = self._passes(tasks, self.documents * DIGEST.itemsize // len(tasks))
        self.mill.jobs(step, passes, build, small=self._small(self.documents))
        return step

    def exact_drops(self, edges: str) -> None:
        """By part, the documents that have an exact duplicate that is kept."""
        step, tasks = self._plan("exact-drops", self.tasks)

        def build(pipeline: beam.Pipeline, waiting: Sequence[Task]) -> None:
            _ = self._by_part(pipeline, [edges], waiting, CommitLeaves(self.context, step))

        rows = self.context.manifest(edges).kept
        self.mill.jobs(step, [tasks], build, small=self._small(rows))

    def near(self, near: Near) -> str:
        """Verified edges between near duplicates."""
        step, tasks = self._plan("near", self._ranges(self.documents, KEY.itemsize, near.bands))

        def build(pipeline: beam.Pipeline, waiting: Sequence[Task]) -> None:
            keys = self._over_parts(pipeline) | beam.ParDo(BandChunks(self.context, near, waiting))
            members = (
                seeded(pipeline, keys, keys_of(waiting), "keys")
                | beam.ParDo(Candidates(near, waiting))
                | "requests by part" >> beam.GroupByKey()
                | beam.ParDo(FetchSignatures(self.context, near, waiting))
            )
            _ = seeded(pipeline, members, keys_of(waiting), "members") | beam.ParDo(
                CommitNear(self.context, step, near)
            )

        # at worst every document shares its key with another, and its signature crosses too
        row_bytes = KEY.itemsize + member(near.bands * near.rows).itemsize
        passes = self._passes(tasks, self.documents * near.bands * row_bytes // len(tasks))
        self.mill.jobs(step, passes, build, small=self._small(self.documents))
        return step

    def labels(self, edges: list[str]) -> list[str]:
        """Steps whose files link every node that is not the root of its component to its root."""
        largest = self.mill.engine.memory // BYTES_PER_LINK
        links = sum(self.context.manifest(step).kept for step in edges)
        number = unchanged = 0
        while links > largest and unchanged < 2:
            step = self._round(number, edges, links)
            manifest = self.context.manifest(step)
            changed = sum(int(r.counts["changed"]) for r in self.context.receipts(step))
            # once neither kind of star changes a link, the links are stars around the roots
            unchanged = 0 if changed else unchanged + 1
            number, edges, links = number + 1, [step], manifest.kept
        if unchanged == 2 or not edges:
            return edges
        step, tasks = self._plan("labels", [Task("all", {"steps": edges}, links)])
        self.mill.do(step, find_components, tasks)
        return [step]

    def _round(self, number: int, edges: list[str], links: int) -> str:
        """One round of large-star (even numbers) or small-star (odd)."""
        step, tasks = self._plan(f"round-{number:02d}", self._ranges(links, 2 * LINK.itemsize))
        large = number % 2 == 0

        def build(pipeline: beam.Pipeline, waiting: Sequence[Task]) -> None:
            chunks = self._over_files(pipeline, edges) | beam.ParDo(
                LinkChunks(self.context, waiting, first=number == 0, large=large)
            )
            _ = seeded(pipeline, chunks, keys_of(waiting), "links") | beam.ParDo(
                CommitStars(self.context, step, large=large)
            )

        passes = self._passes(tasks, 2 * links * LINK.itemsize // len(tasks))
        self.mill.jobs(step, passes, build)
        return step

    def drops(self, labels: list[str]) -> Manifest:
        """Drop lists by part: what each document is dropped for."""

        def build(pipeline: beam.Pipeline, waiting: Sequence[Task]) -> None:
            _ = self._by_part(pipeline, labels, waiting, CommitDrops(self.context, self.step))

        rows = sum(self.context.manifest(step).kept for step in labels)
        return self.mill.jobs(self.step, [self.tasks], build, small=self._small(rows))

    def _over_parts(self, pipeline: beam.Pipeline) -> beam.PCollection:
        return pipeline | beam.Create(self.parts, reshuffle=False) | beam.Reshuffle()

    def _over_files(self, pipeline: beam.Pipeline, steps: list[str]) -> beam.PCollection:
        paths = [file.path for step in steps for file in edge_files(self.context, step)]
        return (
            pipeline
            | "edge files" >> beam.Create(paths, reshuffle=False)
            | "edge files apart" >> beam.Reshuffle()
        )

    def _by_part(
        self, pipeline: beam.Pipeline, steps: list[str], waiting: Sequence[Task], commit: beam.DoFn
    ) -> beam.PCollection:
        """The links of some steps, grouped by the part of their larger node."""
        chunks = self._over_files(pipeline, steps) | beam.ParDo(
            LeafChunks(self.context, {task.spec["part"]: task.key for task in waiting})
        )
        return seeded(pipeline, chunks, keys_of(waiting), "leaves") | beam.ParDo(commit)


def find_components(context: Context, step: str, task: Task) -> Receipt:
    """Components of all edges at once: every node that is not a root, linked to its root."""
    files = [file for name in task.spec["steps"] for file in edge_files(context, name)]
    edges = [read_edges(context, file.path) for file in files]
    labels = components.connected(np.concatenate(edges)) if edges else np.empty(0, LINK)
    labels = labels[labels["a"] != labels["b"]]
    with Attempt(context.run, step, task.key) as attempt:
        return commit_edges(attempt, labels, {})
