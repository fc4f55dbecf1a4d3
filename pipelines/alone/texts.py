"""Texts of files, with what their rows are called, for the steps on their own."""

from __future__ import annotations

import shutil
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, get_args

from curation.readers import Damage
from pipelines.runs.inputs import columns_of, input_at
from pipelines.runs.splits import plan_splits, read_split
from schemas.inputs import Columns, Format, Input, Splits
from schemas.problems import Problem
from schemas.recipe import Recipe

_ID = "id"
_WHOLE = 1 << 62  # bytes of a split: every file in one


@dataclass(slots=True)
class Text:
    """A text. id: of its row, or its file and place; group: of its row, if one was asked for;
    language, score: of its row, if more was asked for."""

    id: str
    text: str
    group: str | None
    language: str | None = None
    score: float | None = None


class AskedColumns(Columns):
    """Columns of which a file need only have the text's, and the ids' if they have a name."""

    def required(self) -> dict[str, str]:
        """By field."""
        names = {"text": self.text, "title": self.title}
        return {field: name for field, name in names.items() if name and name != _ID}


def texts(
    paths: Sequence[str],
    lost: Counter[str],
    *,
    reading: Mapping[str, Any] | None = None,
    id_column: str = _ID,
    group: str | None = None,
    more: bool = False,
) -> Iterator[Text]:
    """The texts of files, folders or patterns, in the order of paths, names and records.

    `-` is standard input, JSON lines. `reading` is `format` and `columns` of the inputs; `group`
    another column; `more`: the columns `language` and `language_score` too. `lost` counts, by
    reason, the records that hold no text. Raises Problem.
    """
    reading = dict(reading or {})
    layout = columns_of(reading.pop("columns", "text"))
    asked_format = reading.get("format")
    if asked_format is not None and asked_format not in get_args(Format):
        raise Problem(f"--format {asked_format}: not known; one of {', '.join(get_args(Format))}")
    # of all that a reader brings, these fields of a row travel as its title, licence and address
    fields = {"text": layout.text, "title": id_column, "licence": group}
    if more:
        fields |= {"language": "language", "url": "language_score"}
    columns = AskedColumns(**fields)
    with tempfile.TemporaryDirectory(prefix="gristmill-") as scratch:
        for path in paths:
            if path == "-":
                path = spooled(Path(scratch) / "standard-input.jsonl")
            asked = Input(source="in", **input_at(path), columns=columns, **reading)
            recipe = Recipe(name="texts", inputs=(asked,), splits=Splits(bytes=_WHOLE))
            for task in plan_splits(recipe):
                for file, record in read_split(recipe, task):
                    if isinstance(record, Damage):
                        lost[record.kind] += 1
                    elif record.text is None and record.kind not in ("text", "conversion"):
                        lost["not_text"] += 1
                    else:
                        text = record.text
                        if text is None:
                            text = record.payload.decode(errors="replace")
                        place = record.offset or record.inner
                        each = Text(record.title or f"{file}:{place}", text, record.licence)
                        if more and record.kind == "text":
                            each.language, each.score = record.language, number(record.url)
                        yield each


def number(text: str | None) -> float | None:
    """The number that a row has as text, if it is one."""
    try:
        return float(text or "")
    except ValueError:
        return None


def spooled(path: Path) -> str:
    """The file with what standard input held, which is read the first time."""
    if not path.exists():
        with path.open("wb") as out:
            shutil.copyfileobj(sys.stdin.buffer, out)
    return str(path)


def batches(all_: Iterator[Text], size: int) -> Iterator[list[Text]]:
    """Lists of `size` texts, the last one shorter."""
    while batch := list(islice(all_, size)):
        yield batch
