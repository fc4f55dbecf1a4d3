"""`gristmill redact`."""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, get_args

from pipelines.commands.options import No, add_texts, map_rows
from pipelines.commands.parsing import Add
from schemas.pii import PiiKey, PiiNames, Policy, Redact
from schemas.problems import Problem

if TYPE_CHECKING:
    from curation.pii.settings import Redaction
    from pipelines.runs.rows import Row


def add_redact(add: Add) -> None:
    """Add `redact` with its options."""
    command = add(
        "redact",
        "Find and replace personal data: files in, JSON lines or Parquet out.",
        "gristmill redact pages.jsonl --output redacted.parquet --policy placeholder",
        _redact,
    )
    add_texts(command, "id, the redacted text, spans (start, end, type, score)")
    command.add_argument(
        "--types",
        metavar="LIST",
        help="such as EMAIL_ADDRESS,PHONE_NUMBER (default: all that need no model)",
    )
    command.add_argument(
        "--policy",
        choices=get_args(Policy),
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
    command.add_argument("--seed", type=int, help="of --policy fake (default 0)")
    command.add_argument(
        "--drop-above", type=int, metavar="N", help="leave out texts with more findings"
    )
    command.add_argument("--keep-text", action="store_true", help="only tell the spans")


def redacted(
    redaction: Redaction, batch: list[Row], found: Counter[str], *, keep_text: bool
) -> Iterator[dict[str, Any] | No]:
    """The text and spans of each row, or why it is dropped; `found` counts types."""
    texts = [row.text for row in batch]
    sources = [str(row.values.get("source") or "") for row in batch]
    for text, (done, dropped) in zip(texts, redaction.redact(texts, sources), strict=True):
        found.update(span.type for span in done.spans)
        if dropped:
            yield No("personal_data", str(len(done.spans)))
        else:
            spans = [asdict(span) for span in done.spans]
            yield {"text": text if keep_text else done.text, "spans": spans}


def _redact(options: argparse.Namespace) -> int:
    import pyarrow as pa

    from curation.pii import TYPES
    from curation.pii.settings import Redaction

    if options.seed is not None and options.policy != "fake":
        raise Problem("--seed is of --policy fake: leave it out")
    if options.keep_text and options.policy:
        raise Problem("--keep-text replaces nothing: leave --policy out")
    if (options.policy == "hash") != bool(options.key_file):
        raise Problem("--policy hash goes with --key-file FILE: give both or none")
    asked = Redact(
        types=tuple(options.types.split(",") if options.types else sorted(TYPES)),
        policy=options.policy or "stand_in",
        names=PiiNames(model=options.names) if options.names else None,
        key=PiiKey(file=options.key_file) if options.key_file else None,
        drop_above=options.drop_above,
    )
    redaction = Redaction(asked, options.seed or 0)
    found: Counter[str] = Counter()
    # in the text of the input, in code points, the end exclusive
    span = pa.struct(
        [
            pa.field("start", pa.int64(), False),
            pa.field("end", pa.int64(), False),
            pa.field("type", pa.string(), False),
            pa.field("score", pa.float64(), False),
        ]
    )
    lost = map_rows(
        "redact",
        options,
        [pa.field("spans", pa.list_(pa.field("item", span, False)), False)],
        lambda batch: redacted(redaction, batch, found, keep_text=options.keep_text),
    )
    if not options.quiet:
        for end, count in sorted((found + lost).items(), key=lambda item: (-item[1], item[0])):
            print(f"{count:>12,} {end}", file=sys.stderr)
    return 0
