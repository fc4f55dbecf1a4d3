"""`gristmill prune`."""

from __future__ import annotations

import argparse

from pipelines.commands.parsing import Add

_LOST = """what works no more without it:
  gristmill run --parent {run}, where the stages filter, deduplicate or curate are done anew
  in a new report: samples of documents that were not kept
  Run.documents("extract"), ("filter") and ("deduplicate")
what stays: curated text, tokens, shards, signals, rejections, the ledger, gristmill trace"""


def add_prune(add: Add) -> None:
    """Add `prune`."""
    prune = add(
        "prune",
        "Take raw text, and the personal data in it, out of a run whose text is curated.",
        "gristmill prune runs/one --yes",
        _prune,
    )
    prune.add_argument("run", metavar="RUN", help="folder or URL of the run")
    prune.add_argument(
        "--yes", action="store_true", help="do it; else only tell what goes, and what is lost"
    )


def _prune(options: argparse.Namespace) -> int:
    from pipelines.run import Run

    run = Run.open(options.run)
    found = run.prune() if options.yes else run.raw_text()
    where = ", ".join(found.folders) or "nothing of its own"
    print(f"raw text: {found.files:,} files, {found.bytes:,} bytes ({where})")
    for home in found.elsewhere:
        print(f"of stages that were taken over it is in {home}, which is left alone")
    print(_LOST.format(run=options.run))
    print("it is gone" if options.yes else "nothing was taken away: give --yes to do it")
    return 0
