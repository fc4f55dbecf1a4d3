"""filter: documents -> edits, signals and verdicts; signatures of what is kept."""

from __future__ import annotations

import unicodedata
from collections import Counter
from functools import cache
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from pipelines.runs.mill import Mill
from pipelines.runs.parts import read_part
from pipelines.runs.receipts import Attempt, Receipt, Task, bin_pack
from pipelines.runs.steps import Context, Manifest, by_digest, model_path
from pipelines.runs.store import Folder
from pipelines.stages.dedup.signatures import schema as signature_schema
from pipelines.stages.dedup.signatures import signature_table, signing
from schemas.filter import Filter
from schemas.recipe import Recipe
from schemas.tables import EDIT, VERDICT

if TYPE_CHECKING:
    from curation.chain import Chain

VERSION = 3
LIBRARIES = ("numpy", "spacy")

MICRO_BATCH = 256
_REPEATED = ("source", "language", "reasons.list.element")
# of the rule tables, what decides nothing
_SAID = {"chain": {"__all__": {"rules": {"description", "source"}}}}


def relevant(recipe: Recipe) -> Any:
    """What of the recipe decides this stage's output."""
    return [
        by_digest(recipe.filter.model_dump(mode="json", exclude=_SAID)),
        recipe.splits.part_bytes,
        recipe.deduplicate.keep,
        recipe.deduplicate.prefer,
        recipe.deduplicate.url,
        recipe.deduplicate.normalised,
        signing(recipe.deduplicate),
        _chain(recipe).versions,
        unicodedata.unidata_version,
    ]


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
    return mill.do(step, filter_parts, tasks)


@cache
def _compiled(spec: str, run: str) -> Chain:
    from curation.chain import Chain

    chain = Filter.model_validate_json(spec)
    if not run:
        return Chain(chain)
    # all digests are checked now, the models are loaded when they are needed
    paths = {
        item.model.sha256: model_path(Folder(run), str(item.model.sha256))
        for item in chain.classifiers.values()
    }
    return Chain(chain, lambda model: paths[model.sha256])


def _chain(recipe: Recipe, run: str = "") -> Chain:
    """The recipe's chain, compiled once a process; to judge by classifiers it needs the run."""
    return _compiled(recipe.filter.model_dump_json(), run)


def filter_parts(context: Context, step: str, task: Task) -> Receipt:
    """Judge the documents of some parts, in their order."""
    recipe = context.recipe
    chain = _chain(recipe, context.run.url)
    schema = pa.schema(
        [*VERDICT, *(pa.field(name, pa.float64()) for name in chain.signals)],
        metadata=VERDICT.metadata,
    )
    rejected: Counter[str] = Counter()
    reasons: Counter[str] = Counter()
    records = edited = 0

    with Attempt(context.run, step, task.key) as attempt:
        signals = attempt.writer("signals", schema, dictionary=_REPEATED)
        edits = attempt.writer("edits", EDIT)
        signatures = attempt.writer(
            "signatures", signature_schema(recipe.deduplicate), dictionary=("scope",)
        )
        for key in task.spec["parts"]:
            part = context.receipt("extract", key).file("documents")
            for batch in read_part(context.home("extract"), part.path, _COLUMNS, MICRO_BATCH):
                rows = batch.to_pylist()
                verdicts, kept, changed = [], [], []
                for row in rows:
                    outcome = chain.apply(
                        row["text"],
                        row["language"] or "",
                        row["language_score"] or 0,
                        row["source"],
                    )
                    verdicts.append(
                        {
                            "id": row["id"],
                            "source": row["source"],
                            "url": row["url"],
                            "language": row["language"],
                            "kept": outcome.kept,
                            "reasons": outcome.reasons,
                            **outcome.signals,
                        }
                    )
                    reasons.update(outcome.reasons)
                    if not outcome.kept:
                        rejected[outcome.reasons[0]] += 1
                        continue
                    if outcome.text != row["text"]:
                        changed.append({"id": row["id"], "text": outcome.text})
                    signal = outcome.signals.get(recipe.deduplicate.keep)
                    kept.append({**row, "text": outcome.text, "signal": signal})
                signals.write(pa.Table.from_pylist(verdicts, schema))
                edits.write(changed)
                if kept:
                    signatures.write(signature_table(recipe.deduplicate, kept))
                records += len(rows)
                edited += len(changed)
        counts = {"edited": edited, "failing": dict(sorted(reasons.items()))}
        return attempt.commit(records, records - rejected.total(), rejected, counts)


_COLUMNS = ("id", "source", "snapshot", "url", "text", "crawled", "language", "language_score")
