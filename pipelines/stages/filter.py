"""filter: documents -> texts, signals and verdicts by a chain; signatures of what is kept."""

from __future__ import annotations

from collections import Counter
from typing import Any

from pipelines.runs import rejections
from pipelines.runs.mill import Mill
from pipelines.runs.parts import read_part
from pipelines.runs.quarantine import Care
from pipelines.runs.receipts import Attempt, Receipt, Task, pack_parts
from pipelines.runs.steps import Context, Manifest
from pipelines.stages import chains, inherit
from pipelines.stages.dedup.signatures import schema as signature_schema
from pipelines.stages.dedup.signatures import signature_table, signing
from schemas.recipe import Recipe
from schemas.tables import EDIT, PERSONAL_DATA

VERSION = 8
LIBRARIES = ("numpy", "spacy")

MICRO_BATCH = 256
_COLUMNS = (
    *("id", "source", "snapshot", "url", "text", "crawled", "kind", "format", "language"),
    "language_score",
)


def relevant(recipe: Recipe) -> Any:
    """What of the recipe decides this stage's output."""
    return [
        chains.relevant(recipe, "filter"),
        recipe.splits.part_bytes,
        recipe.deduplicate.keep,
        recipe.deduplicate.prefer,
        recipe.deduplicate.url,
        recipe.deduplicate.normalised,
        signing(recipe.deduplicate),
    ]


def plan(context: Context) -> list[Task]:
    """A task takes as many parts of documents as make a part of the recipe's size; tasks of the
    parent over parts that are still equal stay."""
    kept = inherit.parts(context)
    there = {part for task in kept for part in task.spec["parts"]}
    receipts = [each for each in context.receipts("extract") if each.task not in there]
    sizes = {receipt.task: int(receipt.counts["bytes"]) for receipt in receipts}
    first = max((int(task.key) for task in kept), default=-1) + 1
    return [*kept, *pack_parts(sizes, context.recipe.splits.part_bytes, first)]


def run(mill: Mill, step: str, mark: str) -> Manifest:
    """Filter every document."""
    tasks = mill.plan(step, mark, lambda: plan(mill.context))
    inherit.take_over(mill.context, step, tasks)
    return mill.do(step, filter_parts, tasks)


def filter_parts(context: Context, step: str, task: Task) -> Receipt:
    """Filter the documents of some parts, in their order."""
    recipe = context.recipe
    chain = chains.chain_of(recipe, "filter", context.run.url)
    wanted = chains.wanted(chain, recipe, _COLUMNS)
    columns = chains.schema(chain)
    rejected: Counter[str] = Counter()
    reasons: Counter[str] = Counter()
    records = edited = 0
    keep = recipe.deduplicate.keep

    total = context.manifest("extract").kept
    with (
        Attempt(context.run, step, task.key) as attempt,
        Care(context, step, task, total) as care,
        chains.one_thread(),
    ):
        signals = attempt.writer("signals", columns, dictionary=chains.REPEATED)
        lost = rejections.writer(attempt, "detail")
        edits = attempt.writer("edits", EDIT)
        personal = attempt.writer("personal_data", PERSONAL_DATA) if chain.redacted else None
        found = chains.Found(chain, attempt)
        signatures = attempt.writer(
            "signatures", signature_schema(recipe.deduplicate), dictionary=("scope",)
        )
        parts = (context.receipt("extract", key).file("documents") for key in task.spec["parts"])
        batches = (
            batch
            for part in parts
            for batch in read_part(context.home("extract"), part.path, wanted, MICRO_BATCH)
        )
        for batch, outcome in chains.outcomes(care, context, "filter", batches):
            verdicts = chains.verdicts(batch, outcome, columns)
            signals.write(verdicts)
            lost.write(chains.rejected("filter", batch, outcome))
            found.add(batch, outcome)
            orders = verdicts[keep].to_pylist() if "." in keep else None
            kept, changed = [], []
            for at, row in enumerate(batch.to_pylist()):
                own, text = outcome.reasons[at], outcome.texts[at]
                reasons.update(own)
                rejected.update(own[:1])
                if own:
                    continue
                if text != row["text"]:
                    changed.append({"id": row["id"], "text": text})
                if personal and outcome.found[at]:
                    personal.write([{"id": row["id"], "personal_data": outcome.found[at]}])
                signal = orders[at] if orders else None
                kept.append({**row, "text": text, "signal": signal})
            edits.write(changed)
            if kept:
                signatures.write(signature_table(recipe.deduplicate, kept))
            records += batch.num_rows
            edited += len(changed)
        counts = {
            "edited": edited,
            "failing": dict(sorted(reasons.items())),
            **found.counts(),
        }
        return attempt.commit(records, records - rejected.total(), rejected, counts)
