"""`gristmill run` and `gristmill report`."""

from __future__ import annotations

import argparse
import gc
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from pipelines.commands.engines import add_engine, settings_of
from pipelines.commands.options import tell_left_out
from pipelines.commands.parsing import Add, bytes_of
from schemas.problems import Problem

if TYPE_CHECKING:
    from pipelines.run import Run


def add_run(add: Add) -> None:
    """Add `run`."""
    run = add(
        "run",
        "Run a recipe, or go on with a run.",
        "gristmill run fineweb --input web=crawl --output runs/one --workers 8",
        _run,
    )
    run.add_argument("recipe", help="a bundled recipe's name, or a YAML file")
    run.add_argument("--output", required=True, metavar="RUN", help="folder or URL of the run")
    run.add_argument(
        "--input",
        action="append",
        default=[],
        metavar="SOURCE[:KIND]=PATH",
        help="instead of the recipe's inputs: a file, a pattern such as 'crawl/**/*.jsonl.gz', or "
        "a folder, which is searched for WARC files, or else for all that can be read; KIND says "
        "what it is, where its format does not: web, code, papers, books, qa or other",
    )
    run.add_argument(
        "--limit", type=int, metavar="N", help="a try: only the first N records of each source"
    )
    run.add_argument("--parent", metavar="RUN", help="take over this run's equal stages")
    run.add_argument("--until", default="", metavar="STAGE", help="stop after this stage")
    add_engine(run)
    run.add_argument(
        "--memory", type=bytes_of, default=2 << 30, help="for shuffles, such as 4G (default 2G)"
    )
    run.add_argument(
        "--progress",
        choices=("auto", "json"),
        default="auto",
        help="auto (default): a bar in a terminal, a line a minute in a log; json: an event a line",
    )
    run.add_argument("--quiet", action="store_true", help="no progress, only warnings")
    run.add_argument(
        "--dry-run", action="store_true", help="only tell what each stage would do, and why"
    )


def add_verify(add: Add) -> None:
    """Add `verify`."""
    verify = add(
        "verify",
        "Read every file of a run, and tell what is damaged, missing or left over.",
        "gristmill verify runs/one --clean",
        _verify,
    )
    verify.add_argument("run", metavar="RUN", help="folder or URL of the run")
    verify.add_argument(
        "--clean", action="store_true", help="remove what killed attempts left; no receipt names it"
    )


def add_report(add: Add) -> None:
    """Add `report`."""
    report = add(
        "report",
        "Write the report of a run: one HTML page and its JSON.",
        "gristmill report runs/one --compare runs/two --open",
        _report,
    )
    report.add_argument("run", metavar="RUN", help="folder of the run")
    report.add_argument(
        "--compare", metavar="RUN", help="another run: what differs, which documents, and why"
    )
    report.add_argument("--open", action="store_true", help="open it in the browser")
    report.add_argument("--output", metavar="FOLDER", help="default: RUN/report")


def inputs_of(given: Sequence[str]) -> dict[str, object]:
    """What options `--input` put over a recipe."""
    from pipelines.runs.inputs import input_at

    inputs = []
    for text in given:
        named, equals, path = text.partition("=")
        source, colon, kind = named.partition(":")
        if not equals or not path:
            raise Problem(f"--input {text}: write SOURCE=PATH, such as web=crawl")
        own = {"kind": kind} if colon else {}
        inputs.append({"source": source, **own, **input_at(path)})
    return {"inputs": inputs} if inputs else {}


def _over(options: argparse.Namespace) -> dict[str, object]:
    """What `--input`, `--limit` and `--parent` put over the recipe."""
    over = inputs_of(options.input)
    if options.limit is not None:
        over["limit"] = options.limit
    if options.parent:
        over["parent"] = _place(options.parent)
    return over


def _place(run: str) -> str:
    """A run's folder or URL from anywhere."""
    from pipelines.runs.store import is_remote

    return run if is_remote(run) else os.path.abspath(run)


def _run(options: argparse.Namespace) -> int:
    from pipelines.commands.progress import listener, say
    from pipelines.engines.runners import Engine
    from pipelines.recipes.loading import load
    from pipelines.run import Run
    from pipelines.runs.store import Folder

    output = _place(options.output)
    # what a run has begun with it holds: inputs may be gone once they are read
    begun = Folder(output).exists("recipe.yaml")
    recipe = load(options.recipe, _over(options), files=True, inputs=not begun)
    settings = settings_of(options, recipe.engine)
    engine = Engine(settings.runner, settings.workers, options.memory, settings)
    if options.dry_run:
        for stage, does, why in Run.foresee(recipe, output):
            print("\n  ".join([f"{stage:<12}{does}", *why]))
        return 0
    listen = listener(options.progress, quiet=options.quiet)
    run = Run.create(recipe, output)
    was_finished = run.is_finished
    if options.input and not was_finished:
        tell_left_out(run.recipe.inputs, listen)
    gc.freeze()  # modules and the recipe stay: collections look at what comes after them
    run.go(engine, listen, until=options.until)
    if was_finished:
        say(f"{output}: this run is finished; nothing to do")
    if not options.quiet:
        say(_summary(run))
    report = Folder(output) / "report"
    if not report.exists("index.html"):
        from pipelines.report.report import write_report

        write_report(output, report.url)
    say(f"report: {report.url}/index.html")
    return 0


def _verify(options: argparse.Namespace) -> int:
    from pipelines.commands.progress import say
    from pipelines.run import Run
    from pipelines.runs.store import is_remote

    home = options.run if is_remote(options.run) else os.path.abspath(options.run)
    run = Run.open(home)
    found = run.verify(clean=options.clean)
    for fault in found.faults:
        print(fault)
    for name in found.unknown:
        say(f"{home}/{name}: is none of the run's files")
    if not run.is_finished:
        say(f"{home}: is not finished; what is to come is not looked at")
    size = sum(found.left_over.values())
    if found.left_over:
        done = "removed" if options.clean else "--clean removes them"
        say(f"{len(found.left_over):,} files of killed attempts, {size:,} bytes: {done}")
    say(f"{found.files:,} files read, {len(found.faults):,} wrong")
    return 1 if found.faults else 0


def _summary(run: Run) -> str:
    """What went through each stage, the tokens that came out, and the mixture."""
    from curation.extraction import NOT_A_PAGE
    from pipelines.commands.plan import table

    lines = []
    for stage, counts in run.ledger.items():
        beside = counts["rejected"].get(NOT_A_PAGE, 0)
        line = f"{stage:<12}{counts['records'] - beside:>15,} in {counts['kept']:>15,} kept"
        lines.append(f"{line}, beside {beside:,} requests and metadata" if beside else line)
    if run.is_finished:
        splits = run.shards.splits
        lines += [f"{name:<12}{split.tokens:>15,} tokens" for name, split in splits.items()]
        lines.append(table(run.mixture(), achieved=True))
    return "\n".join(lines)


def _report(options: argparse.Namespace) -> int:
    import webbrowser

    from pipelines.report.report import write_report
    from pipelines.runs.store import is_remote

    output = options.output or f"{options.run.rstrip('/')}/report"
    write_report(options.run, output, options.compare)
    print(f"{output}/index.html")
    if options.open:
        if is_remote(output):
            raise Problem("a browser opens files of this machine alone", output, "give --output")
        webbrowser.open(Path(output).resolve().joinpath("index.html").as_uri())
    return 0
