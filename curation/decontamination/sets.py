"""Evaluation sets: files of rows to test items, by the layout that a benchmark is published in."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from curation.decontamination.index import Item
from schemas.parquet import open_parquet
from schemas.problems import Problem


@dataclass(frozen=True)
class Layout:
    """Which fields of a row hold what. A field of a field has a dot: `question.stem`; of a list it
    is that of every entry. Of `text` all that are there are joined, in this order."""

    text: tuple[str, ...]
    choices: tuple[str, ...] = ()
    answer: tuple[str, ...] = ()
    id: tuple[str, ...] = ("id",)


DEFAULT = Layout(("text", "question"), ("choices",), ("answer",))
# As the benchmarks' own releases have them, and their copies in the hub of Hugging Face.
LAYOUTS: Mapping[str, Layout] = {
    "agieval": Layout(("passage", "question"), ("options",), ("label", "answer")),
    "arc": Layout(("question.stem", "question"), ("question.choices.text", "choices.text")),
    "bbh": Layout(("examples.input", "input"), (), ("examples.target", "target")),
    "boolq": Layout(("question",), (), ("passage",)),
    "commonsenseqa": Layout(
        ("question.stem", "question"), ("question.choices.text", "choices.text")
    ),
    "copa": Layout(("premise",), ("choice1", "choice2")),
    "gpqa": Layout(
        ("Question",),
        ("Incorrect Answer 1", "Incorrect Answer 2", "Incorrect Answer 3"),
        ("Correct Answer",),
        ("Record ID",),
    ),
    "gsm8k": Layout(("question",), (), ("answer",)),
    "hellaswag": Layout(("activity_label", "ctx"), ("endings",), (), ("source_id", "ind")),
    "humaneval": Layout(("prompt",), (), ("canonical_solution",), ("task_id",)),
    "lambada": Layout(("text",)),
    "math": Layout(("problem",), (), ("solution",)),
    "mbpp": Layout(("text", "prompt"), (), ("code",), ("task_id",)),
    "mmlu": Layout(("question",), ("choices", "options"), (), ("question_id", "id")),
    "openbookqa": Layout(
        ("question_stem", "question.stem"), ("choices.text", "question.choices.text")
    ),
    "piqa": Layout(("goal",), ("sol1", "sol2")),
    "race": Layout(("question",), ("options",), ("article",), ("example_id", "id")),
    "siqa": Layout(("context", "question"), ("answerA", "answerB", "answerC")),
    "squad": Layout(("question",), (), ("context",)),
    "triviaqa": Layout(("question",), (), ("answer.value",), ("question_id",)),
    "truthfulqa": Layout(
        ("question", "Question"),
        ("mc1_targets.choices",),
        ("best_answer", "Best Answer"),
    ),
    "winogrande": Layout(("sentence",), ("option1", "option2"), (), ("qID",)),
}


def layout_of(benchmark: str) -> Layout:
    """By a benchmark's name or its beginning, as `arc` of `arc-challenge`; else the default."""
    plain = "".join(char for char in benchmark.lower() if char.isalnum())
    known = [name for name in LAYOUTS if plain.startswith(name)]
    return LAYOUTS[max(known, key=len)] if known else DEFAULT


def read_set(path: Path, benchmark: str, layout: Layout | None = None) -> Iterator[Item]:
    """The items of a file of JSON lines, JSON or Parquet. Where a row has none of the layout's
    fields with the text, those of the default are taken. Items without an id are numbered.

    Raises Problem if the file cannot be read, or a row holds no text, naming it.
    """
    chosen = layout or layout_of(benchmark)
    found = False
    for number, row in enumerate(_rows(path)):
        fields = chosen if layout or _joined(row, chosen.text) else DEFAULT
        text = _joined(row, fields.text)
        if not text:
            raise Problem(
                f"no text in {', '.join(fields.text)}, but {', '.join(map(str, row))[:200]}",
                f"{path}: row {number + 1}",
                "name the fields: text=...,choices=...,answer=...,id=...",
            )
        found = True
        yield Item(
            benchmark,
            next((str(value) for name in fields.id for value in _values(row, name)), str(number)),
            text,
            tuple(value for name in fields.choices for value in _strings(row, name)),
            _joined(row, fields.answer),
        )
    if not found:
        raise Problem(f"{path}: holds no rows")


def _joined(row: Mapping[str, Any], names: Iterable[str]) -> str:
    return "\n".join(value for name in names for value in _strings(row, name))


def _strings(row: Mapping[str, Any], name: str) -> list[str]:
    """The texts of a field that are not empty."""
    return [value for value in _values(row, name) if isinstance(value, str) and value.strip()]


def _values(value: Any, path: str) -> Iterator[Any]:
    """What is at a path: every entry of lists on the way, and of one at its end."""
    name, _, rest = path.partition(".")
    if isinstance(value, list):
        for one in value:
            yield from _values(one, path)
    elif isinstance(value, Mapping) and value.get(name) is not None:
        own = value[name]
        if rest:
            yield from _values(own, rest)
        elif isinstance(own, list):
            yield from own
        else:
            yield own


def _rows(path: Path) -> Iterator[dict[str, Any]]:
    try:
        if path.name.endswith(".parquet"):
            for batch in open_parquet(path).iter_batches():
                yield from batch.to_pylist()
            return
        with pa.input_stream(str(path), compression="detect") as stream:
            data = stream.read()
        if path.name.removesuffix(".gz").removesuffix(".zst").endswith(".json"):
            whole = json.loads(data)
            rows = whole.get("examples", [whole]) if isinstance(whole, dict) else whole
        else:
            rows = map(json.loads, filter(None, data.splitlines()))
        for number, row in enumerate(rows):
            if not isinstance(row, dict):
                raise Problem(f"{path}: row {number + 1} is no object")
            yield row
    except (OSError, ValueError, RecursionError, pa.ArrowException) as error:
        raise Problem(
            f"{path}: cannot be read ({str(error).splitlines()[0]}): give JSON lines or Parquet"
        ) from None
