r"""RedPajama-v2's quality signals that need no model; those of lines as shares.

Source: togethercomputer/RedPajama-Data 6d2cee9, `app/src/core/quality_signals`. Raw words are runs
of word characters or of others; normalised words are without ASCII punctuation, in lower case and
NFD. A value of nothing is 0, where the reference has none. Of bad words see `bad_words`.
"""

from __future__ import annotations

import math
import re

import numpy as np
import numpy.typing as npt

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


def redpajama(view: View) -> dict[str, float]:
    r"""The signals `rps_doc_*` by their names, without that prefix; and of `rps_lines_*`, which the
    reference gives line by line, the share of lines (of those between `\n`) or the sum.

    `lorem_ipsum`, `curly_bracket`: occurrences by characters of the normalised and the raw text.
    `frac_chars_top_n_gram`: the most frequent, the first of several, 0 if it occurs once.
    `frac_chars_dupe_n_grams`: words in any repeated n-gram, by characters.
    """
    text = view.text
    raw, bare = view.cut("marks"), view.cut("bare")
    lines = view.rows[:-1] if view.rows[-1] == "" else view.rows
    trimmed = list(map(str.rstrip, lines))
    counts = np.bincount(np.unique(bare.ids, return_inverse=True)[1]) if len(bare) else bare.counts
    symbols = sum(map(text.count, _SYMBOLS))
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


REDPAJAMA = Measure(
    "redpajama",
    1,
    (
        "num_sentences",
        "word_count",
        "mean_word_length",
        "symbol_to_word_ratio",
        "frac_lines_end_with_ellipsis",
        "frac_no_alph_words",
        "frac_unique_words",
        "unigram_entropy",
        "frac_all_caps_words",
        "lorem_ipsum",
        "curly_bracket",
        *(f"frac_chars_top_{n}gram" for n in _TOP),
        *(f"frac_chars_dupe_{n}grams" for n in range(5, 11)),
        "lines_ending_with_terminal_punctuation",
        "lines_start_with_bulletpoint",
        "lines_javascript_counts",
    ),
    redpajama,
)
