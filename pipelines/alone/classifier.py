"""`gristmill classifier`: fit, evaluate and score, without a run."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa

from curation.classifiers.figures import evaluate
from curation.classifiers.fitting import Example, Settings, fit
from curation.classifiers.importance import Importance, is_importance
from curation.classifiers.scorers import Classifier, scorer
from pipelines.alone.rows import writing
from pipelines.alone.texts import Text, batches, texts
from schemas.problems import Problem

_BATCH = 256
_SPAN = [
    pa.field("start", pa.int64(), False),
    pa.field("end", pa.int64(), False),
    pa.field("score", pa.float64(), False),
]
SCORED = pa.schema(
    [
        pa.field("id", pa.string(), False),
        pa.field("score", pa.float64(), False),
        # whether the score reaches the threshold; null if none was given
        pa.field("reaches", pa.bool_()),
        # what reaches the threshold in the text, in characters; null if not asked for
        pa.field("spans", pa.list_(pa.struct(_SPAN))),
    ],
    metadata={b"gristmill.schema": b"scored/1"},
)


def fit_files(
    sets: Sequence[str],
    output: str,
    *,
    settings: Mapping[str, Any] | None = None,
    held_out: float = 0.2,
    survival: float | None = None,
    pool: Sequence[str] = (),
    group: str | None = None,
    with_length: bool = False,
    reading: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Fit a classifier on `LABEL=PATH` sets; write the model and its card; return the card.

    The first label's score is the model's. An `output` in .npz is importance weights, see `fit`.
    `group`: texts with the same value in this column go to one side of the split; of `id` what is
    before its last `_`, `/`, `#` or `:`. Raises Problem.
    """
    if not output.endswith((".ftz", ".bin")) and not is_importance(output):
        raise Problem(
            f"{output}: the name of a fastText model ends in .ftz or .bin, that of importance "
            "weights in .npz"
        )
    if is_importance(output) and settings:
        raise Problem(f"{output}: importance weights know no {', '.join(settings)}")
    if with_length and not is_importance(output):
        raise Problem(f"{output}: only importance weights, in .npz, heed lengths so")
    try:
        asked = Settings(**(settings or {}))
    except ValueError as error:
        raise Problem(str(error)) from None
    examples, data = _examples(sets, group, reading)
    if group and group != "id" and all(each.group == each.text for each in examples):
        raise Problem(f"--group {group}: no row has this column")
    others = [each.text for each in texts(pool, Counter(), reading=reading)]
    return fit(
        examples,
        output,
        asked,
        held_out=held_out,
        survival=survival,
        pool=others,
        data=data,
        with_length=with_length,
    )


def evaluate_files(
    model: str,
    sets: Sequence[str],
    *,
    label: str | None = None,
    reading: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """The figures of a model or a word list on `LABEL=PATH` sets.

    The first label's texts are the ones that should score high. Raises Problem.
    """
    examples, data = _examples(sets, None, reading)
    scores = scorer(model, label).score([each.text for each in examples])
    right = [each.label == examples[0].label for each in examples]
    return {"model": model, "data": data, **evaluate(right, scores)}


def score_files(
    model: str,
    paths: Sequence[str],
    output: str,
    *,
    label: str | None = None,
    threshold: float | None = None,
    spans: bool = False,
    reading: Mapping[str, Any] | None = None,
    id_column: str = "id",
) -> Counter[str]:
    """Write a row (SCORED) for every text of files, folders, patterns or `-` to `output`.

    `threshold`: default that of the model's card, if it has one. `spans`: also the sentences (of
    a word list the words, of KenLM and importance the lines) that reach it. Returns how many texts
    were `scored`, how many of them `reach` the threshold, and how many records are no text, why.
    Raises Problem.
    """
    model_ = scorer(model, label)
    if threshold is None and isinstance(model_, Classifier | Importance):
        threshold = model_.card.get("threshold", {}).get("value")
    if spans and threshold is None:
        raise Problem("--spans needs a --threshold: the model's card has none")
    ends: Counter[str] = Counter()
    with writing(output, SCORED) as rows:
        every = texts(paths, ends, reading=reading, id_column=id_column)
        for batch in batches(every, _BATCH):
            scores = model_.score([each.text for each in batch])
            scored = []
            for each, score in zip(batch, scores, strict=True):
                reaches = None if threshold is None else score >= threshold
                ends["scored"] += 1
                ends["reach"] += bool(reaches)
                found = None
                if spans and threshold is not None:
                    found = [
                        {"start": start, "end": end, "score": value}
                        for start, end, value in model_.spans(each.text, threshold)
                    ]
                scored.append({"id": each.id, "score": score, "reaches": reaches, "spans": found})
            rows.write(scored)
    return +ends


def _examples(
    sets: Sequence[str], group: str | None, reading: Mapping[str, Any] | None
) -> tuple[list[Example], list[dict[str, Any]]]:
    examples: list[Example] = []
    data = []
    for each in sets:
        label, equals, path = each.partition("=")
        if not equals or not path or not label or not label.replace("-", "_").isidentifier():
            raise Problem(f"--set {each}: write LABEL=PATH, such as good=textbooks.jsonl")
        digest = hashlib.sha256()
        count = 0
        lost: Counter[str] = Counter()
        asked = None if group == "id" else group
        for text in texts([path], lost, reading=reading, group=asked):
            if not text.text.strip():
                lost["empty"] += 1
                continue
            digest.update(text.text.encode() + b"\0")
            count += 1
            examples.append(Example(label, text.text, _group(text, group)))
        if not count:
            raise Problem(f"--set {each}: no text in it")
        # the texts' own checksum: that of the files would change with their compression
        found = {"label": label, "path": path, "texts": count, "sha256": digest.hexdigest()}
        data.append({**found, "lost": dict(lost)} if lost else found)
    return examples, data


def _group(text: Text, group: str | None) -> str:
    if group == "id":
        at = max(map(text.id.rfind, "_/#:"))
        return text.id[:at] if at > 0 else text.id
    return text.group if group and text.group else text.text
