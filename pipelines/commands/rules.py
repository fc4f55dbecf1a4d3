"""`gristmill rules`."""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from pipelines.commands.filter import add_rules_option, chain_asked
from pipelines.commands.options import add_reading, rows_of
from pipelines.commands.parsing import Add, adder
from schemas.problems import Problem

if TYPE_CHECKING:
    from pipelines.look.sweep import Change, Survival, Sweep


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
    sweep = act(
        "sweep",
        "Say what other thresholds, or other rules, would keep of a run, by its stored signals.",
        "gristmill rules sweep runs/one --rule gopher_short_doc --from 20 --to 200 --steps 10",
        _sweep,
    )
    sweep.add_argument("run", metavar="RUN", help="folder or URL of the run")
    which = sweep.add_mutually_exclusive_group(required=True)
    which.add_argument("--rule", metavar="REASON|TABLE.REASON", help="the rule to change")
    which.add_argument(
        "--recipe",
        metavar="NAME|FILE|RUN",
        help="instead, the rules of another recipe, table or chain, bundled or a YAML file",
    )
    sweep.add_argument("--from", dest="low", type=float, metavar="A", help="the first threshold")
    sweep.add_argument("--to", dest="high", type=float, metavar="B", help="the last (default A)")
    sweep.add_argument("--steps", type=int, default=11, metavar="N", help="how many (default 11)")
    sweep.add_argument(
        "--samples", type=int, default=3, metavar="N", help="to show of each side (default 3)"
    )
    sweep.add_argument("--json", action="store_true", help="as JSON, by source too")


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


def _sweep(options: argparse.Namespace) -> int:
    from pipelines.look import sweep
    from pipelines.recipes.comparison import recipe_at
    from pipelines.run import Run
    from schemas.recipe import Recipe

    run = Run.open(options.run)
    if options.rule is None:
        if options.low is not None or options.high is not None:
            raise Problem("is for --rule", "from")
        other = recipe_at(options.recipe)
        chain = other.filter if isinstance(other, Recipe) else other
        found: Any = sweep.change(run, chain, options.samples)
        text = _told_change(found)
    else:
        if options.low is None or options.steps < 1:
            raise Problem("is missing, or there are no steps", "from", "give --from A --to B")
        high = options.low if options.high is None else options.high
        values = sweep.thresholds(options.low, high, options.steps)
        found = sweep.sweep(run, options.rule, values, options.samples)
        text = _told_sweep(found)
    print(json.dumps(asdict(found), indent=1, ensure_ascii=False) if options.json else text)
    return 0


def _told_sweep(found: Sweep) -> str:
    lines = [
        f"{found.table}.{found.reason}: {found.rule}",
        f"{found.documents:,} documents; survival of `filter`, before deduplication; {_ESTIMATED}",
    ]
    if found.unmeasured:
        lines.append(f"{found.unmeasured:,} have no such signal, and survive nowhere")
    if found.unknown:
        lines.append(
            f"{found.unknown:,} failed by this rule alone, and later steps were not taken: they "
            "may fail there"
        )
    lines += ["", f"{'threshold':>12} {_HEAD}", f"{'the run':>12} {_row(found, found.own)}"]
    lines += [f"{value:>12.6g} {_row(found, own)}" for value, own in found.points.items()]
    return "\n".join([*lines, *_told_samples(found)])


_ESTIMATED = "tokens are estimated by the bytes of texts"
_HEAD = f"{'documents':>13} {'share':>7} {'change':>11} {'tokens':>15} {'change':>14}"


def _row(found: Sweep | Change, survival: Survival) -> str:
    shown = ("", "")
    if survival.tokens is not None and found.own.tokens is not None:
        tokens = sum(survival.tokens.values())
        shown = (f"{tokens:,}", f"{tokens - sum(found.own.tokens.values()):+,}")
    share = survival.total / found.documents if found.documents else 0
    return (
        f"{survival.total:>13,} {share:>7.1%} {survival.total - found.own.total:>+11,} "
        f"{shown[0]:>15} {shown[1]:>14}"
    ).rstrip()


def _told_change(found: Change) -> str:
    lines = [
        f"{found.documents:,} documents; survival of `filter`, before deduplication; {_ESTIMATED}",
        *(f"note: {note}" for note in found.notes),
        *(f"not measured in this run, and not tested: {rule}" for rule in found.untested),
    ]
    if found.unmeasured:
        lines.append(f"{found.unmeasured:,} lack a signal that would decide, and do not survive")
    if found.elsewhere:
        lines.append(f"{found.elsewhere:,} stay rejected by what is no rule")
    lines += ["", f"{'':>12} {_HEAD}"]
    lines += [f"{name:>12} {_row(found, own)}"
              for name, own in (("the run", found.own), ("the other", found.other))]  # fmt: skip
    for title, counts in (("kept now, rejected before by", found.kept), ("lost by", found.lost)):
        lines += ["", title, *(f"{count:>12,} {reason}" for reason, count in counts.items())]
    return "\n".join([*lines, *_told_samples(found)])


def _told_samples(found: Sweep | Change) -> list[str]:
    lines = []
    for sample in found.samples:
        text = sample.text.replace("\n", "\n    ")
        lines += [
            "",
            f"{sample.change}: {sample.id} {sample.url}",
            f"  {sample.why}",
            f"    {text}",
        ]
    return lines
