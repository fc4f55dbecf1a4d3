"""How fast a core judges documents by the bundled chains.

    python -m tests.benchmarks.measures [--documents N] [--data FOLDER] [--chains A,B]
        [--datatrove PYTHON]

Data: the gold main texts of `web/*.gold.jsonl.gz`, shuffled by a fixed seed, for every chain; the
texts of `golden/texts.jsonl.gz` for `dclm`. All signals, each text judged once by one process on
one core; CPU time. `first` begins with no chunk known, as a worker does; in `again` the same texts
come a second time, with every chunk known: a crawl is in between.

Yardsticks in the same run, in turn with the chains, as a machine's speed changes: spaCy's words
and sentences, which are most of datatrove's time; and datatrove's own filters of Gopher, C4 and
FineWeb, if `--datatrove` names the Python of an environment of its own that has it (`pip install
datatrove==0.10.1 spacy nltk regex`). That runs this file and reads the texts from its input.
"""

import argparse
import gzip
import json
import os
import platform
import random
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TypeVar

T = TypeVar("T")

CHAINS = ("fineweb", "dclm", "c4_code", "dolma", "nemo")
BLOCK = 50
YARDSTICK = 5  # of a block
REPOSITORY = Path(__file__).resolve().parents[2]


def gold_texts(folder: Path) -> list[str]:
    """The main texts that people marked in real pages."""
    texts = []
    for path in sorted((folder / "web").glob("*.gold.jsonl.gz")):
        with gzip.open(path, "rt", encoding="utf-8") as lines:
            texts += [json.loads(line)["main_text"] for line in lines]
    return [text for text in texts if text]


def golden_texts(folder: Path) -> list[str]:
    """The texts on which the references were run."""
    with gzip.open(folder / "golden" / "texts.jsonl.gz", "rt", encoding="utf-8") as lines:
        return [json.loads(line)["text"] for line in lines]


def seconds(work: Callable[[T], object], items: Iterable[T]) -> float:
    """CPU seconds of this process for the items, which are texts or batches of them."""
    start = time.process_time()
    for item in items:
        work(item)
    return time.process_time() - start


def spacy_work() -> Callable[[str], object]:
    """Words and sentences by spaCy."""
    import spacy

    pipeline = spacy.blank("en")
    pipeline.add_pipe("sentencizer")
    pipeline.max_length = 100_000_000

    def work(text: str) -> None:
        with pipeline.memory_zone():
            pipeline(text)

    return work


def datatrove_work() -> Callable[[str], object]:
    """Every filter of datatrove on a text, as FineWeb's example has them."""
    from datatrove.data import Document
    from datatrove.pipeline import filters

    chain = (
        filters.GopherRepetitionFilter(),
        filters.GopherQualityFilter(),
        filters.C4QualityFilter(filter_no_terminal_punct=False),
        filters.FineWebQualityFilter(),
    )

    def work(text: str) -> None:
        document = Document(text=text, id="0")
        for item in chain:
            item.filter(document)

    return work


def peer() -> None:
    """Be the other process: texts come as a line of JSON each, a time goes back for each."""
    work = datatrove_work()
    work("Load the rules. And the sentences.")
    for line in sys.stdin:
        print(seconds(work, [json.loads(line)]), flush=True)


class Peer:
    """datatrove in a process of another environment, on the same core."""

    def __init__(self, python: str) -> None:
        self._process = subprocess.Popen(
            [python, __file__, "--peer"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def seconds(self, texts: Iterable[str]) -> float:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        total = 0.0
        for text in texts:
            self._process.stdin.write(json.dumps(text) + "\n")
            self._process.stdin.flush()
            total += float(self._process.stdout.readline())
        return total

    def close(self) -> None:
        self._process.communicate()


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    data = os.environ.get("GRISTMILL_DATA", str(REPOSITORY.parent / "shared" / "data"))
    parser.add_argument("--data", type=Path, default=Path(data))
    parser.add_argument("--documents", type=int, default=None, help="at most so many texts")
    parser.add_argument("--chains", default=",".join(CHAINS))
    parser.add_argument("--datatrove", metavar="PYTHON", help="of its environment")
    parser.add_argument("--peer", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.peer:
        peer()
        return

    import numpy as np
    import pyarrow as pa
    import spacy

    from curation.chain import Chain
    from curation.measures import tokens
    from curation.rules import load_chain, with_languages

    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    gold = gold_texts(arguments.data)
    random.Random(1).shuffle(gold)
    corpora = {"gold": gold[: arguments.documents]}
    if "dclm" in arguments.chains:
        corpora["golden"] = golden_texts(arguments.data)[: arguments.documents]
    info = Path("/proc/cpuinfo")
    names = info.read_text().splitlines() if info.exists() else []
    processor = next((n.split(": ")[1] for n in names if n.startswith("model name")), "")
    print("command  python -m tests.benchmarks.measures", *sys.argv[1:])
    print(f"machine  {processor or platform.machine()}, one of {os.cpu_count()} cores")
    print(f"versions python {platform.python_version()}, numpy {np.__version__}", end=", ")
    print(f"spacy {spacy.__version__}")
    for name, texts in corpora.items():
        mean = sum(map(len, texts)) / len(texts)
        print(f"{name:8} {len(texts)} texts, mean {mean:.0f} characters")

    by_spacy = spacy_work()
    seconds(by_spacy, gold[:3])
    other = Peer(arguments.datatrove) if arguments.datatrove else None
    for name in arguments.chains.split(","):
        texts = corpora["golden" if name == "dclm" else "gold"]
        chain = Chain(with_languages(load_chain(name, Path()), {}))

        def apply(texts: list[str], chain: Chain = chain) -> object:
            languages = pa.array(["en"] * len(texts))
            return chain.apply(pa.record_batch({"text": texts, "language": languages}))

        tokens.forget()
        apply(["Load the rules."])
        for turn in ("first", "again"):
            ours = yardstick = theirs = 0.0
            some = 0
            for start in range(0, len(texts), BLOCK):
                block = texts[start : start + BLOCK]
                ours += seconds(apply, [block])
                yardstick += seconds(by_spacy, block[:YARDSTICK])
                theirs += other.seconds(block[:YARDSTICK]) if other else 0.0
                some += len(block[:YARDSTICK])
            rate = len(texts) / ours
            print(f"{name:8} {turn}: {rate:7.1f} documents/s/core", end=", ")
            print(f"{rate * yardstick / some:.1f} x spaCy's {some / yardstick:.1f}", end="")
            if other:
                print(f", {rate * theirs / some:.1f} x datatrove's {some / theirs:.1f}", end="")
            print(flush=True)
    if other:
        other.close()


if __name__ == "__main__":
    main()
