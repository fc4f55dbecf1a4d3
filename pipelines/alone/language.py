"""`gristmill language`: the languages of texts, without a run."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa

from curation.language import (
    FIRST,
    SECOND,
    UNDETERMINED,
    Languages,
    Opinion,
    bundled,
    canonical,
    languages_of,
)
from pipelines.alone.accuracy import Accuracy
from pipelines.alone.rows import writing
from pipelines.alone.texts import batches, texts
from schemas.base import ModelFile
from schemas.extract import Extract
from schemas.problems import Problem

_BATCH = 256
_OPINION = [pa.field("language", pa.string(), False), pa.field("score", pa.float64(), False)]
_SPAN = [pa.field("start", pa.int64(), False), pa.field("end", pa.int64(), False)]
NAMED = pa.schema(
    [
        pa.field("id", pa.string(), False),
        *_OPINION,
        pa.field("runners_up", pa.list_(pa.struct(_OPINION)), False),
        # whether the score exceeds the language's threshold; null if none was given
        pa.field("passes", pa.bool_()),
        # of each line of the text, in characters; null if not asked for
        pa.field("paragraphs", pa.list_(pa.struct([*_SPAN, *_OPINION]))),
    ],
    metadata={b"gristmill.schema": b"named/1"},
)


def model_of(name: str) -> Languages:
    """`both`: lid.176 and the second opinion; `lid.176` alone; or a fastText model's path."""
    options = Extract()
    if name != "both":
        file = FIRST if name == "lid.176" else name
        options = Extract(language_model=ModelFile(file=file), second_opinion=None)
    return languages_of(options, lambda model: _file(model.file))


def _file(name: str) -> Path:
    return bundled(name) if name in (FIRST, SECOND) else Path(name)


def thresholds_of(asked: Sequence[str]) -> dict[str, float]:
    """Of `en=.65` and `.5` the scores to exceed by language, "" for all others.

    Codes are brought to one form: `eng_Latn` is `en`. Raises Problem.
    """
    found = {}
    for text in asked:
        language, _, score = text.rpartition("=")
        try:
            found[canonical(language) if language else ""] = float(score)
        except ValueError:
            raise Problem(f"--threshold {text}: write .65 or LANGUAGE=.65") from None
    return found


def name_languages(
    paths: Sequence[str],
    output: str,
    *,
    model: str = "both",
    count: int = 3,
    paragraphs: bool = False,
    thresholds: Mapping[str, float] | None = None,
    reading: Mapping[str, Any] | None = None,
    id_column: str = "id",
    expected: str | None = None,
    accuracy: Accuracy | None = None,
) -> Counter[str]:
    """Write a row (NAMED) for every text of files, folders, patterns or `-` to `output`.

    `count` languages of each, the runners-up among them. `accuracy` counts how often they are what
    the column `expected` says. Returns how many texts are in which
    language, and how many records are no text, why. Raises Problem.
    """
    if count < 1:
        raise Problem(f"--top {count}: 1 or more")
    languages = model_of(model)
    ends: Counter[str] = Counter()
    with writing(output, NAMED) as rows:
        every = texts(paths, ends, reading=reading, id_column=id_column, group=expected)
        for batch in batches(every, _BATCH):
            found = languages.opinions([each.text for each in batch], count)
            named = []
            for each, (best, *others) in zip(batch, found, strict=True):
                ends[best[0]] += 1
                if accuracy is not None:
                    accuracy.add(each.group, best[0], len(each.text))
                row = {
                    "id": each.id,
                    **_opinion(best),
                    "runners_up": list(map(_opinion, others)),
                    "passes": _passes(best, thresholds),
                    "paragraphs": _paragraphs(languages, each.text) if paragraphs else None,
                }
                named.append(row)
            rows.write(named)
    return ends


def _opinion(opinion: Opinion) -> dict[str, Any]:
    return {"language": opinion[0], "score": opinion[1]}


def _passes(best: Opinion, thresholds: Mapping[str, float] | None) -> bool | None:
    """Nothing passes in a language without a threshold, if there are none for the others."""
    if not thresholds or best[0] == UNDETERMINED:
        return False if thresholds else None
    threshold = thresholds.get(canonical(best[0]), thresholds.get(""))
    return threshold is not None and best[1] > threshold


def _paragraphs(languages: Languages, text: str) -> list[dict[str, Any]]:
    return [
        {"start": start, "end": end, **_opinion(best)}
        for start, end, (best, *_) in languages.paragraphs(text)
    ]
