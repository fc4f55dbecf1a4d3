"""Gopher's measures as DCLM computes them, for RefinedWeb's rules.

Source: dclm 361714b, `baselines/mappers/filters/content_filters.py`. A text without words, for
which the reference keeps nothing, has the worst share.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np

from curation.measures.fasttext_words import count_words
from curation.measures.ngrams import repeated
from curation.measures.signals import Measure, ratio
from curation.measures.view import View
from curation.measures.words import ALPHABETIC, STOP_WORD_ANY_CASE

_SYMBOLS = ("#", "...", ". . .", "…")
_BULLETS = ("●", "•", "*", "-")
_ELLIPSES = ("...", ". . .", "…")
_TOP = (2, 3, 4)


def _stripped(pieces: Sequence[str]) -> list[str]:
    return list(filter(None, map(str.strip, pieces)))


def quality(view: View) -> dict[str, float]:
    """The values that DCLM's filters of pages compare.

    `words`: fastText's words that start with a letter or digit. By chunks between white space:
    `mean_word_length`, `symbol_ratio` (all of `#`, `...`, `. . .` and `…` in the text), `no_alpha`
    the share without a letter, `stop_words` occurrences of eight words in any case. Of lines that
    are not blank: `bullet_lines` start with `●`, `•`, `*` or `-`, `ellipsis_lines` end with an
    ellipsis.
    """
    chunks = view.cut("space")
    lines = _stripped(view.rows)
    starts = [line[0] for line in lines]
    symbols = sum(map(view.text.count, _SYMBOLS))
    return {
        "words": count_words(view.classes, view.codes),
        "mean_word_length": ratio(int(chunks.lengths.sum()), len(chunks)),
        "symbol_ratio": symbols / len(chunks) if len(chunks) else 1.0,
        "no_alpha": 1 - ratio(chunks.amount(ALPHABETIC), len(chunks)),
        "stop_words": chunks.amount(STOP_WORD_ANY_CASE),
        "bullet_lines": ratio(sum(map(starts.count, _BULLETS)), len(lines)),
        "ellipsis_lines": ratio(sum(line.endswith(_ELLIPSES) for line in lines), len(lines)),
    }


def repetition(view: View) -> dict[str, float]:
    r"""DCLM's `massive_web_repetition_filters`.

    `dup_lines`, `dup_paragraphs` (between `\n`, and between `\n\n`; stripped, not blank): the share
    that occurs more than once, all copies, and by characters. Of the words of UAX #29 that start
    with a letter or digit, by their characters: `top_n_gram` the longest of the most frequent,
    times its occurrences; `dup_n_gram` all words in any repeated n-gram. n-grams that occur once
    are nothing.
    """
    found: dict[str, float] = {}
    for name, pieces in (("line", view.rows), ("paragraph", view.text.split("\n\n"))):
        segments = _stripped(pieces)
        counts = Counter(segments) if len(segments) > 1 else Counter()
        copies = [(count, len(segment)) for segment, count in counts.items() if count > 1]
        share = sum(count for count, _ in copies) / len(segments) if segments else 1.0
        by_characters = ratio(sum(count * size for count, size in copies), sum(map(len, segments)))
        found[f"dup_{name}s"] = share
        found[f"dup_{name}_characters"] = by_characters if segments else 1.0
    words = view.cut("unicode")
    ends = np.concatenate(([0], np.cumsum(words.lengths)))
    for item in repeated(words.ids):
        n, characters = item.n, 0
        if len(item.places) and n in _TOP:
            most = int(item.counts.max())
            places = item.places[item.counts == most]
            characters = most * int((ends[places + n] - ends[places]).max())
        elif len(item.places):
            characters = item.covered(words.lengths)
        found[f"top_{n}_gram" if n in _TOP else f"dup_{n}_gram"] = ratio(characters, int(ends[-1]))
    return found


DCLM = (
    Measure(
        "gopher_dclm",
        1,
        (
            "words",
            "mean_word_length",
            "symbol_ratio",
            "no_alpha",
            "stop_words",
            "bullet_lines",
            "ellipsis_lines",
        ),
        quality,
    ),
    Measure(
        "repetition_dclm",
        1,
        (
            "dup_lines",
            "dup_paragraphs",
            "dup_line_characters",
            "dup_paragraph_characters",
            *(f"top_{n}_gram" for n in _TOP),
            *(f"dup_{n}_gram" for n in range(5, 11)),
        ),
        repetition,
        ("regex",),
    ),
)
