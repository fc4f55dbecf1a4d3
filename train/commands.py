"""The trainer's other commands, such as `gristmill trace` and `gristmill plan train`."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, fields
from pathlib import Path

from schemas.problems import Problem

Command = Callable[[Sequence[str]], None]


def run(name: str, arguments: Sequence[str]) -> int:
    """Run a command by its name; returns the exit status."""
    try:
        COMMANDS[name](arguments)
    except (Problem, OSError) as error:
        print(f"gristmill {name}: {error}", file=sys.stderr)
        return 2
    except BrokenPipeError:
        return 0
    return 0


def trace(arguments: Sequence[str]) -> None:
    """Print what a step saw, or which steps saw a document, as lines of JSON."""
    text = "Tell which documents a training step saw, or which steps saw a document."
    parser = _parser("trace", text, "gristmill trace models/one --step 120", with_model=True)
    asked = parser.add_mutually_exclusive_group(required=True)
    asked.add_argument("--step", type=int, metavar="N", help="rows, documents and URLs of a step")
    asked.add_argument("--document", metavar="ID", help="steps that saw a document")
    asked.add_argument(
        "--documents", type=Path, metavar="FILE", help="steps that saw one of the ids in a file"
    )
    parser.add_argument("--run", metavar="RUN", help="where the run is now, if it was moved")
    options = parser.parse_args(arguments)
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
    text = "Write a trained model for Hugging Face's AutoModelForCausalLM and AutoTokenizer."
    parser = _parser(
        "export-hf", text, "gristmill export-hf models/one exports/one", with_model=True
    )
    parser.add_argument("output", metavar="OUT", type=Path, help="a folder, new or empty")
    parser.add_argument("--dtype", default="float32", choices=["float32", "bfloat16", "float16"])
    options = parser.parse_args(arguments)
    from train.origin import export

    export(options.model, options.output, options.dtype)


def generate(arguments: Sequence[str]) -> None:
    """Print what a model writes after a prompt."""
    example = 'gristmill generate runs/demo-model --prompt "The mill" --tokens 50 --temperature .8'
    text = "Let a trained model go on from a prompt."
    parser = _parser("generate", text, example, with_model=True)
    add = parser.add_argument
    add("--prompt", default="", help="text to go on from; without it, a new document")
    add("--tokens", type=int, default=100, metavar="N", help="at most so many (default 100)")
    add("--temperature", type=float, default=1.0, help="0 takes the likeliest (default 1)")
    add("--top-k", type=int, metavar="K", help="of the K likeliest tokens only")
    add("--top-p", type=float, metavar="P", help="of the fewest likeliest of probability P")
    add("--seed", type=int, default=0)
    options = parser.parse_args(arguments)
    from train.generate import Choice, continuation, open_trained

    choice = Choice(options.temperature, options.top_k, options.top_p, options.seed)
    trained = open_trained(options.model)
    print(options.prompt, end="", flush=True)
    for piece in continuation(trained, options.prompt, options.tokens, choice):
        print(piece, end="", flush=True)
    print()


def answer(arguments: Sequence[str]) -> None:
    """Print how many questions of multiple choice a model answers as it should."""
    example = "gristmill answer runs/demo-model hellaswag.jsonl.gz arc.jsonl.gz"
    text = "Let a trained model answer questions of multiple choice."
    parser = _parser("answer", text, example, with_model=True)
    lines = "JSON lines of `text`, `choices` and `answer`, the number of a choice or its letter"
    parser.add_argument("files", metavar="FILE", type=Path, nargs="+", help=lines)
    options = parser.parse_args(arguments)
    from train.generate import open_trained
    from train.tasks import read_questions

    questions = {path.name: read_questions(path) for path in options.files}
    trained = open_trained(options.model)
    for name, asked in questions.items():
        print(json.dumps({"task": name, **asdict(trained.answer(asked))}))


def plan(arguments: Sequence[str]) -> None:
    """Print what a training run would cost."""
    text = "Tell what a training run will cost: FLOPs, loss, memory, time, money, energy."
    example = "gristmill plan train --preset gpt3-175b --tokens 300e9 --gpus 1024 --price 2.5"
    parser = _parser("plan train", text, example)
    from train import config
    from train import plan as plans

    add = parser.add_argument
    add("--preset", help="a YAML file, or one of those in train/presets")
    for one in fields(plans.Ask):
        if told := one.metadata.get("help"):
            kind = float if one.default is None else type(one.default)
            add(f"--{one.name}", type=kind, metavar=one.name.upper(), help=told)
    add("--set", action="append", default=[], metavar="KEY=VALUE", help="change a preset's key")
    add("--json", action="store_true", help="all figures, as JSON")
    options = vars(parser.parse_args(arguments))
    preset, as_json, settings = (options.pop(key) for key in ("preset", "json", "set"))
    if preset:
        ask = plans.of_config(config.load(preset, config.settings(settings)), **options)
    else:
        ask = plans.Ask(**{key: value for key, value in options.items() if value is not None})
    figures = plans.plan(ask)
    print(json.dumps(figures, indent=2) if as_json else plans.text(ask, figures))


def _parser(
    name: str, text: str, example: str, *, with_model: bool = False
) -> argparse.ArgumentParser:
    epilog = f"example: {example}"
    parser = argparse.ArgumentParser(f"gristmill {name}", description=text, epilog=epilog)
    if with_model:
        help_ = "the --output of a training run"
        parser.add_argument("model", metavar="MODEL", type=Path, help=help_)
    return parser


COMMANDS: dict[str, Command] = {
    "answer": answer,
    "export-hf": export_hf,
    "generate": generate,
    "plan": plan,
    "trace": trace,
}
