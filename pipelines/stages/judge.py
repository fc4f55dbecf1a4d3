"""judge: documents -> edits, signals and verdicts; signatures of what is kept."""

from __future__ import annotations

import unicodedata
from collections import Counter
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from curation.dedup.exact import digest
from curation.dedup.nodes import preference
from pipelines.mill import Mill
from pipelines.parts import read_part
from pipelines.receipts import Attempt, Receipt, Task, bin_pack
from pipelines.steps import Context, Manifest
from schemas.recipe import Judge, Near, Recipe
from schemas.tables import EDIT, VERDICT, signature_schema

if TYPE_CHECKING:
    from curation.dedup.minhash import Signer
    from curation.judgement import Chain

VERSION = 1
LIBRARIES = ("datasketch", "numpy", "spacy")

MICRO_BATCH = 256


def relevant(recipe: Recipe) -> Any:
    """What of the recipe decides this stage's output."""
    return [
        recipe.judge.model_dump(mode="json"),
        recipe.splits.part_bytes,
        recipe.deduplicate.keep,
        recipe.deduplicate.scope,
        _signing(recipe),
        _chain(recipe).versions,
        unicodedata.unidata_version,
    ]


def _signing(recipe: Recipe) -> Any:
    near = recipe.deduplicate.near
    if near is None:
        return None
    return near.model_dump(include={"bands", "rows", "shingle_words", "seed"})


def plan(context: Context) -> list[Task]:
    """A task takes as many parts of documents as make a part of the recipe's size."""
    receipts = context.receipts("extract")
    sizes = {receipt.task: int(receipt.counts["bytes"]) for receipt in receipts}
    bins = bin_pack(list(sizes.items()), context.recipe.splits.part_bytes)
    return [
        Task(f"{index:06d}", {"parts": keys}, sum(sizes[key] for key in keys))
        for index, keys in enumerate(bins)
    ]


def run(mill: Mill, step: str, mark: str) -> Manifest:
    """Judge every document."""
    tasks = mill.plan(step, mark, lambda: plan(mill.context))
    return mill.do(step, judge_parts, tasks)


@cache
def _compiled(judge: str) -> Chain:
    from curation.judgement import Chain

    return Chain(Judge.model_validate_json(judge))


def _chain(recipe: Recipe) -> Chain:
    """The recipe's chain, compiled once a process."""
    return _compiled(recipe.judge.model_dump_json())


@cache
def _signer(near: Near) -> Signer:
    from curation.dedup.minhash import Signer

    return Signer(near)


def judge_parts(context: Context, step: str, task: Task) -> Receipt:
    """Judge the documents of some parts, in their order."""
    recipe = context.recipe
    chain = _chain(recipe)
    near = recipe.deduplicate.near
    schema = pa.schema(
        [*VERDICT, *(pa.field(name, pa.float64()) for name in chain.signals)],
        metadata=VERDICT.metadata,
    )
    rejected: Counter[str] = Counter()
    reasons: Counter[str] = Counter()
    records = edited = 0

    with Attempt(context.run, step, task.key) as attempt:
        signals = attempt.writer("signals", schema, dictionary=("source", "reasons.list.element"))
        edits = attempt.writer("edits", EDIT)
        signatures = attempt.writer(
            "signatures",
            signature_schema(near.bands * near.rows, near.bands)
            if near
            else signature_schema(0, 0),
            dictionary=("scope",),
        )
        for key in task.spec["parts"]:
            part = context.receipt("extract", key).file("documents")
            for batch in read_part(context.home("extract"), part.path, _COLUMNS, MICRO_BATCH):
                rows = batch.to_pylist()
                verdicts, kept, changed = [], [], []
                for row in rows:
                    judgement = chain.judge(row["text"], row["language"], row["language_score"])
                    verdicts.append(
                        {
                            "id": row["id"],
                            "source": row["source"],
                            "url": row["url"],
                            "kept": judgement.kept,
                            "reasons": judgement.reasons,
                            **judgement.signals,
                        }
                    )
                    reasons.update(judgement.reasons)
                    if not judgement.kept:
                        rejected[judgement.reasons[0]] += 1
                        continue
                    if judgement.text != row["text"]:
                        changed.append({"id": row["id"], "text": judgement.text})
                    kept.append({**row, "text": judgement.text})
                signals.write(pa.Table.from_pylist(verdicts, schema))
                edits.write(changed)
                if kept:
                    signatures.write(_signatures(recipe, kept, signatures.schema))
                records += len(rows)
                edited += len(changed)
        counts = {"edited": edited, "failing": dict(sorted(reasons.items()))}
        return attempt.commit(records, records - rejected.total(), rejected, counts)


_COLUMNS = ("id", "source", "snapshot", "url", "text", "crawled", "language", "language_score")


def _signatures(recipe: Recipe, rows: list[dict[str, Any]], schema: pa.Schema) -> pa.Table:
    """The rows of the signature file for kept documents."""
    from curation.dedup.minhash import band_keys

    near, scope = recipe.deduplicate.near, recipe.deduplicate.scope
    scopes = ["" if scope == "global" else row[scope] for row in rows]
    sizes = np.array([len(row["text"].encode()) for row in rows], np.uint64)
    seconds = np.array(
        [-1 if row["crawled"] is None else int(row["crawled"].timestamp()) for row in rows],
        np.int64,
    )
    columns: dict[str, Any] = {
        "id": pa.array([row["id"] for row in rows], pa.binary(16)),
        "scope": pa.array(scopes, pa.string()),
        "preference": pa.array(preference(recipe.deduplicate.keep, sizes, seconds)),
        "digest": pa.array(
            [digest(row["text"], scope) for row, scope in zip(rows, scopes, strict=True)],
            pa.binary(16),
        ),
    }
    if near is not None:
        signed, mask = _signer(near).sign([row["text"] for row in rows])
        keys = band_keys(signed, near.bands, near.rows, scopes)
        columns["signature"] = pa.FixedSizeListArray.from_arrays(
            pa.array(signed.reshape(-1)), type=schema.field("signature").type, mask=pa.array(~mask)
        )
        for band in range(near.bands):
            columns[f"band_{band:04d}"] = pa.array(keys[:, band], mask=~mask)
    return pa.table(columns, schema)
