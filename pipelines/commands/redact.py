"""`gristmill redact`."""

from __future__ import annotations

import argparse
import sys
from typing import get_args

from pipelines.commands.options import add_texts, reading_of
from pipelines.commands.parsing import Add
from schemas.pii import PiiKey, PiiNames, Policy, Redact


def add_redact(add: Add) -> None:
    """Add `redact` with its options."""
    command = add(
        "redact",
        "Find and replace personal data: files in, JSON lines or Parquet out.",
        "gristmill redact pages.jsonl --output redacted.parquet --policy placeholder",
        _redact,
    )
    add_texts(command, "a row for each text: id, source, text, spans (start, end, type, score)")
    command.add_argument(
        "--types",
        metavar="LIST",
        help="such as EMAIL_ADDRESS,PHONE_NUMBER (default: all that need no model)",
    )
    command.add_argument(
        "--policy",
        choices=get_args(Policy),
        default="stand_in",
        help="a value that is nobody's (stand_in, default), <TYPE> (placeholder), an invented "
        "value, the same for the same (fake), a keyed hash, or keep: only find",
    )
    command.add_argument(
        "--names",
        metavar="MODEL",
        help="also people's names and places: a folder of a spaCy or transformers model, or an "
        "installed spaCy package",
    )
    command.add_argument("--key-file", metavar="FILE", help="the key of --policy hash")
    command.add_argument("--seed", type=int, default=0, help="of --policy fake (default 0)")
    command.add_argument(
        "--drop-above", type=int, metavar="N", help="leave out texts with more findings"
    )
    command.add_argument("--keep-text", action="store_true", help="only tell the spans")


def _redact(options: argparse.Namespace) -> int:
    from curation.pii import TYPES
    from pipelines.alone.redact import redact_files
    from schemas.problems import Problem

    if (options.policy == "hash") != bool(options.key_file):
        raise Problem("--policy hash goes with --key-file FILE: give both or none")
    ends = redact_files(
        options.input,
        options.output,
        Redact(
            types=tuple(options.types.split(",") if options.types else sorted(TYPES)),
            policy=options.policy,
            names=PiiNames(model=options.names) if options.names else None,
            key=PiiKey(file=options.key_file) if options.key_file else None,
            drop_above=options.drop_above,
        ),
        keep_text=options.keep_text,
        seed=options.seed,
        reading=reading_of(options),
        id_column=options.id,
    )
    if not options.quiet:
        for end, count in sorted(ends.items(), key=lambda item: (-item[1], item[0])):
            print(f"{count:>12,} {end}", file=sys.stderr)
    return 0
