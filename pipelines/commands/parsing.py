"""What the commands of the command line share."""

from __future__ import annotations

import argparse
from collections.abc import Callable

Command = Callable[[argparse.Namespace], int]
Add = Callable[[str, str, str, Command], argparse.ArgumentParser]


def adder(parser: argparse.ArgumentParser, what: str, *, required: bool = True) -> Add:
    """What adds a sub-command to a parser: its name, help, example and function."""
    commands = parser.add_subparsers(metavar=what, required=required)

    def add(name: str, help_: str, example: str, command: Command) -> argparse.ArgumentParser:
        sub = commands.add_parser(
            name,
            help=help_,
            description=help_,
            epilog=f"Example: {example}",
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        sub.set_defaults(command=command)
        return sub

    return add


def bytes_of(text: str) -> int:
    """Bytes of a size such as 4G; argparse's error if it is none."""
    units = {"K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40}
    scale = units.get(text[-1:].upper(), 1)
    try:
        value = int(float(text[:-1] if scale > 1 else text) * scale)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text}: a number of bytes, such as 4G") from None
    if value < 1:
        raise argparse.ArgumentTypeError(f"{text}: must be more than 0")
    return value
