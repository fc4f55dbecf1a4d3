"""FineWeb-2's measures, and how far each is over the threshold of the document's language.

Penedo et al. 2025, https://arxiv.org/abs/2506.20920; thresholds and stop words: see README.md.
"""

from __future__ import annotations

import functools
import json
from importlib import resources
from typing import Any

from curation.measures import fineweb, gopher
from curation.measures.signals import Measure, ratio
from curation.measures.view import View

_UPPER_LIMITS = (
    "dup_line_frac",
    *(f"top_{n}_gram" for n in (2, 3, 4)),
    *(f"dup_{n}_gram" for n in range(5, 11)),
    "list_ratio",
)
_LOWER_LIMITS = ("line_punct_ratio", "alpha_words")
_VALUES = (
    "words",
    "mean_word_length",
    "hash_ratio",
    "ellipsis_ratio",
    "bullet_lines",
    "ellipsis_lines",
    "alpha_words",
    "stop_words",
    "lines",
    "line_punct_ratio",
    "char_dup_ratio",
    *_UPPER_LIMITS,
)


@functools.cache
def languages() -> dict[str, dict[str, Any]]:
    """The thresholds and stop words of each language that has some."""
    text = resources.files(__name__).joinpath("languages.jsonl").read_text("utf-8")
    return {row["language"]: row for row in map(json.loads, text.splitlines())}


def fineweb2(view: View) -> dict[str, float]:
    """datatrove's measures (`gopher`, `gopher_repetition`, `fineweb`) with ICU's words, in any
    language, and what FineWeb-2 makes of them.

    `known`: 1 if the view's language has thresholds; `stop_words`: its stop words that occur.
    `over_NAME`: how far a value is over its threshold, or under it where it must not be less
    (`line_punct_ratio`, `alpha_words`, `min_word_length`): to be kept it must not be over 0. 0 for
    a language without thresholds.
    """
    words = view.cut("icu")
    limits = languages().get(view.language)
    values = gopher.quality(view, "icu") | gopher.repetition(view, "icu") | fineweb.fineweb(view)
    values["stop_words"] = words.distinct(limits["stop_words"]) if limits else 0
    values["list_ratio"] = ratio(view.text.count("\n"), len(words))
    found = {name: values[name] for name in _VALUES} | {"known": float(limits is not None)}
    mean = values["mean_word_length"]
    for name in _UPPER_LIMITS:
        found[f"over_{name}"] = values[name] - limits[name] if limits else 0
    for name in _LOWER_LIMITS:
        found[f"over_{name}"] = limits[name] - values[name] if limits else 0
    found["over_max_word_length"] = mean - limits["max_word_length"] if limits else 0
    found["over_min_word_length"] = limits["min_word_length"] - mean if limits else 0
    return found


FINEWEB2 = Measure(
    "fineweb2",
    1,
    (
        *_VALUES,
        "known",
        *(f"over_{name}" for name in (*_UPPER_LIMITS, *_LOWER_LIMITS)),
        "over_max_word_length",
        "over_min_word_length",
    ),
    fineweb2,
    ("icu4py", "spacy"),
)
