"""Shards: what the mill writes and the trainer reads.

A row has T token ids of one source. Labels are the ids shifted by one; the last position, the
last position of every segment, and padding have no label. Positions restart at every segment.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Literal

import pyarrow as pa
from pydantic import BaseModel, ConfigDict, Field

from schemas.problems import Problem
from schemas.tables import DESCRIPTION, ID, field

# Row groups hold about this many tokens: they read as fast as large ones and spare object stores.
ROW_GROUP_TOKENS = 1 << 17
RESERVED_SPECIAL_IDS = 128
TokenType = Literal["uint16", "uint32"]
SplitName = Literal["train", "validation"]


def token_type(vocabulary: int) -> TokenType:
    """The narrowest type that holds ids below `vocabulary`."""
    return "uint16" if vocabulary <= 1 << 16 else "uint32"


def shard_schema(sequence_length: int, vocabulary: int) -> pa.Schema:
    """Arrow schema of a shard row; `sequence_length` is T."""
    ids = pa.uint16() if token_type(vocabulary) == "uint16" else pa.uint32()
    segment = pa.struct(
        [
            field("start", pa.int32(), "First token of the segment in the row."),
            field("document_id", ID, "Id of its document, 16 bytes."),
            field(
                "document_offset",
                pa.int64(),
                "First token of the segment within its document, in tokens.",
            ),
            field(
                "bytes",
                pa.int32(),
                "UTF-8 bytes of text that end in the segment; special tokens have none.",
            ),
        ]
    )
    tokens = pa.list_(pa.field("item", ids, False), sequence_length)
    return pa.schema(
        [
            field("input_ids", tokens, "Token ids, padded to the length of a row."),
            field("length", pa.int32(), "Tokens that are not padding."),
            field("source", pa.dictionary(pa.int32(), pa.string()), "Label of the input."),
            field(
                "segments",
                pa.list_(pa.field("item", segment, False)),
                "The documents, or parts of them, in the row, in order.",
            ),
        ],
        metadata={
            b"gristmill.schema": b"shard/1",
            DESCRIPTION: b"Rows of tokens, already shuffled: read in order they are the mixture.",
        },
    )


def row_group_rows(sequence_length: int) -> int:
    """Rows of a full row group."""
    return max(1, ROW_GROUP_TOKENS // sequence_length)


class _Entry(BaseModel):
    # Readers of an older version ignore what a newer one adds.
    model_config = ConfigDict(extra="ignore", frozen=True)


class RowGroup(_Entry):
    """A row group of a shard file, what a reader loads at once."""

    rows: int
    tokens: int = Field(description="Tokens that are not padding.")
    digest: str = Field(description="blake2b-128 of the logical column values.")


class ShardFile(_Entry):
    """A Parquet file of rows."""

    path: str = Field(description="Relative to the folder of the manifest.")
    rows: int
    tokens: int
    size: int = Field(description="Bytes of the file.")
    sha256: str = Field(description="Checksum of the file, for integrity only.")
    row_groups: tuple[RowGroup, ...]


class SourceCounts(_Entry):
    """What a split holds of one source."""

    rows: int
    tokens: int
    documents: int = Field(description="Documents, each epoch of a document counted.")
    bytes: int = Field(description="UTF-8 bytes of text.")
    cut: int = Field(0, description="Documents of which more than one row of a file holds a part.")


class ShardPhase(_Entry):
    """The part of a split that a phase of the curriculum has."""

    name: str
    rows: int
    tokens: int
    files: int = Field(description="So many of the files of the split, after those before.")
    sources: dict[str, SourceCounts]


class Split(_Entry):
    """The rows of training or of validation."""

    rows: int
    tokens: int
    padding: int = Field(description="Positions that hold no token.")
    sources: dict[str, SourceCounts]
    files: tuple[ShardFile, ...] = Field(description="In reading order.")
    phases: tuple[ShardPhase, ...] = Field(
        (), description="A curriculum, which is read in this order; none: one phase without a name."
    )

    @property
    def phase_rows(self) -> tuple[int, ...]:
        """Rows of each phase."""
        return tuple(phase.rows for phase in self.phases)


class TokenizerEntry(_Entry):
    """The tokenizer that made the ids."""

    path: str = Field(description="`tokenizer.json`, relative to the folder of the manifest.")
    sha256: str
    vocabulary: int = Field(description="Size of the embedding, a multiple of 128.")
    end_of_text: int
    begin_of_text: int | None
    padding: int


class ShardManifest(_Entry):
    """All that a trainer must know of a run's shards; no need to look into a file."""

    version: Literal[1] = 1
    sequence_length: int
    packing: str = "concatenate"
    token_type: TokenType
    tokenizer: TokenizerEntry
    layout_digest: str = Field(description="Must match to resume training.")
    content_revision: int = Field(0, description="May advance: a takedown empties documents.")
    splits: dict[SplitName, Split]


def read_manifest(folder: Path) -> ShardManifest:
    """Read `folder/manifest.json` (`folder` may also be the run that holds `shards/`).

    Raises Problem if there is none, or if it is not one.
    """
    for candidate in (folder / "manifest.json", folder / "shards" / "manifest.json"):
        if candidate.is_file() and candidate.parent.name == "shards":
            try:
                value: Any = json.loads(candidate.read_text("utf-8"))
                return ShardManifest.model_validate(value)
            except ValueError as error:
                raise Problem(f"{candidate}: not a shard manifest: {error}") from None
    raise Problem(f"{folder}: no shards/manifest.json here: is the run finished?")
