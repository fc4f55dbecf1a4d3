"""The trainer's other commands, such as `gristmill trace` and `gristmill plan train`."""

import contextlib
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict

from schemas.problems import Problem
from train.options import parser


def run(name: str, arguments: Sequence[str]) -> int:
    """Run a command by its name; returns the exit status."""
    try:
        with contextlib.suppress(BrokenPipeError):
            COMMANDS[name](arguments)
    except (Problem, OSError) as error:
        print(f"gristmill {name}: {error}", file=sys.stderr)
        return 2
    return 0


def trace(arguments: Sequence[str]) -> None:
    """Print what a step saw, or which steps saw a document, as lines of JSON."""
    options = parser("trace").parse_args(arguments)
    from train.trace import Trace

    found = Trace(options.model, options.run)
    if options.step is not None:
        lines = found.step(options.step)
    elif options.document is not None:
        lines = found.document(options.document)
    else:
        lines = found.documents(options.documents.read_text("utf-8").split())
    for line in lines:
        print(json.dumps(line, ensure_ascii=False))


def export_hf(arguments: Sequence[str]) -> None:
    """Write a model as transformers reads it."""
    options = parser("export-hf").parse_args(arguments)
    from train.origin import export

    export(options.model, options.output, options.dtype)


def generate(arguments: Sequence[str]) -> None:
    """Print what a model writes after a prompt."""
    options = parser("generate").parse_args(arguments)
    from train.generate import Choice, continuation, open_trained

    choice = Choice(options.temperature, options.top_k, options.top_p, options.seed)
    trained = open_trained(options.model)
    print(options.prompt, end="", flush=True)
    for piece in continuation(trained, options.prompt, options.tokens, choice):
        print(piece, end="", flush=True)
    print()


def answer(arguments: Sequence[str]) -> None:
    """Print how many questions of multiple choice a model answers as it should."""
    options = parser("answer").parse_args(arguments)
    from train.generate import open_trained
    from train.tasks import read_questions

    questions = {path.name: read_questions(path) for path in options.files}
    trained = open_trained(options.model)
    for name, asked in questions.items():
        print(json.dumps({"task": name, **asdict(trained.answer(asked))}))


def plan(arguments: Sequence[str]) -> None:
    """Print what a training run would cost."""
    options = vars(parser("plan train").parse_args(arguments))
    from train import config
    from train import plan as plans

    preset, as_json, settings = (options.pop(key) for key in ("preset", "json", "set"))
    given = {key: value for key, value in options.items() if value is not None}
    if preset:
        ask = plans.of_config(config.load(preset, config.settings(settings)), **given)
    else:
        ask = plans.Ask(**given)
    figures = plans.plan(ask)
    print(json.dumps(figures, indent=2) if as_json else plans.text(ask, figures))


_ALL = (answer, export_hf, generate, plan, trace)
COMMANDS = {command.__name__.replace("_", "-"): command for command in _ALL}
