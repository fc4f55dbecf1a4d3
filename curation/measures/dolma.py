"""Gopher's and C4's measures as dolma's taggers compute them.

Source: dolma 1.2.1, `taggers/gopher.py` (`gopher_v1`, `gopher_v2`) and `taggers/c4.py` (`c4_v1`,
`c4_v2`). Words are chunks between white space.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from functools import partial

import numpy as np

from curation.measures.bad_words import listed
from curation.measures.ngrams import repeated
from curation.measures.signals import Measure, ratio
from curation.measures.view import View
from curation.measures.words import ALPHABETIC, HAS_SYMBOL, STOP_WORD

_BULLETS = ("*", "-")
_TOP = (2, 3, 4)
_LINES = ("bullet_lines", "ellipsis_lines", "dup_lines", "dup_line_characters")


def gopher(view: View) -> dict[str, float]:
    """dolma's `gopher_v1`.

    `median_word_length`; `symbol_words`: share of words with a `#` or `…`; `alpha_words` with a
    letter; `stop_words` occurrences of eight words as written. `top_n_gram`: occurrences times
    characters without blanks of the most frequent n-gram, the first of several, by the characters
    of all words. `dup_n_gram`: characters of all copies of repeated n-grams by those of all
    n-grams, overlaps counted each time. Lines: see `lines`.
    """
    words = view.cut("space")
    ends = np.concatenate(([0], np.cumsum(words.lengths)))
    total = int(ends[-1])
    found: dict[str, float] = {
        "characters": len(view.text),
        "words": len(words),
        "median_word_length": float(np.median(words.lengths)) if len(words) else 0.0,
        "symbol_words": ratio(words.amount(HAS_SYMBOL), len(words)),
        "alpha_words": ratio(words.amount(ALPHABETIC), len(words)),
        "stop_words": words.amount(STOP_WORD),
    }
    for item in repeated(words.ids):
        n = item.n
        lengths = ends[n:] - ends[:-n] if len(words) >= n else ends[:0]
        if n in _TOP:
            count, first = 1, 0
            if len(item.places):
                count = int(item.counts.max())
                first = int(item.places[(item.counts == count).argmax()])
            characters = count * int(lengths[first]) if len(lengths) else 0
            found[f"top_{n}_gram"] = ratio(characters, total)
        else:
            copies = int(lengths[item.places].sum())
            found[f"dup_{n}_gram"] = ratio(copies, int(lengths.sum()))
    return found | lines(view, view.rows)


def lines(view: View, rows: Sequence[str]) -> dict[str, float]:
    """Share of lines that start with `*` or `-`, that end with `…`, that occur more than once (all
    copies), and of the words' characters in those."""
    counts = Counter(rows)
    copies = [(count, len(row)) for row, count in counts.items() if count > 1]
    return {
        "bullet_lines": ratio(sum(row.startswith(_BULLETS) for row in rows), len(rows)),
        "ellipsis_lines": ratio(sum(row.endswith("…") for row in rows), len(rows)),
        "dup_lines": ratio(sum(count for count, _ in copies), len(rows)),
        "dup_line_characters": sum(count * size for count, size in copies)
        / max(int(view.cut("space").lengths.sum()), 1),
    }


def gopher_v2(view: View) -> dict[str, float]:
    r"""The lines of dolma's `gopher_v2`, whose other values are those of `gopher_v1`: what stands
    between runs of `\n`."""
    return lines(view, view.filled_rows)


def c4(view: View, *, fast: bool) -> dict[str, float]:
    r"""dolma's `c4_v1` and, if `fast`, `c4_v2`, which takes "javascript" inside words too.

    `lines` between `\n`, blank ones too; how many of them have no end mark `. ? ! "`, and under 3
    words, and the share of the text's characters in these, with their `\n`. `javascript`,
    `lorem_ipsum`, `curly_bracket`, `bad_words`: 1 if the text has any.
    """
    text = view.text
    lower = text.lower()
    rows = list(zip(map(str.strip, lower.split("\n")), map(len, view.rows), strict=True))
    rows = [(row, size + 1) for row, size in rows[:-1]] + rows[-1:]
    unended = [size for row, size in rows if not row.endswith((".", "?", "!", '"'))]
    few = [size for row, size in rows if len(row.split(None, 3)) < 3]
    words, phrases = listed("en")
    chunks = set(lower.split())
    return {
        "lines": len(rows),
        "no_end_mark": len(unended),
        "no_end_mark_characters": ratio(sum(unended), len(text)),
        "too_few_words": len(few),
        "too_few_words_characters": ratio(sum(few), len(text)),
        "javascript": float("javascript" in (lower if fast else chunks)),
        "lorem_ipsum": float("lorem ipsum" in lower),
        "curly_bracket": float("{" in lower),
        "bad_words": float(
            not chunks.isdisjoint(words) or any(phrase in lower for phrase in phrases)
        ),
    }


# One try a word: where the start of a run of characters fails, its middle does.
_EMAIL = re.compile(r"(?<![^\s@])([^\s@]++)@([^\s@,?!;:)(]+?)[.\s@,?!;:)(]?\s")
# after white space of the same line
_PHONE = re.compile(r"(?<![^\S\n])[^\S\n]++\(?\d{3}\)?[-. ]*\d{3}[-. ]?\d{4}")
_OCTET = r"(?:25[0-5]|2[0-4][0-9]|[01]?[0-9][0-9]?)"
_ADDRESS = re.compile(rf"(?:{_OCTET}\.){{3}}{_OCTET}")


def pii(view: View) -> dict[str, float]:
    """`spans`: e-mail addresses, phone numbers and IP addresses that dolma's
    `pii_regex_with_counts_fast_v2` finds (`doc_count`); it looks at no text of over 10,000 `?`."""
    text = view.text
    if text.count("?") > 10_000:
        return {"spans": 0}
    emails = phones = addresses = 0
    if "@" in text:
        found = _EMAIL.findall(text)
        emails = sum(name != "(" and "." in domain for name, domain in found)
    phones = sum(1 for _ in _PHONE.finditer(text))
    addresses = sum(1 for _ in _ADDRESS.finditer(text))
    return {"spans": emails + phones + addresses}


_GOPHER = (
    "characters",
    "words",
    "median_word_length",
    "symbol_words",
    "alpha_words",
    "stop_words",
    *(f"top_{n}_gram" for n in _TOP),
    *(f"dup_{n}_gram" for n in range(5, 11)),
    *_LINES,
)
_C4 = (
    "lines",
    "no_end_mark",
    "no_end_mark_characters",
    "too_few_words",
    "too_few_words_characters",
    "javascript",
    "lorem_ipsum",
    "curly_bracket",
    "bad_words",
)

DOLMA = (
    Measure("gopher_dolma", 1, _GOPHER, gopher),
    Measure("gopher_dolma_v2", 1, _LINES, gopher_v2),
    Measure("pii_dolma", 1, ("spans",), pii),
    Measure("c4_dolma", 1, _C4, partial(c4, fast=False)),
    Measure("c4_dolma_v2", 1, _C4, partial(c4, fast=True)),
)
