"""`gristmill extract`."""

from __future__ import annotations

import argparse
from typing import get_args

from pipelines.commands.options import add_files, reading, rejecting, tell, tell_left_out, writing
from pipelines.commands.parsing import Add
from schemas.extract import ENGINES, STRUCTURES, Extract, Rights
from schemas.inputs import Format
from schemas.mistakes import validated


def add_extract(add: Add) -> None:
    """Add `extract` with its options."""
    extract = add(
        "extract",
        "Find the main text of pages: files in, JSON lines or Parquet out.",
        "gristmill extract crawl/ page.html --output pages.parquet --rejected lost.jsonl",
        _extract,
    )
    add_files(
        extract,
        "WARC, ARC, WET, HTML, JSONL, Parquet, CSV, text, code, tar or zip: a file, a pattern, an "
        "fsspec URL, or a folder, which is searched for WARC files, or else for all of these; `-` "
        "is standard input; SOURCE=PATH names its source",
        "a .jsonl (.gz, .zst) or .parquet file",
    )
    extract.add_argument("--recipe", help="take the options of this recipe's `extract`")
    extract.add_argument(
        "--engine",
        choices=ENGINES,
        help="default: blocks",
    )
    extract.add_argument(
        "--favor",
        choices=get_args(Extract.model_fields["favor"].annotation),
        help="which error is worse",
    )
    extract.add_argument("--comments", action="store_true", help="keep readers' comments")
    extract.add_argument(
        "--structure",
        choices=tuple(STRUCTURES),
        help="how headings, lists and tables are written; default: text, or what the recipe says",
    )
    extract.add_argument(
        "--languages",
        type=lambda text: tuple(part.strip() for part in text.split(",")),
        metavar="LIST",
        help="such as en,de: drop, unread, pages that surely are in none of these, and name the "
        "language of the others",
    )
    extract.add_argument(
        "--format", choices=get_args(Format), help="of all inputs; default: by name and first bytes"
    )
    extract.add_argument(
        "--columns",
        help="of rows: a layout, such as fineweb, or names, such as text=content,url=link or "
        "html=body (default text)",
    )
    extract.add_argument("--workers", type=int, default=1, help="worker processes (default 1)")
    extract.add_argument("--quiet", action="store_true", help="no progress, no summary")


def _options(asked: argparse.Namespace) -> Extract:
    over = {
        name: value
        for name in ("engine", "favor", "comments", "languages")
        if (value := getattr(asked, name))
    }
    if asked.structure:
        over["structure"] = STRUCTURES[asked.structure]
    if asked.recipe:
        from pipelines.recipes.loading import load

        base = load(asked.recipe).extract.model_dump()
    else:
        # without a recipe there is no policy: opt-outs are told in each row, and left to the reader
        base = {"rights": Rights(opt_outs=())}
        if not asked.languages:
            base["language_model"] = None
    return validated(Extract, {**base, **over}, root="extract")


def _extract(options: argparse.Namespace) -> int:
    import tempfile

    from pipelines.commands.progress import listener
    from pipelines.engines.runners import Engine
    from pipelines.run import Run
    from pipelines.runs.in_order import rows_in_order
    from schemas.recipe import Recipe
    from schemas.tables import DOCUMENT

    engine = Engine(workers=options.workers)
    listen = listener("auto", quiet=options.quiet)
    asked = _options(options)
    with (
        reading(options.input, options, pages=True) as inputs,
        writing(options.output, DOCUMENT) as pages,
        rejecting(options.rejected) as rejected,
        tempfile.TemporaryDirectory(prefix="gristmill-") as scratch,
    ):
        if not options.quiet:
            tell_left_out(inputs, listen)
        run = Run.create(Recipe(name="extract", inputs=inputs, extract=asked), scratch)
        run.go(engine, listen, until="extract")
        for table in rows_in_order(run.context, "extract", "documents", run.plan()):
            pages.write(table)
        if options.rejected:
            for table in rows_in_order(run.context, "extract", "rejections", run.plan()):
                rejected.write(table)
        ends = run.stages["extract"]
    if not options.quiet:
        tell({"written": ends.kept, **ends.rejected})
    return 0
