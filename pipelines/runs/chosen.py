"""Chosen records of WARC files: a list of places, of which no other byte is read."""

from __future__ import annotations

import io
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from itertools import pairwise
from typing import TYPE_CHECKING, BinaryIO

import pyarrow as pa

from pipelines.runs.store import Folder, split
from schemas.inputs import Input
from schemas.parquet import open_parquet
from schemas.problems import Problem

if TYPE_CHECKING:
    from curation.readers import Damage, Record

# As the index of Common Crawl calls them.
SCHEMA = pa.schema(
    [
        pa.field("warc_filename", pa.string()),
        pa.field("warc_record_offset", pa.int64()),
        pa.field("warc_record_length", pa.int64()),
    ]
)
_MOST = 1 << 23  # bytes of neighbours that are read at once
_AHEAD = 16  # requests to a store

Place = tuple[int, int]  # first byte, bytes


def places(item: Input) -> dict[str, list[Place]]:
    """The records that an input names, by file, both in order; each once.

    Raises Problem for a list that cannot be read, or that names what can be no record.
    """
    path = item.records.file if item.records else ""
    folder, name = split(path)
    try:
        with folder.open(name) as stream:
            table = _table(name, stream)
        table = table.select(SCHEMA.names).cast(SCHEMA)
    except (OSError, KeyError, pa.ArrowException) as error:
        wants = ", ".join(f"`{field.name}` ({field.type})" for field in SCHEMA)
        why = " ".join(str(error).split())
        raise Problem(
            f"cannot be read as a list of records: {why}", path, f"needs {wants}"
        ) from None
    found: dict[str, list[Place]] = {}
    columns = (table[name].to_pylist() for name in SCHEMA.names)
    for row, (file, offset, length) in enumerate(zip(*columns, strict=True), 1):
        if not _is_below(file):
            raise Problem(f"row {row:,}: {file!r:.80} is no file below the root", path)
        if offset is None or length is None or offset < 0 or length < 1:
            raise Problem(f"row {row:,}: {offset} and {length} are no bytes of a record", path)
        found.setdefault(file, []).append((offset, length))
    result = {file: sorted(set(found[file])) for file in sorted(found)}
    for file, records in result.items():
        for (offset, length), (after, _) in pairwise(records):
            if offset + length > after:
                raise Problem(f"the records at {offset:,} and {after:,} of {file} overlap", path)
    return result


def _table(name: str, stream: BinaryIO) -> pa.Table:
    if name.endswith((".jsonl", ".json")):
        from pyarrow import json

        return json.read_json(stream)
    return open_parquet(stream).read(columns=SCHEMA.names)


def _is_below(file: str | None) -> bool:
    """Whether a name stays below the folder that it goes from."""
    parts = (file or "").split("/")
    return "://" not in (file or "") and not {"", ".", ".."}.intersection(parts)


def read_chosen(
    folder: Folder, name: str, records: Sequence[Place], *, max_record_bytes: int
) -> Iterator[Record | Damage]:
    """The records at these places of a WARC file, which are in order, as `read_warc` of the whole
    file gives them."""
    from curation.readers.warc import read_warc

    spans = list(_spans(records))
    for span, data in zip(spans, _fetched(folder, name, spans), strict=True):
        first = span[0][0]
        for offset, length in span:
            stream = io.BytesIO(data[offset - first : offset - first + length])
            for record in read_warc(stream, 0, length, max_record_bytes=max_record_bytes):
                yield replace(record, offset=record.offset + offset)


def _spans(records: Iterable[Place]) -> Iterator[list[Place]]:
    """Neighbours together, as long as they are read at once."""
    span: list[Place] = []
    for offset, length in records:
        touches = bool(span) and sum(span[-1]) == offset
        if span and not (touches and offset + length - span[0][0] <= _MOST):
            yield span
            span = []
        span.append((offset, length))
    if span:
        yield span


def _fetched(folder: Folder, name: str, spans: Iterable[list[Place]]) -> Iterator[bytes]:
    """The bytes of each span; of a store some are asked for ahead."""
    pool = ThreadPoolExecutor(1 if folder.local else _AHEAD)
    waiting: deque[Future[bytes]] = deque()
    try:
        for span in spans:
            waiting.append(pool.submit(folder.read_range, name, span[0][0], sum(span[-1])))
            if len(waiting) == _AHEAD:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)
