"""The manifest of a run's shards, and where every document and token went."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from typing import Any

from curation.histogram import EVERYTHING
from curation.tokenization import Tokens
from pipelines.runs.receipts import Attempt, Receipt, Task
from pipelines.runs.steps import Context, fingerprint
from pipelines.stages import tokenizer
from pipelines.stages.mix.plan import epochs_of, plan_of
from schemas.mix import Mix
from schemas.shard import (
    RowGroup,
    ShardFile,
    ShardManifest,
    ShardPhase,
    SourceCounts,
    Split,
    SplitName,
    TokenizerEntry,
    token_type,
)

MANIFEST = "shards/manifest.json"


def write_manifest(context: Context, step: str, task: Task) -> Receipt:
    """Write `shards/manifest.json`; account for every document and token."""
    recipe = context.recipe
    plan = plan_of(context)
    tokens = tokenizer.load(context)
    receipts = context.receipts("mix/buckets")
    length = recipe.mix.sequence_length
    training = [receipt for receipt in receipts if receipt.counts["split"] == "train"]
    held = [receipt for receipt in receipts if receipt.counts["split"] == "validation"]
    phases = [
        (phase["name"], [r for r in training if r.counts["phase"] == number])
        for number, phase in enumerate(plan["phases"])
    ]
    splits: dict[SplitName, Split] = {
        "train": split_of(training, length),
        "validation": split_of(held, length),
    }
    if recipe.mix.phases:
        found = tuple(_phase(name, own, length) for name, own in phases)
        splits["train"] = splits["train"].model_copy(update={"phases": found})
    layouts = [receipt.counts["layout"] for receipt in receipts]
    sha256 = context.receipt("tokenizer", "tokenizer").counts["sha256"]
    manifest = manifest_of(recipe.mix, tokens, sha256, layouts, splits)
    ledger = _ledger(plan, training, splits)
    achieved = _achieved(plan, phases)
    total = Counter[str]()
    for counts in ledger.values():
        total.update(counts)
    if recipe.mix.is_chosen:
        named = context.manifest("mix/rejections").rejected.get("not_sampled", 0)
        if named != total["not_sampled_documents"]:
            raise AssertionError(f"{named} documents are named as left out: {ledger}")
    with Attempt(context.run, step, task.key) as attempt:
        attempt.add("manifest", MANIFEST, manifest)
        told = json.dumps(achieved, indent=1, ensure_ascii=False) + "\n"
        attempt.add("mixture", "mix/mixture.json", told.encode())
        return attempt.commit(
            total["documents"],
            total["train_documents"] + total["validation_documents"],
            {"not_sampled": total["not_sampled_documents"]},
            {"sources": ledger, "portions": achieved},
        )


def manifest_of(
    mix: Mix,
    tokens: Tokens,
    tokenizer_sha256: str,
    layouts: Sequence[str],
    splits: dict[SplitName, Split],
) -> bytes:
    """The manifest of shards whose tokenizer is `tokenizer/tokenizer.json` beside them; `layouts`:
    digests of all buckets, in order."""
    manifest = ShardManifest(
        sequence_length=mix.sequence_length,
        packing=mix.packing,
        token_type=token_type(tokens.vocabulary),
        tokenizer=TokenizerEntry(
            path="../tokenizer/tokenizer.json",
            sha256=tokenizer_sha256,
            vocabulary=tokens.vocabulary,
            end_of_text=tokens.end_of_text,
            begin_of_text=tokens.begin_of_text,
            padding=tokens.padding,
        ),
        layout_digest=fingerprint(mix.sequence_length, layouts, *splits["train"].phase_rows),
        splits=splits,
    )
    return (json.dumps(manifest.model_dump(mode="json"), indent=1) + "\n").encode()


def split_of(receipts: Sequence[Receipt], length: int) -> Split:
    """What tasks wrote of a split, of rows of `length` tokens."""
    files: list[ShardFile] = []
    for receipt in receipts:
        groups = tuple(RowGroup(**item) for item in receipt.counts["row_groups"])
        files += [
            ShardFile(
                path=item.path.removeprefix("shards/"),
                rows=item.rows,
                tokens=sum(group.tokens for group in groups),
                size=item.size,
                sha256=item.sha256,
                row_groups=groups,
            )
            for item in receipt.files
        ]
    rows, tokens = sum(file.rows for file in files), sum(file.tokens for file in files)
    return Split(
        rows=rows,
        tokens=tokens,
        padding=rows * length - tokens,
        sources={
            source: SourceCounts(**{key: counts[key] for key in SourceCounts.model_fields})
            for source, counts in _by_source(receipts).items()
        },
        files=tuple(files),
    )


def _by_source(receipts: Sequence[Receipt]) -> dict[str, Counter[str]]:
    sources: dict[str, Counter[str]] = {}
    for receipt in receipts:
        for source, counts in receipt.counts["sources"].items():
            sources.setdefault(source, Counter()).update(counts)
    return dict(sorted(sources.items()))


def _phase(name: str, receipts: Sequence[Receipt], length: int) -> ShardPhase:
    own = split_of(receipts, length)
    return ShardPhase(
        name=name, rows=own.rows, tokens=own.tokens, files=len(own.files), sources=own.sources
    )


def _achieved(
    plan: dict[str, Any], phases: Sequence[tuple[str, Sequence[Receipt]]]
) -> list[dict[str, Any]]:
    """The portions of the plan, with `tokens` as they were written, which must be those planned."""
    written = {name: _by_source(own) for name, own in phases}
    found = []
    for portion in plan["portions"]:
        tokens = written[portion["phase"]][portion["source"]]["tokens"]
        if tokens != portion["tokens"]:
            raise AssertionError(f"{tokens} tokens were written: {portion}")
        found.append(portion)
    return found


def _ledger(
    plan: dict[str, Any], training: Sequence[Receipt], splits: dict[SplitName, Split]
) -> dict[str, dict[str, int]]:
    """By source: where each tokenized document and token went.

    Checks what was written against what was planned: the tokens and documents of validation, and
    that whole epochs hold all that is left.
    """
    ledger = {}
    counted = _by_source(training)
    for source, entry in plan["sources"].items():
        first = counted[source]
        validation = splits["validation"].sources[source]
        got = (validation.tokens, validation.documents)
        if got != (entry["validation_tokens"], entry["validation_documents"]):
            raise AssertionError(f"{source}: validation has {got} tokens and documents: {entry}")
        left_tokens = entry["available"] - validation.tokens - first["first_tokens"]
        left = entry["documents"] - validation.documents - first["first_documents"]
        epochs = [
            epoch for at in range(len(plan["phases"])) for epoch in epochs_of(plan, source, at)
        ]
        whole = any(epoch.number == 0 and epoch.high == EVERYTHING for epoch in epochs)
        if left_tokens < 0 or left < 0 or (whole and (left or left_tokens)):
            raise AssertionError(f"{source}: {left} documents of {left_tokens} tokens: {entry}")
        ledger[source] = {
            "documents": entry["documents"],
            "tokens": entry["available"],
            "train_documents": first["first_documents"],
            "train_tokens": first["first_tokens"],
            "repeated_documents": first["documents"] - first["first_documents"],
            "repeated_tokens": first["tokens"] - first["first_tokens"],
            "validation_documents": validation.documents,
            "validation_tokens": validation.tokens,
            "not_sampled_documents": left,
            "not_sampled_tokens": left_tokens,
        }
    return ledger
