"""`gristmill dedup` from start to end on one core, beside datasketch in the same run.

    python -m tests.benchmarks.dedup_command [DOCUMENTS] [--peer-documents N]

Documents have 920 words and some typographic marks: 46 pieces of Python's language reference,
drawn anew for each. Three in ten are copies of one of a tenth as many pages, with one piece
changed. The command reads JSON lines, the same gzipped, and Parquet, signs them (14 x 8, word
5-grams), clusters, verifies and writes a row for each; processor and wall time are the process's,
its start included. The peer does the same on fewer: it reads JSON lines, puts datasketch's
MinHash (`affine32`, its fastest, in bulk) into a MinHashLSH of as many bands and rows, and writes
which document each is kept for; it verifies nothing.
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
import platform
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path

from tests.benchmarks.minhash import BANDS, ROWS, ngrams, processor, texts, typographic

PIECES = 46  # of 20 words, of a document
_DRAWN = 4_000


def documents(count: int) -> list[str]:
    """Documents by their numbers."""
    drawn = [" ".join(text.split()[:20]) for text in map(typographic, texts(_DRAWN))]
    made = []
    for number in range(count):
        own = random.Random(number)
        copied = own.random() < 0.3
        page = random.Random(count + own.randrange(max(1, count // 10)))
        chosen = (page if copied else own).choices(drawn, k=PIECES)
        chosen[own.randrange(PIECES)] = own.choice(drawn)
        made.append(" ".join(chosen))
    return made


def timed(command: Sequence[str]) -> tuple[float, float]:
    """Wall and processor seconds of a process."""
    start = time.monotonic()
    process = subprocess.Popen(command)
    _, status, used = os.wait4(process.pid, 0)
    if status:
        raise SystemExit(f"{' '.join(command)}: failed")
    return time.monotonic() - start, used.ru_utime + used.ru_stime


def peer(source: str, output: str) -> None:
    """Be the other process."""
    from datasketch import MinHash, MinHashLSH

    with Path(source).open(encoding="utf-8") as lines:
        rows = [json.loads(line) for line in lines]
    shingles = [[gram.encode() for gram in ngrams(row["text"].lower().split())] for row in rows]
    signed = MinHash.bulk(shingles, num_perm=BANDS * ROWS, scheme="affine32")
    index = MinHashLSH(num_perm=BANDS * ROWS, params=(BANDS, ROWS))
    with Path(output).open("w", encoding="utf-8") as out:
        for row, signature in zip(rows, signed, strict=True):
            alike = index.query(signature)
            kept = min(alike, default=row["id"])
            if not alike:
                index.insert(row["id"], signature)
            print(json.dumps({"id": row["id"], "representative": kept}), file=out)


def main() -> None:
    """Make, run, print."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("documents", type=int, nargs="?", default=50_000)
    parser.add_argument("--peer-documents", type=int, default=5_000)
    parser.add_argument("--peer", nargs=2, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.peer:
        peer(*arguments.peer)
        return

    import pyarrow as pa
    import pyarrow.parquet as pq

    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    count, few = arguments.documents, arguments.peer_documents
    print("command  python -m tests.benchmarks.dedup_command", *sys.argv[1:])
    print(f"machine  {processor()}, one of {os.cpu_count()} cores")
    print(f"versions Python {platform.python_version()}, datasketch {version('datasketch')}")
    made = documents(count)
    rows = [{"id": f"{number:08d}", "text": text} for number, text in enumerate(made)]
    lines = [json.dumps(row, ensure_ascii=False) + "\n" for row in rows]
    with tempfile.TemporaryDirectory(prefix="gristmill-") as scratch:
        folder = Path(scratch)
        (folder / "in.jsonl").write_text("".join(lines), "utf-8")
        (folder / "few.jsonl").write_text("".join(lines[:few]), "utf-8")
        with gzip.open(folder / "in.jsonl.gz", "wt", 3, encoding="utf-8") as out:
            out.writelines(lines)
        pq.write_table(pa.Table.from_pylist(rows), folder / "in.parquet", compression="zstd")
        del made, rows, lines
        mill = [sys.executable, "-m", "pipelines.commands.main", "dedup", "--quiet"]
        runs = {
            f"gristmill, {name} to {output}": (
                count,
                [*mill, str(folder / name), "--output", str(folder / output)],
            )
            for name in ("in.jsonl", "in.jsonl.gz", "in.parquet")
            for output in ("out.jsonl", "out.parquet")
        }
        own = [sys.executable, "-m", "tests.benchmarks.dedup_command", "--peer"]
        runs["datasketch, few.jsonl to few-out.jsonl"] = (
            few,
            [*own, str(folder / "few.jsonl"), str(folder / "few-out.jsonl")],
        )
        for name, (done, command) in runs.items():
            wall, used = timed(command)
            print(
                f"{name:40} {done:7,} documents {wall:6.1f} s {done / wall:6,.0f}/s, processor "
                f"{used:6.1f} s {done / used:6,.0f}/s",
                flush=True,
            )


if __name__ == "__main__":
    main()
