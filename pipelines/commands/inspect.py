"""`gristmill inspect`: documents of a run in a terminal."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from pipelines.commands.parsing import Add

if TYPE_CHECKING:
    from pipelines.commands.browser import Browser


def add_inspect(add: Add) -> None:
    """Add `inspect`."""
    inspect = add(
        "inspect",
        "Browse the documents of a run: their texts, signals with thresholds, and history.",
        "gristmill inspect runs/one --where '\"gopher.alpha_words\" BETWEEN .75 AND .8'",
        _inspect,
    )
    inspect.add_argument("run", metavar="RUN", help="folder or URL of the run")
    inspect.add_argument(
        "--where",
        default="",
        metavar="SQL",
        help="an expression over the columns of the tables `documents` and `signals`, and `stage` "
        "and `reason` of a rejection; see `gristmill query RUN`",
    )
    inspect.add_argument("--reason", default="", metavar="R", help="only what this rejected")
    inspect.add_argument("--source", default="", metavar="S", help="only of this source")
    inspect.add_argument("--domain", default="", metavar="D", help="only of a host and those below")
    inspect.add_argument("--raw", action="store_true", help="show personal data")


def _inspect(options: argparse.Namespace) -> int:
    browser(options).run()
    return 0


def browser(options: argparse.Namespace) -> Browser:
    """What the command shows. Raises Problem for a wrong expression."""
    from pipelines.commands.browser import Browser
    from pipelines.look.browse import condition, count
    from pipelines.run import Run

    run = Run.open(options.run)
    where = condition(options.where, options.reason, options.source, options.domain)
    count(run, where)
    return Browser(run, where, raw=options.raw)
