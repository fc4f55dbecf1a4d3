"""The word lists by which C4 removed pages, a family for each language."""

from __future__ import annotations

import functools
import json
import re
from importlib import resources

from curation.measures.signals import Measure
from curation.measures.view import View

# Without spaces between words these are parts of harmless ones: C4 leaves them out, each of its
# own language only (datatrove takes all four from every list).
_ALLOWED = {"ja": {"sm", "グロ", "女の子"}, "zh": {"性"}}
_WITHOUT_SPACES = ("ja", "th", "zh")


@functools.cache
def _lists() -> dict[str, list[str]]:
    lines = resources.files(__name__).joinpath("lists.jsonl").read_text("utf-8").splitlines()
    return {row["lang"]: row["words"] for row in map(json.loads, lines)}


@functools.cache
def listed(language: str) -> tuple[frozenset[str], tuple[str, ...]]:
    """The listed words of a language, and the listed phrases."""
    every = _lists()[language]
    return frozenset(w for w in every if " " not in w), tuple(w for w in every if " " in w)


@functools.cache
def pattern(language: str) -> re.Pattern[str]:
    """What finds the listed words in lower-cased text; in most languages whole words only."""
    listed = (word.strip() for word in _lists()[language])
    words = "|".join(re.escape(w) for w in listed if w not in _ALLOWED.get(language, ()))
    return re.compile(words if language in _WITHOUT_SPACES else rf"(?<!\w)(?:{words})(?!\w)")


def _measure(language: str) -> Measure:
    def bad_words(view: View) -> dict[str, float]:
        return {"found": len(pattern(language).findall(view.text.lower()))}

    parts = "parts of words too" if language in _WITHOUT_SPACES else "whole words only"
    return Measure(
        f"bad_words_{language.lower().replace('-', '_')}",
        1,
        {
            "found": f"Occurrences of the words of C4's list for `{language}` in the text in lower "
            f"case, {parts}."
        },
        bad_words,
        source="tensorflow/datasets 3e77995, text/c4_utils.py, `get_badwords_filter_fn`",
    )


BAD_WORDS = tuple(map(_measure, _lists()))
