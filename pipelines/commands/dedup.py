"""`gristmill dedup`, and `gristmill plan dedup`, what it takes."""

from __future__ import annotations

import argparse
import os
import tempfile
from collections import Counter
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from pipelines.commands.options import (
    add_files,
    add_rows,
    reading,
    rejecting,
    tell,
    writing,
)
from pipelines.commands.parsing import Add, bytes_of
from schemas.mistakes import validated
from schemas.problems import Problem

if TYPE_CHECKING:
    from pipelines.engines.runners import Engine
    from pipelines.runs.events import Listener
    from schemas.deduplicate import Deduplicate


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
    from pipelines.commands.progress import listener
    from pipelines.engines.runners import Engine

    engine = Engine(workers=options.workers, memory=options.memory)
    ends = deduplicate_files(options, engine, listener("auto", quiet=options.quiet))
    if not options.quiet:
        tell(ends)
    return 0


def deduplicate_files(
    options: argparse.Namespace, engine: Engine, listener: Listener
) -> Counter[str]:
    """Write a row (DEDUPLICATED) for every document, in the order of paths, names and records.

    Memory is that of the engine, and some 100 bytes for each cluster. Returns how many records
    ended how: `kept`, a level, or why a record is no document. Raises Problem.
    """
    from pipelines.run import Run
    from pipelines.runs.in_order import rows_in_order
    from pipelines.runs.store import Folder
    from pipelines.stages.dedup.clusters import clusters
    from pipelines.stages.order import DEDUPLICATION
    from pipelines.stages.sign import ROW
    from schemas.deduplicate import ORDERS
    from schemas.extract import Extract
    from schemas.recipe import Recipe
    from schemas.tables import DEDUPLICATED

    asked = deduplicate_of(options.recipe, over_of(vars(options)))
    # addresses and times are read where there are some
    columns: dict[str, Any] = {"url": "url", "crawled": "date", "more": ("crawled",)}
    if asked.keep not in ORDERS:
        columns["more"] = ("crawled", asked.keep.removeprefix(ROW))
    if options.index and Folder(options.index).exists("recipe.yaml"):
        raise Problem("holds an index or a run", f"index {options.index}", "give a new folder")
    with (
        reading(options.input, options, columns=columns) as inputs,
        writing(options.output, DEDUPLICATED) as out,
        rejecting(options.rejected) as rejected,
        tempfile.TemporaryDirectory(prefix="gristmill-") as scratch,
    ):
        for source in asked.prefer if options.prefer else ():
            if source not in (labels := [item.source for item in inputs]):
                raise Problem(
                    f"no input is called so; there are {', '.join(labels)}",
                    f"prefer {source}",
                    "name inputs as SOURCE=PATH",
                )
        recipe = Recipe(
            name="dedup",
            inputs=inputs,
            extract=Extract(language_model=None, second_opinion=None),
            deduplicate=asked,
        )
        run = Run.create(recipe, options.index or scratch, DEDUPLICATION)
        signed, done = run.go(engine, listener).values()
        for table in clusters(run.context, run.context.tasks("sign")):
            out.write(table)
            if options.rejected:
                for row in table.filter(table["level"].is_valid()).to_pylist():
                    rejected.add({**row, "stage": "deduplicate", "reason": row["level"]})
        if options.rejected:
            for table in rows_in_order(
                run.context, "sign", "rejections", run.context.tasks("sign")
            ):
                rejected.write(table)
        if options.index:
            # what `against` needs is left
            for name in ("sign", *(f"deduplicate/{step}" for step in _INNER)):
                (run.folder / name).remove()
    return Counter({**signed.rejected, "kept": done.kept, **done.rejected})


_INNER = (
    *(f"{level}{part}" for level in ("url", "exact", "normalised") for part in ("", "-drops")),
    *("candidates", "near", "labels", "documents", "spans", "repeated", "bloom", "substring"),
)


def deduplicate_of(recipe: str | None, over: Mapping[str, Any]) -> Deduplicate:
    """The recipe's `deduplicate`, or the defaults, with `over` laid over them. Raises Problem."""
    from pipelines.recipes.loading import load
    from schemas.deduplicate import Deduplicate

    base = (load(recipe).deduplicate if recipe else Deduplicate()).model_dump()
    near = over.get("near", {})
    if near == {}:
        near = base["near"]
    elif near is not None and base["near"] is not None:
        near = {**base["near"], **near}
    return validated(Deduplicate, {**base, **over, "near": near}, root="deduplicate")


def over_of(asked: Mapping[str, Any]) -> dict[str, Any]:
    """What the options of a command line lay over a recipe's `deduplicate`."""
    from pipelines.runs.store import is_remote
    from pipelines.stages.sign import ROW
    from schemas.deduplicate import ORDERS

    over = {
        name: value
        for name in ("scope", "exact", "normalised", "url", "keep", "prefer")
        if (value := asked.get(name)) is not None
    }
    if over.get("keep", ".").isidentifier() and over["keep"] not in ORDERS:
        over["keep"] = ROW + over["keep"]
    if asked.get("index"):
        over["index"] = True
    if asked.get("spans") is not None:
        over["spans"] = spans_of(asked["spans"])
    if asked.get("against"):
        over["against"] = [
            url if is_remote(url) else os.path.abspath(url) for url in asked["against"]
        ]
    near: dict[str, Any] | None = {}
    if asked.get("near") is not None:
        near = near_of(asked["near"])
    verify = {
        name: value for name in ("verify", "verify_by") if (value := asked.get(name)) is not None
    }
    if near is None and verify:
        raise Problem("leaves nothing to verify", "near none", "ask for no `verify` either")
    return {**over, "near": near if near is None else near | verify}


def near_of(text: str) -> dict[str, Any] | None:
    """`deduplicate.near` of a name, or of bands, rows and words (or characters) of a shingle:
    `14,8,5`, `20,13,24c`; `none` for none. Raises Problem."""
    from schemas.deduplicate import NEAR

    if text == "none":
        return None
    if text in NEAR:
        return NEAR[text].model_dump()
    bands, _, rest = text.partition(",")
    rows, _, size = rest.partition(",")
    unit = "shingle_characters" if size.endswith("c") else "shingle_words"
    try:
        return {"bands": int(bands), "rows": int(rows), unit: int(size.removesuffix("c"))}
    except ValueError:
        raise Problem(
            f"give {', '.join(NEAR)}, none, or bands, rows and words of a shingle, such as 14,8,5 "
            "(20,13,24c: of characters)",
            f"near {text}",
        ) from None


def spans_of(text: str) -> dict[str, Any]:
    """`deduplicate.spans` of levels with the number that they are about, if it is another than
    the published one: `lines,sentences=2,substring`. Raises Problem."""
    found: dict[str, Any] = {}
    for word in text.split(","):
        level, given, number = word.partition("=")
        if level not in _SPANS or (given and level in ("lines", "paragraphs")):
            raise Problem(
                "give one or more of lines, paragraphs, sentences=3, bloom=13 (words of an "
                "n-gram), substring=50 (tokens), with commas between them",
                f"spans {text}",
            )
        found[level] = _SPANS[level](number)
    return found


_SPANS: dict[str, Callable[[str], Any]] = {
    "lines": lambda _: True,
    "paragraphs": lambda _: True,
    "sentences": lambda size: size or 3,
    "bloom": lambda size: {"words": size} if size else {},
    "substring": lambda size: {"tokens": size} if size else {},
}


def add_plan_dedup(add: Add) -> None:
    """Add `plan dedup` with its options."""
    plan = add(
        "dedup",
        "Say what deduplication of so many documents takes: time, memory, disk.",
        "gristmill plan dedup 1e8 --near fineweb --workers 16 --memory 32G",
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
    from pipelines.engines.runners import Engine
    from pipelines.stages.dedup.cost import plan, told

    engine = Engine(workers=asked.workers, memory=asked.memory)
    if not 1 <= asked.documents < 1e15 or asked.characters < 1:
        raise Problem("DOCUMENTS and --characters: give numbers from 1 on")
    options = deduplicate_of(asked.recipe, over_of(vars(asked)))
    documents = int(asked.documents)
    print(told(plan(options, documents, asked.characters, engine.workers, engine.memory)))
    return 0
