"""The command line. Everything heavy is imported by the command that needs it."""

from __future__ import annotations

import argparse
import logging
import os
import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from pipelines.commands import add_commands
from pipelines.commands.parsing import adder, bytes_of
from schemas.problems import Problem

if TYPE_CHECKING:
    from pipelines.runs.steps import Manifest


# What had another name before.
_RENAMED = {"judge": "filter", "--pieces": "--spans"}


def main(arguments: Sequence[str] | None = None) -> None:
    """Entry point of `gristmill`. Exit status: 0 done, 1 failed, 2 something to mend."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    if words[:1] == ["train"]:
        # the trainer has its own options, and needs nothing of the mill
        os.execv(sys.executable, [sys.executable, "-P", "-m", "train", *words[1:]])  # noqa: S606
    for word in words[:1] + [word.partition("=")[0] for word in words if word.startswith("--")]:
        if word in _RENAMED:
            _leave(f"gristmill: `{word}` is called `{_RENAMED[word]}` now: write that", 2)
    options = _parser().parse_args(words)
    # libraries warn of what a user of this program cannot act on
    logging.getLogger().setLevel(logging.ERROR)
    try:
        status = options.command(options)
    except Problem as error:
        _leave(f"gristmill: {error}", 2)
    except KeyboardInterrupt:
        again = "; the same command goes on from what is done" if words[:1] == ["run"] else ""
        _leave(f"gristmill: interrupted{again}", 130)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        status = 0
    except Exception as error:
        if os.environ.get("GRISTMILL_TRACE"):
            raise
        _leave(f"gristmill: {type(error).__name__}: {error}", 1)
    sys.exit(status)


def _leave(message: str, status: int) -> None:
    """Say it and end at once: threads that wait for a dead worker would hold up a normal exit."""
    print(message, file=sys.stderr, flush=True)
    sys.stdout.flush()
    os._exit(status)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="gristmill",
        description="Mills a web crawl into training tokens, and trains on them.",
        epilog="Example: gristmill run fineweb --input web=crawl --output runs/one --workers 8",
    )
    add = adder(parser, "COMMAND")
    run = add(
        "run",
        "Run a recipe, or go on with a run.",
        "gristmill run fineweb --input web=crawl --output runs/one --workers 8",
        _run,
    )
    run.add_argument("recipe", help="a bundled recipe's name, or a YAML file")
    run.add_argument("--output", required=True, metavar="RUN", help="folder or URL of the run")
    run.add_argument(
        "--input",
        action="append",
        default=[],
        metavar="SOURCE=PATH",
        help="instead of the recipe's inputs: a file, a pattern such as 'crawl/**/*.jsonl.gz', or "
        "a folder, which is searched for WARC files, or else for all that can be read",
    )
    run.add_argument("--parent", metavar="RUN", help="take over this run's equal stages")
    run.add_argument("--runner", default="local", help="local (default), direct or prism")
    run.add_argument("--workers", type=int, default=1, help="worker processes (default 1)")
    run.add_argument(
        "--memory", type=bytes_of, default=2 << 30, help="for shuffles, such as 4G (default 2G)"
    )
    run.add_argument("--quiet", action="store_true", help="no progress")

    add_commands(add)

    report = add(
        "report",
        "Write the report of a run: one HTML page and its JSON.",
        "gristmill report runs/one",
        _report,
    )
    report.add_argument("run", metavar="RUN", help="folder of the run")
    report.add_argument("--output", metavar="FOLDER", help="default: RUN/report")

    recipe = add("recipe", "Look at recipes.", "gristmill recipe show fineweb", lambda _: 0)
    act = adder(recipe, "ACTION")
    act("list", "List the bundled recipes.", "gristmill recipe list", _recipe_list)
    act(
        "schema",
        "Print the JSON Schema of recipes, for editors.",
        "gristmill recipe schema",
        _recipe_schema,
    )
    for name, help_, command in (
        ("show", "Print a recipe with all that it extends and all defaults.", _recipe_show),
        ("validate", "Check a recipe and say everything that is wrong.", _recipe_validate),
    ):
        sub = act(name, help_, f"gristmill recipe {name} fineweb", command)
        sub.add_argument("recipe", help="a bundled recipe's name, or a YAML file")

    diff = act(
        "diff",
        "Print two recipes or sets of rules side by side: their rules, and the keys that differ.",
        "gristmill recipe diff fineweb dclm",
        _recipe_diff,
    )
    for side in ("left", "right"):
        diff.add_argument(
            side,
            help="a recipe or table, by a bundled name or in a YAML file, a chain's file, or a "
            "run's folder",
        )
    diff.add_argument("--json", action="store_true", help="as JSON")

    # `main` has handed it on before anything is parsed: here it is for the list of commands
    add(
        "train",
        "Train a model on a run's shards.",
        "gristmill train runs/one --output models/one",
        lambda _: 0,
    )
    return parser


def _inputs(options: argparse.Namespace) -> dict[str, object]:
    """What `--input` and `--parent` put over the recipe."""
    from pipelines.runs.inputs import input_at

    over: dict[str, object] = {}
    inputs = []
    for text in options.input:
        source, equals, path = text.partition("=")
        if not equals or not path:
            raise Problem(f"--input {text}: write SOURCE=PATH, such as web=crawl")
        inputs.append({"source": source, **input_at(path)})
    if inputs:
        over["inputs"] = inputs
    if options.parent:
        over["parent"] = os.path.abspath(options.parent)
    return over


def _run(options: argparse.Namespace) -> int:
    from pipelines.engines.runners import Engine
    from pipelines.recipes.loading import load
    from pipelines.run import finished, run, say
    from pipelines.runs.store import Folder, is_remote

    output = options.output if is_remote(options.output) else os.path.abspath(options.output)
    recipe = load(options.recipe, _inputs(options))
    was_finished = finished(Folder(output))
    engine = Engine(options.runner, options.workers, options.memory)
    manifests = run(recipe, output, engine, quiet=options.quiet)
    if was_finished:
        say(f"{output}: this run is finished; nothing to do")
    for name, manifest in manifests.items():
        if manifest.home:
            say(f"{name}: taken from {manifest.home}")
    if not options.quiet:
        say(_summary(output, manifests))
    report = Folder(output) / "report"
    if not report.exists("index.html"):
        from pipelines.report.report import write_report

        write_report(output, report.url)
    say(f"report: {report.url}/index.html")
    return 0


def _summary(output: str, manifests: Mapping[str, Manifest]) -> str:
    """What went through each stage, and the tokens that came out."""
    import json

    from pipelines.runs.store import Folder

    lines = [
        f"{name:<12}{manifest.records:>15,} in {manifest.kept:>15,} kept"
        for name, manifest in manifests.items()
        if name != "tokenizer"
    ]
    splits = json.loads(Folder(output).read("shards/manifest.json"))["splits"]
    lines += [f"{name:<12}{split['tokens']:>15,} tokens" for name, split in splits.items()]
    return "\n".join(lines)


def _report(options: argparse.Namespace) -> int:
    from pipelines.report.report import write_report

    output = options.output or f"{options.run.rstrip('/')}/report"
    write_report(options.run, output)
    print(f"{output}/index.html")
    return 0


def _recipe_list(_: argparse.Namespace) -> int:
    import textwrap

    from pipelines.recipes.loading import describe

    for name, description in describe():
        head = f"{name:<12} "
        print(textwrap.fill(head + description, 100, subsequent_indent=" " * len(head)))
    return 0


def _recipe_show(options: argparse.Namespace) -> int:
    from pipelines.recipes.loading import load, to_yaml

    print(to_yaml(load(options.recipe)), end="")
    return 0


def _recipe_validate(options: argparse.Namespace) -> int:
    from pipelines.recipes.loading import load

    load(options.recipe)
    print(f"{options.recipe}: a valid recipe")
    return 0


def _recipe_diff(options: argparse.Namespace) -> int:
    import json

    from pipelines.recipes.comparison import as_json, as_text, compare, recipe_at

    called = (options.left, options.right)
    found = compare(recipe_at(options.left), recipe_at(options.right), called)
    print(json.dumps(as_json(found), indent=1) if options.json else as_text(found))
    return 0


def _recipe_schema(_: argparse.Namespace) -> int:
    import json

    from schemas.recipe import Recipe

    print(json.dumps(Recipe.model_json_schema(), indent=1))
    return 0


if __name__ == "__main__":
    main()
