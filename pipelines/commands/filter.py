"""`gristmill filter`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from pipelines.commands.options import No, add_texts, map_rows
from pipelines.commands.parsing import Add
from schemas.problems import Problem

if TYPE_CHECKING:
    from curation.chain import Chain
    from pipelines.runs.rows import Row


def add_filter(add: Add) -> None:
    """Add `filter` with its options."""
    command = add(
        "filter",
        "Filter texts by rules: files in, JSON lines or Parquet out.",
        "gristmill filter --rules fineweb pages.jsonl --output verdicts.parquet",
        _filter,
    )
    add_rules_option(command, required=True)
    add_texts(command, "id, language, kept, reasons, the edited text, signals")
    command.add_argument(
        "--model",
        help="names languages where rules need one and rows have none: lid.176 (default), both (as "
        "in `gristmill language`), or a fastText model's file",
    )
    command.add_argument(
        "--exhaustive",
        action=argparse.BooleanOptionalAction,
        help="by every rule, or no further than the first table that rejects (default: as the "
        "rules say)",
    )


def add_rules_option(parser: argparse.ArgumentParser, *, required: bool) -> None:
    """What says by which rules, and of what documents."""
    which = parser.add_mutually_exclusive_group(required=required)
    which.add_argument("--recipe", help="by the chain of this recipe's `filter`")
    which.add_argument(
        "--rules",
        metavar="NAME|FILE",
        help="a bundled chain or table (see `gristmill rules list`), or a YAML file of one",
    )
    parser.add_argument(
        "--languages",
        metavar="LIST",
        help="such as en=.65,de: keep these, with a score that exceeds the number, instead of "
        "those that the rules say; `any` keeps all",
    )
    parser.add_argument(
        "--source", default="", metavar="LABEL", help="of all texts (default: each row's `source`)"
    )


def chain_asked(options: argparse.Namespace, exhaustive: bool | None = None) -> Chain:
    """The chain that the options of `add_rules_option` name. Raises Problem."""
    from pipelines.commands.filtering import chain_of, languages_of

    languages = None if options.languages is None else languages_of(options.languages)
    return chain_of(
        options.rules or options.recipe,
        exhaustive=exhaustive,
        languages=languages,
        is_recipe=bool(options.recipe),
    )


def _filter(options: argparse.Namespace) -> int:
    from curation.chain import LANGUAGE, LANGUAGE_SCORE
    from pipelines.commands.filtering import Filtering, fields_of, filtered

    chain = chain_asked(options, options.exhaustive)
    if options.model and not {LANGUAGE, LANGUAGE_SCORE} & chain.needs:
        raise Problem("these rules need no language", f"model {options.model}", "leave it out")
    filtering = Filtering(chain, options.source, options.model or "lid.176")

    def work(batch: list[Row]) -> Iterator[dict[str, Any] | No]:
        for each, outcome in filtering(batch):
            if outcome.kept or not options.rejected:
                yield filtered(each, outcome)
            else:
                first, *others = outcome.reasons
                yield No(first, detail=", ".join(others) or None)

    lost = map_rows("filter", options, fields_of(filtering.chain), work)
    if not options.quiet:
        print(
            filtering.summary(
                {reason: count for reason, count in lost.items() if reason not in filtering.failing}
            ),
            file=sys.stderr,
        )
    return 0
