"""Documents to rows of fixed length, by one of three strategies; no token is lost.

`concatenate`: documents follow each other and are cut where a row ends; only the last is padded.
`best_fit`: only documents longer than a row are cut; what is left of them, and the others, go
largest first into the row with the least room that still holds them (Ding et al. 2024,
arXiv:2404.10830), and rows are padded. `document`: every row is of one document.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from curation.tokenization import Ids
from schemas.mix import Packing
from schemas.shard import shard_schema, token_type

Index = npt.NDArray[np.int64]

# Tokens whose byte lengths are looked up at a time, so that memory does not grow.
_BLOCK = 1 << 20


class Packed(NamedTuple):
    """Rows of documents."""

    rows: pa.Table
    """In `shard_schema`."""
    cut: int
    """Documents of which more than one row holds a part."""


def pack(
    tokens: Ids,
    offsets: Index,
    ids: pa.Array,
    *,
    packing: Packing = "concatenate",
    starts: Index | None = None,
    firsts: Index | None = None,
    vocabulary: int,
    byte_lengths: npt.NDArray[np.int32] | None = None,
    widths: npt.NDArray[np.uint32] | None = None,
    padding: int,
    sequence_length: int,
    source: str,
    sources: Sequence[str],
) -> Packed:
    """Pack the documents of one source into rows of T = `sequence_length` tokens.

    `tokens` are the ids of n documents and no more, `offsets` (int64[n + 1]) their borders in the
    order of packing, `starts` (int64[n]) where each begins in `tokens` if not in that order, `ids`
    (n x binary(16)) their names, `firsts` (int64[n]) the tokens of each before these, which stand
    elsewhere. The bytes of a token are `widths` (uint32[tokens]) of its place, or `byte_lengths`
    (int32[vocabulary]) of its id.
    A document that goes on in another row is a segment there whose `document_offset` is above 0.
    Room that is left in a row is filled with `padding`. A document without tokens has no segment.

    The column `source` has all `sources` as dictionary, so that the tables of several sources join.
    Raises ValueError if the arguments do not agree.
    """
    if len(offsets) != len(ids) + 1 or offsets[0] != 0 or offsets[-1] != len(tokens):
        raise ValueError("`offsets` must go from 0 to the number of tokens, one more than `ids`")
    length = sequence_length
    begins = _pieces(offsets, length, along=packing == "concatenate")
    documents = np.searchsorted(offsets, begins, side="right") - 1
    sizes = np.diff(np.append(begins, len(tokens)))
    if packing == "concatenate":
        places = begins
    elif packing == "best_fit":
        places = _best_fit(sizes, length)
    else:
        places = np.arange(len(sizes), dtype=np.int64) * length
    rows = int(places.max(initial=-length)) // length + 1
    schema = shard_schema(length, vocabulary)
    padded = np.full(rows * length, padding, token_type(vocabulary))
    origins = begins if starts is None else begins + (starts - offsets[:-1])[documents]
    for origin, size, place in zip(origins.tolist(), sizes.tolist(), places.tolist(), strict=True):
        padded[place : place + size] = tokens[origin : origin + size]

    own_bytes = np.empty(len(begins), np.int64)
    order = np.argsort(origins)
    own_bytes[order] = _bytes(tokens if widths is None else widths, origins[order], byte_lengths)
    order = np.argsort(places)
    segment = schema.field("segments").type.value_type
    inside = begins - offsets[documents] + (0 if firsts is None else firsts[documents])
    segments = pa.StructArray.from_arrays(
        [
            pa.array((places[order] % length).astype(np.int32)),
            ids.take(pa.array(documents[order])),
            pa.array(inside[order]),
            pa.array(own_bytes[order]).cast(pa.int32()),
        ],
        fields=list(segment),
    )
    borders = np.searchsorted(places[order], np.arange(rows + 1) * length).astype(np.int32)
    lengths = np.zeros(rows, np.int32)
    np.add.at(lengths, places // length, sizes.astype(np.int32))
    code = np.full(rows, list(sources).index(source), np.int32)
    table = pa.Table.from_arrays(
        [
            pa.FixedSizeListArray.from_arrays(padded, type=schema.field("input_ids").type),
            pa.array(lengths),
            pa.DictionaryArray.from_arrays(code, pa.array(sources, pa.string())),
            pa.ListArray.from_arrays(borders, segments, type=schema.field("segments").type),
        ],
        schema=schema,
    )
    return Packed(table, int(np.count_nonzero(np.bincount(documents) > 1)))


def _pieces(offsets: Index, length: int, *, along: bool) -> Index:
    """The first token of each piece of a document, in order: pieces end where a document does, and
    after every `length` tokens, of all of them (`along`) or of the document."""
    starts, sizes = offsets[:-1], np.diff(offsets)
    if along:
        return np.union1d(starts[sizes > 0], np.arange(0, offsets[-1], length))
    counts = -(-sizes // length)
    before = np.cumsum(counts) - counts
    number = np.arange(counts.sum()) - np.repeat(before, counts)  # of the piece in its document
    return np.repeat(starts, counts) + number * length


def _best_fit(sizes: Index, length: int) -> Index:
    """The place of each piece (row x length + start), best fit first, largest pieces first."""
    places = np.empty(len(sizes), np.int64)
    rooms: dict[int, list[int]] = {}  # places with so much room after them
    there = 0  # of which rooms there are some: a bit each
    end = 0
    for piece in np.argsort(-sizes, kind="stable").tolist():
        size = int(sizes[piece])
        if fitting := there >> size:
            room = size + (fitting & -fitting).bit_length() - 1
            place = rooms[room].pop()
            if not rooms[room]:
                there ^= 1 << room
        else:
            room, place = length, end
            end += length
        places[piece] = place
        if left := room - size:
            rooms.setdefault(left, []).append(place + size)
            there |= 1 << left
    return places


def _bytes(
    values: npt.NDArray[Any], begins: Index, byte_lengths: npt.NDArray[np.int32] | None
) -> Index:
    """Bytes of each piece, int64[pieces]; pieces follow each other. `values`: the bytes of each
    token, or its id in `byte_lengths`."""
    sums = np.empty(len(begins), np.int64)
    first = 0
    while first < len(begins):
        low = begins[first]
        last = max(first + 1, int(np.searchsorted(begins, low + _BLOCK)))
        high = begins[last] if last < len(begins) else len(values)
        block = values[low:high] if byte_lengths is None else byte_lengths[values[low:high]]
        starts = begins[first:last] - low
        np.add.reduceat(block, starts, dtype=np.int64, out=sums[first:last])
        first = last
    return sums
