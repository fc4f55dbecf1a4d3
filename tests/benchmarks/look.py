"""Looking at a run of many documents: what the index costs to make, and how soon answers come.

    python -m tests.benchmarks.look 1e6 [FOLDER]

The run is synthetic, its files are real: documents, signals and shards are written by the writers
of a run, and indexed by its last stage. 10 million take some 4 GB of disk.
"""

import json
import resource
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import tokenizers

from pipelines.engines.runners import Engine
from pipelines.look import sweep, why
from pipelines.look.query import query
from pipelines.recipes.loading import load
from pipelines.report.collect import collect
from pipelines.report.report import to_html
from pipelines.report.shape import SourceMix
from pipelines.run import Run
from pipelines.runs import rejections
from pipelines.runs.ids import to_bytes, to_text
from pipelines.runs.mill import Mill
from pipelines.runs.parts import read_table
from pipelines.runs.receipts import Attempt, Receipt, Task
from pipelines.runs.steps import Context
from pipelines.runs.store import Folder
from pipelines.stages import chains, index
from pipelines.stages.tokenizer import FILE
from pipelines.takedown.find import Asked, find
from schemas.shard import RowGroup, ShardFile, ShardManifest, Split, TokenizerEntry, shard_schema
from schemas.tables import CLUSTER, CURATED, CUT, DOCUMENT, EDIT, REJECTION
from tests.runs import DEMO

PART = 40_000  # documents of a task: a WARC file of a crawl
LENGTH = 256
OVER = {"deduplicate": {"near": None}}
RULE = "gopher_below_alpha_threshold"


def ids(first: int, count: int) -> pa.Array:
    """Ids of documents, spread as digests are."""
    numbers = np.arange(first, first + count, dtype=np.uint64)
    mixed = numbers * np.uint64(0x9E3779B97F4A7C15)
    pairs = np.stack([mixed, ~mixed], axis=1).astype(">u8")
    return pa.FixedSizeBinaryArray.from_buffers(pa.binary(16), count, [None, pa.py_buffer(pairs)])


def urls(first: int, count: int) -> list[str]:
    """Addresses of a hundred pages a site."""
    return [f"https://www.site{n // 100}.example/page/{n}" for n in range(first, first + count)]


def whole(schema: pa.Schema, count: int, given: dict[str, Any]) -> pa.Table:
    """A table in which all other columns are null or empty."""
    columns = []
    for field in schema:
        if field.name in given:
            columns.append(given[field.name])
        elif field.nullable:
            columns.append(pa.nulls(count, field.type))
        else:
            text = str(field.type) in ("string", "large_string")
            empty: Any = [] if pa.types.is_list(field.type) else "" if text else 0
            columns.append(pa.array([empty] * count, field.type))
    return pa.table(columns, schema=schema)


def extract(context: Context, step: str, task: Task) -> Receipt:
    """Documents without texts."""
    first, count = task.spec["first"], task.spec["count"]
    given = {
        "id": to_text(ids(first, count)),
        "source": pa.repeat("web", count),
        "url": pa.array(urls(first, count)),
        "text": pa.repeat("A short text.", count).cast(pa.large_string()),
        "file": pa.repeat("a.warc.gz", count),
        "offset": pa.array(np.arange(first, first + count)),
        "offset_kind": pa.repeat("byte", count),
    }
    with Attempt(context.run, step, task.key) as attempt:
        attempt.writer("documents", DOCUMENT, dictionary=("source", "file")).write(
            whole(DOCUMENT, count, given)
        )
        rejections.writer(attempt).write(REJECTION.empty_table())
        noted: dict[str, Any] = {n: {} for n in ("flaws", "opt_outs", "licences", "others")}
        return attempt.commit(count, count, counts={"bytes": count, **noted})


def filter_(context: Context, step: str, task: Task) -> Receipt:
    """Signals as they might be, and what the chain makes of one of them."""
    first, count = task.spec["first"], task.spec["count"]
    schema = chains.schema(chains.chain_of(context.recipe, "filter"))
    random = np.random.default_rng(first)
    words = np.round(random.beta(20, 4, count), 9)
    kept = words >= 0.8
    reasons = [[] if good else [RULE] for good in kept]
    signals = {f.name: pa.array(np.round(random.random(count), 9)) for f in schema if "." in f.name}
    given = {
        "id": to_text(ids(first, count)),
        "source": pa.repeat("web", count),
        "url": pa.array(urls(first, count)),
        "kept": pa.array(kept),
        "reasons": pa.array(reasons, schema.field("reasons").type),
        "language": pa.repeat("en", count),
        "bytes": pa.array(random.integers(500, 9000, count)),
        **signals,
        "gopher.alpha_words": pa.array(words),
    }
    with Attempt(context.run, step, task.key) as attempt:
        attempt.writer("signals", schema, dictionary=chains.REPEATED).write(
            whole(schema, count, given)
        )
        gone = given["id"].filter(pa.array(~kept))
        rejections.writer(attempt).write(rejections.table("filter", gone, RULE))
        attempt.writer("edits", EDIT).write(EDIT.empty_table())
        number = int((~kept).sum())
        found = {"failing": {RULE: number}, "edited": 0, "pii": {}, "contamination": {}}
        return attempt.commit(count, count - number, {RULE: number}, found)


def deduplicate(context: Context, step: str, task: Task) -> Receipt:
    """Drops nothing."""
    count = context.receipt("filter", task.key).kept
    with Attempt(context.run, step, task.key) as attempt:
        rejections.writer(attempt).write(REJECTION.empty_table())
        attempt.writer("clusters", CLUSTER).write(CLUSTER.empty_table())
        attempt.writer("cuts", CUT).write(CUT.empty_table())
        return attempt.commit(count, count)


def curate(context: Context, step: str, task: Task) -> Receipt:
    """Keeps what is left."""
    path = context.receipt("filter", task.key).file("signals").path
    before = read_table(context.run, path, ["id", "source", "url", "kept", "bytes"])
    rows = before.filter(before["kept"])
    schema = chains.schema(chains.chain_of(context.recipe, "curate"))
    given = {name: rows[name] for name in rows.column_names}
    with Attempt(context.run, step, task.key) as attempt:
        for kind, own in (("text", CURATED), ("signals", schema)):
            attempt.writer(kind, own).write(whole(own, rows.num_rows, given))
        rejections.writer(attempt).write(REJECTION.empty_table())
        found = {"bytes": {"web": pc.sum(rows["bytes"]).as_py()}, "pii": {}, "contamination": {}}
        return attempt.commit(rows.num_rows, rows.num_rows, counts=found)


def shards(run: Folder, total: int) -> None:
    """Rows of a document each, without real tokens, and their manifest."""
    schema = shard_schema(LENGTH, 2048)
    files = []
    step = 10 * PART
    for number, first in enumerate(range(0, total, step)):
        count = min(step, total - first)
        segments = pa.StructArray.from_arrays(
            [
                pa.array(np.zeros(count, np.int32)),
                to_bytes(to_text(ids(first, count))),
                pa.array(np.zeros(count, np.int64)),
                pa.array(np.full(count, 1000, np.int32)),
            ],
            fields=list(schema.field("segments").type.value_type),
        )
        lists = pa.ListArray.from_arrays(np.arange(count + 1, dtype=np.int32), segments)
        tokens = pa.array(np.zeros(count * LENGTH, np.uint16))
        table = pa.table(
            [
                pa.FixedSizeListArray.from_arrays(tokens, LENGTH),
                pa.repeat(pa.scalar(LENGTH, pa.int32()), count),
                pa.repeat("web", count).dictionary_encode(),
                lists,
            ],
            names=schema.names,
        ).cast(schema)
        with Attempt(run, "shards-of-benchmark", f"{number:06d}") as attempt:
            writer = attempt.writer("rows", schema, folder="shards/train", row_group_rows=512)
            writer.write(table)
            file = attempt.commit(count, count).files[0]
        groups = [RowGroup(rows=n, tokens=n * LENGTH, digest=d) for n, d in writer.digests]
        files.append(
            ShardFile(path=file.path.removeprefix("shards/"), rows=count, tokens=count * LENGTH,
                      size=file.size, sha256=file.sha256, row_groups=tuple(groups))
        )  # fmt: skip
    empty = Split(rows=0, tokens=0, padding=0, sources={}, files=())
    train = empty.model_copy(update={"rows": total, "files": tuple(files)})
    names = ("vocabulary", "end_of_text", "begin_of_text", "padding")
    numbers = dict(zip(names, (2048, 0, None, 1), strict=True))
    entry = TokenizerEntry(path="", sha256="", **numbers)
    manifest = ShardManifest(
        sequence_length=LENGTH, token_type="uint16", tokenizer=entry, layout_digest="",
        splits={"train": train, "validation": empty},
    )  # fmt: skip
    run.replace("shards/manifest.json", json.dumps(manifest.model_dump(mode="json")).encode())


def timed(what: str, work: Callable[[], Any]) -> Any:
    """Do it and say how long it took."""
    begun = time.monotonic()
    found = work()
    print(f"{what:<52} {time.monotonic() - begun:>8.2f} s", flush=True)
    return found


def main(total: int, folder: str) -> None:
    """Make the run and look at it."""
    run = Folder(folder)
    made = (
        Run.open(folder) if run.exists("recipe.yaml") else Run.create(load(str(DEMO), OVER), folder)
    )
    tasks = [
        Task(f"{first:012d}", {"first": first, "count": min(PART, total - first), "source": "web",
                               "ranges": [], "parts": [f"{first:012d}"]})
        for first in range(0, total, PART)
    ]  # fmt: skip
    mill = Mill(made.context, Engine(), [])
    every = {"extract": extract, "filter": filter_, "deduplicate": deduplicate, "curate": curate}
    for step, work in every.items():
        timed(f"write {step}", partial(mill.do, step, work, mill.plan(step, step, lambda: tasks)))
    run.replace(FILE, tokenizer())
    kept = mill.context.manifest("curate").kept
    for step in ("tokenizer", "tokenize", "mix"):
        one = mill.plan(step, step, lambda: [Task("a", {"documents": kept})])
        mill.do(step, counts, one)
    if not run.exists("shards/manifest.json"):
        timed("write shards", partial(shards, run, total))
    timed("index", partial(index.run, mill, "index", "index"))
    size = sum(path.stat().st_size for path in (Path(folder) / "index").rglob("*.parquet"))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"the index takes {size / total:.0f} bytes a document; peak memory so far {peak:,.0f} MB")
    look = Run.open(folder)
    number = total // 3
    (url,) = urls(number, 1)
    told = timed("why, by URL", lambda: list(why.stories(look, url)))
    assert [each.url for each in told] == [url]
    (id_,) = to_text(ids(number, 1)).to_pylist()
    assert [each.id for each in timed("why, by id", lambda: list(why.stories(look, id_)))] == [id_]
    asked = Asked(domain=f"site{number // 100}.example")
    touched = timed("takedown --domain --dry-run", lambda: find(look, asked))
    assert len(touched.documents) == 100
    swept = timed("sweep of one threshold", lambda: sweep.sweep(look, RULE, [0.75]))
    assert swept.points[0.75].total > swept.own.total
    timed("sweep of eleven", lambda: sweep.sweep(look, RULE, sweep.thresholds(0.7, 0.9, 11)))
    sql = "SELECT reason, count(*) FROM rejections GROUP BY ALL"
    timed("query of reasons", lambda: query(look, sql).read_all())
    found = timed("report, its numbers", lambda: collect(look))
    page = timed("report, its page", lambda: to_html(found))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"the page has {len(page) / 1e6:.2f} MB; peak memory of all {peak:,.0f} MB")


def tokenizer() -> bytes:
    """One of bytes, with few merges."""
    made = tokenizers.Tokenizer(tokenizers.models.BPE())
    made.decoder = tokenizers.decoders.ByteLevel()
    alphabet = tokenizers.pre_tokenizers.ByteLevel.alphabet()
    trainer = tokenizers.trainers.BpeTrainer(vocab_size=300, initial_alphabet=alphabet)
    made.train_from_iterator(["A short text, and a longer one."], trainer)
    return made.to_str().encode()


def counts(context: Context, step: str, task: Task) -> Receipt:
    """A stage of which only what its receipt counts is read."""
    number = task.spec["documents"]
    entry = dict.fromkeys(SourceMix.__annotations__, 0)
    entry |= {"documents": number, "train_documents": number}
    del entry["source"]  # type: ignore[misc]
    found = {
        "tokens": {"web": LENGTH * number}, "bytes": {"web": 1000 * number},
        "documents": {"web": number}, "sources": {"web": entry}, "portions": [],
    }  # fmt: skip
    through = 0 if step == "tokenizer" else number
    with Attempt(context.run, step, task.key) as attempt:
        return attempt.commit(through, through, counts=found)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as scratch:
        main(int(float(sys.argv[1])), sys.argv[2] if sys.argv[2:] else f"{scratch}/run")
