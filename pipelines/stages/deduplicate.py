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

import abc
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import apache_beam as beam
import numpy as np
import pyarrow as pa

from curation.dedup import candidates, components, exact
from curation.dedup.nodes import EDGE, LINK, NODE, Array, ids, nodes, pack, unpack
from pipelines.jobs import seeded
from pipelines.parts import read_table
from pipelines.receipts import Attempt, PartFile, Receipt, Task, has_receipt
from pipelines.steps import Context, Manifest, Mill, fingerprint, report_failure
from schemas.recipe import Near, Recipe
from schemas.tables import DROP
from schemas.tables import EDGE as EDGE_TABLE

VERSION = 1
LIBRARIES = ("numpy", "scipy")

RANGE_BYTES = 32 << 20  # packed keys that one range of a shuffle holds
ENGINE_OVERHEAD = 8  # bytes held a byte shuffled: the local runner 4-7, Prism 8 [measured]
BYTES_PER_LINK = 512  # of memory, to find the components of a graph in one task
SIGNATURE_ROWS = 4096  # rows of a chunk with signatures

DIGEST = np.dtype([("digest", "V16"), ("node", NODE)])
KEY = np.dtype([("key", "<u8"), ("next", "<u8"), ("row", "<u4"), ("node", NODE)])
REQUEST = np.dtype(
    [("target", "<u4"), ("bucket", "<u4"), ("divided", "<u4"), ("row", "<u4"), ("node", NODE)]
)


def _member(permutations: int) -> np.dtype[Any]:
    """A member of a bucket with its signature."""
    return np.dtype([("request", REQUEST), ("signature", "<u8", (permutations,))])


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
            _ = seeded(pipeline, chunks, _keys(waiting), "digests") | beam.ParDo(
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
                seeded(pipeline, keys, _keys(waiting), "keys")
                | beam.ParDo(Candidates(near, waiting))
                | "requests by part" >> beam.GroupByKey()
                | beam.ParDo(FetchSignatures(self.context, near, waiting))
            )
            _ = seeded(pipeline, members, _keys(waiting), "members") | beam.ParDo(
                CommitNear(self.context, step, near)
            )

        # at worst every document shares its key with another, and its signature crosses too
        row_bytes = KEY.itemsize + _member(near.bands * near.rows).itemsize
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
            _ = seeded(pipeline, chunks, _keys(waiting), "links") | beam.ParDo(
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
        return seeded(pipeline, chunks, _keys(waiting), "leaves") | beam.ParDo(commit)


def _keys(tasks: Sequence[Task]) -> list[str]:
    return [task.key for task in tasks]


def edge_files(context: Context, step: str) -> list[PartFile]:
    """Files of edges that a step wrote."""
    return [receipt.file("edges") for receipt in context.receipts(step)]


def edges_table(edges: Array) -> pa.Table:
    """EDGE or LINK rows as they are stored."""
    columns = [
        pa.FixedSizeBinaryArray.from_buffers(
            pa.binary(NODE.itemsize), len(edges), [None, pa.py_buffer(edges[end].tobytes())]
        )
        for end in ("a", "b")
    ]
    has_similarity = "similarity" in (edges.dtype.names or ())
    similarity = edges["similarity"] if has_similarity else np.ones(len(edges), "<f4")
    return pa.Table.from_arrays([*columns, pa.array(similarity)], schema=EDGE_TABLE)


def read_edges(context: Context, path: str) -> Array:
    """EDGE rows of a file."""
    table = read_table(context.home("deduplicate"), path)
    edges = np.empty(table.num_rows, EDGE)
    for end in ("a", "b"):
        column = pa.concat_arrays(table[end].chunks) if table.num_rows else None
        if column is not None:
            data = column.buffers()[1]
            edges[end] = np.frombuffer(data, NODE)[column.offset : column.offset + len(column)]
    edges["similarity"] = table["similarity"].to_numpy()
    return edges


def _signature_rows(context: Context, part: int, columns: Iterable[str]) -> pa.Table:
    path = context.receipts("judge")[part].file("signatures").path
    return read_table(context.home("judge"), path, list(columns))


def _nodes(table: pa.Table, part: int) -> Array:
    raw = b"".join(_raw(chunk) for chunk in table["id"].chunks)
    return nodes(table["preference"].to_numpy(), raw, part)


def _raw(column: pa.Array) -> bytes:
    width = column.type.byte_width
    start = column.offset * width
    return bytes(memoryview(column.buffers()[1])[start : start + len(column) * width])


def _range_of(hashes: Array, count: int) -> Array:
    """Which of `count` equal ranges each 64-bit hash is in."""
    return ((hashes >> np.uint64(32)) * np.uint64(count)) >> np.uint64(32)


def _chunks(values: Iterable[bytes], dtype: np.dtype[Any]) -> Array:
    """The rows of packed chunks, in whatever order they came."""
    arrays = [unpack(value, dtype) for value in values if value]
    return np.concatenate(arrays) if arrays else np.empty(0, dtype)


def _dropped(context: Context, part: int) -> set[bytes]:
    """Ids of the part that exact deduplication dropped."""
    if not context.recipe.deduplicate.exact:
        return set()
    receipt = context.receipts("deduplicate/exact-drops")[part]
    table = read_table(context.run, receipt.file("drops").path, ["id"])
    return set(table["id"].to_pylist())


class DigestChunks(beam.DoFn):
    """Part -> (range, packed DIGEST rows)."""

    def __init__(self, context: Context, tasks: Sequence[Task]) -> None:
        """`tasks`: the ranges that are wanted."""
        self.context, self.tasks = context, tasks

    def process(self, element: int) -> Iterator[tuple[str, bytes]]:
        """`element` is the index of a part."""
        table = _signature_rows(self.context, element, ("id", "preference", "digest"))
        if not table.num_rows:
            return
        raw = b"".join(_raw(chunk) for chunk in table["digest"].chunks)
        rows = np.empty(table.num_rows, DIGEST)
        rows["digest"] = np.frombuffer(raw, "V16")
        rows["node"] = _nodes(table, element)
        where = _range_of(np.frombuffer(raw, "<u8")[::2], self.tasks[0].spec["of"])
        for task in self.tasks:
            yield task.key, pack(rows[where == task.spec["index"]])


class BandChunks(beam.DoFn):
    """Part -> (band and range, packed KEY rows)."""

    def __init__(self, context: Context, near: Near, tasks: Sequence[Task]) -> None:
        """`tasks`: the bands and ranges that are wanted."""
        self.context, self.near, self.tasks = context, near, tasks

    def process(self, element: int) -> Iterator[tuple[str, bytes]]:
        """`element` is the index of a part."""
        near = self.near
        bands = sorted({int(task.spec["band"]) for task in self.tasks})
        columns = sorted({*bands, *((band + 1) % near.bands for band in bands)})
        names = [f"band_{band:04d}" for band in columns]
        table = _signature_rows(self.context, element, ("id", "preference", *names))
        dropped = _dropped(self.context, element)
        use = table[names[0]].is_valid().to_numpy()
        if dropped:
            use &= np.array([item not in dropped for item in table["id"].to_pylist()], np.bool_)
        row = np.flatnonzero(use)
        table = table.take(row)
        rows = np.empty(len(row), KEY)
        rows["row"] = row
        rows["node"] = _nodes(table, element)
        for band in bands:
            rows["key"] = table[f"band_{band:04d}"].to_numpy()
            rows["next"] = table[f"band_{(band + 1) % near.bands:04d}"].to_numpy()
            for task in self.tasks:
                if task.spec["band"] == band:
                    where = _range_of(rows["key"], task.spec["of"]) == task.spec["index"]
                    yield task.key, pack(rows[where])


class Candidates(beam.DoFn):
    """(Band and range, packed keys) -> (part, packed REQUEST rows): who shares a bucket."""

    def __init__(self, near: Near, tasks: Sequence[Task]) -> None:
        """`tasks`: the targets, which requests name by their place among them."""
        self.near = near
        self.number = {task.key: index for index, task in enumerate(tasks)}

    def process(self, element: tuple[str, Iterable[bytes]]) -> Iterator[tuple[int, bytes]]:
        """`element` is a group of chunks."""
        target, chunks = element
        rows = _chunks(chunks, KEY)
        bucket, divided = candidates.buckets(rows["key"], rows["next"], self.near.max_bucket)
        shared = bucket >= 0
        requests = np.empty(int(shared.sum()), REQUEST)
        requests["target"] = self.number[target]
        requests["bucket"] = bucket[shared]
        requests["divided"] = divided
        requests["row"] = rows["row"][shared]
        requests["node"] = rows["node"][shared]
        parts = requests["node"]["part"]
        for part in np.unique(parts):
            yield int(part), pack(requests[parts == part])


class FetchSignatures(beam.DoFn):
    """(Part, packed requests) -> (band and range, packed members with their signatures)."""

    def __init__(self, context: Context, near: Near, tasks: Sequence[Task]) -> None:
        """`tasks`: the targets."""
        self.context, self.near, self.keys = context, near, _keys(tasks)

    def process(self, element: tuple[int, Iterable[bytes]]) -> Iterator[tuple[str, bytes]]:
        """`element` is a group of chunks."""
        part, chunks = element
        requests = _chunks(chunks, REQUEST)
        # one read of the column, however many bands ask for a document
        wanted, place = np.unique(requests["row"], return_inverse=True)
        table = _signature_rows(self.context, part, ("signature",)).take(wanted)
        permutations = self.near.bands * self.near.rows
        signatures = np.concatenate(
            [chunk.flatten().to_numpy() for chunk in table["signature"].chunks]
        ).reshape(-1, permutations)
        for target in np.unique(requests["target"]):
            chosen = np.flatnonzero(requests["target"] == target)
            for start in range(0, len(chosen), SIGNATURE_ROWS):
                some = chosen[start : start + SIGNATURE_ROWS]
                members = np.empty(len(some), _member(permutations))
                members["request"] = requests[some]
                members["signature"] = signatures[place[some]]
                yield self.keys[target], pack(members)


class LinkChunks(beam.DoFn):
    """File of edges -> (range of nodes, packed LINK rows) for a round of stars."""

    def __init__(
        self, context: Context, tasks: Sequence[Task], *, first: bool, large: bool
    ) -> None:
        """`first`: the edges are not contracted yet; `large`: for large-star."""
        self.context, self.tasks, self.first, self.large = context, tasks, first, large

    def process(self, element: str) -> Iterator[tuple[str, bytes]]:
        """`element` is the path of a file of edges."""
        edges = read_edges(self.context, element)
        links = np.empty(len(edges), LINK)
        links["a"], links["b"] = edges["a"], edges["b"]
        if self.first:
            links = components.contract(links)
        rows = components.both_ways(links) if self.large else components.larger_first(links)
        where = components.partition(rows["a"], self.tasks[0].spec["of"])
        for task in self.tasks:
            yield task.key, pack(rows[where == task.spec["index"]])


class LeafChunks(beam.DoFn):
    """File of edges -> (key of the part of the larger node, packed LINK rows)."""

    def __init__(self, context: Context, keys: dict[int, str]) -> None:
        """`keys`: task keys of the parts that are wanted."""
        self.context, self.keys = context, keys

    def process(self, element: str) -> Iterator[tuple[str, bytes]]:
        """`element` is the path of a file of edges."""
        edges = read_edges(self.context, element)
        links = np.empty(len(edges), LINK)
        links["a"], links["b"] = edges["a"], edges["b"]
        for part in np.unique(links["b"]["part"]):
            if int(part) in self.keys:
                yield self.keys[int(part)], pack(links[links["b"]["part"] == part])


class Commit(beam.DoFn, abc.ABC):
    """A group of packed chunks -> the files and the receipt of one task."""

    dtype: np.dtype[Any] = LINK

    def __init__(self, context: Context, step: str) -> None:
        """Commits tasks of `step`."""
        self.context, self.step = context, step

    def process(self, element: tuple[str, Iterable[bytes]]) -> Iterator[str]:
        """`element` is a group of chunks."""
        key, chunks = element
        if not has_receipt(self.context.run, self.step, key):
            try:
                with Attempt(self.context.run, self.step, key) as attempt:
                    self.commit(attempt, _chunks(chunks, self.dtype))
            except Exception as error:
                report_failure(self.context, self.step, key, error)
                raise
        yield key

    @abc.abstractmethod
    def commit(self, attempt: Attempt, rows: Array) -> None:
        """Write the task's files and its receipt; `rows` are in no order."""


def _commit_edges(attempt: Attempt, edges: Array, counts: dict[str, int]) -> Receipt:
    attempt.writer("edges", EDGE_TABLE).write(edges_table(edges))
    return attempt.commit(len(edges), len(edges), counts=counts)


class CommitExact(Commit):
    """Stars of equal digests."""

    dtype = DIGEST

    def commit(self, attempt: Attempt, rows: Array) -> None:
        """`rows`: DIGEST."""
        edges = exact.groups(rows["digest"].tobytes(), rows["node"])
        _commit_edges(attempt, edges, {"documents": len(rows)})


class CommitNear(Commit):
    """Verified edges of one range of a band."""

    def __init__(self, context: Context, step: str, near: Near) -> None:
        """`near`: the recipe's."""
        super().__init__(context, step)
        self.near = near

    @property
    def dtype(self) -> np.dtype[Any]:  # type: ignore[override]
        """Members with signatures of the recipe's length."""
        return _member(self.near.bands * self.near.rows)

    def commit(self, attempt: Attempt, rows: Array) -> None:
        """`rows`: members."""
        near = self.near
        request = rows["request"]
        edges, counts = candidates.stars(
            request["bucket"].astype(np.int64),
            request["node"],
            rows["signature"],
            near.verify,
            near.rounds,
        )
        divided = int(request["divided"].max(initial=0))
        _commit_edges(
            attempt, edges, {**counts._asdict(), "members": len(rows), "divided": divided}
        )


class CommitStars(Commit):
    """The links of one range of nodes after a round."""

    def __init__(self, context: Context, step: str, *, large: bool) -> None:
        """`large`: large-star, else small-star."""
        super().__init__(context, step)
        self.large = large

    def commit(self, attempt: Attempt, rows: Array) -> None:
        """`rows`: LINK, all of the nodes in the range."""
        star: Callable[[Array], tuple[Array, int]]
        star = components.large_star if self.large else components.small_star
        links, changed = star(rows)
        _commit_edges(attempt, links, {"changed": changed})


class CommitLeaves(Commit):
    """The exact duplicates of one part."""

    def commit(self, attempt: Attempt, rows: Array) -> None:
        """`rows`: LINK from the kept node to the dropped one."""
        table = _drop_table(rows, ["exact"] * len(rows))
        attempt.writer("drops", DROP, dictionary=("level",)).write(table)
        attempt.commit(len(rows), len(rows))


class CommitDrops(Commit):
    """The drop list of one part, and the ledger of its documents."""

    def commit(self, attempt: Attempt, rows: Array) -> None:
        """`rows`: LINK from the root of a component to each other node."""
        (part,) = [
            index
            for index, receipt in enumerate(self.context.receipts("judge"))
            if receipt.task == attempt.task
        ]
        exactly = _dropped(self.context, part)
        leaves = [bytes(item) for item in ids(rows["b"])]
        if len(set(leaves)) != len(leaves):
            raise AssertionError(f"part {part}: a document has two roots, or two have one id")
        levels = ["exact" if leaf in exactly else "near" for leaf in leaves]
        attempt.writer("drops", DROP, dictionary=("level",)).write(_drop_table(rows, levels))
        records = self.context.receipts("judge")[part].kept
        rejected = {level: levels.count(level) for level in ("exact", "near")}
        attempt.commit(records, records - len(leaves), rejected)


def _drop_table(links: Array, levels: list[str]) -> pa.Table:
    """DROP rows, by id."""
    dropped, kept = ids(links["b"]), ids(links["a"])
    order = np.lexsort((links["b"]["id_low"], links["b"]["id_high"]))
    return pa.table(
        {
            "id": pa.array([bytes(dropped[index]) for index in order], pa.binary(16)),
            "level": pa.array([levels[index] for index in order], pa.string()),
            "kept_id": pa.array([bytes(kept[index]) for index in order], pa.binary(16)),
        },
        DROP,
    )


def find_components(context: Context, step: str, task: Task) -> Receipt:
    """Components of all edges at once: every node that is not a root, linked to its root."""
    files = [file for name in task.spec["steps"] for file in edge_files(context, name)]
    edges = [read_edges(context, file.path) for file in files]
    labels = components.connected(np.concatenate(edges)) if edges else np.empty(0, LINK)
    labels = labels[labels["a"] != labels["b"]]
    with Attempt(context.run, step, task.key) as attempt:
        return _commit_edges(attempt, labels, {})


def drop_list(context: Context, task: str) -> dict[bytes, tuple[str, bytes]]:
    """What is dropped of a part: id -> (level, id of the document that is kept)."""
    receipt = context.receipt("deduplicate", task)
    table = read_table(context.home("deduplicate"), receipt.file("drops").path)
    return {
        row["id"]: (row["level"], row["kept_id"])
        for batch in table.to_batches()
        for row in batch.to_pylist()
    }
