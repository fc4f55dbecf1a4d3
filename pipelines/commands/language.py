"""`gristmill language`."""

from __future__ import annotations

import argparse
import sys

from pipelines.commands.options import add_texts, reading_of, tell
from pipelines.commands.parsing import Add


def add_language(add: Add) -> None:
    """Add `language` with its options."""
    language = add(
        "language",
        "Name the languages of texts: files in, JSON lines or Parquet out.",
        "gristmill language pages.jsonl --output languages.parquet --threshold en=.65",
        _language,
    )
    add_texts(language, "a row for each text: id, language, score, runners_up")
    language.add_argument(
        "--model",
        default="both",
        help="both (default: lid.176, and a second opinion where it is unsure), lid.176 alone, or "
        "a fastText model's file, such as GlotLID's",
    )
    language.add_argument("--top", type=int, default=3, help="languages of a text (default 3)")
    language.add_argument("--paragraphs", action="store_true", help="also name that of each line")
    language.add_argument(
        "--threshold",
        action="append",
        default=[],
        metavar="[LANG=]SCORE",
        help="say whether the score exceeds this, of one language or of all others",
    )
    language.add_argument(
        "--expected",
        metavar="COLUMN",
        help="the column that says the true language: print the accuracy, by language and length",
    )


def _language(options: argparse.Namespace) -> int:
    from pipelines.alone.accuracy import Accuracy
    from pipelines.alone.language import name_languages, thresholds_of

    accuracy = Accuracy()
    ends = name_languages(
        options.input,
        options.output,
        model=options.model,
        count=options.top,
        paragraphs=options.paragraphs,
        thresholds=thresholds_of(options.threshold),
        reading=reading_of(options),
        id_column=options.id,
        expected=options.expected,
        accuracy=accuracy if options.expected else None,
    )
    if not options.quiet:
        tell(ends)
    if options.expected:
        print(accuracy.summary(), file=sys.stderr)
    return 0
