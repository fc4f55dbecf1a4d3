"""Test items found in documents, and what it costs, beside plain n-gram overlap in the same run.

    python -m tests.benchmarks.decontamination [ITEMS]

Documents: the data sets' planted ones, half of them with a benchmark item put in by one of nine
ways, and the data sets' other texts, where the cost is of 6,000 characters. The peer is what most
pipelines do: a document is contaminated if it shares 13 words in a row with an item, words split
as here. Then an index of ITEMS (1,000,000) items, made from the words of the real ones in other
orders, is built, and its size and cost are told, and, of WORKERS processes that each have it open
and have looked at the planted documents, the memory of their own and that of the files which they
share (Linux's Pss and Rss of the mapped files). The data sets are in the folder named by
GRISTMILL_DATA.
"""

from __future__ import annotations

import gzip
import json
import multiprocessing
import os
import random
import resource
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from multiprocessing.queues import Queue
from multiprocessing.synchronize import Barrier
from pathlib import Path

import numpy as np

from curation.decontamination import Detector, Item, build, load, save
from curation.decontamination.words import hashes

OVERLAP = 13
WORKERS = 4
KINDS = ("web", "books", "papers", "docs", "code", "qa")


def rows_of(path: Path) -> list[dict[str, object]]:
    """Rows of a file."""
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]


def items_of(folder: Path) -> list[Item]:
    """The items of all benchmarks."""
    return [
        Item(
            str(row["benchmark"]),
            str(row["id"]),
            str(row["text"]),
            tuple(row.get("choices") or ()),
            str(row.get("answer") or ""),
        )
        for path in sorted(folder.glob("*.jsonl.gz"))
        if path.name != "planted.jsonl.gz"
        for row in rows_of(path)
    ]


def cost(work: Callable[[Sequence[str]], object], texts: Sequence[str]) -> float:
    """CPU milliseconds a text, the better of three runs."""
    taken = []
    for _ in range(3):
        start = time.process_time()
        work(texts)
        taken.append(time.process_time() - start)
    return min(taken) / len(texts) * 1e3


def runs(text: str) -> set[bytes]:
    """Thirteen words in a row."""
    words = hashes([text])[0]
    return {words[at : at + OVERLAP].tobytes() for at in range(len(words) - OVERLAP + 1)}


def told(rows: list[dict[str, object]], found: list[bool]) -> str:
    """How many are found, by how they were planted, and how many of the clean ones."""
    missed: Counter[object] = Counter()
    hit = false = 0
    for row, one in zip(rows, found, strict=True):
        hit += bool(row["contaminated"]) and one
        false += not row["contaminated"] and one
        missed[row["how"]] += bool(row["contaminated"]) and not one
    planted = sum(bool(row["contaminated"]) for row in rows)
    lost = ", ".join(f"{how} {count}" for how, count in missed.items() if count)
    return f"{hit} of {planted}, {false} of {len(rows) - planted} clean; missed: {lost}"


def shuffled(items: list[Item], count: int) -> Iterator[Item]:
    """`count` items with the words of real ones in other orders."""
    picks = random.Random(1)
    vocabulary = [word for item in items for word in item.text.split()]
    for number in range(count):
        size = len(items[number % len(items)].text.split())
        yield Item("made", str(number), " ".join(picks.choices(vocabulary, k=size)))


def work(folder: str, texts: list[str], barrier: Barrier, results: Queue) -> None:
    """Open the index, look for it in texts, and tell kilobytes by kind when all have done so."""
    before = private()
    detector = Detector(load(Path(folder), check=False))
    detector.find(texts)
    barrier.wait()
    own = private() - before
    mapped: Counter[str] = Counter()
    within = False
    for line in Path("/proc/self/smaps").read_text().splitlines():
        name, _, rest = line.partition(" ")
        if not name.endswith(":"):
            within = folder in line
        elif within and name in ("Rss:", "Pss:"):
            mapped[name[:-1]] += int(rest.split()[0])
    results.put({"own": own, **mapped})
    barrier.wait()


def private() -> int:
    """Kilobytes of this process that are in no other."""
    rows = Path("/proc/self/smaps_rollup").read_text().splitlines()
    return sum(int(row.split()[1]) for row in rows if row.startswith("Private_Dirty:"))


def share(folder: str, texts: list[str]) -> list[dict[str, int]]:
    """What `work` tells of WORKERS processes."""
    context = multiprocessing.get_context("spawn")
    barrier, results = context.Barrier(WORKERS), context.Queue()
    workers = [
        context.Process(target=work, args=(folder, texts, barrier, results)) for _ in range(WORKERS)
    ]
    for worker in workers:
        worker.start()
    found = [results.get(timeout=120) for _ in workers]
    for worker in workers:
        worker.join()
    return found


def main() -> None:
    """Print the figures."""
    data = Path(os.environ["GRISTMILL_DATA"])
    items = items_of(data / "decontamination")
    planted = rows_of(data / "decontamination/planted.jsonl.gz")
    texts = [str(row["text"]) for row in planted]
    detector = Detector(build(items))
    print(f"{len(items):,} items, {int(detector.index.told().sum()):,} long enough to be told")
    known = {run for item in items for run in runs(item.text)}
    print("gristmill   ", told(planted, [bool(hits) for hits in detector.find(texts)]))
    print("13 words    ", told(planted, [bool(runs(text) & known) for text in texts]))
    print(f"ms a planted document: {cost(detector.find, texts):.3f}")
    clean = {
        kind: [str(r["text"]) for r in rows_of(data / f"sources/{kind}.jsonl.gz")] for kind in KINDS
    }
    for kind, own in clean.items():
        each = cost(detector.find, own) * len(own) / sum(map(len, own)) * 6_000
        hits = sum(map(bool, detector.find(own)))
        print(f"{kind:7} {each:.3f} ms for 6,000 characters; {hits} of {len(own):,} hit")
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000
    with tempfile.TemporaryDirectory() as scratch:
        start = time.process_time()
        save(build(shuffled(items, count)), Path(scratch))
        taken = time.process_time() - start
        size = sum(path.stat().st_size for path in Path(scratch).iterdir())
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1 << 20)
        print(
            f"{count:,} items: {size / 1e6:,.0f} MB, "
            f"built in {taken:.0f} s of processor time, peak {peak:.1f} GiB"
        )
        large = Detector(load(Path(scratch)))
        print(f"mean words of a unit: {np.diff(large.index.starts).mean():.1f}")
        print(f"ms a planted document: {cost(large.find, texts):.3f}")
        found = share(scratch, texts)
        mib = {name: sum(each[name] for each in found) / 1024 for name in ("Rss", "Pss", "own")}
        print(
            f"{WORKERS} processes: {mib['Rss'] / WORKERS:,.0f} MiB of the index in each, "
            f"{mib['Pss']:,.0f} in all together; {mib['own'] / WORKERS:,.0f} of its own in each"
        )


if __name__ == "__main__":
    main()
