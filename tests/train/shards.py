"""Shards of real text for the trainer's tests: the standard library's documentation and code."""

from __future__ import annotations

import hashlib
import json
import sysconfig
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from pydoc_data.topics import topics
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

from schemas.shard import shard_schema, token_type

END, PADDING = "<|end_of_text|>", "<|padding|>"
LENGTH, VOCABULARY = 128, 1024
MAX_BYTES = 250_000  # of text a source


def texts() -> dict[str, list[str]]:
    """Documents by source."""
    library = Path(sysconfig.get_paths()["stdlib"])
    packages = ("json", "email", "asyncio")
    files = [path for name in packages for path in sorted((library / name).glob("*.py"))]
    code = [path.read_text("utf-8") for path in files]
    # Topics whole, and as paragraphs, so that some rows hold several documents.
    names = sorted(topics)
    whole, apart = names[::2], names[1::2]
    paragraphs = [part for name in apart for part in topics[name].split("\n\n") if part]
    return {
        "code": list(filter(None, code)),
        "docs": [topics[name] for name in whole],
        "paragraphs": paragraphs,
    }


def train_tokenizer(documents: Iterable[str]) -> Tokenizer:
    """A byte-level BPE with special tokens at 0 and 1."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY - 128,
        special_tokens=[END, PADDING],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(documents, trainer)
    return tokenizer


def special(tokenizer: Tokenizer, token: str) -> int:
    """Id of a special token."""
    number = tokenizer.token_to_id(token)
    assert number is not None
    return number


@dataclass
class Row:
    """One row before it is written."""

    source: str
    ids: list[int] = field(default_factory=list)
    segments: list[dict[str, Any]] = field(default_factory=list)


def pack(source: str, documents: list[str], tokenizer: Tokenizer) -> list[Row]:
    """Concatenate documents, each closed by end-of-text, and cut into rows."""
    end = special(tokenizer, END)
    rows = [Row(source)]
    for number, text in enumerate(documents):
        encoding = tokenizer.encode(text)
        # The byte-level alphabet has one character a byte.
        ids = [*encoding.ids, end]
        sizes = [*map(len, encoding.tokens), 0]
        assert sum(sizes) == len(text.encode())
        offset = 0
        while offset < len(ids):
            if len(rows[-1].ids) == LENGTH:
                rows.append(Row(source))
            row = rows[-1]
            taken = min(LENGTH - len(row.ids), len(ids) - offset)
            row.segments.append(
                {
                    "start": len(row.ids),
                    "document_id": hashlib.blake2b(
                        f"{source}/{number}".encode(), digest_size=16
                    ).digest(),
                    "document_offset": offset,
                    "bytes": sum(sizes[offset : offset + taken]),
                }
            )
            row.ids += ids[offset : offset + taken]
            offset += taken
    return rows


def write_split(
    folder: Path, split: str, rows: list[Row], files: int, padding: int
) -> dict[str, Any]:
    """Write rows to some files of small row groups; returns the manifest's entry."""
    schema = shard_schema(LENGTH, VOCABULARY)
    entries = []
    (folder / split).mkdir(parents=True)
    for number, part in enumerate(np.array_split(np.arange(len(rows)), files)):
        chosen = [rows[index] for index in part]
        table = pa.table(
            {
                "input_ids": [row.ids + [padding] * (LENGTH - len(row.ids)) for row in chosen],
                "length": [len(row.ids) for row in chosen],
                "source": [row.source for row in chosen],
                "segments": [row.segments for row in chosen],
            },
            schema=schema,
        )
        path = folder / split / f"{number:05d}.parquet"
        pq.write_table(
            table, path, row_group_size=100, compression="zstd", write_page_checksum=True
        )
        groups = [chosen[start : start + 100] for start in range(0, len(chosen), 100)]
        entries.append(
            {
                "path": f"{split}/{path.name}",
                "rows": len(chosen),
                "tokens": sum(len(row.ids) for row in chosen),
                "size": path.stat().st_size,
                "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
                "row_groups": [
                    {
                        "rows": len(group),
                        "tokens": sum(len(row.ids) for row in group),
                        "digest": hashlib.blake2b(
                            repr([row.ids for row in group]).encode(), digest_size=16
                        ).hexdigest(),
                    }
                    for group in groups
                ],
            }
        )
    tokens = sum(len(row.ids) for row in rows)
    sources = sorted({row.source for row in rows})
    return {
        "rows": len(rows),
        "tokens": tokens,
        "padding": len(rows) * LENGTH - tokens,
        "sources": {
            name: {
                "rows": sum(row.source == name for row in rows),
                "tokens": sum(len(row.ids) for row in rows if row.source == name),
                "documents": len(
                    {s["document_id"] for row in rows if row.source == name for s in row.segments}
                ),
                "bytes": sum(
                    s["bytes"] for row in rows if row.source == name for s in row.segments
                ),
            }
            for name in sources
        },
        "files": entries,
    }


def write_run(run: Path) -> dict[str, list[str]]:
    """Write a run's shards and tokenizer; returns the validation documents by source."""
    train: list[Row] = []
    validation: list[Row] = []
    held_out: dict[str, list[str]] = {}
    documents = texts()
    tokenizer = train_tokenizer(text for source in documents.values() for text in source)
    for source, found in documents.items():
        # Held out are short ASCII documents, whose characters are their bytes.
        held_out[source] = [text for text in found if text.isascii() and len(text) < 9000][:8]
        kept, size = [], 0
        for text in found:
            if text not in held_out[source] and size < MAX_BYTES:
                kept.append(text)
                size += len(text.encode())
        train += pack(source, kept, tokenizer)
        validation += pack(source, held_out[source], tokenizer)
    # The mill writes rows in the order of a keyed hash.
    train.sort(key=lambda row: hashlib.blake2b(repr(row.ids).encode()).digest())

    (run / "tokenizer").mkdir(parents=True)
    tokenizer_path = run / "tokenizer" / "tokenizer.json"
    tokenizer.save(str(tokenizer_path))
    padding = special(tokenizer, PADDING)
    shards = run / "shards"
    splits = {
        "train": write_split(shards, "train", train, 3, padding),
        "validation": write_split(shards, "validation", validation, 1, padding),
    }
    manifest = {
        "version": 1,
        "sequence_length": LENGTH,
        "token_type": token_type(VOCABULARY),
        "tokenizer": {
            "path": "../tokenizer/tokenizer.json",
            "sha256": hashlib.sha256(tokenizer_path.read_bytes()).hexdigest(),
            "vocabulary": VOCABULARY,
            "end_of_text": special(tokenizer, END),
            "begin_of_text": None,
            "padding": padding,
        },
        "layout_digest": hashlib.blake2b(repr(splits).encode(), digest_size=16).hexdigest(),
        "content_revision": 0,
        "splits": splits,
    }
    (shards / "manifest.json").write_text(json.dumps(manifest), "utf-8")
    return held_out
