"""Clustering of synthetic signatures: python -m tests.benchmarks.dedup_scale [DOCUMENTS] [WORKERS]
    [PRESET|B,R,N]

Three documents in ten are copies of one of a tenth as many pages, with a similarity of .93 to it;
the others are like nothing. Signatures are made first, in the layout of a run (14 x 8), and not
timed. Prints the time and the disk of each step, processor time, the peak of memory of all
processes together, the share of the planted pairs that was found, and what 100 million documents
would take at this rate. MEMORY is the engine's, in bytes. Files take 1.4 KB a document below
TMPDIR, and as much as MEMORY while a pass is shuffled.
"""

import os
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import psutil
import pyarrow as pa

from curation.dedup.words import mix
from pipelines.commands.dedup import near_of
from pipelines.engines.runners import Engine
from pipelines.recipes.loading import to_yaml
from pipelines.runs.events import Event, StepBegun, StepFinished
from pipelines.runs.mill import Mill
from pipelines.runs.parts import read_table
from pipelines.runs.receipts import Attempt, Receipt, Task
from pipelines.runs.steps import Context
from pipelines.runs.store import Folder
from pipelines.stages.dedup import stage as deduplicate
from pipelines.stages.dedup.signatures import near_columns, schema
from schemas.recipe import Recipe

PART = 50_000
SIMILARITY = 0.93
_ODD = np.uint64(0x9E3779B97F4A7C15)


def pages(first: int, count: int, total: int) -> np.ndarray:
    """Which page each document is a copy of; numbers from `total` on are of documents alone."""
    number = np.arange(first, first + count, dtype=np.uint64)
    chance = mix(number + _ODD)
    copied = chance % np.uint64(10) < 3
    of = (chance >> np.uint64(8)) % np.uint64(max(1, total // 10))
    return np.where(copied, of, number + np.uint64(total))


def make(context: Context, step: str, task: Task) -> Receipt:
    """Signatures of consecutive documents."""
    near = context.recipe.deduplicate.near
    assert near is not None
    first, count, total = (task.spec[name] for name in ("first", "count", "total"))
    values = np.arange(near.bands * near.rows, dtype=np.uint64)
    with Attempt(context.run, step, task.key) as attempt:
        writer = attempt.writer("signatures", schema(context.recipe.deduplicate))
        for start in range(first, first + count, 4096):
            rows = min(4096, first + count - start)
            page = pages(start, rows, total)
            number = np.arange(start, start + rows, dtype=np.uint64)
            signatures = mix(mix(page)[:, None] + values * _ODD)
            noise = mix(mix(number ^ _ODD)[:, None] + values * _ODD)
            # two copies agree where neither was changed
            changed = noise / 2**64 > SIMILARITY**0.5
            signatures[changed] = mix(noise[changed])
            ids = np.stack([mix(number), number], axis=1)
            columns = {
                "id": binary(ids),
                "scope": pa.array([""] * rows),
                "preference": pa.array(mix(number + np.uint64(5)) >> np.uint64(1)),
                "digest": binary(ids),
                **near_columns(near, signatures, [""] * rows),
            }
            writer.write(pa.table(columns, schema(context.recipe.deduplicate)))
        return attempt.commit(count, count)


def binary(array: np.ndarray) -> pa.Array:
    """The rows of an array as bytes."""
    width = array.itemsize * array.shape[1]
    return pa.FixedSizeBinaryArray.from_buffers(
        pa.binary(width), len(array), [None, pa.py_buffer(np.ascontiguousarray(array))]
    )


@contextmanager
def peak_memory() -> Iterator[list[int]]:
    """Peak of the bytes of this process and its children together (PSS: what several share is
    counted once), sampled twice a second."""
    peak = [0]
    over = threading.Event()

    def watch() -> None:
        own = psutil.Process()
        while not over.wait(0.5):
            total = 0
            for process in [own, *own.children(recursive=True)]:
                try:
                    total += process.memory_full_info().pss
                except psutil.Error:
                    continue
            peak[0] = max(peak[0], total)

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield peak
    finally:
        over.set()
        thread.join()


class Timed:
    """Keeps the seconds of each step."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self.processor: dict[str, float] = {}

    def __call__(self, event: Event) -> None:
        if isinstance(event, StepBegun):
            self.begun, self.used = time.monotonic(), time.process_time()
        elif isinstance(event, StepFinished):
            self._end(event.step)

    def _end(self, step: str) -> None:
        self.seconds[step] = time.monotonic() - self.begun
        self.processor[step] = time.process_time() - self.used
        print(f"{step:<28} {self.seconds[step]:8.1f} s", flush=True)


def disk(run: Folder, step: str) -> int:
    """Bytes of a step's own files, without those of the steps below it."""
    assert run.local is not None
    folder = run.local / step
    below = [path.parent for path in folder.glob("*/plan.jsonl")]
    return sum(
        path.stat().st_size
        for path in folder.rglob("*")
        if path.is_file() and not any(path.is_relative_to(other) for other in below)
    )


def plan(mill: Mill, timed: Timed, total: int) -> None:
    """What each step takes a document, and a hundred million of them; `us of processor` is the
    driver's, which does all of the work of one worker."""
    heads = ("us each", "us of processor", "bytes each", "100 M: min", "GiB")
    print(f"{'step':<28}", *(f"{head:>10}" for head in heads))
    rows = [
        (step, seconds / total, timed.processor[step] / total, disk(mill.run, step) / total)
        for step, seconds in timed.seconds.items()
        if step != "filter"
    ]
    rows.append(("all", *(sum(row[at] for row in rows) for at in (1, 2, 3))))
    rows.append(("signatures", 0.0, 0.0, disk(mill.run, "filter") / total))
    for step, seconds, processor, size in rows:
        print(
            f"{step:<28} {seconds * 1e6:10.1f} {processor * 1e6:15.1f} {size:10.0f} "
            f"{seconds * 1e8 / 60:10.0f} {size * 1e8 / 2**30:6.0f}"
        )


def recall(context: Context, total: int) -> tuple[float, int]:
    """Share of documents with copies that are with their page, and clusters of two pages."""
    dropped = []
    for receipt in context.receipts("deduplicate"):
        table = read_table(context.run, receipt.file("rejections").path)
        both = [
            bytes.fromhex("".join(table[name].to_pylist())) for name in ("id", "representative")
        ]
        dropped.append(np.stack([np.frombuffer(data, "<u8")[1::2] for data in both], axis=1))
    pairs = np.concatenate(dropped)
    page = pages(0, total, total)
    wrong = int(np.count_nonzero(page[pairs[:, 0]] != page[pairs[:, 1]]))
    copies = page[page < total]
    return len(pairs) / max(1, len(copies) - len(np.unique(copies))), wrong


def main() -> None:
    """Make, cluster, print."""
    total = int(float(sys.argv[1])) if len(sys.argv) > 1 else 1_000_000
    workers = int(sys.argv[2]) if len(sys.argv) > 2 else 2
    near = near_of(sys.argv[3] if len(sys.argv) > 3 else "fineweb")
    recipe = Recipe.model_validate({"name": "scale", "deduplicate": {"exact": False, "near": near}})
    with tempfile.TemporaryDirectory(prefix="gristmill-") as scratch:
        run = Folder(f"{scratch}/run")
        run.create("recipe.yaml", to_yaml(recipe).encode())
        engine = Engine("local", workers, int(os.environ.get("MEMORY", 1 << 30)))
        timed = Timed()
        mill = Mill(Context(run, recipe), engine, [], timed)
        tasks = [
            Task(
                f"{first:012d}", {"first": first, "count": min(PART, total - first), "total": total}
            )
            for first in range(0, total, PART)
        ]
        tasks = mill.plan("filter", "made", lambda: tasks)
        mill.do("filter", make, tasks)
        mill.close()  # so that what the workers took till now is known
        begun, before = time.monotonic(), os.times()
        with peak_memory() as peak:
            done = deduplicate.run(mill, "deduplicate", "made")
        taken = time.monotonic() - begun
        mill.close()
        after = os.times()
        share, wrong = recall(mill.context, total)
        own = after.user + after.system - before.user - before.system
        children = sum(after[2:4]) - sum(before[2:4])
        print(
            f"{total:,} documents, {workers} workers, {os.cpu_count()} processors: {taken:.0f} s, "
            f"{taken / total * 1e6:.1f} us a document\n"
            f"processor time: {own:.0f} s in the driver, {children:.0f} s in its workers\n"
            f"{peak[0] / 2**30:.2f} GiB in all processes\n"
            f"{done.kept:,} kept, {done.rejected}; {share:.4f} of the copies found, {wrong} wrong"
        )
        plan(mill, timed, total)


if __name__ == "__main__":
    from tests.benchmarks import dedup_scale  # by which name workers import it

    dedup_scale.main()
