"""The steps of deduplication's jobs: keys cross a shuffle in packed chunks, then a task commits.

Part or file -> chunks by range -> a group -> the files and the receipt of one task.
"""

from __future__ import annotations

import abc
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from curation.dedup import candidates, components, exact, minhash
from curation.dedup.nodes import EDGE, LAST, LINK, NODE, Array, ids, pack, unpack
from pipelines.runs import rejections
from pipelines.runs.parts import read_table
from pipelines.runs.receipts import Attempt, Task, has_receipt
from pipelines.runs.steps import Context, report_failure
from pipelines.runs.usage import metered
from pipelines.stages.dedup.edges import (
    cluster_table,
    commit_edges,
    edges_table,
    ids_column,
    keyed_drops,
    read_edges,
    rejection_table,
    undropped,
)
from pipelines.stages.dedup.signatures import (
    KEYED,
    band_columns,
    keyed_levels,
    keys_of_band,
    parts,
    raw,
    schema,
    signer,
    sketch_columns,
    sketch_values,
    sketches,
    texts_of,
)
from schemas.deduplicate import Near
from schemas.tables import CANDIDATE, CLUSTER
from schemas.tables import EDGE as EDGE_TABLE

MEMBER_ROWS = 4096  # members of a bucket in one chunk

DIGEST = np.dtype([("digest", "V16"), ("preference", "<u8"), ("node", NODE)])
# A document's key in a band, its key in the next one, where its signature stands, and a part of
# its id, to choose by.
KEY = np.dtype([("key", "<u8"), ("id", "<u8"), ("next", "<u4"), ("part", "<u4"), ("row", "<u4")])
REQUEST = np.dtype([("target", "<u4"), ("bucket", "<u4"), ("row", "<u4")])
# A member of a bucket; `size` bytes of its sketch, or of its shingles' hashes, follow apart.
MEMBER = np.dtype([("bucket", "<u4"), ("size", "<u4"), ("node", NODE)])


def keys_of(tasks: Sequence[Task]) -> list[str]:
    """The keys of tasks."""
    return [task.key for task in tasks]


def _range_of(hashes: Array, count: int) -> Array:
    """Which of `count` equal ranges each 64-bit hash is in."""
    return ((hashes >> np.uint64(32)) * np.uint64(count)) >> np.uint64(32)


def unpacked(values: Iterable[bytes], dtype: np.dtype[Any]) -> Array:
    """The rows of packed chunks, in whatever order they came."""
    arrays = [unpack(value, dtype) for value in values if value]
    return np.concatenate(arrays) if arrays else np.empty(0, dtype)


def digest_rows(context: Context, level: str, number: int) -> Array:
    """DIGEST rows of what the levels before left of a part; `node` is as the level prefers."""
    part = parts(context)[number]
    digest = KEYED[level]
    order = "url_preference" if level == "url" else "preference"
    table = part.read(sorted({"id", "preference", digest, order}))
    levels = keyed_levels(context.recipe.deduplicate)
    before = levels[: levels.index(level)]
    table = table.filter(table[digest].is_valid())
    if before and part.index is None:
        table = table.filter(undropped(table["id"], keyed_drops(context, number, before).values()))
    rows = np.empty(table.num_rows, DIGEST)
    rows["digest"] = np.frombuffer(raw(table[digest]), "V16")
    rows["node"] = part.nodes(table, number, order)
    rows["preference"] = part.nodes(table, number)["preference"]
    return rows


class DigestChunks:
    """Part -> (range, packed DIGEST rows): of a digest that a part of the run has several times,
    the smallest node, so that a digest has no more rows than there are parts."""

    def __init__(self, context: Context, level: str, tasks: Sequence[Task]) -> None:
        """`tasks`: the ranges that are wanted."""
        self.context, self.level, self.tasks = context, level, tasks

    def process(self, element: int) -> Iterator[tuple[str, bytes]]:
        """`element` is the index of a part."""
        rows = digest_rows(self.context, self.level, element)
        if parts(self.context)[element].index is None:
            _, leaves = exact.groups(rows["digest"].tobytes(), rows["node"])
            rows = np.delete(rows, leaves)
        halves = np.frombuffer(rows["digest"].tobytes(), "<u8")[::2]
        where = _range_of(halves, self.tasks[0].spec["of"])
        for task in self.tasks:
            yield task.key, pack(rows[where == task.spec["index"]])


class BandChunks:
    """Part -> (band and range, packed KEY rows)."""

    def __init__(self, context: Context, near: Near, tasks: Sequence[Task]) -> None:
        """`tasks`: the bands and ranges that are wanted."""
        self.context, self.near, self.tasks = context, near, tasks

    def process(self, element: int) -> Iterator[tuple[str, bytes]]:
        """`element` is the index of a part."""
        near, part = self.near, parts(self.context)[element]
        bands = sorted({int(task.spec["band"]) for task in self.tasks})
        columns = sorted({*bands, *((band + 1) % near.bands for band in bands)})
        table = part.read(["id", *band_columns(columns)])
        row = np.arange(table.num_rows)
        levels = keyed_levels(self.context.recipe.deduplicate)
        if levels and part.index is None:
            drops = keyed_drops(self.context, element, levels)
            row = np.flatnonzero(undropped(table["id"], drops.values()))
            table = table.take(row)
        rows = np.empty(len(row), KEY)
        rows["row"], rows["part"] = row, element
        rows["id"] = np.frombuffer(raw(table["id"]), ">u8")[::2]
        for band in bands:
            rows["key"] = keys_of_band(near, table, band)
            following = keys_of_band(near, table, (band + 1) % near.bands)
            rows["next"] = following & np.uint64(0xFFFFFFFF)
            own = [task for task in self.tasks if task.spec["band"] == band]
            where = _range_of(rows["key"], own[0].spec["of"])
            ordered = rows[np.argsort(where, kind="stable")]
            ends = np.cumsum(np.bincount(where.astype(np.int64), minlength=own[0].spec["of"]))
            for task in own:
                index = int(task.spec["index"])
                start = int(ends[index - 1]) if index else 0
                yield task.key, pack(ordered[start : int(ends[index])])


class RequestChunks:
    """Task -> (part, packed REQUEST rows): the members of the task's buckets."""

    def __init__(self, context: Context, step: str, tasks: Sequence[Task]) -> None:
        """`step` found the candidates; `tasks`: the targets, named by their place among them."""
        self.context, self.step = context, step
        self.tasks = {task.key: (number, task.spec) for number, task in enumerate(tasks)}

    def process(self, element: str) -> Iterator[tuple[int, bytes]]:
        """`element` is the key of a task."""
        number, spec = self.tasks[element]
        path = self.context.receipt(self.step, spec["candidates"]).file("candidates").path
        table = read_table(self.context.home("deduplicate"), path)
        bucket = table["bucket"].to_numpy()
        own = (bucket >= spec["first"]) & (bucket < spec["end"])
        part, row = table["part"].to_numpy()[own], table["row"].to_numpy()[own]
        rows = np.empty(len(row), REQUEST)
        rows["target"], rows["bucket"], rows["row"] = number, bucket[own], row
        # candidates are in the order of parts
        numbers, starts = np.unique(part, return_index=True)
        for part_number, some in zip(numbers.tolist(), np.split(rows, starts[1:]), strict=False):
            yield part_number, pack(some)


class FetchMembers:
    """(Part, packed requests) -> (band and range, members with what they are compared by)."""

    def __init__(self, context: Context, near: Near, tasks: Sequence[Task]) -> None:
        """`tasks`: the targets."""
        self.context, self.near, self.keys = context, near, keys_of(tasks)

    def process(self, element: tuple[int, Iterable[bytes]]) -> Iterator[tuple[str, bytes]]:
        """`element` is a group of chunks."""
        number, chunks = element
        requests = unpacked(chunks, REQUEST)
        requests = requests[np.argsort(requests["target"], kind="stable")]
        # one read of the columns, however many bands ask for a document
        wanted, place = np.unique(requests["row"], return_inverse=True)
        documents, payload = self._documents(number, wanted)
        for start in range(0, len(requests), MEMBER_ROWS):
            some = requests[start : start + MEMBER_ROWS]
            at = place[start : start + MEMBER_ROWS]
            targets, firsts = np.unique(some["target"], return_index=True)
            lasts = [*firsts[1:].tolist(), len(some)]
            for target, first, last in zip(targets.tolist(), firsts.tolist(), lasts, strict=True):
                members = documents[at[first:last]]
                members["bucket"] = some["bucket"][first:last]
                data = payload(at[first:last])
                yield self.keys[target], len(members).to_bytes(4, "little") + pack(members) + data

    def _documents(self, number: int, wanted: Array) -> tuple[Array, Callable[[Array], bytes]]:
        """MEMBER rows of rows of a part, and what gives the bytes that follow some of them."""
        part = parts(self.context)[number]
        by_signatures = self.near.verify_by == "signatures"
        columns = ["id", "preference", *(sketch_columns(self.near) if by_signatures else [])]
        table = part.read(columns).take(wanted)
        documents = np.empty(len(wanted), MEMBER)
        documents["node"] = part.nodes(table, number)
        if by_signatures:
            short = sketches(self.near, table)
            documents["size"] = short.shape[1]
            return documents, lambda rows: short[rows].tobytes()
        sign = signer(self.near)
        shingles = {
            id_: np.unique(sign.shingles(text)).tobytes()
            for id_, text in texts_of(self.context, number, table["id"])
        }
        hashes = [shingles[id_] for id_ in table["id"].to_pylist()]
        documents["size"] = list(map(len, hashes))
        return documents, lambda rows: b"".join(hashes[row] for row in rows.tolist())


def members(chunks: Iterable[bytes]) -> tuple[Array, bytes]:
    """MEMBER rows of chunks, and the bytes that follow them, in the same order."""
    rows, data = [np.empty(0, MEMBER)], []
    for chunk in chunks:
        if chunk:
            end = 4 + int.from_bytes(chunk[:4], "little") * MEMBER.itemsize
            rows.append(unpack(chunk[4:end], MEMBER))
            data.append(chunk[end:])
    return np.concatenate(rows), b"".join(data)


class LinkChunks:
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


class LeafChunks:
    """File of edges -> (key of the part of the larger node, packed LINK rows)."""

    def __init__(self, context: Context, keys: dict[int, str], *, roots: bool = False) -> None:
        """`keys`: task keys of the parts that are wanted; `roots`: also to the part of the smaller
        node, if it is another one."""
        self.context, self.keys, self.roots = context, keys, roots

    def process(self, element: str) -> Iterator[tuple[str, bytes]]:
        """`element` is the path of a file of edges."""
        edges = read_edges(self.context, element)
        links = np.empty(len(edges), LINK)
        links["a"], links["b"] = edges["a"], edges["b"]
        ends = [links["b"]["part"], *([links["a"]["part"]] if self.roots else [])]
        for part in np.unique(np.concatenate(ends)):
            if int(part) in self.keys:
                own = np.logical_or.reduce([end == part for end in ends])
                yield self.keys[int(part)], pack(links[own])


class Commit(abc.ABC):
    """A group of packed chunks -> the files and the receipt of one task."""

    def __init__(self, context: Context, step: str) -> None:
        """Commits tasks of `step`."""
        self.context, self.step = context, step

    def process(self, element: tuple[str, Iterable[bytes]]) -> Iterator[str]:
        """`element` is a group of chunks."""
        key, chunks = element
        if not has_receipt(self.context.run, self.step, key):
            try:
                with metered(), Attempt(self.context.run, self.step, key) as attempt:
                    self.commit(attempt, chunks)
            except Exception as error:
                report_failure(self.context, self.step, key, error)
                raise
        yield key

    @abc.abstractmethod
    def commit(self, attempt: Attempt, chunks: Iterable[bytes]) -> None:
        """Write the task's files and its receipt; `chunks` are in no order."""


def keyed_edges(level: str, rows: Array) -> Array:
    """EDGE rows from the DIGEST row that is kept of each digest to the others."""
    hubs, leaves = exact.groups(rows["digest"].tobytes(), rows["node"])
    edges = np.empty(len(hubs), EDGE)
    edges["a"], edges["b"] = rows["node"][hubs], rows["node"][leaves]
    edges["a"]["preference"] = rows["preference"][hubs]
    # A page that gives way to another of its URL takes no part in what follows, so that it
    # must not be chosen by what is known of it.
    edges["b"]["preference"] = LAST if level == "url" else rows["preference"][leaves]
    edges["similarity"] = 1
    return edges


class CommitKeyed(Commit):
    """Stars of equal digests of several parts."""

    def __init__(self, context: Context, step: str, level: str) -> None:
        """`level`: the pages of one URL have a preference of their own."""
        super().__init__(context, step)
        self.level = level

    def commit(self, attempt: Attempt, chunks: Iterable[bytes]) -> None:
        """`chunks`: DIGEST."""
        rows = unpacked(chunks, DIGEST)
        commit_edges(attempt, keyed_edges(self.level, rows), {"documents": len(rows)})


class CommitCandidates(Commit):
    """Who shares a bucket, in one range of a band, and portions of whole buckets to compare."""

    def __init__(self, context: Context, step: str, near: Near, most: int) -> None:
        """`near`: the recipe's; `most`: members of a portion, but for its last bucket."""
        super().__init__(context, step)
        self.near, self.most = near, most

    def commit(self, attempt: Attempt, chunks: Iterable[bytes]) -> None:
        """`chunks`: KEY."""
        keys = unpacked(chunks, KEY)
        rows, bucket, divided = candidates.buckets(
            keys["key"], keys["next"], keys["id"], self.near.max_bucket
        )
        part, row = keys["part"][rows], keys["row"][rows]
        order = np.lexsort((bucket, row, part))
        columns = [part[order], row[order], bucket[order].astype(np.uint32)]
        table = pa.Table.from_arrays([pa.array(column) for column in columns], schema=CANDIDATE)
        attempt.writer("candidates", CANDIDATE, row_group_rows=1 << 16).write(table)
        sizes = np.bincount(bucket)
        starts = np.cumsum(sizes) - sizes
        firsts = np.flatnonzero(np.diff(starts // self.most, prepend=-1))
        ends = np.append(firsts, len(sizes))[1:]
        members = np.add.reduceat(sizes, firsts) if len(firsts) else firsts
        counts = {
            "keys": len(keys),
            "divided": divided,
            "largest": int(sizes.max(initial=0)),
            # first bucket, the one after the last, and members
            "portions": np.stack([firsts, ends, members], axis=1).tolist(),
        }
        attempt.commit(len(rows), len(rows), counts=counts)


def _sketches(near: Near, shingles: Sequence[Array], rows: Array) -> Array:
    return signer(near).sketch_of([shingles[row] for row in rows.tolist()])


class CommitNear(Commit):
    """Verified edges of one range of a band."""

    def __init__(self, context: Context, step: str, near: Near) -> None:
        """`near`: the recipe's."""
        super().__init__(context, step)
        self.near = near

    def commit(self, attempt: Attempt, chunks: Iterable[bytes]) -> None:
        """`chunks`: of `members`."""
        near = self.near
        rows, data = members(chunks)
        compare: candidates.Compare
        minima: candidates.Minima
        if near.verify_by == "signatures":
            short = np.frombuffer(data, "<u2").reshape(-1, sketch_values(near))
            compare, minima = candidates.by_signatures(short), short.__getitem__
        else:
            ends = np.cumsum(rows["size"], dtype=np.int64) // 8
            hashes = np.frombuffer(data, "<u8")
            shingles = np.split(hashes, ends[:-1])
            compare = partial(minhash.jaccard, shingles)
            minima = partial(_sketches, near, shingles)
        edges, counts = candidates.stars(
            rows["bucket"].astype(np.int64), rows["node"], compare, near.verify, near.rounds, minima
        )
        commit_edges(attempt, edges, {**counts._asdict(), "members": len(rows)})


class CommitStars(Commit):
    """The links of one range of nodes after a round."""

    def __init__(self, context: Context, step: str, *, large: bool) -> None:
        """`large`: large-star, else small-star."""
        super().__init__(context, step)
        self.large = large

    def commit(self, attempt: Attempt, chunks: Iterable[bytes]) -> None:
        """`chunks`: LINK, all of the nodes in the range."""
        star: Callable[[Array], tuple[Array, int]]
        star = components.large_star if self.large else components.small_star
        links, changed = star(unpacked(chunks, LINK))
        commit_edges(attempt, links, {"changed": changed})


class CommitLeaves(Commit):
    """What a keyed level drops of one part, and the edges to what another part does not know of."""

    def __init__(self, context: Context, step: str, level: str, numbers: dict[str, int]) -> None:
        """`level`: written with each document; `numbers`: of the parts, by task."""
        super().__init__(context, step)
        self.level, self.numbers = level, numbers

    def commit(self, attempt: Attempt, chunks: Iterable[bytes]) -> None:
        """`chunks`: LINK from the kept node to the dropped one, that its part has sent."""
        elsewhere = unpacked(chunks, LINK)
        rows = digest_rows(self.context, self.level, self.numbers[attempt.task])
        edges = keyed_edges(self.level, rows)
        # what gives way to a node that itself gives way to another part's gives way to that one
        place = pc.index_in(ids_column(edges["a"]), ids_column(elsewhere["b"]))
        moved = np.flatnonzero(place.is_valid())
        edges["a"][moved] = elsewhere["a"][place.drop_null().to_numpy()]
        links = np.concatenate([elsewhere, edges[["a", "b"]].astype(LINK)])
        table = rejection_table(links, [self.level] * len(links))
        rejections.writer(attempt).write(table)
        attempt.writer("edges", EDGE_TABLE).write(edges_table(edges))
        attempt.commit(len(links), len(links))


def write_index(attempt: Attempt, context: Context, number: int, dropped: pa.Array) -> None:
    """The signatures of what is left of a part, that later runs can be deduplicated against; if
    they are asked for."""
    if not context.recipe.deduplicate.index:
        return
    whole = parts(context)[number].read()
    index = attempt.writer("index", schema(context.recipe.deduplicate), dictionary=("scope",))
    index.write(whole.filter(undropped(whole["id"], [dropped])))


class CommitDrops(Commit):
    """The drop list of one part, its share of the index, and the ledger of its documents."""

    def __init__(self, context: Context, step: str, numbers: dict[str, int], *, last: bool) -> None:
        """`numbers`: of the parts, by task; `last`: the step is, so that it writes the index."""
        super().__init__(context, step)
        self.numbers, self.last = numbers, last

    def commit(self, attempt: Attempt, chunks: Iterable[bytes]) -> None:
        """`chunks`: LINK from the root of a component to each other node, where either is of the
        part."""
        links = unpacked(chunks, LINK)
        number = self.numbers[attempt.task]
        rows = links[links["b"]["part"] == number]
        clusters = cluster_table(links[links["a"]["part"] == number]["a"])
        attempt.writer("clusters", CLUSTER).write(clusters)
        part = parts(self.context)[number]
        recipe = self.context.recipe.deduplicate
        leaves = [bytes(item) for item in ids(rows["b"])]
        if len(set(leaves)) != len(leaves):
            raise AssertionError(f"part {number}: a document has two roots, or two have one id")
        level_of = dict.fromkeys(leaves, "near")
        drops = keyed_drops(self.context, number, keyed_levels(recipe))
        for level, dropped in drops.items():
            level_of.update(dict.fromkeys(dropped.to_pylist(), level))
        levels = [
            "against" if by_another else level_of[leaf]
            for leaf, by_another in zip(
                leaves, (rows["a"]["part"] >= len(self.numbers)).tolist(), strict=True
            )
        ]
        rejections.writer(attempt).write(rejection_table(rows, levels))
        if self.last:
            write_index(attempt, self.context, number, ids_column(rows["b"]))
        counts = Counter(levels)
        attempt.commit(part.rows, part.rows - len(leaves), counts)
