"""The options of the commands, which `options.yaml` holds."""

from __future__ import annotations

import argparse
from pathlib import Path

import yaml


def parser(command: str) -> argparse.ArgumentParser:
    """The parser of a command of `options.yaml`."""
    told = yaml.safe_load(Path(__file__).with_suffix(".yaml").read_text("utf-8"))[command]
    made = argparse.ArgumentParser(
        f"gristmill {command}",
        description=told["text"],
        epilog=told["example"],
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    for name, kind in (("int", int), ("float", float), ("path", Path)):
        made.register("type", name, kind)
    for flag, given in told["arguments"].items():
        made.add_argument(flag, **given)
    if "one_of" in told:
        one_of = made.add_mutually_exclusive_group(required=True)
        for flag, given in told["one_of"].items():
            one_of.add_argument(flag, **given)
    return made
