"""How fast a core judges documents by the chain of FineWeb.

    python -m tests.benchmarks.measures [--documents N] [--data FOLDER]

Data: the gold main texts of `web/*.gold.jsonl.gz`, shuffled by a fixed seed, each judged once by
one process on one core; CPU time. `first` begins with no chunk known, as a worker does; in
`again` the same texts come a second time, with every chunk known: a crawl is in between. spaCy,
which takes most of datatrove's time, cuts some of the texts in the same run, as a yardstick.
"""

import argparse
import gzip
import json
import os
import platform
import random
import sys
import time
from pathlib import Path

import numpy as np
import spacy

from curation.judgement import Chain
from curation.measures import tokens
from curation.rules import load_table
from schemas.recipe import EditStep, Judge, RulesStep

CHAIN = ("gopher_repetition", "gopher_quality", "edit c4_lines", "c4", "fineweb_quality")
YARDSTICK = 200
REPOSITORY = Path(__file__).resolve().parents[2]


def fineweb_chain(exhaustive: bool) -> Chain:
    """The chain of the recipe `fineweb`, for any language."""
    steps = [
        EditStep(edit=name.removeprefix("edit "))
        if name.startswith("edit ")
        else RulesStep(rules=load_table(name, Path()))
        for name in CHAIN
    ]
    return Chain(Judge(chain=tuple(steps), exhaustive=exhaustive))


def gold_texts(folder: Path) -> list[str]:
    """The main texts that people marked in real pages."""
    texts = []
    for path in sorted((folder / "web").glob("*.gold.jsonl.gz")):
        with gzip.open(path, "rt", encoding="utf-8") as lines:
            texts += [json.loads(line)["main_text"] for line in lines]
    return [text for text in texts if text]


def seconds(chain: Chain, texts: list[str]) -> float:
    """CPU seconds to judge the texts."""
    start = time.process_time()
    for text in texts:
        chain.judge(text, "en", 1.0)
    return time.process_time() - start


def spacy_seconds(texts: list[str]) -> float:
    """CPU seconds that spaCy takes to cut the texts into words and sentences."""
    pipeline = spacy.blank("en")
    pipeline.add_pipe("sentencizer")
    pipeline.max_length = max(map(len, texts))
    start = time.process_time()
    for text in texts:
        with pipeline.memory_zone():
            pipeline(text)
    return time.process_time() - start


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    data = os.environ.get("GRISTMILL_DATA", str(REPOSITORY.parent / "shared" / "data"))
    parser.add_argument("--data", type=Path, default=Path(data))
    parser.add_argument("--documents", type=int, default=None, help="at most so many texts")
    arguments = parser.parse_args()
    texts = gold_texts(arguments.data)
    random.Random(1).shuffle(texts)
    texts = texts[: arguments.documents]
    characters = sum(map(len, texts))
    info = Path("/proc/cpuinfo")
    names = info.read_text().splitlines() if info.exists() else []
    processor = next((n.split(": ")[1] for n in names if n.startswith("model name")), "")

    print("command  python -m tests.benchmarks.measures", *sys.argv[1:])
    print(f"machine  {processor or platform.machine()}, {os.cpu_count()} cores")
    print(f"versions python {platform.python_version()}, numpy {np.__version__}", end=", ")
    print(f"spacy {spacy.__version__}")
    print(f"data     {len(texts)} gold main texts, mean {characters / len(texts):.0f} characters")
    print(f"chain    {' -> '.join(CHAIN)}")
    some = texts[:YARDSTICK]
    yardstick = len(some) / spacy_seconds(some)
    print(f"spaCy's words and sentences alone, {len(some)} texts: {yardstick:.1f} documents/s/core")
    for exhaustive in (True, False):
        chain = fineweb_chain(exhaustive)
        tokens.forget()
        chain.judge("Load the rules.", "en", 1.0)
        for name in ("first", "again"):
            rate = len(texts) / seconds(chain, texts)
            print(f"exhaustive={exhaustive!s:5} {name}: {rate:7.1f} documents/s/core", end=", ")
            print(f"{rate / yardstick:.1f} x spaCy")


if __name__ == "__main__":
    main()
