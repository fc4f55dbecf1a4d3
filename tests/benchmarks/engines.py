"""Engines side by side: what a run takes on each, what crosses them, and what they bear.

    python -m tests.benchmarks.engines compare [--copies 1 10] [--engines local prism flink spark]
        [--workers 1 2] [--price 0.05]
    python -m tests.benchmarks.engines kills [--what worker driver pool]

`compare` mills the sample so many times, each time with other words by a keyed hash: identical
copies would collapse. Of each run it prints wall and CPU seconds, the peak of the memory of all
processes (proportional, so that what they share counts once), the jobs, and the CPU beyond that
of the first engine; of each step the CPU in its receipts, which is the work, and beyond them,
which is the engine. Then the bytes of keys that cross each shuffle, a document, and what a
billion documents would take on 1,000 cores, by what one more document took on the last engine:
what it takes to begin is in the jobs. Above 10 copies only the first engine runs, which shows
whether a document's cost stays the same (`--copies 1 10 100`).

`kills` runs the demo on a Spark cluster of two workers, once for each job and each thing to be
killed in the middle of it: a worker with its executor, the driver, the pool of Python workers. The
command is given again where the run has ended. It compares shards, ledger and what `verify` finds
with those of a run that was left alone.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import random
import re
import signal
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import psutil
import yaml

from curation.extraction.charset import decode
from curation.readers import Record
from curation.readers.warc import read_warc
from pipelines.engines import runners
from pipelines.engines.jobs import ByKey, Job, Receive, run_here
from pipelines.engines.runners import Engine
from pipelines.recipes.loading import load
from pipelines.run import Run
from tests.benchmarks.crawl_stream import _PIECE, Item, record
from tests.pipelines.engines.clusters import spark_cluster
from tests.runs import DEMO, balanced, mill, shards, start

DOCUMENTS, CORES = 1_000_000_000, 1_000  # of the model
MOST = 10  # copies that all engines mill
CHANGED = 0.4  # of the words, so that no two copies are near duplicates
_WORD = re.compile(r"\w{4,}")


# --- data ---------------------------------------------------------------------------------------


def replicate(folder: Path, copies: int) -> Path:
    """A recipe over the sample's pages, so many times, with words of other pages in them."""
    pages: list[str] = []
    for file in sorted((DEMO.parent / "sample").glob("*.warc.gz")):
        with file.open("rb") as stream:
            pages += [
                decode(each.payload, each.charset)[0]
                for each in read_warc(stream, 0, file.stat().st_size, max_record_bytes=1 << 24)
                if isinstance(each, Record) and each.kind == "response" and each.payload
            ]
    words = [word for page in pages for piece in _texts(page) for word in _WORD.findall(piece)]
    folder.mkdir(parents=True)
    for copy in range(copies):
        with (folder / f"copy-{copy:04d}.warc.gz").open("wb") as file:
            for number, page in enumerate(pages):
                text = _changed(page, words, random.Random(f"{copy} {number}")) if copy else page
                item = Item("english", "en", 200, "text/html; charset=utf-8", text.encode())
                file.write(record(copy * len(pages) + number, item)[1])
    recipe = folder / "recipe.yaml"
    recipe.write_text(yaml.safe_dump({
        "extends": "fineweb", "name": "engines",
        "splits": {"bytes": 4 << 20, "part_bytes": 4 << 20},
        "inputs": [{"source": "web", "root": str(folder), "files": ["*.warc.gz"]}],
        "tokenizer": {"train": {"vocabulary": 4096}}, "mix": {"validation": {"tokens": 8192}},
    }))  # fmt: skip
    return recipe


def _texts(page: str) -> list[str]:
    return [found[0] for found in _PIECE.finditer(page) if not found[0].startswith("<")]


def _changed(page: str, words: list[str], chance: random.Random) -> str:
    def word(found: re.Match[str]) -> str:
        return chance.choice(words) if chance.random() < CHANGED else found[0]

    def piece(found: re.Match[str]) -> str:
        return found[0] if found[0].startswith("<") else _WORD.sub(word, found[0])

    return _PIECE.sub(piece, page)


# --- one run ------------------------------------------------------------------------------------


@dataclass
class Tree:
    """What a process and all that it has started take, looked at several times a second."""

    process: psutil.Process
    peak: int = 0
    _cpu: dict[tuple[int, float], float] = field(default_factory=dict)

    def look(self) -> None:
        """Look once."""
        memory = 0
        try:
            found = [self.process, *self.process.children(recursive=True)]
        except psutil.NoSuchProcess:
            return
        for each in found:
            try:
                times = each.cpu_times()
                self._cpu[each.pid, each.create_time()] = times.user + times.system
                memory += each.memory_full_info().pss
            except (psutil.NoSuchProcess, psutil.AccessDenied):
                continue
        self.peak = max(self.peak, memory)

    @property
    def cpu(self) -> float:
        """Seconds so far."""
        return sum(self._cpu.values())


class Step(NamedTuple):
    """What a step of a run took, and the part of it that its receipts tell of."""

    wall: float
    cpu: float
    work: float


@dataclass
class Taken:
    """What a run took."""

    wall: float
    cpu: float
    peak: int
    jobs: int
    documents: int
    steps: dict[str, Step]


def taken(recipe: Path, output: Path, engine: str, workers: int) -> Taken:
    """Run it as a user does."""
    words = ["--runner", engine, "--workers", str(workers), "--progress", "json"]
    begun = time.monotonic()
    process = start("run", str(recipe), "--output", str(output), *words)
    tree, over = Tree(psutil.Process(process.pid)), threading.Event()

    def watch() -> None:
        while not over.wait(0.25):
            tree.look()

    watcher = threading.Thread(target=watch)
    watcher.start()
    open_: dict[str, tuple[float, float]] = {}
    spans: dict[str, tuple[float, float]] = {}
    jobs, said = 0, []
    assert process.stderr is not None
    for line in process.stderr:
        said.append(line)
        event = json.loads(line) if line.startswith("{") else {"event": ""}
        now = (time.monotonic(), tree.cpu)
        jobs += event["event"] == "JobBegun"
        if event["event"] == "StepBegun":
            open_[event["step"]] = now
        elif event["event"] == "StepFinished":
            first = open_[event["step"]]
            spans[event["step"]] = (now[0] - first[0], now[1] - first[1])
    status = process.wait()
    over.set()
    watcher.join()
    assert status == 0, "".join(said[-20:])
    run = Run.open(str(output))
    work = {
        step: sum(receipt.usage.cpu_seconds for receipt in run.context.receipts(step))
        for step in spans
    }
    steps = {step: Step(*span, work[step]) for step, span in spans.items()}
    wall = time.monotonic() - begun
    return Taken(wall, tree.cpu, tree.peak, jobs, run.ledger["extract"]["kept"], steps)


def shuffled(recipe: Path, output: Path) -> Counter[str]:
    """The bytes of chunks that come to each shuffle of a run."""
    seen: Counter[str] = Counter()

    class Look:
        def __init__(self, label: str) -> None:
            self.label = label

        def process(self, element: tuple[Any, bytes]) -> Iterator[tuple[Any, bytes]]:
            seen[self.label] += len(element[1])
            yield element

    def looking(job: Job, receive: Receive, scratch: Path | None) -> None:
        steps: list[Any] = []
        for step in job.steps:
            steps += [Look(step.label), step] if isinstance(step, ByKey) else [step]
        run_here(Job(job.items, steps), receive, scratch)

    runners.run_here = looking
    try:
        Run.create(load(str(recipe)), str(output)).go(Engine())
    finally:
        runners.run_here = run_here
    return seen


def model(small: Taken, large: Taken, crossing: float, price: float) -> None:
    """What `DOCUMENTS` would take on `CORES`, from two runs on an engine that was measured here."""
    more = large.documents - small.documents
    each = (large.cpu - small.cpu) / more if more else large.cpu / large.documents
    seconds = DOCUMENTS * each / CORES + 60 * large.jobs
    cost = CORES * seconds / 3600 * price
    print(
        f"\n{DOCUMENTS:,} documents on {CORES:,} cores: documents x CPU of one more / cores, and a "
        f"minute to begin each job\n"
        f"  {DOCUMENTS:,} x {1000 * each:.1f} ms / {CORES:,} + {large.jobs} min = "
        f"{seconds / 3600:.1f} h, and {cost:,.0f} at {price:g} for a core's hour\n"
        f"  {crossing * DOCUMENTS / 1e12:.2f} TB of keys cross its shuffles"
    )


def compare(options: argparse.Namespace, scratch: Path) -> None:
    """Print the tables."""
    print(f"{os.cpu_count()} cores, {platform.machine()}, Python {platform.python_version()}")
    print(f"{'copies':>6} {'engine':<8}{'workers':>8}{'wall s':>9}{'CPU s':>9}{'peak MB':>9}"
          f"{'jobs':>6}{'ms each':>9}{'beyond local':>14}")  # fmt: skip
    found: dict[tuple[str, int, int], Taken] = {}
    for copies in options.copies:
        recipe = replicate(scratch / f"data-{copies}", copies)
        right: dict[str, str] = {}
        for engine in options.engines if copies <= MOST else options.engines[:1]:
            for workers in options.workers:
                output = scratch / f"{engine}-{workers}-{copies}"
                one = found[engine, workers, copies] = taken(recipe, output, engine, workers)
                right = right or shards(output)
                assert shards(output) == right, f"{engine}: other bytes"
                first = found[options.engines[0], workers, copies]
                print(f"{copies:>6} {engine:<8}{workers:>8}{one.wall:>9.1f}{one.cpu:>9.1f}"
                      f"{one.peak / 1e6:>9.0f}{one.jobs:>6}{1000 * one.cpu / one.documents:>9.1f}"
                      f"{one.cpu / first.cpu - 1:>14.0%}", flush=True)  # fmt: skip
    workers, sizes = options.workers[-1], [each for each in options.copies if each <= MOST]
    least, most = min(sizes), max(sizes)
    print(f"\n{most} copies, {workers} workers, by step: CPU s in receipts; of each engine wall s, "
          f"and CPU s beyond receipts")  # fmt: skip
    print(f"{'step':<24}{'receipts':>9}" + "".join(f"{name:>18}" for name in options.engines))
    for step, own in found[options.engines[0], workers, most].steps.items():
        cells = []
        for name in options.engines:
            other = found[name, workers, most].steps.get(step)
            beyond = max(0.0, other.cpu - other.work) if other else 0.0
            cells.append(f"{other.wall:>9.1f}{beyond:>9.1f}" if other else " " * 18)
        print(f"{step:<24}{own.work:>9.2f}{''.join(cells)}")
    seen = shuffled(scratch / f"data-{most}" / "recipe.yaml", scratch / "shuffled")
    documents = found[options.engines[0], workers, most].documents
    print(f"\n{'shuffle':<32}{'bytes a document':>17}")
    for label, size in seen.items():
        print(f"{label:<32}{size / documents:>17.1f}")
    print(f"{'all':<32}{seen.total() / documents:>17.1f}")
    name = options.engines[-1]
    pair = [found[name, workers, copies] for copies in (least, most)]
    print(f"\n{name}:", end="")
    model(*pair, seen.total() / documents, options.price)


# --- kills --------------------------------------------------------------------------------------


def kills(options: argparse.Namespace, scratch: Path) -> bool:
    """Kill in the middle of each job; whether all came out as the run that was left alone."""
    whole = scratch / "whole"
    mill(whole)
    wrong = number = 0
    for what in options.what:
        job = 1
        while True:
            folder = scratch / f"{what}-{job}"
            folder.mkdir()
            with spark_cluster(folder) as (master, workers):
                jobs, stage, times = _killed(folder, master, workers, what, job)
            if job > jobs:
                break
            run = folder / "run"
            faults = Run.open(str(run)).verify(clean=True).faults
            left = Run.open(str(run)).verify().left_over
            same = shards(run) == shards(whole) and balanced(run) == balanced(whole)
            fine = same and not faults and not left
            wrong, number = wrong + (not fine), number + 1
            print(f"{what:<8}job {job:>2} {stage:<24}command given {times} times  "
                  f"{'same' if fine else 'OTHER'}", *faults, *left, flush=True)  # fmt: skip
            job += 1
    print(f"{number} kills, {wrong} runs other than the one left alone")
    return not wrong


def _killed(
    folder: Path, master: str, workers: list[psutil.Process], what: str, job: int
) -> tuple[int, str, int]:
    """Run the demo on the cluster with a kill; the jobs that it began, the step of the one in which
    it was killed, and how often the command was given."""
    demo = yaml.safe_load(DEMO.read_text())
    demo["inputs"][0]["root"] = str(DEMO.parent / "sample")
    properties = {"spark.executor.memory": "512m", "spark.driver.host": "127.0.0.1"}
    demo["engine"] = {"runner": "spark", "master": master, "processes": 1, "properties": properties}
    (folder / "recipe.yaml").write_text(yaml.safe_dump(demo))
    begun, stage, times = 0, "", 0
    while True:
        words = ["run", str(folder / "recipe.yaml"), "--output", str(folder / "run")]
        process = start(*words, "--progress", "json")
        times += 1
        said = []
        assert process.stderr is not None
        for line in process.stderr:
            said.append(line)
            event = json.loads(line) if line.startswith("{") else {}
            if event.get("event") == "JobBegun":
                begun += 1
                if begun == job and not stage:
                    stage = event["steps"][-1]
                    time.sleep(4)  # until it is at work
                    _kill(process.pid, workers[0], what)
        if process.wait() == 0:
            return begun, stage, times
        assert times < 4, "".join(said[-20:])


def _kill(driver: int, worker: psutil.Process, what: str) -> None:
    if what == "driver":
        os.kill(driver, signal.SIGKILL)
        return
    if what == "worker":
        found = [*worker.children(recursive=True), worker]
    else:
        children = psutil.Process(driver).children(recursive=True)
        found = [each for each in children if "worker_pool_main" in " ".join(each.cmdline())]
    for each in found:
        each.kill()


def main() -> None:
    """Run one of them."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(dest="command", required=True)
    command = commands.add_parser("compare")
    every = ["local", "direct", "prism", "flink", "spark"]
    command.add_argument("--copies", type=int, nargs="+", default=[1, 10])
    command.add_argument("--engines", nargs="+", choices=every, default=every)
    command.add_argument("--workers", type=int, nargs="+", default=[1, 2])
    command.add_argument("--price", type=float, default=0.05)
    command = commands.add_parser("kills")
    things = ["worker", "driver", "pool"]
    command.add_argument("--what", nargs="+", choices=things, default=things)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="gristmill-") as scratch:
        if options.command == "compare":
            compare(options, Path(scratch))
        elif not kills(options, Path(scratch)):
            sys.exit(1)


if __name__ == "__main__":
    main()
