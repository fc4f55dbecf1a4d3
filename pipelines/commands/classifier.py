"""`gristmill classifier`."""

from __future__ import annotations

import argparse
import json
import sys

from pipelines.commands.options import add_reading, add_texts, reading_of, tell
from pipelines.commands.parsing import Add, adder


def add_classifier(add: Add) -> None:
    """Add `classifier` with its actions."""
    classifier = add(
        "classifier",
        "Fit, evaluate and use classifiers of texts.",
        "gristmill classifier fit --set good=books.jsonl --set bad=crawl.jsonl --output q.ftz",
        lambda _: 0,
    )
    _add_actions(classifier)


def _add_actions(parser: argparse.ArgumentParser) -> None:
    """The actions of `gristmill classifier`."""
    add = adder(parser, "ACTION")

    fit = add(
        "fit",
        "Fit a fastText classifier or importance weights on labelled sets; write it and its card.",
        "gristmill classifier fit --set good=books.jsonl --set bad=crawl.jsonl --output q.ftz",
        _fit,
    )
    fit.add_argument(
        "--output",
        required=True,
        metavar="MODEL",
        help="a .ftz or .bin file; a .npz file: importance weights (DSIR) of the first "
        "set against the others",
    )
    fit.add_argument("--held-out", type=float, default=0.2, help="share for figures (default .2)")
    fit.add_argument(
        "--survival", type=float, help="the card's threshold lets this share of the others through"
    )
    fit.add_argument(
        "--pool",
        action="append",
        default=[],
        metavar="IN",
        help="texts that --survival is a share of, instead of the held-out others",
    )
    fit.add_argument(
        "--group",
        metavar="COLUMN",
        help="never split texts that share this column; of `id`, the part before the last _ / # :",
    )
    fit.add_argument("--epochs", type=int, help="passes over the texts (default: by their number)")
    fit.add_argument(
        "--kept", type=int, help="features in the file, quantised; 0: all (default 100000)"
    )
    fit.add_argument(
        "--with-length", action="store_true", help="importance weights heed how long a text is"
    )
    evaluate = add(
        "evaluate",
        "Print the figures of a model on labelled sets, as JSON.",
        "gristmill classifier evaluate quality.ftz --set good=books.jsonl --set bad=crawl.jsonl",
        _evaluate,
    )
    score = add(
        "score",
        "Score texts: files in, JSON lines or Parquet out.",
        "gristmill classifier score quality.ftz pages.jsonl --output scores.parquet",
        _score,
    )
    for sub in (evaluate, score):
        sub.add_argument(
            "model",
            metavar="MODEL",
            help="a fastText model's file, importance weights (.npz), a KenLM model (.arpa, .klm), "
            "or bad_words:LANGUAGE",
        )
        sub.add_argument("--label", help="whose score (default: as the model's card says)")
    for sub in (fit, evaluate):
        sub.add_argument(
            "--set",
            action="append",
            required=True,
            dest="sets",
            metavar="LABEL=PATH",
            help="texts of a label; the label named first is the one that scores high",
        )
        add_reading(sub)
    add_texts(score, "id, score, reaches, spans")
    score.add_argument(
        "--threshold", type=float, help="say whether scores reach it (default: as the card says)"
    )
    score.add_argument(
        "--spans", action="store_true", help="also the sentences, words or lines that reach it"
    )


def _fit(options: argparse.Namespace) -> int:
    from pipelines.alone.classifier import fit_files

    asked = {"epoch": options.epochs, "kept": options.kept}
    card = fit_files(
        options.sets,
        options.output,
        settings={name: value for name, value in asked.items() if value is not None},
        held_out=options.held_out,
        survival=options.survival,
        pool=options.pool,
        group=options.group,
        with_length=options.with_length,
        reading=reading_of(options),
    )
    if not options.quiet:
        told = {name: card[name] for name in ("held_out", "threshold") if name in card}
        print(json.dumps(told, indent=1), file=sys.stderr)
    return 0


def _evaluate(options: argparse.Namespace) -> int:
    from pipelines.alone.classifier import evaluate_files

    figures = evaluate_files(
        options.model, options.sets, label=options.label, reading=reading_of(options)
    )
    print(json.dumps(figures, indent=1, ensure_ascii=False))
    return 0


def _score(options: argparse.Namespace) -> int:
    from pipelines.alone.classifier import score_files

    ends = score_files(
        options.model,
        options.input,
        options.output,
        label=options.label,
        threshold=options.threshold,
        spans=options.spans,
        reading=reading_of(options),
        id_column=options.id,
    )
    if not options.quiet:
        reach = ends.pop("reach", 0)
        tell(ends)
        print(f"{reach:>12,} of them reach the threshold", file=sys.stderr)
    return 0
