"""The options of the commands, which `options.yaml` holds."""

import argparse
from pathlib import Path

import yaml


def parser(command: str) -> argparse.ArgumentParser:
    """The parser of a command of `options.yaml`."""
    told = yaml.safe_load(Path(__file__).with_suffix(".yaml").read_text("utf-8"))[command]
    arguments, one_of = told.pop("arguments"), told.pop("one_of", {})
    how = argparse.RawDescriptionHelpFormatter
    made = argparse.ArgumentParser(f"gristmill {command}", formatter_class=how, **told)
    for name, kind in (("int", int), ("float", float), ("path", Path)):
        made.register("type", name, kind)
    for flag, given in arguments.items():
        made.add_argument(flag, **given)
    if one_of:
        group = made.add_mutually_exclusive_group(required=True)
        for flag, given in one_of.items():
            group.add_argument(flag, **given)
    return made
