"""Options that the commands share, and what they tell at the end."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping


def add_texts(parser: argparse.ArgumentParser, what: str) -> None:
    """What the steps on their own over texts share."""
    add_files(
        parser,
        "JSONL, Parquet, CSV, text, WET: a file, a folder, a pattern, or an fsspec URL; `-` is "
        "JSON lines on standard input",
        f"a .jsonl (.gz, .zst) or .parquet file of {what}",
    )
    add_rows(parser)
    parser.add_argument("--quiet", action="store_true", help="no summary")


def add_files(parser: argparse.ArgumentParser, inputs: str, output: str) -> None:
    """Files in, one file out: `inputs` and `output` say what they are."""
    parser.add_argument("input", nargs="+", metavar="IN", help=inputs)
    parser.add_argument(
        "--output", required=True, metavar="OUT", help=f"{output}; `-` is standard output"
    )


def add_rows(parser: argparse.ArgumentParser) -> None:
    """How rows are read that keep their names."""
    parser.add_argument(
        "--id",
        default="id",
        metavar="COLUMN",
        help="what rows are called by (default id); numbers come out as text",
    )
    _add_layout(parser)


def add_reading(parser: argparse.ArgumentParser) -> None:
    """How rows are read of which a summary is made."""
    _add_layout(parser)
    parser.add_argument("--quiet", action="store_true", help="no summary")


def _add_layout(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--format", help="of all inputs; default: by name and first bytes")
    parser.add_argument(
        "--columns",
        help="layout of rows, such as fineweb, or names, such as text=content (default text)",
    )


def reading_of(options: argparse.Namespace) -> dict[str, str]:
    """`format` and `columns` of the inputs, as far as they are given."""
    return {name: value for name in ("format", "columns") if (value := getattr(options, name))}


def tell(ends: Mapping[str, int]) -> None:
    """How many records there were, and how they ended."""
    print(f"{sum(ends.values()):,} records", file=sys.stderr)
    for end, count in sorted(ends.items(), key=lambda item: (-item[1], item[0])):
        print(f"{count:>12,} {end}", file=sys.stderr)
