"""`gristmill why`."""

from __future__ import annotations

import argparse
import json
import sys

from pipelines.commands.parsing import Add


def add_why(add: Add) -> None:
    """Add `why`."""
    why = add(
        "why",
        "Tell what became of a page, stage by stage, and why.",
        "gristmill why runs/one https://example.org/page",
        _why,
    )
    why.add_argument("run", metavar="RUN", help="folder or URL of the run")
    why.add_argument("record", metavar="URL|ID", help="its URL, or a document's id")
    shown = why.add_mutually_exclusive_group()
    shown.add_argument("--text", action="store_true", help="the text, as the run left it")
    shown.add_argument("--html", action="store_true", help="the bytes of the original record")
    shown.add_argument("--json", action="store_true", help="an object a line")


def _why(options: argparse.Namespace) -> int:
    from dataclasses import asdict

    from pipelines.look import why
    from pipelines.look.display import visible
    from pipelines.run import Run

    run = Run.open(options.run)
    for number, told in enumerate(why.stories(run, options.record)):
        if options.html:
            sys.stdout.buffer.write(why.original(run, told))
        elif options.text:
            text = why.text_of(run, told)
            print(visible(text) if sys.stdout.isatty() else text)
        elif options.json:
            print(json.dumps(asdict(told), ensure_ascii=False, default=str))
        else:
            print("\n" * bool(number) + why.tell(told))
    return 0
