"""curate: survivors -> spans cut, personal data replaced, what else the chain asks for -> the
curated text, fit to publish."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from curation.histogram import Histogram, to_table
from curation.mixture import holdout_key, sample_keys
from curation.steps import CUT_LEVELS
from curation.urls import registered_domain
from pipelines.runs import documents, rejections
from pipelines.runs.card import ALL, NAME, markdown
from pipelines.runs.documents import CUTS, Cuts, dropped, kept, of_part
from pipelines.runs.events import Warned
from pipelines.runs.ids import flat, to_bytes
from pipelines.runs.mill import Mill
from pipelines.runs.parts import read_table
from pipelines.runs.quarantine import Care
from pipelines.runs.receipts import Attempt, Receipt, Task
from pipelines.runs.steps import Context, Manifest
from pipelines.runs.store import SUMS
from pipelines.stages import chains
from schemas.recipe import Recipe
from schemas.tables import CURATED, DOCUMENT, HISTOGRAMS, SIGNALS, with_columns

if TYPE_CHECKING:
    from curation.chain import Outcome

VERSION = 7
LIBRARIES = ("numpy", "spacy", "tldextract")

# of licences; others may be whole sentences, and as many as documents
_NAME = re.compile(r"[\w.+-]{1,40}")
REPEATED = ("source", "language", "file", "kind", "format", "licences.list.element")
_KEYS = ["id", "source", "bytes", "holdout"]
_COLUMNS = tuple(name for name in CURATED.names if name in DOCUMENT.names)


def relevant(recipe: Recipe) -> Any:
    """What of the recipe decides this stage's output."""
    return [chains.relevant(recipe, "curate"), recipe.seed, recipe.mix.validation.by]


def schema(recipe: Recipe) -> pa.Schema:
    """Of the curated text."""
    return with_columns(CURATED, recipe.kept_columns(), _signals(recipe))


def _signals(recipe: Recipe) -> dict[str, pa.DataType]:
    """The types of what the chains measure."""
    before, after = (chains.chain_of(recipe, stage).types for stage in ("filter", "curate"))
    return {**before, **after}


def plan(context: Context) -> list[Task]:
    """A task for each part that was filtered."""
    return [Task(r.task, {}, r.kept) for r in context.receipts("filter")]


def write_card(mill: Mill, step: str) -> None:
    """Write the card of the finished stage, unless it is there: a kill may have come before it."""
    if not (mill.run / step).exists(SUMS):
        card = markdown(mill.context, schema(mill.context.recipe), {ALL: "text/*.parquet"})
        (mill.run / step).write_listed({NAME: card.encode()})


def run(mill: Mill, step: str, mark: str) -> Manifest:
    """Curate what is left of every part."""
    tasks = mill.plan(step, mark, lambda: plan(mill.context))
    manifest = mill.do(step, curate_part, tasks)
    write_card(mill, step)
    lost: Counter[str] = Counter()
    for receipt in mill.context.receipts(step):
        lost.update(receipt.counts["clusters_lost"])
    if lost["clusters"]:
        mill.listener(
            Warned(
                f"{lost['clusters']:,} documents that deduplication kept for {lost['documents']:,} "
                "others are rejected after it, and these are lost with them",
                "curate.chain",
                "put steps that reject into `filter.chain`, before deduplication",
            )
        )
    return manifest


def survivors(context: Context, task: str, columns: Sequence[str] = ()) -> Iterator[pa.RecordBatch]:
    """The documents of a part that are left after deduplication, as filtered, in batches; with
    `cuts`, the spans of each that repeat, and more columns."""
    wanted = kept(context, task)
    wanted = wanted.filter(pc.invert(pc.is_in(wanted, dropped(context, task))))
    cuts = Cuts(context, task)
    for batch in of_part(context, task, [*_COLUMNS, *columns], wanted):
        spans = map(cuts.of, batch["id"].to_pylist())
        yield batch.append_column("cuts", pa.array(spans, CUTS))


def curate_part(context: Context, step: str, task: Task) -> Receipt:
    """Take the survivors of a part through the chain."""
    recipe = context.recipe
    chain = chains.chain_of(recipe, "curate", context.run.url)
    columns = chains.schema(chain)
    keys: list[pa.Table] = []
    reasons: Counter[str] = Counter()
    rejected: Counter[str] = Counter()
    totals = _Totals()
    records = 0
    clusters = documents.clusters(context, task.key)
    orphaned: Counter[str] = Counter()
    total = context.manifest("deduplicate").kept
    with (
        Attempt(context.run, step, task.key) as attempt,
        Care(context, step, task, total) as care,
        chains.one_thread(),
    ):
        measured = _Signals(context, task.key)
        rows = schema(recipe)
        curated = attempt.writer("text", rows, dictionary=REPEATED)
        signals = attempt.writer("signals", columns, dictionary=chains.REPEATED)
        lost = rejections.writer(attempt, "detail")
        found = chains.Found(chain, attempt)
        before = documents.Personal(context, task.key)
        batches = survivors(context, task.key, list(recipe.kept_columns()))
        for batch, outcome in chains.outcomes(care, context, "curate", batches):
            verdicts = chains.verdicts(batch, outcome, columns)
            signals.write(verdicts)
            gone = chains.rejected("curate", batch, outcome)
            lost.write(gone)
            ends = clusters.filter(pc.is_in(clusters["id"], gone["id"]))
            orphaned["clusters"] += ends.num_rows
            orphaned["documents"] += pc.sum(ends["dropped"]).as_py() or 0
            table = _curated(recipe, batch, outcome, before)
            found.add(batch, outcome)
            curated.write(measured.beside(table, verdicts, rows))
            keys.append(table.select(_KEYS))
            records += batch.num_rows
            totals.add(batch, verdicts, table)
            reasons.update(reason for own in outcome.reasons for reason in own)
            rejected.update(own[0] for own in outcome.reasons if own)
        for kind, by_source in _histograms(recipe.seed, keys).items():
            attempt.writer(kind, HISTOGRAMS, dictionary=("source",)).write(to_table(by_source))
        counts = {
            **totals.counts(),
            **found.counts(),
            "failing": dict(sorted(reasons.items())),
            "clusters_lost": {name: orphaned[name] for name in ("clusters", "documents")},
        }
        return attempt.commit(records, records - rejected.total(), rejected, counts)


def _curated(
    recipe: Recipe, batch: pa.RecordBatch, outcome: Outcome, before: documents.Personal
) -> pa.Table:
    """CURATED rows of what is kept; `before`: the personal data that `filter` found."""
    by_domain = recipe.mix.validation.by == "domain"
    texts = batch["text"].to_pylist()
    rows = []
    for at, row in enumerate(batch.drop_columns(["text", "cuts"]).to_pylist()):
        if outcome.reasons[at]:
            continue
        text = outcome.texts[at]
        # a page without a domain is held out, or not, by itself
        held_by = (registered_domain(row["url"]) if by_domain else "") or text
        own = {
            "text": text,
            "bytes": len(text.encode()),
            "holdout": holdout_key(recipe.seed, held_by),
            "pii_replaced": outcome.replaced[at].total(),
            "personal_data": [
                *before.of(row["id"], stays=text == texts[at]),
                *outcome.found[at],
            ],
        }
        rows.append({**row, **own})
    return pa.Table.from_pylist(rows, with_columns(CURATED, recipe.kept_columns()))


class _Signals:
    """What the chains measured of the documents of a part; of both it is the later value."""

    def __init__(self, context: Context, task: str) -> None:
        self.types = _signals(context.recipe)
        before = chains.chain_of(context.recipe, "filter").types
        path = context.receipt("filter", task).file("signals").path
        self._before = read_table(context.home("filter"), path, ["id", *before])

    def beside(self, table: pa.Table, verdicts: pa.Table, rows: pa.Schema) -> pa.Table:
        """CURATED rows with their signals, in the schema `rows`."""
        if not self.types:
            return table
        own = verdicts.filter(verdicts["kept"])
        before = self._before.take(pc.index_in(own["id"], flat(self._before["id"])))
        columns = [
            pc.coalesce(*(flat(t[name]) for t in (own, before) if name in t.column_names))
            for name in self.types
        ]
        struct = pa.StructArray.from_arrays(columns, fields=list(rows.field(SIGNALS).type))
        return table.append_column(rows.field(SIGNALS), struct)


class _Totals:
    """What a part's receipt counts."""

    def __init__(self) -> None:
        self._bytes: Counter[str] = Counter()
        self._named: dict[str, dict[str, Counter[str]]] = {}
        # by source: characters before the cuts; by level, documents and characters cut
        self._characters: Counter[str] = Counter()
        self._cut: dict[str, dict[str, dict[str, int]]] = {}

    def add(self, batch: pa.RecordBatch, signals: pa.Table, curated: pa.Table) -> None:
        """Count documents as they came, their signals, and what is left of them."""
        sources = curated["source"].to_pylist()
        for source, size in zip(sources, curated["bytes"].to_pylist(), strict=True):
            self._bytes[source] += size
        columns = (curated[name].to_pylist() for name in ("language", "licences"))
        for source, language, licences in zip(sources, *columns, strict=True):
            named = self._named.setdefault(source, {"languages": Counter(), "licences": Counter()})
            named["languages"][language or ""] += 1
            named["licences"].update(
                {x if _NAME.fullmatch(x) else "other" for x in licences} or {""}
            )
        lengths = pc.utf8_length(batch["text"])
        for source in pc.unique(batch["source"]).to_pylist():
            own = pc.equal(batch["source"], source)
            self._characters[source] += pc.sum(lengths.filter(own)).as_py()
            if "cut.characters" in signals.column_names:
                self._cut_of(source, signals.filter(own))

    def _cut_of(self, source: str, signals: pa.Table) -> None:
        for level in CUT_LEVELS:
            sizes = signals[f"cut.{level}"].to_numpy()
            if number := int(np.count_nonzero(sizes > 0)):
                by_level = self._cut.setdefault(source, {})
                counts = by_level.setdefault(level, {"documents": 0, "characters": 0})
                counts["documents"] += number
                counts["characters"] += int(np.nansum(sizes))

    def counts(self) -> dict[str, Any]:
        """As a receipt has them."""
        return {
            "bytes": dict(sorted(self._bytes.items())),
            # documents of each source by language and licence, with none by an empty name
            "named": {
                source: {key: dict(sorted(each.items())) for key, each in named.items()}
                for source, named in sorted(self._named.items())
            },
            "characters": dict(sorted(self._characters.items())),
            "cut": {source: self._cut[source] for source in sorted(self._cut)},
        }


def _histograms(seed: int, rows: list[pa.Table]) -> dict[str, dict[str, Histogram]]:
    """Bytes of all documents by holdout key and by sample key, for each source."""
    columns = pa.schema([CURATED.field(name) for name in _KEYS])
    table = pa.concat_tables([columns.empty_table(), *rows])
    found: dict[str, dict[str, Histogram]] = {"holdout": {}, "sample": {}}
    for source in pc.unique(table["source"]).to_pylist():
        own = table.filter(pc.equal(table["source"], source))
        sizes = own["bytes"].to_numpy()
        samples = sample_keys(seed, source, np.array(to_bytes(own["id"]).to_pylist(), "V16"))
        found["holdout"][source] = Histogram.of(own["holdout"].to_numpy(), sizes)
        found["sample"][source] = Histogram.of(samples, sizes)
    return found
