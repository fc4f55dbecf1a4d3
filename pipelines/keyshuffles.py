"""The DoFns of deduplication: keys cross a shuffle in packed chunks, then a task commits.

Part or file -> chunks by range -> a group -> the files and the receipt of one task.
"""

from __future__ import annotations

import abc
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import apache_beam as beam
import numpy as np
import pyarrow as pa

from curation.dedup import candidates, components, exact
from curation.dedup.nodes import LINK, NODE, Array, ids, nodes, pack, unpack
from pipelines.edges import commit_edges, drop_table, exact_drops, read_edges
from pipelines.parts import read_table
from pipelines.receipts import Attempt, Task, has_receipt
from pipelines.steps import Context, report_failure
from schemas.recipe import Near
from schemas.tables import DROP

SIGNATURE_ROWS = 4096  # rows of a chunk with signatures

DIGEST = np.dtype([("digest", "V16"), ("node", NODE)])
KEY = np.dtype([("key", "<u8"), ("next", "<u8"), ("row", "<u4"), ("node", NODE)])
REQUEST = np.dtype(
    [("target", "<u4"), ("bucket", "<u4"), ("divided", "<u4"), ("row", "<u4"), ("node", NODE)]
)


def member(permutations: int) -> np.dtype[Any]:
    """A member of a bucket with its signature."""
    return np.dtype([("request", REQUEST), ("signature", "<u8", (permutations,))])


def keys_of(tasks: Sequence[Task]) -> list[str]:
    """The keys of tasks."""
    return [task.key for task in tasks]


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


def unpacked(values: Iterable[bytes], dtype: np.dtype[Any]) -> Array:
    """The rows of packed chunks, in whatever order they came."""
    arrays = [unpack(value, dtype) for value in values if value]
    return np.concatenate(arrays) if arrays else np.empty(0, dtype)


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
        dropped = exact_drops(self.context, element)
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
        rows = unpacked(chunks, KEY)
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
        self.context, self.near, self.keys = context, near, keys_of(tasks)

    def process(self, element: tuple[int, Iterable[bytes]]) -> Iterator[tuple[str, bytes]]:
        """`element` is a group of chunks."""
        part, chunks = element
        requests = unpacked(chunks, REQUEST)
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
                members = np.empty(len(some), member(permutations))
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
                    self.commit(attempt, unpacked(chunks, self.dtype))
            except Exception as error:
                report_failure(self.context, self.step, key, error)
                raise
        yield key

    @abc.abstractmethod
    def commit(self, attempt: Attempt, rows: Array) -> None:
        """Write the task's files and its receipt; `rows` are in no order."""


class CommitExact(Commit):
    """Stars of equal digests."""

    dtype = DIGEST

    def commit(self, attempt: Attempt, rows: Array) -> None:
        """`rows`: DIGEST."""
        edges = exact.groups(rows["digest"].tobytes(), rows["node"])
        commit_edges(attempt, edges, {"documents": len(rows)})


class CommitNear(Commit):
    """Verified edges of one range of a band."""

    def __init__(self, context: Context, step: str, near: Near) -> None:
        """`near`: the recipe's."""
        super().__init__(context, step)
        self.near = near

    @property
    def dtype(self) -> np.dtype[Any]:  # type: ignore[override]
        """Members with signatures of the recipe's length."""
        return member(self.near.bands * self.near.rows)

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
        commit_edges(attempt, edges, {**counts._asdict(), "members": len(rows), "divided": divided})


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
        commit_edges(attempt, links, {"changed": changed})


class CommitLeaves(Commit):
    """The exact duplicates of one part."""

    def commit(self, attempt: Attempt, rows: Array) -> None:
        """`rows`: LINK from the kept node to the dropped one."""
        table = drop_table(rows, ["exact"] * len(rows))
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
        exactly = exact_drops(self.context, part)
        leaves = [bytes(item) for item in ids(rows["b"])]
        if len(set(leaves)) != len(leaves):
            raise AssertionError(f"part {part}: a document has two roots, or two have one id")
        levels = ["exact" if leaf in exactly else "near" for leaf in leaves]
        attempt.writer("drops", DROP, dictionary=("level",)).write(drop_table(rows, levels))
        records = self.context.receipts("judge")[part].kept
        rejected = {level: levels.count(level) for level in ("exact", "near")}
        attempt.commit(records, records - len(leaves), rejected)
