"""deduplicate: signatures -> which documents are dropped, and for which they are dropped.

Levels that compare one digest come first, in order: pages of one URL, equal texts, equal
normalised texts. Then near duplicates. The edges of all go into one graph, and of each component
the smallest node (see `curation.dedup.nodes`) is kept. Documents of the runs in `against` are the
smallest of all, so that what is like one of them is dropped. Steps, each with receipts:

    LEVEL         stars of digests that several parts have, by ranges of the digest, in which a part
                  stands for all that it has of a digest; LEVEL: url, exact, normalised
    LEVEL-drops   the leaves of these stars and of those within the part, by part: they take no part
                  in what follows
    candidates    who shares a band's key, by band and range of the key
    near          verified edges between these
    round-NN      rounds of large-star and small-star, only while the graph is large
    labels        components of a graph that fits into one task
    (the stage)   by part: the drop list, and the signatures of what is kept, which are the index
                  that later runs can be deduplicated against

If the recipe asks for `spans`, the drop lists are made before the last step, and more follow:

    documents     by part: the drop list
    spans        by part: lines, paragraphs, sentences, n-grams of what is left, as keys
    repeated      by range of the key: which of a part's keys stand first in another part
    bloom         by group of parts: lines whose n-grams were seen in documents before
    substring     by group of parts: runs of tokens
    (the stage)   by part: the cut list, with the drop list and the index

Only keys cross a shuffle, in packed chunks, and sketches of those documents that share a band's
key with another. A pass is as many ranges as fit the memory of the engine; how many those are
never changes the answer.
"""

from __future__ import annotations

import importlib.metadata
from collections.abc import Sequence
from typing import Any

import numpy as np

from curation.dedup import components
from curation.dedup.nodes import LINK
from pipelines.engines.jobs import ByKey, Job, JobFailed, Step
from pipelines.runs.mill import Mill
from pipelines.runs.receipts import Attempt, Receipt, Task
from pipelines.runs.steps import Context, Manifest, fingerprint
from pipelines.stages.dedup.edges import commit_edges, edge_files, read_edges
from pipelines.stages.dedup.groups import filter_lines, find_runs, groups
from pipelines.stages.dedup.shuffles import (
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
from pipelines.stages.dedup.signatures import index_digest, keyed_levels, parts, sketch_values
from pipelines.stages.dedup.spans import (
    KEY_BYTES,
    ROW,
    CommitCuts,
    CommitRepeated,
    FirstChunks,
    RepeatedChunks,
    find_spans,
    keyed_span_levels,
)
from schemas.deduplicate import Near, Spans
from schemas.recipe import Recipe

VERSION = 8
LIBRARIES = ("numpy", "scipy")

RANGE_BYTES = 16 << 20  # packed keys that one range of a shuffle holds
MEMBERS_BYTES = 64 << 20  # members of buckets that one task compares
BYTES_PER_LINK = 512  # of memory, to find the components of a graph in one task
SHINGLES_BYTES = 8000  # of a document's shingles, about


def relevant(recipe: Recipe) -> Any:
    """What of the recipe decides this stage's output.

    Raises Problem if what `against` names cannot be used.
    """
    deduplicate = recipe.deduplicate
    value = deduplicate.model_dump(mode="json")
    if deduplicate.spans.sentences:
        from curation.measures import view

        value["sentences"] = [view.VERSION, importlib.metadata.version("spacy")]
    value["against"] = [index_digest(deduplicate, url) for url in deduplicate.against]
    return value


def plan(context: Context) -> list[Task]:
    """The last step's tasks: a drop list for each part of signatures."""
    return [
        Task(receipt.task, {"part": part}, receipt.kept)
        for part, receipt in enumerate(context.receipts(context.signed))
    ]


def run(mill: Mill, step: str, mark: str) -> Manifest:
    """All steps, in order."""
    stage = Steps(mill, step, mill.plan(step, mark, lambda: plan(mill.context)))
    recipe = mill.context.recipe.deduplicate
    edges = []
    for level in keyed_levels(recipe):
        edges.append(stage.keyed(level))
        edges.append(stage.keyed_drops(level, edges[-1]))
    if recipe.near is not None:
        edges.append(stage.near(recipe.near, stage.candidates(recipe.near)))
    labels = stage.labels(edges)
    if not recipe.spans.levels():
        return stage.drops(labels, step, stage.tasks)
    stage.document_drops(labels)
    return stage.spans(recipe.spans)


class Steps:
    """The steps of the stage, on one run."""

    def __init__(self, mill: Mill, step: str, tasks: list[Task]) -> None:
        """`tasks` are those of the last step."""
        self.mill, self.step, self.tasks = mill, step, tasks
        self.context = mill.context
        self.mark = fingerprint(
            VERSION,
            relevant(self.context.recipe),
            self.context.manifest(self.context.signed).digest,
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
        """Consecutive tasks whose packed bytes the engine can hold together (local engines hold
        them on the disk, where they stay in the system's cache)."""
        if self.mill.engine.shuffles_on_disk:
            return [tasks]
        passes: list[list[Task]] = []
        held = 0
        for task, size in zip(tasks, sizes, strict=True):
            held += size
            if not passes or held > self.mill.engine.memory:
                passes.append([])
                held = size
            passes[-1].append(task)
        return passes

    def _small(self, rows: int) -> bool:
        """Whether a shuffle of so many rows is not worth starting worker processes."""
        return rows < 20_000

    def keyed(self, level: str) -> str:
        """Stars of equal digests."""
        size = self.documents * DIGEST.itemsize
        step, tasks = self._plan(level, self._ranges(size))

        def build(waiting: Sequence[Task]) -> Job:
            chunks = DigestChunks(self.context, level, waiting)
            digests = ByKey("digests", keys_of(waiting))
            return Job(self.parts, [chunks, digests, CommitKeyed(self.context, step, level)])

        passes = self._passes(tasks, [size // len(tasks)] * len(tasks))
        self.mill.jobs(step, passes, build, small=self._small(self.documents))
        return step

    def keyed_drops(self, level: str, edges: str) -> str:
        """By part, the documents that give way to another one of their key, and their edges."""
        step, tasks = self._plan(f"{level}-drops", self.tasks)

        def build(waiting: Sequence[Task]) -> Job:
            commit = CommitLeaves(self.context, step, level, self._numbers())
            return self._by_part([edges], waiting, commit)

        rows = self.context.manifest(edges).kept
        self.mill.jobs(step, [tasks], build, small=self._small(max(rows, self.documents)))
        return step

    def candidates(self, near: Near) -> str:
        """Who shares a key, band by band."""
        size = self.documents * KEY.itemsize
        step, tasks = self._plan("candidates", self._ranges(size, bands=near.bands))
        most = MEMBERS_BYTES // self._member_bytes(near)

        def build(waiting: Sequence[Task]) -> Job:
            chunks = BandChunks(self.context, near, waiting)
            commit = CommitCandidates(self.context, step, near, most)
            return Job(self.parts, [chunks, ByKey("keys", keys_of(waiting)), commit])

        passes = self._passes(tasks, [size * near.bands // len(tasks)] * len(tasks))
        self.mill.jobs(step, passes, build, small=self._small(self.documents))
        levels = keyed_levels(self.context.recipe.deduplicate)
        dropped = sum(self.context.manifest(f"{self.step}/{level}-drops").kept for level in levels)
        keys = sum(int(receipt.counts["keys"]) for receipt in self.context.receipts(step))
        self._arrived(step, keys, near.bands * (self.documents - dropped))
        return step

    def _arrived(self, step: str, rows: int, sent: int) -> None:
        """An engine that lost some of what it shuffled must not go unnoticed."""
        if rows != sent:
            raise JobFailed(
                f"{step}: {rows} rows came out of the engine's shuffle, of {sent}: its answer is "
                f"wrong. Remove {self.context.run.url}/{self.step} and run again"
            )

    def near(self, near: Near, candidates: str) -> str:
        """Verified edges between near duplicates."""
        receipts = self.context.receipts(candidates)
        portions = [
            Task(
                f"{receipt.task}-{number:04d}",
                {"candidates": receipt.task, "first": first, "end": end},
                members,
            )
            for receipt in receipts
            for number, (first, end, members) in enumerate(receipt.counts["portions"])
        ]
        step, tasks = self._plan("near", portions)

        def build(waiting: Sequence[Task]) -> Job:
            keys = keys_of(waiting)
            return Job(
                keys,
                [
                    RequestChunks(self.context, candidates, waiting),
                    ByKey("requests"),
                    FetchMembers(self.context, near, waiting),
                    ByKey("members", keys),
                    CommitNear(self.context, step, near),
                ],
            )

        row_bytes = REQUEST.itemsize + self._member_bytes(near)
        passes = self._passes(tasks, [row_bytes * task.size for task in tasks])
        members = sum(task.size for task in tasks)
        self.mill.jobs(step, passes, build, small=self._small(members))
        found = sum(int(receipt.counts["members"]) for receipt in self.context.receipts(step))
        self._arrived(step, found, members)
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

        def build(waiting: Sequence[Task]) -> Job:
            chunks = LinkChunks(self.context, waiting, first=number == 0, large=large)
            commit = CommitStars(self.context, step, large=large)
            return Job(self._files(edges), [chunks, ByKey("links", keys_of(waiting)), commit])

        passes = self._passes(tasks, [2 * links * LINK.itemsize // len(tasks)] * len(tasks))
        self.mill.jobs(step, passes, build)
        return step

    def document_drops(self, labels: list[str]) -> None:
        """Drop lists by part, before spans are looked for in what is left."""
        self.drops(labels, *self._plan("documents", self.tasks))

    def drops(self, labels: list[str], step: str, tasks: list[Task]) -> Manifest:
        """Drop lists by part: what each document is dropped for."""

        def build(waiting: Sequence[Task]) -> Job:
            commit = CommitDrops(self.context, step, self._numbers(), last=step == self.step)
            return self._by_part(labels, waiting, commit, roots=True)

        rows = sum(self.context.manifest(step).kept for step in labels)
        return self.mill.jobs(step, [tasks], build, small=self._small(rows))

    def spans(self, asked: Spans) -> Manifest:
        """Cut lists by part."""
        found, tasks = self._plan("spans", self.tasks)
        self.mill.do(found, find_spans, tasks)
        repeated = self.repeated(found) if keyed_span_levels(asked) else None
        for level, work in (("bloom", filter_lines), ("substring", find_runs)):
            if getattr(asked, level):
                step, tasks = self._plan(level, groups(self.context, level))
                self.mill.do(step, work, tasks)
        return self.cuts(found, repeated)

    def repeated(self, found: str) -> str:
        """Keys of parts that stand first in another part, by ranges of the key."""
        sent = sum(int(receipt.counts["keys"]) for receipt in self.context.receipts(found))
        size = ROW.itemsize * sent
        step, tasks = self._plan("repeated", self._ranges(size))

        def build(waiting: Sequence[Task]) -> Job:
            chunks = FirstChunks(self.context, found, waiting)
            numbers = list(range(len(self.tasks)))
            spans = ByKey("spans", keys_of(waiting))
            return Job(numbers, [chunks, spans, CommitRepeated(self.context, step)])

        passes = self._passes(tasks, [size // len(tasks)] * len(tasks))
        self.mill.jobs(step, passes, build, small=self._small(sent))
        rows = sum(int(receipt.counts["rows"]) for receipt in self.context.receipts(step))
        self._arrived(step, rows, sent)
        return step

    def cuts(self, found: str, repeated: str | None) -> Manifest:
        """Cut lists by part, with the drop lists and the index; of all levels."""
        receipts = self.context.receipts(repeated) if repeated else []
        files = [receipt.file("repeated").path for receipt in receipts]
        rows = sum(receipt.kept for receipt in receipts)
        keys = [int(receipt.counts["keys"]) for receipt in self.context.receipts(found)]

        def build(waiting: Sequence[Task]) -> Job:
            wanted = {task.spec["part"]: task.key for task in waiting}
            commit = CommitCuts(self.context, self.step, self._numbers())
            by_part = ByKey("repeated", keys_of(waiting))
            return Job(files, [RepeatedChunks(self.context, wanted), by_part, commit])

        # how many of a part's keys are there is not known, only of all parts
        sizes = [KEY_BYTES * rows * own // max(sum(keys), 1) for own in keys]
        passes = self._passes(self.tasks, sizes)
        done = self.mill.jobs(self.step, passes, build, small=self._small(sum(keys)))
        found_keys = sum(int(r.counts["elsewhere"]) for r in self.context.receipts(self.step))
        self._arrived(self.step, found_keys, rows)
        return done

    def _numbers(self) -> dict[str, int]:
        """The parts, by their task."""
        return {task.key: int(task.spec["part"]) for task in self.tasks}

    def _files(self, steps: list[str]) -> list[str]:
        """Paths of the files of edges of some steps."""
        return [file.path for step in steps for file in edge_files(self.context, step)]

    def _by_part(
        self, steps: list[str], waiting: Sequence[Task], commit: Step, *, roots: bool = False
    ) -> Job:
        """The links of some steps, grouped by the part of their larger node, or of either."""
        keys = {task.spec["part"]: task.key for task in waiting}
        chunks = LeafChunks(self.context, keys, roots=roots)
        return Job(self._files(steps), [chunks, ByKey("leaves", keys_of(waiting)), commit])


def find_components(context: Context, step: str, task: Task) -> Receipt:
    """Components of all edges at once: every node that is not a root, linked to its root."""
    files = [file for name in task.spec["steps"] for file in edge_files(context, name)]
    edges = [read_edges(context, file.path) for file in files]
    labels = components.connected(np.concatenate(edges)) if edges else np.empty(0, LINK)
    labels = labels[labels["a"] != labels["b"]]
    with Attempt(context.run, step, task.key) as attempt:
        return commit_edges(attempt, labels, {})
