"""Rows of shards as arrays: tokens, labels, positions and segments.

Row groups are read whole and without copies; nothing here works token by token.
"""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, Literal, NamedTuple, TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from schemas.parquet import open_parquet
from schemas.problems import Problem
from schemas.shard import ShardManifest, read_manifest, shard_schema
from train.files import digest_of
from train.remote import Cache

IGNORED = -100  # the label that cross-entropy passes over
COLUMNS = ["input_ids", "source", "segments"]

Item = TypeVar("Item")


def open_shards(run: Path) -> tuple[ShardManifest, Path]:
    """The manifest of a run, and the folder that its paths are relative to. Raises Problem."""
    manifest = read_manifest(run)
    if manifest.tokenizer.padding == manifest.tokenizer.end_of_text:
        raise Problem(
            f"{run}: padding and end of text are the same token: give the tokenizer a padding "
            "token of its own"
        )
    return manifest, run if run.name == "shards" else run / "shards"


class Targets(NamedTuple):
    """What follows from where segments begin; each of shape [rows, T]."""

    labels: NDArray[np.int64]
    positions: NDArray[np.int32]
    segments: NDArray[np.int32]


def targets(ids: NDArray[Any], begins: NDArray[np.bool_], padding: int) -> Targets:
    """Labels, positions and segment numbers of rows of token ids, [rows, T].

    `begins` is true at the first token of a segment. A label is the next token's id; there is
    none (IGNORED) at the last position, at the last token of a segment, and in padding. Positions
    count from zero in every segment. Padding is a segment of its own.
    """
    is_padding = ids == padding
    begins = begins.copy()
    begins[:, 0] = True
    begins[:, 1:] |= is_padding[:, 1:] != is_padding[:, :-1]
    segments = np.cumsum(begins, axis=1, dtype=np.int32)
    places = np.arange(ids.shape[1], dtype=np.int32)
    positions = places - np.maximum.accumulate(np.where(begins, places, 0), axis=1)
    labels = np.full(ids.shape, IGNORED, np.int64)
    followed = ~begins[:, 1:] & ~is_padding[:, 1:]
    labels[:, :-1][followed] = ids[:, 1:][followed]
    return Targets(labels, positions.astype(np.int32), segments)


class Rows(NamedTuple):
    """Some rows of a split."""

    ids: NDArray[Any]  # [rows, T], the type of the shard
    begins: NDArray[np.bool_]  # [rows, T], true at the first token of a segment
    sources: NDArray[np.int64]  # [rows], index into the reader's names
    text_bytes: NDArray[np.int64]  # [rows], bytes of text that the labels of the row spell

    @classmethod
    def padding(cls, rows: int, length: int, token: int) -> Rows:
        """Rows without text."""
        ids, begins = np.full((rows, length), token), np.zeros((rows, length), np.bool_)
        return cls(ids, begins, np.zeros(rows, np.int64), np.zeros(rows, np.int64))

    def part(self, start: int, stop: int) -> Rows:
        """Rows start..stop of these."""
        return Rows(*(np.asarray(field[start:stop]) for field in self))

    @classmethod
    def concatenate(cls, parts: Sequence[Rows]) -> Rows:
        """The rows of all parts in order."""
        return cls(*(np.concatenate(fields) for fields in zip(*parts, strict=True)))


@dataclass(eq=False)
class ShardReader:
    """The rows of a split by number, in the order of the manifest.

    token_bytes: bytes of each token id, [vocabulary]; needed only for exact `text_bytes`, which
    without it includes the first token of every segment. held_groups: row groups kept in memory,
    one for each place that is read from in turn. cache: fetches files that are not in the folder,
    each while the one before it is read.
    """

    folder: Path
    manifest: ShardManifest
    split: Literal["train", "validation"]
    token_bytes: NDArray[np.int64] | None = None
    held_groups: int = 2
    cache: Cache | None = None

    def __post_init__(self) -> None:
        """Raise Problem if the split or a file is missing, or if a file's size is another."""
        manifest, held_groups = self.manifest, self.held_groups
        if self.split not in manifest.splits:
            raise Problem(f"{self.folder}: the shards have no {self.split} split")
        self.source_names = sorted(manifest.splits[self.split].sources)
        self._schema = shard_schema(manifest.sequence_length, manifest.tokenizer.vocabulary)
        self._entries = manifest.splits[self.split].files
        self._groups: list[tuple[int, int]] = []  # file, and row group of it
        sizes: list[int] = []
        for number, entry in enumerate(self._entries):
            path = self.folder / entry.path
            if not self.cache and not (path.is_file() and path.stat().st_size == entry.size):
                state = "has another size than the manifest says" if path.is_file() else "missing"
                raise Problem(f"{path}: {state}: finish or repair the run before training")
            self._groups += [(number, index) for index in range(len(entry.row_groups))]
            sizes += [group.rows for group in entry.row_groups]
        self._ends = np.cumsum(sizes, dtype=np.int64)
        self.rows = int(self._ends[-1]) if sizes else 0
        self._file = functools.lru_cache(held_groups)(self._open)
        self._group = functools.lru_cache(held_groups)(self._read_group)
        self._table = functools.lru_cache(1)(self._read_table)

    def read(self, start: int, stop: int) -> Rows:
        """Rows start..stop of the split. Raises Problem if a file is not what was promised."""
        parts = []
        while start < stop:
            number = int(np.searchsorted(self._ends, start, side="right"))
            group, end = self._group(number), int(self._ends[number])
            first = end - len(group.ids)
            parts.append(group.part(start - first, stop - first))
            start = end
        return Rows.concatenate(parts)

    def take(self, rows: NDArray[np.int64]) -> Rows:
        """Rows by number, in the order given."""
        runs = np.split(rows, np.flatnonzero(np.diff(rows) != 1) + 1)
        return Rows.concatenate([self.read(int(run[0]), int(run[-1]) + 1) for run in runs])

    def raw(self, row: int) -> dict[str, Any]:
        """One row with all its columns, as Python values."""
        number = int(np.searchsorted(self._ends, row, side="right"))
        table = self._table(number)
        return dict(table.slice(row - int(self._ends[number]) + table.num_rows, 1).to_pylist()[0])

    def rows_of(self, documents: Collection[bytes]) -> Iterator[int]:
        """Numbers of the rows that hold a part of one of these documents, in order."""
        wanted = pa.array(sorted(documents), pa.binary(16))
        for number, end in enumerate(self._ends.tolist()):
            lists = self._file(self._groups[number][0]).read_row_group(
                self._groups[number][1], columns=["segments"], use_threads=False
            )["segments"]
            ids = pc.struct_field(pc.list_flatten(lists), "document_id")
            rows = pc.list_parent_indices(lists).filter(pc.is_in(ids, wanted))
            yield from (end - len(lists) + row for row in rows.unique().to_pylist())

    def _read_group(self, number: int) -> Rows:
        place, index = self._groups[number]
        path = self.folder / self._entries[place].path
        rows = int(self._ends[number]) - (int(self._ends[number - 1]) if number else 0)
        try:
            file = self._file(place)
            for name in COLUMNS:
                if file.schema_arrow.field(name).type != self._schema.field(name).type:
                    raise ValueError(f"{name} is {file.schema_arrow.field(name).type}")
            table = file.read_row_group(index, columns=COLUMNS, use_threads=False)
            if table.num_rows != rows:
                raise ValueError(f"{table.num_rows} rows, the manifest says {rows}")
            return self._decode(table.combine_chunks())
        except (pa.ArrowException, OSError, KeyError, ValueError) as error:
            reason = " ".join(str(error).split())
            raise Problem(
                f"{path}, row group {index}: cannot be read ({reason}): the shard is damaged, "
                "make it again"
            ) from None

    def _read_table(self, number: int) -> pa.Table:
        place, index = self._groups[number]
        return self._file(place).read_row_group(index, use_threads=False)

    def _open(self, number: int) -> pq.ParquetFile:
        entry, path = self._entries[number], self.folder / self._entries[number].path
        if self.cache:
            path = self.cache.fetch(entry)
        file = open_parquet(path, memory_map=True)
        if self.cache and number + 1 < len(self._entries):
            # Only now, as it may make room by removing this one, which stays readable.
            self.cache.fetch_ahead(self._entries[number + 1])
        return file

    def _decode(self, table: pa.Table) -> Rows:
        rows, width = table.num_rows, self.manifest.sequence_length
        tokenizer = self.manifest.tokenizer
        ids = table["input_ids"].chunk(0).flatten().to_numpy(zero_copy_only=True)
        if ids.max(initial=0) >= tokenizer.vocabulary:
            raise ValueError(f"token {ids.max()} is outside the vocabulary")
        ids = ids.reshape(rows, width)

        segments = table["segments"].chunk(0)
        counts = segments.value_lengths().to_numpy(zero_copy_only=False)
        starts, sizes = (segments.flatten().field(name).to_numpy() for name in ("start", "bytes"))
        if len(starts) and not 0 <= starts.min() <= starts.max() < width:
            raise ValueError("a segment starts outside its row")
        row_of = np.repeat(np.arange(rows), counts)
        begins = np.zeros((rows, width), np.bool_)
        begins[row_of, starts] = True

        # The first token of a segment is never predicted; padding stands where text was removed.
        first = ids[row_of, starts]
        spelled = sizes.astype(np.int64)
        if self.token_bytes is not None:
            spelled -= self.token_bytes[first]
        spelled[first == tokenizer.padding] = 0
        text_bytes = np.bincount(row_of, spelled, rows).astype(np.int64)

        source = table["source"].chunk(0)
        names = source.dictionary.to_pylist()  # a handful of names, not rows
        if not set(names) <= set(self.source_names):
            raise ValueError("a source is not in the manifest")
        numbers = np.array([self.source_names.index(name) for name in names], np.int64)
        return Rows(ids, begins, numbers[source.indices.to_numpy(zero_copy_only=True)], text_bytes)


def token_bytes(tokenizer_file: Path, vocabulary: int) -> NDArray[np.int64] | None:
    """UTF-8 bytes that each token id of a byte-level tokenizer stands for, [vocabulary].

    Special tokens have none. Returns None for a tokenizer that is not byte-level, whose tokens
    do not stand for a fixed run of bytes. Raises Problem if the file is not a tokenizer.
    """
    from tokenizers import Tokenizer, decoders

    try:
        tokenizer = Tokenizer.from_file(str(tokenizer_file))
    except Exception as error:  # the library raises plain Exception
        raise Problem(f"{tokenizer_file}: not a tokenizer: {error}") from None
    decoder: object = tokenizer.decoder
    if not isinstance(decoder, decoders.ByteLevel):
        return None
    if tokenizer.get_vocab_size() > vocabulary:
        raise Problem(
            f"{tokenizer_file}: has {tokenizer.get_vocab_size()} tokens, the shards {vocabulary}: "
            "not the tokenizer they were made with"
        )
    sizes = np.zeros(vocabulary, np.int64)
    # The byte-level alphabet has one character a byte.
    for token, number in tokenizer.get_vocab(with_added_tokens=False).items():
        sizes[number] = len(token)
    for number, added in tokenizer.get_added_tokens_decoder().items():
        sizes[number] = 0 if added.special else len(added.content.encode())
    return sizes


def check_digests(folder: Path, manifest: ShardManifest, part: slice) -> list[str]:
    """What is wrong with a part of the files of all splits, read whole.

    part: which of the files, counted over all splits; the tokenizer's is the first.
    """
    files = {manifest.tokenizer.path: manifest.tokenizer.sha256}
    files |= {file.path: file.sha256 for split in manifest.splits.values() for file in split.files}
    own = list(files.items())[part]
    wrong = [folder / path for path, promised in own if digest_of(folder / path) != promised]
    return [f"{path}: its SHA-256 is not the manifest's" for path in wrong]


class Prefetched(Generic[Item]):
    """`load(item)` for every item in order, each loaded by a thread while the last is in use."""

    def __init__(self, load: Callable[[int], Item], items: Iterable[int]) -> None:
        """Begin with the first."""
        self._pool = ThreadPoolExecutor(1)
        self._futures = (self._pool.submit(load, item) for item in items)
        self._ahead = next(self._futures, None)
        self._waited = 0.0

    def __iter__(self) -> Iterator[Item]:
        """The items, each once. Raises what loading them does, where the item is due."""
        while self._ahead is not None:
            start = time.perf_counter()
            item = self._ahead.result()
            self._waited += time.perf_counter() - start
            self._ahead = next(self._futures, None)
            yield item

    def take_waited(self) -> float:
        """Seconds that the user of the items has waited for them since the last call."""
        waited, self._waited = self._waited, 0.0
        return waited

    def close(self) -> None:
        """Load no more."""
        self._pool.shutdown(cancel_futures=True)
