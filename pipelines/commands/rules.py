"""`gristmill rules`."""

from __future__ import annotations

import argparse

from pipelines.commands.filter import add_rules_option, chain_asked
from pipelines.commands.options import add_reading, rows_of
from pipelines.commands.parsing import Add, adder


def add_rules(add: Add) -> None:
    """Add `rules` with its actions."""
    rules = add(
        "rules",
        "Look at rules and the signals that they test.",
        "gristmill rules explain gopher.alpha_words --sample pages.jsonl",
        lambda _: 0,
    )
    act = adder(rules, "ACTION")
    act(
        "list",
        "List the bundled chains, tables, edits and families of signals.",
        "gristmill rules list",
        _list,
    )
    show = act("show", "Print a chain or table.", "gristmill rules show fineweb", _show)
    show.add_argument("rules", metavar="NAME|FILE", help="a chain or table, bundled or a YAML file")
    explain = act(
        "explain",
        "Say what a signal is, which rules use it, and how it is spread over texts.",
        "gristmill rules explain gopher.alpha_words --sample pages.jsonl",
        _explain,
    )
    explain.add_argument(
        "signal", metavar="SIGNAL", help="such as gopher.alpha_words, or a family or edit: gopher"
    )
    explain.add_argument(
        "--sample",
        nargs="+",
        default=[],
        metavar="IN",
        help="texts: JSONL, Parquet and so on, a file, a folder, or a pattern",
    )
    add_rules_option(explain, required=False)
    add_reading(explain)


def _list(_: argparse.Namespace) -> int:
    from pipelines.report.rules import listing

    print(listing())
    return 0


def _show(options: argparse.Namespace) -> int:
    from pipelines.report.rules import show

    print(show(options.rules))
    return 0


def _explain(options: argparse.Namespace) -> int:
    from pipelines.report.rules import explain

    print(explain(options.signal, options.rules or ""))
    if options.sample:
        print(_spread(options))
    elif not options.quiet and "." in options.signal:
        print("\nHow it is spread over texts: --sample pages.jsonl")
    return 0


def _spread(options: argparse.Namespace) -> str:
    """How the signal is spread over the sample."""
    from pipelines.commands.filtering import Filtering
    from pipelines.report.rules import measuring, spread

    chain = measuring(
        options.signal, chain_asked(options) if options.rules or options.recipe else None
    )
    where = "where the rules measure it"
    if not (options.rules or options.recipe):
        where = "on the texts as they are (--rules CHAIN: where a chain measures it)"
    filtering = Filtering(chain, options.source)
    rows = rows_of(options.sample, options)
    outcomes = (outcome for row in rows for _, outcome in filtering([row]))
    return spread(options.signal, [outcome.signals[options.signal] for outcome in outcomes], where)
