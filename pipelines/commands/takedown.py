"""`gristmill takedown`."""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from typing import TYPE_CHECKING

from pipelines.commands.parsing import Add
from schemas.problems import Problem

if TYPE_CHECKING:
    from pipelines.takedown.find import Touched


def add_takedown(add: Add) -> None:
    """Add `takedown`."""
    takedown = add(
        "takedown",
        "Take documents out of a run: their text and tokens go from every file, nothing moves. "
        "Killed, the same command goes on.",
        "gristmill takedown runs/one --domain example.org --why 'asked for by mail' --dry-run",
        _takedown,
    )
    takedown.add_argument("run", metavar="RUN", help="folder or URL of the run")
    which = takedown.add_mutually_exclusive_group(required=True)
    which.add_argument("--domain", metavar="D", help="all pages of a host and of those below it")
    which.add_argument("--url", metavar="U", help="the page of an address, however it is spelled")
    which.add_argument(
        "--text",
        metavar="PHRASE",
        help="all documents with a phrase; case and white space do not count",
    )
    takedown.add_argument(
        "--model",
        action="append",
        default=[],
        metavar="MODEL",
        help="also tell which steps of this trained model saw them",
    )
    takedown.add_argument("--why", default="", metavar="TEXT", help="for the record")
    takedown.add_argument("--dry-run", action="store_true", help="only tell what it touches")


def _takedown(options: argparse.Namespace) -> int:
    from pipelines.run import Run
    from pipelines.takedown.find import Asked, find
    from pipelines.takedown.takedown import take_down

    run = Run.open(options.run)
    asked = Asked(options.domain, options.url, options.text)
    if options.dry_run or options.model:
        touched = find(run, asked)
        print(_told(touched))
        for model in options.model:
            print(steps_told(model, touched.documents, options.run))
    if options.dry_run:
        return 0
    done = take_down(run, asked, options.why)
    if done is None:
        print("all of it was taken down before")
        return 0
    from pipelines.takedown.find import others

    print(
        f"{done.documents:,} documents are taken down, {done.tokens:,} tokens of shards are now "
        f"padding: {done.files:,} files were written anew, and a search of all finds nothing"
    )
    print(f"record, and lists for the recipes of other runs: {options.run}/{done.name}")
    print("the tokenizer stays as it is, and the inputs are not touched")
    for each in others(run):
        print(_other(each))
    return 0


def _told(touched: Touched) -> str:
    rows = touched.segments.group_by("split").aggregate([("row", "count_distinct")]).to_pylist()
    counts = ", ".join(f"{row['row_count_distinct']:,} rows of {row['split']}" for row in rows)
    lines = [f"{len(touched.documents):,} documents; {counts or 'no row of the shards'}, "
             f"{touched.tokens:,} tokens"]  # fmt: skip
    if touched.already:
        lines.append(f"{touched.already:,} more were taken down before")
    if touched.stay:
        lines.append(
            f"some are duplicates of {len(touched.stay):,} documents elsewhere, which stay: "
            + ", ".join(touched.stay[:5])
        )
    return "\n".join([*lines, *map(_other, touched.others)])


def _other(each: dict[str, str]) -> str:
    if each["what"] == "stages":
        return f"{each['url']} takes stages from this run: take them down there too"
    if each["what"] == "lent its stages":
        return f"{each['url']} holds stages of this run: take them down there too"
    return f"{each['url']} is an export ({each['what']}) of this run: make it again"


def steps_told(model: str, documents: Iterable[str], run: str) -> str:
    """How many steps of a trained model saw documents, and the first and last of them. Raises
    Problem if the model was not trained on the run."""
    with tempfile.NamedTemporaryFile("w", suffix=".txt") as names:
        names.write("\n".join(sorted(documents)))
        names.flush()
        words = ["trace", model, "--documents", names.name, "--run", run]
        command = [sys.executable, "-P", "-m", "train", *words]
        result = subprocess.run(command, capture_output=True, text=True)  # noqa: S603 - our own
    if result.returncode:
        raise Problem(result.stderr.strip().splitlines()[-1], model)
    steps = {json.loads(line)["step"] for line in result.stdout.splitlines()}
    span = f", from step {min(steps):,} to {max(steps):,}" if steps else ""
    return f"{model}: {len(steps):,} steps saw them{span}"
