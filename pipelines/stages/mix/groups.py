"""Groups of documents by rule: token parts with the group in the place of the source.

Parts are read, labelled and sorted anew; nothing is encoded again.
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from curation import grouping
from curation.histogram import Histogram, from_table, to_table
from curation.keys import below
from curation.steps import COLUMN
from curation.urls import registered_domain
from pipelines.runs import documents
from pipelines.runs.ids import flat, to_text
from pipelines.runs.parts import read_table
from pipelines.runs.receipts import Attempt, Receipt, Task
from pipelines.runs.steps import Context
from pipelines.stages import chains, tokenizer
from pipelines.stages.tokenize import ROW_GROUP_DOCUMENTS, counted, write_counts
from schemas.tables import tokens_schema

# Above the holdout key of every document that may be validation; others are given it.
_NEVER = (1 << 64) - 1


def limits(context: Context) -> dict[str, int]:
    """For each source of the mix the holdout key below which documents are reserved."""
    reserve = tokenizer.reserves(context)
    return dict.fromkeys(context.recipe.mixed(), _NEVER) if context.recipe.mix.groups else reserve


def regroup(context: Context, step: str, task: Task) -> Receipt:
    """Label and sort the documents of a token part, and count them."""
    table = _grouped(context, task.key)
    with Attempt(context.run, step, task.key) as attempt:
        tokens = tokenizer.load(context)
        schema = tokens_schema(tokens.token_type, widths=tokens.byte_lengths is None)
        writer = attempt.writer(
            "tokens", schema, row_group_rows=ROW_GROUP_DOCUMENTS, dictionary=("source",)
        )
        order = ("source", "key", "id")
        writer.write(table.sort_by([(name, "ascending") for name in order]))
        counts = write_counts(attempt, table, limits(context))
        return attempt.commit(table.num_rows, table.num_rows, counts=counts)


def count(context: Context) -> tuple[dict[str, Histogram], pa.Table]:
    """What the step would count, without a file: tokens by mixing key, and RESERVE rows."""
    found = [
        counted(_grouped(context, receipt.task), limits(context))
        for receipt in context.receipts("tokenize")
    ]
    histograms = from_table(pa.concat_tables(to_table(each.histograms) for each in found))
    return histograms, pa.concat_tables([each.reserve for each in found])


def _grouped(context: Context, part: str) -> pa.Table:
    """The documents of a token part, with the group as source."""
    path = context.receipt("tokenize", part).file("tokens").path
    table = read_table(context.home("tokenize"), path)
    (keys,) = (task.spec["parts"] for task in context.tasks("tokenize") if task.key == part)
    found = pa.concat_tables([_labels(context, key) for key in keys]).combine_chunks()
    at = pc.index_in(to_text(table["id"]), flat(found["id"]))
    # a document that its source has not reserved is not reserved in its group
    least = tokenizer.reserves(context)
    holdout = np.full(table.num_rows, _NEVER, np.uint64)
    for source in pc.unique(table["source"]).to_pylist():
        own = table["holdout"].to_numpy()
        held = pc.equal(table["source"], source).to_numpy() & below(own, least[source])
        holdout[held] = own[held]
    for name, values in (("source", found["group"].take(at)), ("holdout", pa.array(holdout))):
        index = table.schema.get_field_index(name)
        table = table.set_column(index, table.schema.field(index), values)
    return table


def _labels(context: Context, part: str) -> pa.Table:
    """`id` and `group` of the documents of a curated part."""
    groups = context.recipe.mix.groups
    names = grouping.signals_of(groups)
    kept = [name for name in context.recipe.kept_columns() if f"{COLUMN}.{name}" in names]
    home, receipt = context.home("curate"), context.receipt("curate", part)
    rows = read_table(home, receipt.file("text").path, ["id", "source", "url", *kept])
    ids = flat(rows["id"])
    columns = {f"{COLUMN}.{name}": flat(rows[name]) for name in kept}
    # of a signal that both measure, the later value
    for stage in ("filter", "curate"):
        types = chains.schema(chains.chain_of(context.recipe, stage)).names
        own = {name: name for name in types if name in names}
        if stage == "curate":
            own |= {
                f"document.{name}": name for name in grouping.VERDICT if f"document.{name}" in names
            }
        path = context.receipt(stage, part).file("signals").path
        table = read_table(context.home(stage), path, ["id", *dict.fromkeys(own.values())])
        at = pc.index_in(ids, flat(table["id"]))
        columns |= {name: flat(table[column]).take(at) for name, column in own.items()}
    if grouping.DOMAIN in names:
        domains = [registered_domain(url or "") for url in rows["url"].to_pylist()]
        columns[grouping.DOMAIN] = pa.array(domains, pa.string())
    if grouping.COPIES in names:
        clusters = documents.clusters(context, part)
        dropped = flat(clusters["dropped"]).take(pc.index_in(ids, flat(clusters["id"])))
        columns[grouping.COPIES] = pc.add(pc.fill_null(dropped, 0), 1).cast(pa.float64())
    found = grouping.labels(groups, flat(rows["source"]), columns)
    return pa.table({"id": ids, "group": found})
