"""`gristmill dedup`, and `gristmill plan`, what it takes."""

from __future__ import annotations

import argparse

from pipelines.commands.options import add_files, add_rows, reading_of, tell
from pipelines.commands.parsing import Add, bytes_of


def add_dedup(add: Add) -> None:
    """Add `dedup` with its options."""
    dedup = add(
        "dedup",
        "Find duplicates among documents: files in, a row for each document out.",
        "gristmill dedup shards/*.parquet --output clusters.parquet --near fineweb --verify .75",
        _dedup,
    )
    add_files(
        dedup,
        "JSONL, Parquet, CSV, text, WET: a file, a folder, a pattern, or an fsspec URL; `-` is "
        "JSON lines on standard input; SOURCE=PATH names its source",
        "a .jsonl (.gz, .zst) or .parquet file of id, cluster, representative, kept, level, cut",
    )
    dedup.add_argument("--recipe", help="take the options of this recipe's `deduplicate`")
    dedup.add_argument(
        "--near",
        metavar="PRESET|B,R,N",
        help="fineweb (default), refinedweb, redpajama, nemo, none; or bands, rows and words of a "
        "shingle, such as 14,8,5 (20,13,24c: of characters)",
    )
    dedup.add_argument("--verify", type=float, help="least similarity of an edge (default .7)")
    dedup.add_argument(
        "--verify-by", choices=("signatures", "shingles"), help="estimated, or true Jaccard"
    )
    dedup.add_argument(
        "--exact", action=argparse.BooleanOptionalAction, help="equal texts (default: yes)"
    )
    dedup.add_argument(
        "--normalised", action=argparse.BooleanOptionalAction, help="equal normalised texts"
    )
    dedup.add_argument("--url", choices=("newest", "best"), help="one page of each URL")
    dedup.add_argument(
        "--spans",
        metavar="LEVEL[=N],...",
        help="also find, in what is kept, repeated lines, paragraphs, sentences (runs of 3), bloom "
        "(lines by n-grams of 13 words), substring (runs of 50 tokens): `cut` says where",
    )
    dedup.add_argument(
        "--keep",
        help="longest (default), oldest, newest, smallest_id, or a column of numbers, such as "
        "language_score, of which the kept row has most",
    )
    dedup.add_argument(
        "--prefer", action="append", metavar="SOURCE", help="keep its rows before any other's"
    )
    dedup.add_argument(
        "--scope", choices=("global", "source"), help="look within all (default), or each source"
    )
    dedup.add_argument(
        "--against", action="append", metavar="RUN", help="remove what this run or index holds"
    )
    dedup.add_argument("--index", metavar="FOLDER", help="leave an index here for --against")
    add_rows(dedup)
    dedup.add_argument("--workers", type=int, default=1, help="worker processes (default 1)")
    dedup.add_argument(
        "--memory", type=bytes_of, default=2 << 30, help="for shuffles, such as 4G (default 2G)"
    )
    dedup.add_argument("--quiet", action="store_true", help="no progress, no summary")


def _dedup(options: argparse.Namespace) -> int:
    from pipelines.alone.dedup import deduplicate_files, over_of
    from pipelines.commands.progress import listener
    from pipelines.engines.runners import Engine

    ends = deduplicate_files(
        options.input,
        options.output,
        recipe=options.recipe,
        over=over_of(vars(options)),
        reading=reading_of(options),
        id_column=options.id,
        index=options.index,
        engine=Engine("local", options.workers, options.memory),
        listener=listener("auto", quiet=options.quiet),
    )
    if not options.quiet:
        tell(ends)
    return 0


def add_plan(add: Add) -> None:
    """Add `plan` with its options."""
    plan = add(
        "plan",
        "Say what deduplication of so many documents takes: time, memory, disk.",
        "gristmill plan 1e8 --near fineweb --workers 16 --memory 32G",
        _plan,
    )
    plan.add_argument("documents", type=float, metavar="DOCUMENTS", help="how many, such as 1e8")
    plan.add_argument(
        "--characters", type=int, default=6000, help="in each (default 6000, some 930 words)"
    )
    plan.add_argument("--recipe", help="with the options of this recipe's `deduplicate`")
    plan.add_argument("--near", metavar="PRESET|B,R,N", help="as of `dedup`")
    plan.add_argument("--workers", type=int, default=1, help="worker processes (default 1)")
    plan.add_argument(
        "--memory", type=bytes_of, default=2 << 30, help="for shuffles, such as 4G (default 2G)"
    )


def _plan(asked: argparse.Namespace) -> int:
    from pipelines.alone.dedup import options, over_of
    from pipelines.engines.runners import Engine
    from pipelines.stages.dedup.cost import plan, told
    from schemas.problems import Problem

    engine = Engine("local", asked.workers, asked.memory)
    if not 1 <= asked.documents < 1e15 or asked.characters < 1:
        raise Problem("DOCUMENTS and --characters: give numbers from 1 on")
    deduplicate = options(asked.recipe, over_of(vars(asked)))
    documents, memory = int(asked.documents), engine.memory
    print(told(plan(deduplicate, documents, asked.characters, engine.workers, memory)))
    return 0
