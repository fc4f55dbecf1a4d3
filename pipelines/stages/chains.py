"""A recipe's chains in its stages: compiled once a process, and what their files hold."""

from __future__ import annotations

import json
import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from pipelines.runs import rejections
from pipelines.runs.quarantine import Care
from pipelines.runs.receipts import Attempt
from pipelines.runs.splits import QUARANTINED
from pipelines.runs.steps import Context, by_digest, folder_path, model_path
from pipelines.runs.store import Folder
from schemas.base import ModelFolder
from schemas.chain import Chain as Spec
from schemas.curate import Curate
from schemas.filter import Filter
from schemas.recipe import Recipe
from schemas.tables import CONTAMINATION, VERDICT

if TYPE_CHECKING:
    from curation.chain import Chain, Outcome

_SECTIONS: dict[str, type[Spec]] = {"filter": Filter, "curate": Curate}
# of the rule tables, what decides nothing
_SAID = {"chain": {"__all__": {"rules": {"description", "source"}}}}
REPEATED = ("source", "kind", "format", "language", "reasons.list.element")


def chain_of(recipe: Recipe, stage: str, run: str = "") -> Chain:
    """The chain of a stage, `filter` or `curate`; to be applied it needs the run's models."""
    spec = getattr(recipe, stage).model_dump_json()
    more = json.dumps([recipe.kept_columns(), recipe.code, recipe.seed])
    return _compiled(stage, spec, run, more)


@cache
def _compiled(stage: str, spec: str, run: str, more: str) -> Chain:
    from curation.chain import Chain

    chain = _SECTIONS[stage].model_validate_json(spec)
    columns, code, seed = json.loads(more)
    if not run:
        return Chain(chain, columns=columns, code=code, seed=seed)
    # all digests are checked now, the models are loaded when they are needed
    paths = {
        item.model.sha256: model_path(Folder(run), str(item.model.sha256))
        for item in chain.classifiers.values()
    }
    folder = partial(_folder, run)
    return Chain(chain, lambda model: paths[model.sha256], columns, code, folder=folder, seed=seed)


def _folder(run: str, folder: ModelFolder) -> Path:
    return folder_path(Folder(run), str(folder.sha256))


def one_thread() -> AbstractContextManager[object]:
    """BLAS and OpenMP with one thread: with more, sums come in another order."""
    from threadpoolctl import threadpool_limits

    limits: AbstractContextManager[object] = threadpool_limits(1)
    return limits


def relevant(recipe: Recipe, stage: str) -> Any:
    """What of a chain decides its output."""
    return [
        by_digest(getattr(recipe, stage).model_dump(mode="json", exclude=_SAID)),
        chain_of(recipe, stage).versions,
        unicodedata.unidata_version,
    ]


def wanted(chain: Chain, recipe: Recipe, columns: Sequence[str]) -> list[str]:
    """Columns of documents to read: these, and those of documents and of the recipe's `keep` that
    the chain tests."""
    more = dict.fromkeys(["licences", *recipe.kept_columns()])
    return [*columns, *(name for name in more if name in chain.needs and name not in columns)]


def schema(chain: Chain) -> pa.Schema:
    """Of the signals that a chain gives."""
    signals = [pa.field(name, kind) for name, kind in chain.types.items()]
    return pa.schema([*VERDICT, *signals], metadata=VERDICT.metadata)


def verdicts(documents: pa.RecordBatch, outcome: Outcome, columns: pa.Schema) -> pa.Table:
    """Rows of `schema`."""
    sizes = [len(text.encode()) for text in outcome.texts]
    found = {"kept": outcome.kept, "reasons": outcome.reasons, "bytes": sizes, **outcome.signals}
    return pa.table(
        [found[name] if name in found else documents[name] for name in columns.names],
        schema=columns,
    )


def rejected(stage: str, documents: pa.RecordBatch, outcome: Outcome) -> pa.Table:
    """REJECTION rows of what the chain does not keep, by the first of its reasons."""
    lost = pa.array([not kept for kept in outcome.kept])
    rows = documents.filter(lost)
    first = pa.array([reasons[0] for reasons in outcome.reasons if reasons], pa.string())
    columns = {name: rows[name] for name in ("source", "url")}
    for name, values in (("value", outcome.values), ("detail", outcome.details)):
        columns[name] = pa.array(values, pa.string()).filter(lost)
    return rejections.table(stage, rows["id"], first, **columns)


class _Apply:
    """Applies a chain of a run."""

    def __init__(self, context: Context, stage: str) -> None:
        self.recipe, self.stage, self.run = context.recipe, stage, context.run.url

    def process(self, element: pa.RecordBatch) -> Iterator[Outcome]:
        """`element`: documents."""
        with one_thread():
            yield chain_of(self.recipe, self.stage, self.run).apply(element)


def outcomes(
    care: Care, context: Context, stage: str, batches: Iterable[pa.RecordBatch]
) -> Iterator[tuple[pa.RecordBatch, Outcome]]:
    """What a stage's chain makes of documents; those that end its process are rejected."""
    chain = chain_of(context.recipe, stage, context.run.url)
    for batch in batches:
        if not care.is_apart:
            yield batch, chain.apply(batch)
            continue
        for rows, outcome in care.rows(_Apply(context, stage), batch):
            yield rows, outcome or _quarantined(chain, rows)


def _quarantined(chain: Chain, rows: pa.RecordBatch) -> Outcome:
    from curation.chain import Outcome

    count = rows.num_rows
    return Outcome(
        rows["text"].to_pylist(),
        {name: pa.chunked_array([pa.nulls(count, kind)]) for name, kind in chain.types.items()},
        [[QUARANTINED]] * count,
        [None] * count,
        ["it ends the process that works on it"] * count,
        [[]] * count,
        [Counter()] * count,
        [[]] * count,
    )


class Found:
    """What a chain finds in the documents of a task: written, and counted for its receipt."""

    def __init__(self, chain: Chain, attempt: Attempt) -> None:
        """A file of test items is written if the chain looks for some."""
        names = ("found", "replaced", "documents")
        self._personal = {kind: dict.fromkeys(names, 0) for kind in sorted(chain.redacted)}
        self._touched: Counter[str] = Counter()
        self._hits = (
            attempt.writer("contamination", CONTAMINATION, dictionary=("benchmark",))
            if chain.decontaminates
            else None
        )

    def add(self, documents: pa.RecordBatch, outcome: Outcome) -> None:
        """Personal data is counted in what is kept, test items in all."""
        for kept, found, replaced in zip(
            outcome.kept, outcome.found, outcome.replaced, strict=True
        ):
            counts = Counter(each["type"] for each in found) if kept else {}
            for kind, number in counts.items():
                own = self._personal[kind]
                own["found"] += number
                own["replaced"] += replaced[kind]
                own["documents"] += 1
        if self._hits:
            ids = documents["id"].to_pylist()
            for id_, hits in zip(ids, outcome.hits, strict=True):
                self._hits.write([{"id": id_, **hit} for hit in hits])
                self._touched.update({hit["benchmark"] for hit in hits})

    def counts(self) -> dict[str, Any]:
        """As a receipt has them."""
        return {"pii": self._personal, "contamination": dict(sorted(self._touched.items()))}
