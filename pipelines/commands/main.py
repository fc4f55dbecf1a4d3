"""The command line. Everything heavy is imported by the command that needs it."""

from __future__ import annotations

import argparse
import importlib.metadata
import logging
import os
import sys
from collections.abc import Sequence

from pipelines.commands.apply import add_apply
from pipelines.commands.classifier import add_classifier
from pipelines.commands.decontaminate import add_decontaminate
from pipelines.commands.dedup import add_dedup
from pipelines.commands.engines import add_engines
from pipelines.commands.estimate import add_estimate
from pipelines.commands.export import add_export
from pipelines.commands.extract import add_extract
from pipelines.commands.filter import add_filter
from pipelines.commands.inputs import add_inputs
from pipelines.commands.inspect import add_inspect
from pipelines.commands.language import add_language
from pipelines.commands.look import add_query, add_why
from pipelines.commands.parsing import adder
from pipelines.commands.plan import add_plan
from pipelines.commands.prune import add_prune
from pipelines.commands.recipe import add_recipe
from pipelines.commands.redact import add_redact
from pipelines.commands.rules import add_rules
from pipelines.commands.run import add_report, add_run, add_verify
from pipelines.commands.takedown import add_takedown
from pipelines.commands.tokenizer import add_tokenizer
from schemas.problems import Problem

# What had another name before.
_RENAMED = {"judge": "filter", "--pieces": "--spans"}
# What the command line adds to a problem, by where it is: parameters of calls are options here.
_OPTIONS = frozenset(
    (
        *("columns", "expected", "format", "from", "group", "id", "index", "job-endpoint"),
        *("job-server-jar", "keep", "master"),
        *("label", "labels", "languages", "memory", "model", "near", "pool", "prefer"),
        *("rule", "rules", "runner", "sample", "set", "source", "spans", "threshold", "top"),
        *("until", "url", "workers"),
    )
)
_MENDS = {"inputs": "or give --input SOURCE=PATH", "parent": "or leave --parent out"}
# The trainer's commands: what they do, and an example.
_TRAINER = {
    "train": ("Train a model on a run's shards.", "gristmill train runs/one --output models/one"),
    "trace": ("Tell which documents a training step saw.", "gristmill trace models/one --step 9"),
    "export-hf": (
        "Write a trained model as Hugging Face's libraries read it.",
        "gristmill export-hf models/one exports/one",
    ),
    "generate": (
        "Let a trained model go on from a prompt.",
        "gristmill generate models/one --prompt 'The mill'",
    ),
    "answer": (
        "Let a trained model answer questions of multiple choice.",
        "gristmill answer models/one arc.jsonl.gz",
    ),
}


def main(arguments: Sequence[str] | None = None) -> None:
    """Entry point of `gristmill`. Exit status: 0 done, 1 failed, 2 something to mend."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    if words[:2] == ["plan", "train"] or (words[:1] and words[0] in _TRAINER):
        # the trainer has its own options, and needs nothing of the mill
        words = [*words[:1], *words[2:]] if words[0] == "plan" else words[words[0] == "train" :]
        os.execv(sys.executable, [sys.executable, "-P", "-m", "train", *words])  # noqa: S606
    for word in words[:1] + [word.partition("=")[0] for word in words if word.startswith("--")]:
        if word in _RENAMED:
            _leave(f"gristmill: `{word}` is called `{_RENAMED[word]}` now: write that", 2)
    options = parser().parse_args(words)
    # libraries warn of what a user of this program cannot act on
    logging.getLogger().setLevel(logging.ERROR)
    try:
        status = options.command(options)
    except Problem as problem:
        _leave(f"gristmill: {told(problem)}", 2)
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


def told(problem: Problem) -> str:
    """A problem in the words of the command line."""
    # a parameter, or one and its value
    name = problem.where.partition(" ")[0]
    where = f"--{problem.where}" if name in _OPTIONS else problem.where
    mend = ", ".join(filter(None, (problem.mend, _MENDS.get(problem.where, ""))))
    if (where, mend) == (problem.where, problem.mend):
        return str(problem)
    return str(Problem(problem.what, where, mend))


def _leave(message: str, status: int) -> None:
    """Say it and end at once: threads that wait for a dead worker would hold up a normal exit."""
    print(message, file=sys.stderr, flush=True)
    sys.stdout.flush()
    os._exit(status)


def parser() -> argparse.ArgumentParser:
    """What takes a command's words apart."""
    parser = argparse.ArgumentParser(
        prog="gristmill",
        description="Mills a web crawl into training tokens, and trains on them.",
        epilog="Example: gristmill run fineweb --input web=crawl --output runs/one --workers 8",
    )
    version = importlib.metadata.version("gristmill")
    parser.add_argument("--version", action="version", version=f"gristmill {version}")
    add = adder(parser, "COMMAND")
    for add_command in (
        *(add_run, add_extract, add_filter, add_rules, add_dedup, add_apply, add_plan),
        *(add_redact, add_decontaminate, add_language, add_classifier, add_report, add_export),
        *(add_prune, add_recipe, add_tokenizer, add_verify, add_why),
        *(add_inputs, add_inspect, add_query, add_takedown, add_engines, add_estimate),
    ):
        add_command(add)
    # `main` has handed it on before anything is parsed: here it is for the list of commands
    for name, (help_text, example) in _TRAINER.items():
        add(name, help_text, example, lambda _: 0)
    return parser


if __name__ == "__main__":
    main()
