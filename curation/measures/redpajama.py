r"""RedPajama-v2's quality signals that need no model; those of lines as shares.

Source: togethercomputer/RedPajama-Data 6d2cee9, `app/src/core/quality_signals`. Raw words are runs
of word characters or of others; normalised words are without ASCII punctuation, in lower case and
NFD. A value of nothing is 0, where the reference has none. Stop words are spaCy's, in 76 languages;
the reference has other lists. Bad words: `bad_words`. UT1's categories: lists of domains for a
recipe's `extract.block`. Scores and perplexity: `filter.classifiers`. Importance weights:
`curation.classifiers.importance`, of sets that the user names.
"""

from __future__ import annotations

import functools
import importlib.util
import math
import re

import numpy as np
import numpy.typing as npt

from curation.measures.characters import NUMERIC
from curation.measures.characters import UPPER as UPPERCASE
from curation.measures.ngrams import repeated
from curation.measures.signals import Measure, ratio
from curation.measures.tokens import Tokens
from curation.measures.view import View
from curation.measures.words import LATIN, UPPER

_SENTENCE = re.compile(r"\b[^.!?]+[.!?]*")
_SYMBOLS = ("#", "...", "…")
_ELLIPSES = ("...", "…")
_END_MARKS = (".", "!", "?", "”")
_BULLETS = tuple("•‣▶◀◦■□▪▫–")
_TOP = (2, 3, 4)


@functools.cache
def stop_words(language: str) -> frozenset[str]:
    """spaCy's stop words by ISO 639 code; empty if spaCy has no list for the language."""
    name = f"spacy.lang.{language}.stop_words"
    try:
        found = importlib.util.find_spec(name) if language.isalpha() else None
    except ModuleNotFoundError:
        found = None
    return frozenset(importlib.import_module(name).STOP_WORDS) if found else frozenset()


def redpajama(view: View) -> dict[str, float]:
    """The signals `rps_doc_*` by their names, without that prefix; and of `rps_lines_*`, which the
    reference gives line by line, the share of lines, the mean or the sum."""
    text = view.text
    raw, bare = view.cut("marks"), view.cut("bare")
    lines = view.rows[:-1] if view.rows[-1] == "" else view.rows
    trimmed = list(map(str.rstrip, lines))
    counts = np.bincount(np.unique(bare.ids, return_inverse=True)[1]) if len(bare) else bare.counts
    symbols = sum(map(text.count, _SYMBOLS))
    known = stop_words(view.language)
    classes = view.classes
    return {
        "num_sentences": sum(1 for _ in _SENTENCE.finditer(text)),
        "word_count": len(bare),
        "mean_word_length": ratio(int(bare.lengths.sum()), len(bare)),
        "symbol_to_word_ratio": ratio(symbols, len(raw)),
        "frac_lines_end_with_ellipsis": ratio(
            sum(line.endswith(_ELLIPSES) for line in trimmed), len(lines)
        ),
        "frac_no_alph_words": 1 - raw.amount(LATIN) / len(raw) if len(raw) else 0,
        "frac_unique_words": ratio(len(counts) if len(bare) else 0, len(bare)),
        "unigram_entropy": _entropy(counts, len(bare)),
        "frac_all_caps_words": ratio(raw.amount(UPPER), len(raw)),
        "lorem_ipsum": _lorem_ipsum(text),
        "curly_bracket": ratio(text.count("{") + text.count("}"), len(text)),
        "lines_ending_with_terminal_punctuation": ratio(
            sum(line.endswith(_END_MARKS) for line in trimmed), len(lines)
        ),
        "lines_start_with_bulletpoint": ratio(
            sum(line.lstrip().startswith(_BULLETS) for line in lines), len(lines)
        ),
        "lines_javascript_counts": bare.occurrences("javascript"),
        "stop_word_fraction": ratio(raw.among(known), len(raw)) if known else 0,
        "lines_num_words": ratio(len(bare), len(lines)),
        "lines_uppercase_letter_fraction": ratio(
            int(np.count_nonzero(classes & UPPERCASE)), len(text) - text.count("\n")
        ),
        "lines_numerical_chars_fraction": ratio(
            int(np.count_nonzero(classes & NUMERIC)), int(bare.lengths.sum())
        ),
    } | _ngrams(bare)


def _entropy(counts: npt.NDArray[np.int64], total: int) -> float:
    """In nats; words of equal counts together, so that few logarithms are taken."""
    values, amounts = np.unique(counts, return_counts=True)
    return sum(
        -amount * value / total * math.log(value / total)
        for value, amount in zip(values.tolist(), amounts.tolist(), strict=True)
        if value
    )


def _lorem_ipsum(text: str) -> float:
    if "orem" not in text and "OREM" not in text:
        return 0
    normal = " ".join(re.sub(r"[!-/:-@\[-`{-~]", "", text).lower().split())
    return ratio(normal.count("lorem ipsum"), len(normal))


def _ngrams(words: Tokens) -> dict[str, float]:
    ends = np.concatenate(([0], np.cumsum(words.lengths)))
    found = {}
    for item in repeated(words.ids):
        n, characters = item.n, 0
        if len(item.places) and n in _TOP:
            most = int(item.counts.max())
            first = int(item.places[(item.counts == most).argmax()])
            characters = most * int(ends[first + n] - ends[first])
        elif len(item.places):
            characters = item.covered(words.lengths)
        name = f"frac_chars_top_{n}gram" if n in _TOP else f"frac_chars_dupe_{n}grams"
        found[name] = ratio(characters, int(ends[-1]))
    return found


_NORMAL = "lower case, without marks of ASCII, NFD"
_RAW = "raw words (runs of letters and digits, or of other marks)"

REDPAJAMA = Measure(
    "redpajama",
    2,
    {
        "num_sentences": "Sentences: runs without `. ? !` that start at a word, with their marks.",
        "word_count": f"Words ({_NORMAL}).",
        "mean_word_length": f"Mean characters of the words ({_NORMAL}).",
        "symbol_to_word_ratio": f"Occurrences of `#`, `...` and `…`, added up / {_RAW}.",
        "frac_lines_end_with_ellipsis": r"Share of lines (between `\n`) that end with `...` or "
        "`…`.",
        "frac_no_alph_words": f"Share of {_RAW} without one of a-z, A-Z.",
        "frac_unique_words": f"Distinct words / words ({_NORMAL}).",
        "unigram_entropy": f"Entropy of the words ({_NORMAL}), in nats.",
        "frac_all_caps_words": f"Share of {_RAW} in upper case.",
        "lorem_ipsum": 'Occurrences of "lorem ipsum" / characters, of the text in lower case, '
        "without marks of ASCII.",
        "curly_bracket": "Occurrences of `{` and `}` / characters of the text.",
        **{
            f"frac_chars_top_{n}gram": f"Characters of the most frequent run of {n} words "
            f"({_NORMAL}), the first of several, x its occurrences / characters of the words; 0 if "
            "none repeats."
            for n in _TOP
        },
        **{
            f"frac_chars_dupe_{n}grams": f"Share of the words' characters that are in any run of "
            f"{n} words ({_NORMAL}) that occurs more than once."
            for n in range(5, 11)
        },
        "lines_ending_with_terminal_punctuation": r"Share of lines (between `\n`) that end with "
        "one of `. ! ? ”`.",
        "lines_start_with_bulletpoint": r"Share of lines (between `\n`) that start with one of "
        "`•‣▶◀◦■□▪▫–`.",
        "lines_javascript_counts": 'Occurrences of the word "javascript", in any case.',
        "stop_word_fraction": f"Share of {_RAW}, as they are written, that are stop words of the "
        "text's language by spaCy's lists; 0 in a language without one.",
        "lines_num_words": rf"Words ({_NORMAL}) / lines (between `\n`).",
        "lines_uppercase_letter_fraction": r"Share of characters, without `\n`, in upper case.",
        "lines_numerical_chars_fraction": f"Numeric characters / characters of words ({_NORMAL}).",
    },
    redpajama,
    ("spacy",),
    by_language=True,
    source="togethercomputer/RedPajama-Data 6d2cee9, app/src/core/quality_signals",
)
