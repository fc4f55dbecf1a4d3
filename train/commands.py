"""The trainer's other commands: `gristmill trace`, `gristmill export-hf`."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path

from schemas.problems import Problem

Command = Callable[[Sequence[str]], None]


def run(name: str, arguments: Sequence[str]) -> int:
    """Run a command by its name; returns the exit status."""
    try:
        COMMANDS[name](arguments)
    except (Problem, OSError) as error:
        print(f"gristmill {name}: {error}", file=sys.stderr)
        return 2
    except BrokenPipeError:
        return 0
    return 0


def trace(arguments: Sequence[str]) -> None:
    """Print what a step saw, or which steps saw a document, as lines of JSON."""
    parser = _parser(
        "trace",
        "Tell which documents a training step saw, or which steps saw a document.",
        "gristmill trace models/one --step 120",
    )
    parser.add_argument("model", metavar="MODEL", type=Path, help="the --output of a training run")
    asked = parser.add_mutually_exclusive_group(required=True)
    asked.add_argument("--step", type=int, metavar="N", help="rows, documents and URLs of a step")
    asked.add_argument("--document", metavar="ID", help="steps that saw a document")
    parser.add_argument(
        "--run", type=Path, metavar="RUN", help="where the run is now, if it was moved"
    )
    options = parser.parse_args(arguments)
    from train.trace import Trace

    found = Trace(options.model, options.run)
    if options.document is not None:
        lines = found.document(options.document)
    else:
        lines = [asdict(segment) for segment in found.step(options.step)]
    for line in lines:
        print(json.dumps(line, ensure_ascii=False))


def _parser(name: str, description: str, example: str) -> argparse.ArgumentParser:
    return argparse.ArgumentParser(
        prog=f"gristmill {name}", description=description, epilog=f"example: {example}"
    )


COMMANDS: dict[str, Command] = {"trace": trace}
