"""Repeated spans, documents a second on one core, by level:

    python -m tests.benchmarks.spans [DOCUMENTS]

Documents are of some 900 words in 80 lines: lines of the real documents of GRISTMILL_DATA/dedup,
drawn anew, so that three lines in ten stand in many documents. First the kernels, in memory; then
the steps of the stage after the levels of whole documents, from Parquet to Parquet, one worker,
with the peak of memory of their process above that of the process before. Times are CPU seconds.
"""

import gzip
import json
import multiprocessing
import os
import platform
import resource
import sys
import tempfile
import time
from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np

from curation.dedup import bloom, runs
from curation.dedup.keyed_spans import Lines, sentences
from pipelines.commands.dedup import spans_of
from pipelines.engines.runners import Engine
from pipelines.recipes.loading import to_yaml
from pipelines.runs.mill import Mill
from pipelines.runs.receipts import Attempt, Receipt, Task
from pipelines.runs.steps import Context
from pipelines.runs.store import Folder
from pipelines.stages.dedup import stage as deduplicate
from pipelines.stages.dedup.signatures import schema, signature_table
from schemas.deduplicate import Deduplicate
from schemas.recipe import Recipe
from schemas.tables import EDIT

PART = 10_000
LINES = 80  # of a document
LEVELS = ("lines", "lines,paragraphs", "sentences", "bloom", "substring")


@cache
def real_lines() -> list[str]:
    """All lines of the real documents."""
    folder = Path(os.environ.get("GRISTMILL_DATA", "../shared/data"))
    with gzip.open(folder / "dedup" / "documents.jsonl.gz", "rt", encoding="utf-8") as rows:
        return [line for row in rows for line in json.loads(row)["text"].split("\n") if line]


def texts(first: int, count: int) -> list[str]:
    """Documents by their numbers."""
    lines, made = real_lines(), []
    for number in range(first, first + count):
        rng = np.random.default_rng(number)
        chosen = rng.integers(0, len(lines), LINES)
        shared = rng.random(LINES) < 0.3
        chosen[shared] %= 1000
        own = [
            lines[at] if common else f"{lines[at]} {number}a{turn}z"
            for turn, (at, common) in enumerate(zip(chosen.tolist(), shared, strict=True))
        ]
        for at in range(9, LINES, 10):
            own[at] += "\n"
        made.append("\n".join(own))
    return made


def make(context: Context, step: str, task: Task) -> Receipt:
    """A part of texts, as `gristmill dedup` leaves it."""
    recipe = context.recipe.deduplicate
    first = task.spec["first"]
    with Attempt(context.run, step, task.key) as attempt:
        signatures = attempt.writer("signatures", schema(recipe), dictionary=("scope",))
        documents = attempt.writer("documents", EDIT)
        for start in range(first, first + task.size, 500):
            some = texts(start, min(500, first + task.size - start))
            rows = [
                {
                    "id": (start + at).to_bytes(16, "big"),
                    "source": "x",
                    "snapshot": "",
                    "url": None,
                    "crawled": None,
                    "text": text,
                }
                for at, text in enumerate(some)
            ]
            signatures.write(signature_table(recipe, rows))
            documents.write([{"id": row["id"], "text": row["text"]} for row in rows])
        return attempt.commit(task.size, task.size)


def stage(count: int, level: str, results: "multiprocessing.Queue[tuple[float, int, int]]") -> None:
    """CPU seconds, and MB of memory before and after, of the stage over `count` documents."""
    asked = {"near": None, "exact": False, "spans": spans_of(level) if level else {}}
    recipe = Recipe(name="spans", deduplicate=Deduplicate.model_validate(asked))
    with tempfile.TemporaryDirectory() as scratch:
        folder = Folder(scratch)
        folder.create("recipe.yaml", to_yaml(recipe).encode())
        tasks = [
            Task(f"{first:09d}", {"first": first}, min(PART, count - first))
            for first in range(0, count, PART)
        ]
        mill = Mill(Context(folder, recipe), Engine(), tasks)
        mill.plan("filter", "", lambda: tasks)
        mill.do("filter", make, tasks)
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10
        start = time.process_time()
        deduplicate.run(mill, "deduplicate", "")
        seconds = time.process_time() - start
        results.put((seconds, before, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10))


def measured(count: int, level: str) -> tuple[float, int, int]:
    """`stage` in a process of its own."""
    spawn = multiprocessing.get_context("spawn")
    results: multiprocessing.Queue[tuple[float, int, int]] = spawn.Queue()
    process = spawn.Process(target=stage, args=(count, level, results))
    process.start()
    found = results.get()
    process.join()
    return found


def kernels(some: list[str]) -> dict[str, Callable[[], object]]:
    """What each level does to texts."""
    batches = [some[at : at + 256] for at in range(0, len(some), 256)]

    def lines(both: bool) -> None:
        for batch in batches:
            found = Lines(batch)
            found.lines()
            if both:
                found.paragraphs()

    def by_bloom() -> None:
        seen = bloom.Bloom(bloom.bits_for(1 << 24), bloom.hashes_for(0.01))
        for batch in batches:
            for text, grams in zip(batch, bloom.grams(Lines(batch), 13), strict=True):
                bloom.seen(grams, len(text), seen, 0.8)

    def by_runs() -> None:
        found = [runs.tokens(text)[0] for text in some]
        runs.repeated_runs(np.concatenate(found), np.array(list(map(len, found))))

    return {
        "lines": lambda: lines(False),
        "lines,paragraphs": lambda: lines(True),
        "sentences": lambda: [sentences(batch, 3) for batch in batches],
        "bloom": by_bloom,
        "substring": by_runs,
    }


def main() -> None:
    """Print a row for each level."""
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 20_000
    some = texts(0, 1024)
    words = sum(len(text.split()) for text in some) / len(some)
    print(f"{platform.machine()}, Python {platform.python_version()}, {words:.0f} words a document")
    idle, *_ = measured(count, "")
    print(f"{'level':<20}{'kernel docs/s':>15}{'stage docs/s':>15}{'peak MB':>10}{'above':>8}")
    work = kernels(some)
    for level in LEVELS:
        work[level]()
        start = time.process_time()
        work[level]()
        alone = len(some) / (time.process_time() - start)
        seconds, before, peak = measured(count, level)
        rate = count / max(seconds - idle, 1e-9)
        print(f"{level:<20}{alone:>15,.0f}{rate:>15,.0f}{peak:>10,}{peak - before:>8,}", flush=True)


if __name__ == "__main__":
    main()
