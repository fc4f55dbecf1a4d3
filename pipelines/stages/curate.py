"""curate: survivors -> spans cut, personal data replaced -> the curated text, fit to publish."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from curation.dedup.keyed_spans import hashed
from curation.dedup.nodes import Array
from curation.dedup.spans import cut
from curation.histogram import HISTOGRAMS, Histogram, to_table
from curation.mixture import holdout_key, sample_keys
from curation.pii import replace
from curation.urls import registered_domain
from pipelines.runs import rejections
from pipelines.runs.documents import Cuts, dropped, kept, of_part
from pipelines.runs.mill import Mill
from pipelines.runs.receipts import Attempt, Receipt, Task
from pipelines.runs.steps import Context, Manifest
from schemas.recipe import Recipe
from schemas.tables import CURATED

VERSION = 3
LIBRARIES = ("phonenumbers", "presidio-analyzer", "tldextract")

_KEYS = ["id", "source", "bytes", "holdout"]
_COLUMNS = ("id", "source", "url", "text", "language", "file", "offset", "length")


def relevant(recipe: Recipe) -> Any:
    """What of the recipe decides this stage's output."""
    return [recipe.curate.model_dump(mode="json"), recipe.seed, recipe.mix.validation.by]


def plan(context: Context) -> list[Task]:
    """A task for each part that was judged."""
    return [Task(r.task, {}, r.kept) for r in context.receipts("filter")]


def run(mill: Mill, step: str, mark: str) -> Manifest:
    """Curate what is left of every part."""
    tasks = mill.plan(step, mark, lambda: plan(mill.context))
    return mill.do(step, curate_part, tasks)


def survivors(context: Context, task: str) -> Iterator[list[dict[str, Any]]]:
    """The documents of a part that are left after deduplication, as filtered, in batches; with
    `cuts`, the levels, starts and ends of the spans of each that repeat."""
    wanted = kept(context, task)
    wanted = wanted.filter(pc.invert(pc.is_in(wanted, dropped(context, task))))
    cuts = Cuts(context, task)
    for batch in of_part(context, task, _COLUMNS, wanted):
        yield [{**row, "cuts": cuts.of(row["id"])} for row in batch.to_pylist()]


def curate_part(context: Context, step: str, task: Task) -> Receipt:
    """Cut what repeats in the survivors of a part, and replace personal data."""
    recipe = context.recipe
    by_domain = recipe.mix.validation.by == "domain"
    found: Counter[str] = Counter()
    sizes: Counter[str] = Counter()
    cutting = _Cutting(recipe.curate.least_words)
    keys: list[pa.Table] = []
    records = 0
    with Attempt(context.run, step, task.key) as attempt:
        curated = attempt.writer("text", CURATED, dictionary=("source", "language", "file"))
        for rows in survivors(context, task.key):
            done = []
            for row in rows:
                whole = cutting.apply(row["id"], row["source"], row["text"], *row.pop("cuts"))
                if whole is None:
                    continue
                text, counts = replace(whole, recipe.curate.pii)
                found.update(counts)
                size = len(text.encode())
                sizes[row["source"]] += size
                # a page without a domain is held out, or not, by itself
                held_by = (registered_domain(row["url"]) if by_domain else "") or text
                done.append(
                    {
                        **row,
                        "text": text,
                        "bytes": size,
                        "holdout": holdout_key(recipe.seed, held_by),
                        "pii_replaced": sum(counts.values()),
                    }
                )
            table = pa.Table.from_pylist(done, CURATED)
            curated.write(table)
            keys.append(table.select(_KEYS))
            records += len(rows)
        for kind, by_source in _histograms(recipe.seed, keys).items():
            attempt.writer(kind, HISTOGRAMS, dictionary=("source",)).write(to_table(by_source))
        rejections.writer(attempt).write(cutting.short)
        totals = {
            "bytes": dict(sorted(sizes.items())),
            "pii": dict(sorted(found.items())),
            "characters": dict(sorted(cutting.characters.items())),
            "cut": {source: cutting.cut[source] for source in sorted(cutting.cut)},
        }
        rejected = {"cut_short": len(cutting.short)}
        return attempt.commit(records, records - len(cutting.short), rejected, totals)


class _Cutting:
    """Cuts texts, and counts what it cuts."""

    def __init__(self, least_words: int) -> None:
        """Documents that have fewer words after a cut are in `short`."""
        self.least_words = least_words
        self.short: list[dict[str, Any]] = []
        # by source: characters before the cuts; by level, documents and characters cut
        self.characters: Counter[str] = Counter()
        self.cut: dict[str, dict[str, dict[str, int]]] = {}

    def apply(
        self, id_: bytes, source: str, text: str, levels: Array, starts: Array, ends: Array
    ) -> str | None:
        """The text without the spans; None if too few words are left."""
        self.characters[source] += len(text)
        if not len(starts):
            return text
        by_level = self.cut.setdefault(source, {})
        for level in sorted(set(levels.tolist())):
            own = levels == level
            counts = by_level.setdefault(level, {"documents": 0, "characters": 0})
            counts["documents"] += 1
            counts["characters"] += int((ends[own] - starts[own]).sum())
        left = cut(text, starts, ends)
        words = len(hashed([left])[0])
        if words >= self.least_words:
            return left
        self.short.append(
            {
                "id": id_,
                "stage": "curate",
                "reason": "cut_short",
                "value": str(words),
                "detail": f"words left >= {self.least_words}",
                "source": source,
            }
        )
        return None


def _histograms(seed: int, rows: list[pa.Table]) -> dict[str, dict[str, Histogram]]:
    """Bytes of all documents by holdout key and by sample key, for each source."""
    columns = pa.schema([CURATED.field(name) for name in _KEYS])
    table = pa.concat_tables([columns.empty_table(), *rows])
    found: dict[str, dict[str, Histogram]] = {"holdout": {}, "sample": {}}
    for source in pc.unique(table["source"]).to_pylist():
        own = table.filter(pc.equal(table["source"], source))
        sizes = own["bytes"].to_numpy()
        samples = sample_keys(seed, source, np.array(own["id"].to_pylist(), "V16"))
        found["holdout"][source] = Histogram.of(own["holdout"].to_numpy(), sizes)
        found["sample"][source] = Histogram.of(samples, sizes)
    return found
