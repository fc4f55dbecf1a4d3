"""Gopher's quality and repetition measures as datatrove 0.10.1 computes them for FineWeb.

Rae et al. 2021, https://arxiv.org/abs/2112.11446, Table A1 and appendix A.1.1, name the
measures; what a word, a line or a repeat is, they leave open, and implementations differ.
Words are spaCy's (`View.tokens`), on any language; other families give another cut.
"""

from __future__ import annotations

import numpy as np

from curation.measures import ngrams
from curation.measures.signals import Measure, ratio
from curation.measures.view import View
from curation.measures.words import ALPHABETIC, STOP_WORDS, SYMBOL

_BULLETS = ("•", "-")
_ELLIPSES = ("...", "…")


def quality(view: View, words: str = "spacy") -> dict[str, float]:
    """datatrove's `GopherQualityFilter`, every value it compares."""
    text, tokens, lines = view.text, view.cut(words), view.lines
    is_word = tokens.kinds & SYMBOL == 0
    amount = int(np.count_nonzero(is_word))
    ellipses = sum(map(text.count, _ELLIPSES))
    starts = [line[:1] for line in map(str.lstrip, lines)]
    bullet_lines = sum(map(starts.count, _BULLETS))
    ellipsis_lines = sum(line.rstrip().endswith(_ELLIPSES) for line in lines) if ellipses else 0
    return {
        "words": amount,
        "mean_word_length": ratio(int(tokens.lengths[is_word].sum()), amount),
        "hash_ratio": ratio(text.count("#"), len(tokens)),
        "ellipsis_ratio": ratio(ellipses, len(tokens)),
        "bullet_lines": ratio(bullet_lines, len(lines)),
        "ellipsis_lines": ratio(ellipsis_lines, len(lines)),
        "alpha_words": ratio(tokens.amount(ALPHABETIC), len(tokens)),
        "stop_words": tokens.distinct(STOP_WORDS),
    }


def repetition(view: View, words: str = "spacy") -> dict[str, float]:
    """datatrove's `GopherRepetitionFilter`, every value it compares."""
    size = len(view.text)
    lines, line_characters = _copies(view.filled_rows)
    paragraphs, paragraph_characters = _copies(view.paragraphs)
    top = ngrams.top_characters(view, words, _TOP)
    repeated = ngrams.repeated_characters(view, words, _REPEATED)
    return {
        "characters": size,
        "dup_para_frac": paragraphs,
        "dup_para_char_frac": ratio(paragraph_characters, size),
        "dup_line_frac": lines,
        "dup_line_char_frac": ratio(line_characters, size),
        **{f"top_{n}_gram": ratio(characters, size) for n, characters in top.items()},
        **{f"dup_{n}_gram": ratio(characters, size) for n, characters in repeated.items()},
    }


_TOP = (2, 3, 4)
_REPEATED = (5, 6, 7, 8, 9, 10)


def _copies(pieces: list[str]) -> tuple[float, int]:
    """Share of the pieces that occurred before, and the characters of those."""
    distinct = set(pieces)
    return (
        ratio(len(pieces) - len(distinct), len(pieces)),
        sum(map(len, pieces)) - sum(map(len, distinct)),
    )


_COPIED = "that are copies of an earlier one (the first is none)"

QUALITY = Measure(
    "gopher",
    1,
    {
        "words": "Words (spaCy's) that are not punctuation only.",
        "mean_word_length": "Mean characters of the words (spaCy's) that are not punctuation only.",
        "hash_ratio": "Occurrences of `#` / words (spaCy's, punctuation included).",
        "ellipsis_ratio": "Occurrences of `...` and `…` / words (spaCy's, punctuation included).",
        "bullet_lines": "Share of lines (`str.splitlines`, blank ones too) that start with `•` or "
        "`-`, white space apart.",
        "ellipsis_lines": "Share of lines (`str.splitlines`, blank ones too) that end with `...` "
        "or `…`, white space apart.",
        "alpha_words": "Share of words (spaCy's, punctuation included) that have a letter.",
        "stop_words": "How many of the, be, to, of, and, that, have, with occur, as written here.",
    },
    quality,
    ("spacy",),
    "Rae et al. 2021, arXiv 2112.11446, appendix A.1.1; datatrove 0.10.1, GopherQualityFilter",
)
REPETITION = Measure(
    "gopher_repetition",
    1,
    {
        "characters": "Characters of the text.",
        "dup_para_frac": rf"Share of paragraphs (between `\n\n` or more) {_COPIED}.",
        "dup_para_char_frac": f"Characters of the paragraphs {_COPIED} / those of the text.",
        "dup_line_frac": rf"Share of lines (between runs of `\n`, also an empty first or last) "
        f"{_COPIED}.",
        "dup_line_char_frac": f"Characters of the lines {_COPIED} / those of the text.",
        **{
            f"top_{n}_gram": f"Characters of the most frequent run of {n} words (spaCy's) x its "
            "occurrences / characters of the text. Runs overlap, so it may exceed 1."
            for n in _TOP
        },
        **{
            f"dup_{n}_gram": f"Characters of runs of {n} words (spaCy's) that occurred before, "
            "none counted twice / characters of the text."
            for n in _REPEATED
        },
    },
    repetition,
    ("spacy",),
    "Rae et al. 2021, arXiv 2112.11446, Table A1; datatrove 0.10.1, GopherRepetitionFilter",
)
