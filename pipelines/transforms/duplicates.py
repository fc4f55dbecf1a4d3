"""Near duplicates by MinHash as a Beam transform."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

import apache_beam as beam
import numpy as np

from curation.dedup import candidates
from curation.dedup.components import connected, contract
from curation.dedup.minhash import SKETCH_VALUES, Signer, band_keys, sketch
from curation.dedup.nodes import LINK, NODE, Array, ids, nodes, pack, unpack
from pipelines.transforms.documents import Document
from pipelines.transforms.names import packed
from schemas.deduplicate import Near
from schemas.problems import Problem

_BATCH = 256  # documents signed at once, at most
# Between those of nodes that are always kept and never: all documents are alike, and the smallest
# id of a cluster is kept.
_PREFERENCE = np.uint64(1 << 57)


class Verdict(NamedTuple):
    """What deduplication makes of a document.

    cluster: 32 hexadecimal digits, the packed id of the document that is kept of those that are
    alike; its own if none is alike.
    """

    id: str
    cluster: str
    kept: bool


class NearDuplicates(beam.PTransform):
    """PCollection[Document] -> PCollection[Verdict], one for each document.

    Signatures, candidates and verified edges are those of a run's `deduplicate.near`. A bucket of
    any size is divided, so no key is hot; the members of a partition (268 bytes a document and
    band) are held by one worker, as are all pairs of duplicates (56 bytes each) at the end.
    """

    def __init__(self, near: Near | None = None, partitions: int = 64) -> None:
        """`partitions`: of every band; some 64 a million documents keep a worker at 60 MB."""
        super().__init__()
        self._near, self._partitions = near or Near(), partitions
        if self._near.verify_by != "signatures":
            raise Problem("only `signatures`: texts are not read again", "near.verify_by")
        if partitions < 1:
            raise Problem("at least 1", "partitions")

    def expand(self, documents: beam.PCollection) -> beam.PCollection:
        """`documents`: of `Document`; an id that comes twice fails the pipeline."""
        members = (
            documents
            | "batch" >> beam.BatchElements(min_batch_size=8, max_batch_size=_BATCH)
            | "sign"
            >> beam.ParDo(_Sign(self._near, self._partitions)).with_output_types(
                tuple[tuple[int, int], bytes]
            )
        )
        links = (
            members
            | "by band" >> beam.GroupByKey()
            | "compare" >> beam.ParDo(_Compare(self._near)).with_output_types(tuple[int, bytes])
            | "all links" >> beam.GroupByKey()
            | "connect" >> beam.ParDo(_Connect()).with_output_types(tuple[bytes, bytes])
        )
        names = documents | "names" >> beam.Map(_named).with_output_types(tuple[bytes, str])
        joined = {"names": names, "roots": links} | "join" >> beam.CoGroupByKey()
        return joined | "verdicts" >> beam.ParDo(_Judge()).with_output_types(Verdict)


def _named(document: Document) -> tuple[bytes, str]:
    return packed(document.id), document.id


def member(near: Near) -> np.dtype[np.void]:
    """A document in a band: its key there and in the next one, and its sketch."""
    values = min(near.bands * near.rows, SKETCH_VALUES)
    return np.dtype([("key", "<u8"), ("next", "<u8"), ("node", NODE), ("sketch", "<u2", (values,))])


class _Sign(beam.DoFn):
    """Documents -> ((band, partition), packed members)."""

    def __init__(self, near: Near, partitions: int) -> None:
        self._near, self._partitions = near, partitions

    def setup(self) -> None:
        self._signer = Signer(self._near)

    def process(self, documents: list[Document]) -> Iterator[tuple[tuple[int, int], bytes]]:
        near = self._near
        signatures = self._signer.sign([document.text for document in documents])
        keys = band_keys(signatures, near.bands, near.rows)
        rows = np.empty(len(documents), member(near))
        names = b"".join(packed(document.id) for document in documents)
        rows["node"] = nodes(np.full(len(documents), _PREFERENCE), names, 0)
        rows["sketch"] = sketch(signatures)
        for band in range(near.bands):
            rows["key"], rows["next"] = keys[:, band], keys[:, (band + 1) % near.bands]
            where = rows["key"] % np.uint64(self._partitions)
            order = np.argsort(where, kind="stable")
            borders = np.flatnonzero(np.diff(where[order], prepend=where[order[0]]))
            for chunk in np.split(order, borders):
                yield (band, int(where[chunk[0]])), pack(rows[chunk])


class _Compare(beam.DoFn):
    """The members of a partition -> links between those that are alike."""

    def __init__(self, near: Near) -> None:
        self._near = near

    def process(
        self, group: tuple[tuple[int, int], Iterable[bytes]]
    ) -> Iterator[tuple[int, bytes]]:
        near = self._near
        rows = np.concatenate([unpack(chunk, member(near)) for chunk in group[1]])
        rows = rows[np.argsort(rows["node"], kind="stable")]
        chosen, bucket, _ = candidates.buckets(
            rows["key"], rows["next"], rows["node"]["id_low"], near.max_bucket
        )
        rows = rows[chosen]
        compare = candidates.by_signatures(rows["sketch"])
        edges, _ = candidates.stars(
            bucket, rows["node"], compare, near.verify, near.rounds, rows["sketch"].__getitem__
        )
        if len(edges):
            yield 0, pack(contract(_links(edges)))


def _links(edges: Array) -> Array:
    links = np.empty(len(edges), LINK)
    links["a"], links["b"] = edges["a"], edges["b"]
    return links


class _Connect(beam.DoFn):
    """All links -> the root of every document that has some."""

    def process(self, group: tuple[int, Iterable[bytes]]) -> Iterator[tuple[bytes, bytes]]:
        found = connected(np.concatenate([unpack(chunk, LINK) for chunk in group[1]]))
        roots, members = (_names(found[end]) for end in ("a", "b"))
        yield from zip(members, roots, strict=True)


def _names(array: Array) -> list[bytes]:
    data = ids(array).tobytes()
    return [data[at : at + 16] for at in range(0, len(data), 16)]


class _Judge(beam.DoFn):
    """What a document is called, with its root if it has one -> its verdict."""

    def process(self, joined: tuple[bytes, dict[str, Iterable[Any]]]) -> Iterator[Verdict]:
        own, found = joined
        names = list(found["names"])
        if len(names) > 1:
            raise ValueError(f"{len(names)} documents have the id {names[0]}")
        (root,) = list(found["roots"]) or [own]
        yield Verdict(names[0], root.hex(), own == root)
