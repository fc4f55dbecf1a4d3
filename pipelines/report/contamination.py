"""Test items in the documents of a run, by benchmark."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator

import pyarrow as pa

from pipelines.look.display import line
from pipelines.report import shape
from pipelines.runs.parts import read_table
from pipelines.runs.steps import Context
from schemas.chain import DecontaminateStep
from schemas.tables import CONTAMINATION

TOP = 10
_COLUMNS = ("benchmark", "item", "score")


def contamination(context: Context, stage: str) -> Iterator[shape.Contamination]:
    """What the chain of a finished stage found; nothing if it looks for none."""
    steps = [
        step.decontaminate
        for step in getattr(context.recipe, stage).chain
        if isinstance(step, DecontaminateStep)
    ]
    if not steps:
        return
    held: Counter[str] = Counter()
    for asked in steps:
        files = context.run.glob(f"models/{str(asked.index.sha256)[:16]}-*/index.json")
        known = json.loads(context.run.read(files[0][0]))["benchmarks"]
        for name in asked.benchmarks or known:
            held[name] += known[name]["items"]
    touched: Counter[str] = Counter()
    documents = 0
    found = pa.schema([CONTAMINATION.field(name) for name in _COLUMNS]).empty_table()
    items = found.append_column("documents", pa.array([], pa.int64()))
    for receipt in context.receipts(stage):
        touched.update(receipt.counts["contamination"])
        table = read_table(context.home(stage), receipt.file("contamination").path)
        documents += len(table["id"].unique())
        own = table.select(_COLUMNS).append_column(
            "documents", pa.array([1] * len(table), pa.int64())
        )
        items = (
            pa.concat_tables([items, own])
            .group_by(["benchmark", "item"], use_threads=False)
            .aggregate([("score", "max"), ("documents", "sum")])
            .rename_columns({"score_max": "score", "documents_sum": "documents"})
            .select(items.column_names)
        )
    seen = Counter(items["benchmark"].to_pylist())
    order = [("documents", "descending"), ("score", "descending"), ("item", "ascending")]
    yield shape.Contamination(
        stage=stage,
        policy=" and ".join(dict.fromkeys(asked.policy for asked in steps)),
        documents=documents,
        benchmarks=[
            shape.Benchmark(
                name=line(name), items=held[name], seen=seen[name], documents=touched[name]
            )
            for name in sorted(held, key=lambda name: (-touched[name], name))
        ],
        top=[
            shape.TestItem(
                benchmark=line(row["benchmark"]),
                item=line(row["item"]),
                documents=row["documents"],
                score=row["score"],
            )
            for row in items.sort_by(order)[:TOP].to_pylist()
        ],
    )
