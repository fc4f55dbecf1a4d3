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
    """The values that DCLM's filters of pages compare."""
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
    """DCLM's `massive_web_repetition_filters`."""
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


_COPIED = "that occur more than once, all copies counted"
_WORDS = "words (UAX #29, that start with a letter or digit)"

DCLM = (
    Measure(
        "gopher_dclm",
        1,
        {
            "words": "fastText's words that start with a letter or digit.",
            "mean_word_length": "Mean characters of the words (between white space).",
            "symbol_ratio": "Occurrences of `#`, `...`, `. . .` and `…`, added up / words (between "
            "white space); 1 without words.",
            "no_alpha": "Share of words (between white space) without a letter; 1 without words.",
            "stop_words": "Occurrences of the, be, to, of, and, that, have, with, in any case.",
            "bullet_lines": "Share of lines that are not blank that start with `●`, `•`, `*` or "
            "`-`, white space apart.",
            "ellipsis_lines": "Share of lines that are not blank that end with `...`, `. . .` or "
            "`…`, white space apart.",
        },
        quality,
        source="Penedo et al. 2023, arXiv 2306.01116; dclm 361714b, mappers/filters/"
        "content_filters.py",
    ),
    Measure(
        "repetition_dclm",
        1,
        {
            "dup_lines": rf"Share of lines (stripped, not blank) {_COPIED}; 1 without lines.",
            "dup_paragraphs": rf"Share of paragraphs (between `\n\n`, stripped, not blank) "
            f"{_COPIED}; 1 without paragraphs.",
            "dup_line_characters": f"Share of the lines' characters in lines {_COPIED}; 1 without "
            "lines.",
            "dup_paragraph_characters": f"Share of the paragraphs' characters in those {_COPIED}; "
            "1 without paragraphs.",
            **{
                f"top_{n}_gram": f"Characters of the longest of the most frequent runs of {n} "
                f"{_WORDS} x its occurrences / characters of the words; 0 if none repeats."
                for n in _TOP
            },
            **{
                f"dup_{n}_gram": f"Share of the words' characters that are in any run of {n} "
                f"{_WORDS} that occurs more than once."
                for n in range(5, 11)
            },
        },
        repetition,
        ("regex",),
        "Rae et al. 2021, arXiv 2112.11446, Table A1; dclm 361714b, massive_web_repetition_filters",
    ),
)
