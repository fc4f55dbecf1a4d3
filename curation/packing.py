"""Documents to rows of fixed length: concatenated, cut where a row ends, nothing lost."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from curation.tokenization import Ids
from schemas.shard import shard_schema, token_type

# Tokens whose byte lengths are looked up at a time, so that memory does not grow.
_BLOCK = 1 << 20


def pack(
    tokens: Ids,
    offsets: npt.NDArray[np.int64],
    ids: pa.Array,
    *,
    firsts: npt.NDArray[np.int64] | None = None,
    byte_lengths: npt.NDArray[np.int32],
    padding: int,
    sequence_length: int,
    source: str,
    sources: Sequence[str],
) -> pa.Table:
    """Pack the documents of one source into rows of T = `sequence_length` tokens.

    `tokens` are the ids of n documents in order, `offsets` (int64[n + 1]) their borders, `ids`
    (n x binary(16)) their names, `firsts` (int64[n]) the tokens of each before these, which stand
    elsewhere; `byte_lengths` (int32[vocabulary]) the bytes of each id.
    Documents follow each other; one that does not fit goes on in the next row, as a segment
    whose `document_offset` is above 0. Only the last row is filled with `padding`. A document
    without tokens has no segment.

    Returns a table in `shard_schema(T, vocabulary)`. Its `source` column has all `sources` as
    dictionary, so that the tables of several sources join. Raises ValueError if the arguments
    do not agree.
    """
    if len(offsets) != len(ids) + 1 or offsets[0] != 0 or offsets[-1] != len(tokens):
        raise ValueError("`offsets` must go from 0 to the number of tokens, one more than `ids`")
    length = sequence_length
    rows = -(-len(tokens) // length)
    schema = shard_schema(length, len(byte_lengths))
    padded = np.full(rows * length, padding, token_type(len(byte_lengths)))
    padded[: len(tokens)] = tokens

    row_starts = np.arange(rows + 1, dtype=np.int64) * length
    starts = np.union1d(offsets[:-1][np.diff(offsets) > 0], row_starts[:-1])
    documents = np.searchsorted(offsets, starts, side="right") - 1
    segment = schema.field("segments").type.value_type
    segments = pa.StructArray.from_arrays(
        [
            pa.array((starts % length).astype(np.int32)),
            ids.take(pa.array(documents)),
            pa.array(starts - offsets[documents] + (0 if firsts is None else firsts[documents])),
            pa.array(_bytes(tokens, starts, byte_lengths, length)).cast(pa.int32()),
        ],
        fields=list(segment),
    )
    lengths = np.full(rows, length, np.int32)
    if rows:
        lengths[-1] = len(tokens) - row_starts[-2]
    borders = np.searchsorted(starts, row_starts).astype(np.int32)
    code = np.full(rows, list(sources).index(source), np.int32)
    return pa.Table.from_arrays(
        [
            pa.FixedSizeListArray.from_arrays(padded, type=schema.field("input_ids").type),
            pa.array(lengths),
            pa.DictionaryArray.from_arrays(code, pa.array(sources, pa.string())),
            pa.ListArray.from_arrays(borders, segments, type=schema.field("segments").type),
        ],
        schema=schema,
    )


def _bytes(
    tokens: Ids,
    starts: npt.NDArray[np.int64],
    byte_lengths: npt.NDArray[np.int32],
    length: int,
) -> npt.NDArray[np.int64]:
    """Bytes of each segment, int64[segments]; a block ends where a row, so a segment, ends."""
    sums = np.empty(len(starts), np.int64)
    block = max(1, _BLOCK // length) * length
    for low in range(0, len(tokens), block):
        first, last = np.searchsorted(starts, [low, low + block])
        np.add.reduceat(
            byte_lengths[tokens[low : low + block]],
            starts[first:last] - low,
            dtype=np.int64,
            out=sums[first:last],
        )
    return sums
