"""`gristmill decontaminate`."""

from __future__ import annotations

import argparse
import sys

from pipelines.commands.options import add_texts, reading_of, tell
from pipelines.commands.parsing import Add, adder


def add_decontaminate(add: Add) -> None:
    """Add `decontaminate` with its actions."""
    command = add(
        "decontaminate",
        "Find items of test sets in texts.",
        "gristmill decontaminate index mmlu=mmlu.parquet gsm8k=gsm8k.jsonl --output tests.index",
        lambda _: 0,
    )
    action = adder(command, "ACTION")
    index = action(
        "index",
        "Make an index of test sets.",
        "gristmill decontaminate index mmlu=mmlu.parquet gsm8k=gsm8k.jsonl --output tests.index",
        _index,
    )
    index.add_argument(
        "sets",
        nargs="+",
        metavar="[NAME=]SET",
        help="a JSONL (.gz, .zst), JSON or Parquet file; a known NAME, such as mmlu or "
        "arc-challenge, says how it is laid out",
    )
    index.add_argument("--output", required=True, metavar="INDEX", help="a new folder")
    index.add_argument(
        "--fields",
        metavar="LIST",
        help="of sets laid out in another way: text=FIELD,choices=FIELD,answer=FIELD,id=FIELD; "
        "a field in another has a dot, several have + between them",
    )
    index.add_argument("--quiet", action="store_true", help="no summary")
    scan = action(
        "scan",
        "Find the items of an index in texts: files in, JSON lines or Parquet out.",
        "gristmill decontaminate scan --index tests.index pages.jsonl --output hits.parquet",
        _scan,
    )
    scan.add_argument("--index", required=True, metavar="INDEX", help="an index's folder")
    scan.add_argument(
        "--least",
        type=float,
        default=1.0,
        metavar="SCORE",
        help="from which an item counts: the part of what must be there of one of its length "
        "(default 1)",
    )
    add_texts(scan, "a row for each text: id, contaminated, the best item, score, share, span")


def _index(options: argparse.Namespace) -> int:
    from pipelines.alone.decontaminate import index_sets

    made = index_sets(options.sets, options.output, options.fields)
    if not options.quiet:
        for name, count in made.items():
            short = count["items"] - count["protected"]
            rest = f", {short:,} too short to be told" if short else ""
            print(f"{count['items']:>12,} {name}{rest}", file=sys.stderr)
    return 0


def _scan(options: argparse.Namespace) -> int:
    from pipelines.alone.decontaminate import scan_files

    ends, seen = scan_files(
        options.index,
        options.input,
        options.output,
        least=options.least,
        reading=reading_of(options),
        id_column=options.id,
    )
    if not options.quiet:
        tell(ends)
        for name, (items, touched) in seen.items():
            print(f"{name}: {items:,} items in {touched:,} documents", file=sys.stderr)
    return 0
