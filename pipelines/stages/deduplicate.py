"""deduplicate: signatures -> which documents are dropped, and for which they are dropped.

Levels that compare one digest come first, in order: pages of one URL, equal texts, equal
normalised texts. Then near duplicates. The edges of all go into one graph, and of each component
the smallest node (see `curation.dedup.nodes`) is kept. Documents of the runs in `against` are the
smallest of all, so that what is like one of them is dropped. Steps, each with receipts:

    LEVEL         stars of equal digests, by ranges of the digest; LEVEL: url, exact, normalised
    LEVEL-drops   the leaves of these stars, by part: they take no part in what follows
    candidates    who shares a band's key, by band and range of the key
    near          verified edges between these
    round-NN      rounds of large-star and small-star, only while the graph is large
    labels        components of a graph that fits into one task
    (the stage)   by part: the drop list, and the signatures of what is kept, which are the index
                  that later runs can be deduplicated against

Only keys cross a shuffle, in packed chunks, and sketches of those documents that share a band's
key with another. A pass is as many ranges as fit the memory of the engine; how many those are
never changes the answer.
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
    MEMBER,
    REQUEST,
    BandChunks,
    CommitCandidates,
    CommitDrops,
    CommitKeyed,
    CommitLeaves,
    CommitNear,
    CommitStars,
    DigestChunks,
    FetchMembers,
    LeafChunks,
    LinkChunks,
    RequestChunks,
    keys_of,
)
from pipelines.mill import Mill
from pipelines.receipts import Attempt, Receipt, Task
from pipelines.signatures import index_digest, keyed_levels, parts, sketch_values
from pipelines.steps import Context, Manifest, fingerprint
from schemas.recipe import Near, Recipe

VERSION = 2
LIBRARIES = ("numpy", "scipy")

RANGE_BYTES = 16 << 20  # packed keys that one range of a shuffle holds
MEMBERS_BYTES = 64 << 20  # members of buckets that one task compares
ENGINE_OVERHEAD = 8  # bytes held a byte shuffled: the local runner 4-7, Prism 8 [measured]
BYTES_PER_LINK = 512  # of memory, to find the components of a graph in one task
SHINGLES_BYTES = 8000  # of a document's shingles, about


def relevant(recipe: Recipe) -> Any:
    """What of the recipe decides this stage's output.

    Raises UserError if what `against` names cannot be used.
    """
    deduplicate = recipe.deduplicate
    value = deduplicate.model_dump(mode="json")
    value["against"] = [index_digest(deduplicate, url) for url in deduplicate.against]
    return value


def plan(context: Context) -> list[Task]:
    """The last step's tasks: a drop list for each part of signatures."""
    return [
        Task(receipt.task, {"part": part}, receipt.kept)
        for part, receipt in enumerate(context.receipts("judge"))
    ]


def run(mill: Mill, step: str, mark: str) -> Manifest:
    """All steps, in order."""
    stage = Steps(mill, step, mill.plan(step, mark, lambda: plan(mill.context)))
    recipe = mill.context.recipe.deduplicate
    edges = []
    for level in keyed_levels(recipe):
        edges.append(stage.keyed(level))
        stage.keyed_drops(level, edges[-1])
    if recipe.near is not None:
        edges.append(stage.near(recipe.near, stage.candidates(recipe.near)))
    return stage.drops(stage.labels(edges))


class Steps:
    """The steps of the stage, on one run."""

    def __init__(self, mill: Mill, step: str, tasks: list[Task]) -> None:
        """`tasks` are those of the last step."""
        self.mill, self.step, self.tasks = mill, step, tasks
        self.context = mill.context
        self.mark = fingerprint(
            VERSION, relevant(self.context.recipe), self.context.manifest("judge").digest
        )
        files = parts(self.context)
        self.parts = list(range(len(files)))
        self.documents = sum(file.rows for file in files)

    def _plan(self, name: str, tasks: list[Task]) -> tuple[str, list[Task]]:
        step = f"{self.step}/{name}"
        return step, self.mill.plan(step, fingerprint(self.mark, name), lambda: tasks)

    def _ranges(self, size: int, bands: int = 1) -> list[Task]:
        """Tasks for equal ranges of a hash, `bands` times; their number follows from bytes."""
        count = max(1, -(-size // RANGE_BYTES))
        return [
            Task(f"{band:04d}-{index:06d}", {"band": band, "index": index, "of": count})
            for band in range(bands)
            for index in range(count)
        ]

    def _passes(self, tasks: list[Task], sizes: Sequence[int]) -> list[list[Task]]:
        """Consecutive tasks whose packed bytes the engine can hold together."""
        passes: list[list[Task]] = []
        held = 0
        for task, size in zip(tasks, sizes, strict=True):
            held += ENGINE_OVERHEAD * size
            if not passes or held > self.mill.engine.memory:
                passes.append([])
                held = ENGINE_OVERHEAD * size
            passes[-1].append(task)
        return passes

    def _small(self, rows: int) -> bool:
        """Whether a shuffle of so many rows is not worth starting worker processes."""
        return rows < 20_000

    def keyed(self, level: str) -> str:
        """Stars of equal digests."""
        size = self.documents * DIGEST.itemsize
        step, tasks = self._plan(level, self._ranges(size))

        def build(pipeline: beam.Pipeline, waiting: Sequence[Task]) -> None:
            chunks = self._over(pipeline, self.parts) | beam.ParDo(
                DigestChunks(self.context, level, waiting)
            )
            _ = seeded(pipeline, chunks, keys_of(waiting), "digests") | beam.ParDo(
                CommitKeyed(self.context, step, level)
            )

        passes = self._passes(tasks, [size // len(tasks)] * len(tasks))
        self.mill.jobs(step, passes, build, small=self._small(self.documents))
        return step

    def keyed_drops(self, level: str, edges: str) -> None:
        """By part, the documents that give way to another one of their key."""
        step, tasks = self._plan(f"{level}-drops", self.tasks)

        def build(pipeline: beam.Pipeline, waiting: Sequence[Task]) -> None:
            commit = CommitLeaves(self.context, step, level)
            _ = self._by_part(pipeline, [edges], waiting, commit)

        rows = self.context.manifest(edges).kept
        self.mill.jobs(step, [tasks], build, small=self._small(rows))

    def candidates(self, near: Near) -> str:
        """Who shares a key, band by band."""
        size = self.documents * KEY.itemsize
        step, tasks = self._plan("candidates", self._ranges(size, bands=near.bands))
        most = MEMBERS_BYTES // self._member_bytes(near)

        def build(pipeline: beam.Pipeline, waiting: Sequence[Task]) -> None:
            keys = self._over(pipeline, self.parts) | beam.ParDo(
                BandChunks(self.context, near, waiting)
            )
            _ = seeded(pipeline, keys, keys_of(waiting), "keys") | beam.ParDo(
                CommitCandidates(self.context, step, near, most)
            )

        passes = self._passes(tasks, [size * near.bands // len(tasks)] * len(tasks))
        self.mill.jobs(step, passes, build, small=self._small(self.documents))
        return step

    def near(self, near: Near, candidates: str) -> str:
        """Verified edges between near duplicates."""
        receipts = self.context.receipts(candidates)
        pieces = [
            Task(
                f"{receipt.task}-{number:04d}",
                {"candidates": receipt.task, "first": first, "end": end},
                members,
            )
            for receipt in receipts
            for number, (first, end, members) in enumerate(receipt.counts["pieces"])
        ]
        step, tasks = self._plan("near", pieces)

        def build(pipeline: beam.Pipeline, waiting: Sequence[Task]) -> None:
            members = (
                self._over(pipeline, keys_of(waiting))
                | beam.ParDo(RequestChunks(self.context, candidates, waiting))
                | "requests by part" >> beam.GroupByKey()
                | beam.ParDo(FetchMembers(self.context, near, waiting))
            )
            _ = seeded(pipeline, members, keys_of(waiting), "members") | beam.ParDo(
                CommitNear(self.context, step, near)
            )

        row_bytes = REQUEST.itemsize + self._member_bytes(near)
        passes = self._passes(tasks, [row_bytes * task.size for task in tasks])
        members = sum(task.size for task in tasks)
        self.mill.jobs(step, passes, build, small=self._small(members))
        return step

    def _member_bytes(self, near: Near) -> int:
        by_signatures = near.verify_by == "signatures"
        return MEMBER.itemsize + (2 * sketch_values(near) if by_signatures else SHINGLES_BYTES)

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
        step, tasks = self._plan(f"round-{number:02d}", self._ranges(2 * links * LINK.itemsize))
        large = number % 2 == 0

        def build(pipeline: beam.Pipeline, waiting: Sequence[Task]) -> None:
            chunks = self._over_files(pipeline, edges) | beam.ParDo(
                LinkChunks(self.context, waiting, first=number == 0, large=large)
            )
            _ = seeded(pipeline, chunks, keys_of(waiting), "links") | beam.ParDo(
                CommitStars(self.context, step, large=large)
            )

        passes = self._passes(tasks, [2 * links * LINK.itemsize // len(tasks)] * len(tasks))
        self.mill.jobs(step, passes, build)
        return step

    def drops(self, labels: list[str]) -> Manifest:
        """Drop lists by part: what each document is dropped for."""

        def build(pipeline: beam.Pipeline, waiting: Sequence[Task]) -> None:
            numbers = {task.key: int(task.spec["part"]) for task in self.tasks}
            commit = CommitDrops(self.context, self.step, numbers)
            _ = self._by_part(pipeline, labels, waiting, commit)

        rows = sum(self.context.manifest(step).kept for step in labels)
        return self.mill.jobs(self.step, [self.tasks], build, small=self._small(rows))

    def _over(self, pipeline: beam.Pipeline, items: Sequence[Any]) -> beam.PCollection:
        return pipeline | beam.Create(items, reshuffle=False) | beam.Reshuffle()

    def _over_files(self, pipeline: beam.Pipeline, steps: list[str]) -> beam.PCollection:
        return self._over(
            pipeline, [file.path for step in steps for file in edge_files(self.context, step)]
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
