"""Documents to shards that `gristmill train` reads, as a Beam transform."""

from __future__ import annotations

import shutil
import uuid
from collections.abc import Iterable, Iterator
from functools import cached_property
from hashlib import sha256
from pathlib import Path

import apache_beam as beam
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from apache_beam.pvalue import AsList

from curation.mixture import Epoch, row_order
from curation.tokenization import Tokens, load_tokenizer
from pipelines.runs.parts import PartWriter
from pipelines.runs.receipts import Attempt, has_receipt, read_receipt
from pipelines.runs.store import Folder
from pipelines.stages.mix.rows import documents as pieces
from pipelines.stages.mix.rows import pack_source, write_rows
from pipelines.stages.mix.shards import MANIFEST, manifest_of, split_of
from pipelines.stages.mix.tokenparts import TokenFile, read_rows
from pipelines.stages.tokenize import ROW_GROUP_DOCUMENTS, token_table
from pipelines.transforms.documents import Document
from pipelines.transforms.names import packed
from schemas.mix import Mix
from schemas.parquet import open_parquet
from schemas.problems import Problem
from schemas.shard import Split, SplitName, shard_schema
from schemas.tables import tokens_schema

_STEP, _TOKENS, _TOKENIZER = "mix/buckets", "tokens", "tokenizer/tokenizer.json"
_BATCH = 4096  # documents of a token part, at most


class TokenizeToShards(beam.PTransform):
    """PCollection[Document] -> PCollection[str], the path of the manifest of the shards.

    Workers put tokens into files below `output`, which all of them must see; only the names of
    these files and the buckets that they hold something of are shuffled. Rows and their order
    follow from the documents and `seed` alone. All documents are rows of training; each is read
    once.
    """

    def __init__(
        self,
        output: str,
        tokenizer: str | Path,
        *,
        mix: Mix | None = None,
        buckets: int = 1,
        seed: int = 0,
        end_of_text: str = "<|endoftext|>",
        begin_of_text: str | None = None,
    ) -> None:
        """`output`: an empty folder or a URL. `tokenizer`: a `tokenizer.json` that every worker
        finds under this path. `mix`: its `sequence_length` and `packing` hold. `buckets`: shard
        files, of some 64 M tokens each at best. Raises Problem for a folder that holds shards, or
        a tokenizer that cannot be used or lacks a special token."""
        super().__init__()
        if buckets < 1:
            raise Problem("at least 1", "buckets")
        if Folder(output).exists("shards") or Folder(output).exists(_STEP):
            raise Problem("holds shards already", output, "name another folder")
        path, special = str(Path(tokenizer).absolute()), (end_of_text, begin_of_text)
        self._shards = _Shards(output, path, mix or Mix(), buckets, seed, special)
        self._shards.load()

    def expand(self, documents: beam.PCollection) -> beam.PCollection:
        """`documents`: of `Document`."""
        shards = self._shards
        written = (
            documents
            | "batch" >> beam.BatchElements(min_batch_size=64, max_batch_size=_BATCH)
            | "tokenize" >> beam.FlatMap(shards.tokenize).with_output_types(tuple[int, str])
            | "by bucket" >> beam.GroupByKey()
            | "pack" >> beam.Map(shards.write_bucket).with_output_types(str)
        )
        once = documents.pipeline | "once" >> beam.Create([None], reshuffle=False)
        return once | "manifest" >> beam.Map(
            shards.write_manifest, AsList(written)
        ).with_output_types(str)


class _Shards:
    """What the workers do."""

    def __init__(
        self,
        output: str,
        tokenizer: str,
        mix: Mix,
        buckets: int,
        seed: int,
        special: tuple[str, str | None],
    ) -> None:
        self.output, self.tokenizer, self.mix = output, tokenizer, mix
        self.buckets, self.seed, self.special = buckets, seed, special

    def load(self) -> Tokens:
        """The tokenizer."""
        try:
            data = Path(self.tokenizer).read_bytes()
        except OSError as error:
            raise Problem(f"cannot be read: {error.strerror}", self.tokenizer) from None
        return load_tokenizer(data, self.tokenizer, *self.special)

    @cached_property
    def tokens(self) -> Tokens:
        """The tokenizer, loaded once a worker."""
        return self.load()

    def tokenize(self, documents: list[Document]) -> Iterator[tuple[int, str]]:
        """Write a token part; say which buckets it holds something of."""
        schema = tokens_schema(self.tokens.token_type, widths=self.tokens.byte_lengths is None)
        about = pa.table(
            {
                "id": [packed(document.id).hex() for document in documents],
                "source": [document.source for document in documents],
                "holdout": pa.array(np.zeros(len(documents), np.uint64)),
            }
        )
        encoded = self.tokens.encode([document.text for document in documents])
        table = token_table(self.seed, [about], [encoded], schema)
        folder, name = Folder(self.output), f"{_TOKENS}/{uuid.uuid4().hex}.parquet"
        scratch = folder.scratch()
        try:
            path = scratch / "tokens.parquet"
            writer = PartWriter(path, schema, ROW_GROUP_DOCUMENTS, ("source",))
            writer.write(table)
            writer.close()
            folder.publish(path, name)
        finally:
            shutil.rmtree(scratch, ignore_errors=True)
        keys = table["key"].to_numpy().astype(object)
        yield from ((bucket, name) for bucket in sorted({k * self.buckets >> 64 for k in keys}))

    def write_bucket(self, group: tuple[int, Iterable[str]]) -> str:
        """Pack the documents of a bucket and write their rows; returns the task's name."""
        (bucket, names), folder = group, Folder(self.output)
        task = f"train-{bucket:06d}"
        if has_receipt(folder, _STEP, task):
            return task
        files = [TokenFile(folder, name) for name in sorted(names)]
        sources = sorted({name for file in files for name in _sources(file)})
        columns = ["id", "tokens", *(["widths"] if self.tokens.byte_lengths is None else [])]
        rows, counts = [], {}
        for source in sources:
            found = []
            for table in read_rows(
                files, source, Epoch(source, 0, 0).ranges(bucket, self.buckets), columns
            ):
                sizes = pc.list_value_length(table["tokens"]).to_numpy()
                found.append(pieces(table, np.zeros_like(sizes), sizes, 0))
            packed_rows, counts[source] = pack_source(
                self.seed, self.mix, self.tokens, found, source, sources
            )
            rows.append(packed_rows)
        order = row_order(self.seed, bucket, [(name, counts[name]["rows"]) for name in sources])
        schema = shard_schema(self.mix.sequence_length, self.tokens.vocabulary)
        held = sum(each["documents"] for each in counts.values())
        with Attempt(folder, _STEP, task) as attempt:
            written = write_rows(attempt, schema, rows, order, "shards/train")
            attempt.commit(held, held, counts={"sources": counts, **written})
        return task

    def write_manifest(self, _: None, tasks: list[str]) -> str:
        """Write the manifest of all buckets; returns its path."""
        folder, length, tokens = Folder(self.output), self.mix.sequence_length, self.tokens
        receipts = [read_receipt(folder, _STEP, task) for task in sorted(tasks)]
        data = Path(self.tokenizer).read_bytes()
        splits: dict[SplitName, Split] = {
            "train": split_of(receipts, length),
            "validation": split_of([], length),
        }
        layouts = [each.counts["layout"] for each in receipts]
        found = manifest_of(self.mix, tokens, sha256(data).hexdigest(), layouts, splits)
        folder.replace(_TOKENIZER, data)
        folder.replace(MANIFEST, found)
        (folder / _TOKENS).remove()
        return f"{self.output}/{MANIFEST}"


def _sources(file: TokenFile) -> list[str]:
    """The sources of a token part."""
    with file.folder.open(file.path) as stream:
        table = open_parquet(stream).read(["source"], use_threads=False)
    names: list[str] = pc.unique(table["source"]).to_pylist()
    return names
