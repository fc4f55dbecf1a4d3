"""`gristmill extract`."""

from __future__ import annotations

import argparse
from typing import Any, get_args

from pipelines.commands.options import add_files, reading_of, tell
from pipelines.commands.parsing import Add
from schemas.extract import ENGINES, STRUCTURES, Extract
from schemas.inputs import Format


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
        "fsspec URL, or a folder, which is searched for WARC files, or else for all of these",
        "a .jsonl (.gz, .zst) or .parquet file",
    )
    extract.add_argument("--rejected", metavar="FILE", help="what is no page, and why")
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
        help="such as en,de: drop, unread, pages that surely are in none of these",
    )
    extract.add_argument(
        "--format", choices=get_args(Format), help="of all inputs; default: by name and first bytes"
    )
    extract.add_argument(
        "--columns",
        help="of rows: a layout, such as fineweb, or names, such as text=content,url=link or "
        "html=body (default text)",
    )
    extract.add_argument("--workers", type=int, default=1, help="extracting processes (default 1)")
    extract.add_argument("--quiet", action="store_true", help="no progress, no summary")


def _extract(options: argparse.Namespace) -> int:
    from pipelines.alone.extract import extract_files
    from pipelines.runs.inputs import columns_of

    reading: dict[str, Any] = {**reading_of(options)}
    if options.columns:
        reading["columns"] = columns_of(options.columns, pages=True)
    over = {
        name: value
        for name in ("engine", "favor", "comments", "languages")
        if (value := getattr(options, name))
    }
    if options.structure:
        over["structure"] = STRUCTURES[options.structure]
    ends = extract_files(
        options.input,
        options.output,
        rejected=options.rejected,
        recipe=options.recipe,
        over=over,
        reading=reading,
        workers=options.workers,
        quiet=options.quiet,
    )
    if not options.quiet:
        tell(ends)
    return 0
