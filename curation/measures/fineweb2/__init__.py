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
    language, and what FineWeb-2 makes of them."""
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


_NONE = "; 0 if it has none"


def _formulas() -> dict[str, str]:
    """Those of datatrove's measures, with ICU's words, and the distances from thresholds."""
    shared: dict[str, str] = {}
    for item in (gopher.QUALITY, gopher.REPETITION, fineweb.FINEWEB):
        shared |= item.formulas
    values = {name: shared[name].replace("spaCy's", "ICU's") for name in _VALUES}
    values["stop_words"] = f"How many stop words of the document's language occur{_NONE}."
    return {
        **values,
        "known": "1 if the document's language has thresholds, else 0.",
        **{
            f"over_{name}": f"`{name}` - the threshold of the document's language{_NONE}."
            for name in _UPPER_LIMITS
        },
        **{
            f"over_{name}": f"The threshold of the document's language - `{name}`{_NONE}."
            for name in _LOWER_LIMITS
        },
        "over_max_word_length": f"`mean_word_length` - the most of the document's language{_NONE}.",
        "over_min_word_length": "The least of the document's language - `mean_word_length`"
        f"{_NONE}.",
    }


FINEWEB2 = Measure(
    "fineweb2",
    1,
    _formulas(),
    fineweb2,
    ("icu4py", "spacy"),
    "Penedo et al. 2025, arXiv 2506.20920; huggingface/fineweb-2 05e6729; datatrove 0.10.1",
    by_language=True,
)
