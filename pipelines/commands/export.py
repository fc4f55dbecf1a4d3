"""`gristmill export`."""

from __future__ import annotations

import argparse

from pipelines.commands.parsing import Add


def add_export(add: Add) -> None:
    """Add `export`."""
    command = add(
        "export",
        "Write the curated text of a run as a data set, or its shards for another trainer.",
        "gristmill export runs/one --to hf --output datasets/one --source web",
        _export,
    )
    command.add_argument("run", metavar="RUN", help="folder or URL of the run")
    command.add_argument(
        "--to",
        required=True,
        choices=("jsonl", "parquet", "hf", "megatron", "nanogpt"),
        help="text as JSON lines, Parquet, or a Hugging Face data set: Parquet with its card, "
        "which `datasets.load_dataset` reads; tokens as Megatron-LM's .bin and .idx, "
        "or nanoGPT's .bin",
    )
    command.add_argument("--output", required=True, metavar="DIR", help="a new folder or URL")
    command.add_argument(
        "--source",
        action="append",
        default=[],
        metavar="S",
        help="only this source; may be given several times",
    )


def _export(options: argparse.Namespace) -> int:
    from pipelines.exports.export import export
    from pipelines.run import Run

    export(Run.open(options.run), options.to, options.output, options.source)
    print(options.output)
    return 0
