"""The trainer's other commands, such as `gristmill trace` and `gristmill plan train`."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict
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
    parser = _parser(
        "trace",
        "Tell which documents a training step saw, or which steps saw a document.",
        "gristmill trace models/one --step 120",
    )
    parser.add_argument("model", metavar="MODEL", type=Path, help="the --output of a training run")
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
    if options.document is not None:
        lines = found.document(options.document)
    elif options.documents is not None:
        lines = found.documents(options.documents.read_text("utf-8").split())
    else:
        lines = [asdict(segment) for segment in found.step(options.step)]
    for line in lines:
        print(json.dumps(line, ensure_ascii=False))


def export_hf(arguments: Sequence[str]) -> None:
    """Write a model as transformers reads it."""
    parser = _parser(
        "export-hf",
        "Write a trained model as Hugging Face's libraries read it: AutoModelForCausalLM and "
        "AutoTokenizer.",
        "gristmill export-hf models/one exports/one",
    )
    parser.add_argument(
        "model", metavar="MODEL", type=Path, help="the --output of a training run, or a checkpoint"
    )
    parser.add_argument("output", metavar="OUT", type=Path, help="a folder, made if need be")
    parser.add_argument("--dtype", default="float32", choices=["float32", "bfloat16", "float16"])
    options = parser.parse_args(arguments)
    from train.origin import export

    export(options.model, options.output, options.dtype)


def generate(arguments: Sequence[str]) -> None:
    """Print what a model writes after a prompt."""
    parser = _parser(
        "generate",
        "Let a trained model go on from a prompt.",
        'gristmill generate runs/demo-model --prompt "The mill" --tokens 50 --temperature .8',
    )
    add = parser.add_argument
    add("model", metavar="MODEL", type=Path, help="the --output of a training run")
    add("--prompt", default="", help="text to go on from; without it, a new document")
    add("--tokens", type=int, default=100, metavar="N", help="at most so many (default 100)")
    add("--temperature", type=float, default=1.0, help="0 takes the likeliest (default 1)")
    add("--top-k", type=int, metavar="K", help="of the K likeliest tokens only")
    add("--top-p", type=float, metavar="P", help="of the fewest likeliest of probability P")
    add("--seed", type=int, default=0)
    options = parser.parse_args(arguments)
    from train.generate import continuation
    from train.trained import open_trained

    choice = {name: getattr(options, name) for name in ("temperature", "top_k", "top_p", "seed")}
    trained = open_trained(options.model)
    print(options.prompt, end="", flush=True)
    for text in continuation(trained, options.prompt, options.tokens, **choice):
        print(text, end="", flush=True)
    print()


def answer(arguments: Sequence[str]) -> None:
    """Print how many questions of multiple choice a model answers as it should."""
    parser = _parser(
        "answer",
        "Let a trained model answer questions of multiple choice.",
        "gristmill answer runs/demo-model hellaswag.jsonl.gz arc.jsonl.gz",
    )
    parser.add_argument("model", metavar="MODEL", type=Path, help="the --output of a training run")
    lines = "JSON lines of `text`, `choices` and `answer`, the number of a choice or its letter"
    parser.add_argument("files", metavar="FILE", type=Path, nargs="+", help=lines)
    options = parser.parse_args(arguments)
    from train.tasks import read_questions
    from train.trained import open_trained

    questions = {path.name: read_questions(path) for path in options.files}
    trained = open_trained(options.model)
    for name, asked in questions.items():
        print(json.dumps({"task": name, **trained.answer(asked).measures()}))


def plan(arguments: Sequence[str]) -> None:
    """Print what a training run would cost."""
    parser = _parser(
        "plan train",
        "Tell what a training run will cost: FLOPs, loss, memory, time, money, energy.",
        "gristmill plan train --preset gpt3-175b --tokens 300e9 --gpu h200 --gpus 1024 --price 2.5",
    )
    add = parser.add_argument
    add("--preset", help="a YAML file, or one of those in train/presets")
    add("--parameters", type=float, metavar="N", help="in place of a preset")
    add("--tokens", type=float, metavar="D", help="trained on; else the preset's, or 20 N")
    add("--budget", type=float, metavar="FLOPS", help="6 N D to spend, in place of tokens")
    add("--gpu", help="a100, h100, h200 (default), b200, ...")
    add("--gpus", type=int, metavar="N", help="how many (default 1)")
    add("--mfu", type=float, help="model FLOPs utilisation, 0 to 1 (default .4)")
    add("--price", type=float, metavar="DOLLARS", help="of a GPU hour")
    add("--pue", type=float, help="power of the site over that of its computers (default 1.2)")
    add("--carbon", type=float, metavar="KG", help="CO2 of a kWh (default .445)")
    add("--lost", type=float, help="fraction of time lost to restarts (default .05)")
    add("--queries", type=float, metavar="D", help="tokens to be answered with the model")
    add("--set", action="append", default=[], metavar="KEY=VALUE", help="change a preset's key")
    add("--json", action="store_true", help="all figures, as JSON")
    options = vars(parser.parse_args(arguments))
    from train import config
    from train import plan as plans

    preset, as_json, settings = (options.pop(key) for key in ("preset", "json", "set"))
    if preset:
        ask = plans.of_config(config.load(preset, config.settings(settings)), **options)
    else:
        ask = plans.Ask(**{key: value for key, value in options.items() if value is not None})
    figures = plans.plan(ask)
    print(json.dumps(figures, indent=2) if as_json else plans.text(ask, figures))


def _parser(name: str, description: str, example: str) -> argparse.ArgumentParser:
    return argparse.ArgumentParser(
        prog=f"gristmill {name}", description=description, epilog=f"example: {example}"
    )


COMMANDS: dict[str, Command] = {
    "answer": answer,
    "export-hf": export_hf,
    "generate": generate,
    "plan": plan,
    "trace": trace,
}
