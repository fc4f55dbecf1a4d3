"""`gristmill inputs`: inputs of a recipe from what others have listed."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from pipelines.commands.parsing import Add, adder
from schemas.problems import Problem

_PREFIX = "https://data.commoncrawl.org/"


def add_inputs(add: Add) -> None:
    """Add `inputs` and its action."""
    inputs = add(
        "inputs",
        "Write a recipe's inputs from a list of what there is.",
        "gristmill inputs commoncrawl CC-MAIN-2026-30 --limit 8 --output inputs.yaml",
        lambda _: 0,
    )
    act = adder(inputs, "ACTION")
    crawl = act(
        "commoncrawl",
        "Write the files of a crawl of Common Crawl as a recipe's inputs; with --index, chosen "
        "pages: a run reads no other byte.",
        "gristmill inputs commoncrawl CC-MAIN-2026-30 --index part-*.parquet --hosts example.org "
        "--extends fineweb --output example.yaml",
        _commoncrawl,
    )
    crawl.add_argument("crawl", help="its name, such as CC-MAIN-2026-30")
    crawl.add_argument("--output", metavar="YAML", help="default: standard output")
    crawl.add_argument("--extends", metavar="RECIPE", help="the recipe that says all else")
    crawl.add_argument("--limit", type=int, metavar="N", help="the first N files; pages of --index")
    crawl.add_argument(
        "--prefix",
        default=_PREFIX,
        metavar="URL",
        help=f"where the files are: {_PREFIX} (default), s3://commoncrawl/ or a folder",
    )
    crawl.add_argument(
        "--kind", choices=("warc", "wet"), default="warc", help="warc (default) or wet"
    )
    crawl.add_argument(
        "--paths",
        metavar="FILE|URL",
        help="the list of files (default: the crawl's below --prefix)",
    )
    crawl.add_argument(
        "--index", nargs="+", default=[], metavar="FILE|URL", help="Parquet of the columnar index"
    )
    crawl.add_argument("--hosts", nargs="+", default=[], help="with their subdomains")
    crawl.add_argument("--languages", nargs="+", default=[], help="ISO 639-3, such as eng")
    crawl.add_argument("--media-types", nargs="+", default=[], help="such as text/html")


def _commoncrawl(options: argparse.Namespace) -> int:
    import yaml

    from pipelines.recipes import commoncrawl

    if options.limit is not None and options.limit < 1:
        raise Problem("must be at least 1", f"--limit {options.limit}")
    prefix = options.prefix.rstrip("/") + "/"
    if options.index:
        given = _chosen(options)
    elif options.hosts or options.languages or options.media_types:
        raise Problem("pages are chosen from an index", "index", "give some of its files")
    else:
        paths = options.paths or f"{prefix}crawl-data/{options.crawl}/{options.kind}.paths.gz"
        names = commoncrawl.listed(options.crawl, options.kind, paths, options.limit)
        given = {"files": names}
    recipe = commoncrawl.recipe_of(options.crawl, prefix, given, options.extends)
    text = yaml.safe_dump(recipe, sort_keys=False, width=1000)
    if options.output:
        Path(options.output).write_text(text, "utf-8")
    else:
        print(text, end="")
    return 0


def _chosen(options: argparse.Namespace) -> dict[str, Any]:
    """Write the table of chosen records beside the output; the input's part that names it."""
    import pyarrow.parquet as pq

    from pipelines.commands.progress import say
    from pipelines.recipes import commoncrawl

    if not options.output or options.paths or options.kind != "warc":
        raise Problem(
            "needs --output, beside which the table of records is written; --paths and --kind wet "
            "are for whole files",
            "index",
        )
    table = commoncrawl.records(
        options.crawl,
        options.index,
        hosts=options.hosts,
        languages=options.languages,
        media_types=options.media_types,
        limit=options.limit,
    )
    path = Path(options.output).with_suffix(".parquet")
    if str(path) in options.index:
        raise Problem("would be written over", str(path), "give --output another name")
    pq.write_table(table, path)
    size = sum(table["warc_record_length"].to_pylist())
    say(f"{path}: {table.num_rows:,} pages, {size:,} bytes")
    return {"records": {"file": path.name}}
