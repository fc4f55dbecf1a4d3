"""`gristmill classifier`."""

from __future__ import annotations

import argparse
import hashlib
import json
import re
import sys
from collections import Counter
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from pipelines.commands.options import No, add_reading, add_texts, map_rows, rows_of, tell
from pipelines.commands.parsing import Add, adder
from schemas.problems import Problem

if TYPE_CHECKING:
    from curation.classifiers.fitting import Example
    from pipelines.runs.rows import Row


# of a fastText model labels are words
_LABEL = re.compile(r"[\w.-]+")


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
    fit.add_argument("--label", help="with --labels: the label that scores high")
    for sub in (fit, evaluate):
        sub.add_argument(
            "--set",
            action="append",
            required=True,
            dest="sets",
            metavar="LABEL=PATH",
            help="texts of a label; the label named first is the one that scores high",
        )
        sub.add_argument(
            "--labels",
            metavar="COLUMN",
            help="the column with each row's label; sets are paths then: --set all.jsonl",
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
    from curation.classifiers.fitting import Settings, check_name, fit

    asked = {"epoch": options.epochs, "kept": options.kept}
    given = {name: value for name, value in asked.items() if value is not None}
    check_name(options.output, given, with_length=options.with_length)
    try:
        settings = Settings(**given)
    except ValueError as error:
        raise Problem(str(error)) from None
    if options.pool and options.survival is None:
        raise Problem("nothing is a share of it", "pool", "give --survival too")
    examples, data = _examples(options, options.group)
    if options.label and not options.labels:
        raise Problem("the set named first scores high", f"label {options.label}", "leave it out")
    if options.labels:
        if not any(each.label == options.label for each in examples):
            found = ", ".join(sorted({each.label for each in examples}))
            raise Problem("no text has it", f"label {options.label}", f"give one of {found}")
        examples.sort(key=lambda each: each.label != options.label)
    if options.group not in (None, "id") and all(each.group == each.text for each in examples):
        raise Problem("no row has this column", f"group {options.group}")
    card = fit(
        examples,
        options.output,
        settings,
        held_out=options.held_out,
        survival=options.survival,
        pool=[row.text for row in rows_of(options.pool, options)],
        data=data,
        with_length=options.with_length,
    )
    if not options.quiet:
        told = {name: card[name] for name in ("held_out", "threshold") if name in card}
        print(json.dumps(told, indent=1), file=sys.stderr)
    return 0


def _evaluate(options: argparse.Namespace) -> int:
    from curation.classifiers.figures import evaluate
    from curation.classifiers.scorers import scorer

    examples, data = _examples(options, None)
    model = scorer(options.model, options.label)
    label = examples[0].label
    if options.labels:
        label = str(options.label or getattr(model, "card", {}).get("label", ""))
        if not label:
            raise Problem("the model has no label", "label", "say which one scores high")
    scores = model.score([each.text for each in examples])
    right = [each.label == label for each in examples]
    figures = {"model": options.model, "data": data, **evaluate(right, scores)}
    print(json.dumps(figures, indent=1, ensure_ascii=False))
    return 0


def _examples(
    options: argparse.Namespace, group: str | None
) -> tuple[list[Example], list[dict[str, Any]]]:
    """The texts of the labelled sets, and what the card says of each set."""
    from curation.classifiers.fitting import Example

    examples: list[Example] = []
    data = []
    for each in options.sets:
        label, equals, path = ("", "", each) if options.labels else each.partition("=")
        if not options.labels and not (equals and path and _LABEL.fullmatch(label)):
            raise Problem(
                "write LABEL=PATH, such as good=textbooks.jsonl",
                f"set {each}",
                "or name the column of labels",
            )
        digests: dict[str, Any] = {}
        texts: Counter[str] = Counter()
        lost: Counter[str] = Counter()
        for row in rows_of([path], options, lost):
            own = label or _label(row, options.labels)
            if not row.text.strip() or not own:
                lost["empty" if own else "no_label"] += 1
                continue
            digests.setdefault(own, hashlib.sha256()).update(row.text.encode() + b"\0")
            texts[own] += 1
            examples.append(Example(own, row.text, _group(row, group)))
        if not texts:
            where = f"labels {options.labels}" if lost["no_label"] else f"set {each}"
            raise Problem("no row has a label" if lost["no_label"] else "no text in it", where)
        # the texts' own checksum: that of the files would change with their compression
        data += [
            {"label": own, "path": path, "texts": texts[own], "sha256": digests[own].hexdigest()}
            for own in digests
        ]
        if lost:
            data[-1]["lost"] = dict(lost)
    return examples, data


def _label(row: Row, column: str) -> str:
    """The label in a column, empty if there is none."""
    from curation.readers.rows import value_of

    value = value_of(row.values, column)
    text = "" if value is None else str(value).lower() if isinstance(value, bool) else str(value)
    if text and not _LABEL.fullmatch(text):
        raise Problem("no label: letters, digits, `_`, `-` and `.` make one", f"labels {column}")
    return text


def _group(row: Row, group: str | None) -> str:
    from curation.readers.rows import value_of

    if group == "id":
        at = max(map(row.id.rfind, "_/#:"))
        return row.id[:at] if at > 0 else row.id
    value = value_of(row.values, group) if group else None
    return row.text if value in (None, "") else str(value)


def _score(options: argparse.Namespace) -> int:
    import pyarrow as pa

    from curation.classifiers.importance import Importance
    from curation.classifiers.scorers import Classifier, scorer

    span = [
        pa.field("start", pa.int64(), False),
        pa.field("end", pa.int64(), False),
        pa.field("score", pa.float64(), False),
    ]
    fields = [
        pa.field("score", pa.float64(), False),
        # whether the score reaches the threshold; null if none was given
        pa.field("reaches", pa.bool_()),
        # what reaches the threshold in the text, in characters; null if not asked for
        pa.field("spans", pa.list_(pa.struct(span))),
    ]
    model, threshold = scorer(options.model, options.label), options.threshold
    if threshold is None and isinstance(model, Classifier | Importance):
        threshold = model.card.get("threshold", {}).get("value")
    if options.spans and threshold is None:
        raise Problem("the model's card has no threshold", "spans", "give one")
    ends: Counter[str] = Counter()

    def score(batch: list[Row]) -> Iterator[dict[str, Any] | No]:
        scores = model.score([row.text for row in batch])
        for row, value in zip(batch, scores, strict=True):
            reaches = None if threshold is None else value >= threshold
            if reaches is False and options.rejected:
                yield No("score", f"{value:g}", f">= {threshold:g}")
                continue
            ends["scored"] += 1
            ends["reach"] += bool(reaches)
            found = model.spans(row.text, threshold or 0) if options.spans else ()
            named = [dict(zip(("start", "end", "score"), each, strict=True)) for each in found]
            yield {"score": value, "reaches": reaches, "spans": named if options.spans else None}

    lost = map_rows("score", options, fields, score)
    if not options.quiet:
        tell({"scored": ends["scored"], **lost})
        reach = f"{ends['reach']:>12,} of them reach the threshold"
        print(reach if threshold is not None else "no threshold was given", file=sys.stderr)
    return 0
