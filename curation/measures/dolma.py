"""Gopher's and C4's measures as dolma's taggers compute them.

Source: dolma 1.2.1, `taggers/gopher.py` (`gopher_v1`, `gopher_v2`) and `taggers/c4.py` (`c4_v1`,
`c4_v2`). Words are chunks between white space.
"""

from __future__ import annotations

import re
from collections import Counter

import numpy as np

from curation.measures.ngrams import repeated
from curation.measures.signals import Measure, ratio
from curation.measures.view import View
from curation.measures.words import ALPHABETIC, HAS_SYMBOL, STOP_WORD

_BULLETS = ("*", "-")
_TOP = (2, 3, 4)


def gopher(view: View) -> dict[str, float]:
    """dolma's `gopher_v1`."""
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
    return found | _lines(view)


def _lines(view: View) -> dict[str, float]:
    """What dolma measures of lines."""
    rows = view.rows
    counts = Counter(rows)
    copies = [(count, len(row)) for row, count in counts.items() if count > 1]
    return {
        "bullet_lines": ratio(sum(row.startswith(_BULLETS) for row in rows), len(rows)),
        "ellipsis_lines": ratio(sum(row.endswith("…") for row in rows), len(rows)),
        "dup_lines": ratio(sum(count for count, _ in copies), len(rows)),
        "dup_line_characters": sum(count * size for count, size in copies)
        / max(int(view.cut("space").lengths.sum()), 1),
    }


# One try a word: where the start of a run of characters fails, its middle does.
_EMAIL = re.compile(r"(?<![^\s@])([^\s@]++)@([^\s@,?!;:)(]+?)[.\s@,?!;:)(]?\s")
# after white space of the same line
_PHONE = re.compile(r"(?<![^\S\n])[^\S\n]++\(?\d{3}\)?[-. ]*\d{3}[-. ]?\d{4}")
_OCTET = r"(?:25[0-5]|2[0-4][0-9]|[01]?[0-9][0-9]?)"
_ADDRESS = re.compile(rf"(?:{_OCTET}\.){{3}}{_OCTET}")


def pii(view: View) -> dict[str, float]:
    """dolma's `pii_regex_with_counts_fast_v2`, `doc_count`."""
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


_LINES = r"between `\n`, blank ones too"
_GOPHER = {
    "characters": "Characters of the text.",
    "words": "Words (between white space).",
    "median_word_length": "Median characters of the words.",
    "symbol_words": "Share of words with a `#` or `…` in them.",
    "alpha_words": "Share of words with a letter.",
    "stop_words": "Occurrences of the, be, to, of, and, that, have, with, as written here.",
    **{
        f"top_{n}_gram": f"Characters, without blanks, of the most frequent run of {n} words, the "
        "first of several, x its occurrences / characters of the words."
        for n in _TOP
    },
    **{
        f"dup_{n}_gram": f"Characters of all copies of repeated runs of {n} words / those of all "
        f"runs of {n} words, overlaps counted each time."
        for n in range(5, 11)
    },
    "bullet_lines": f"Share of lines ({_LINES}) that start with `*` or `-`.",
    "ellipsis_lines": f"Share of lines ({_LINES}) that end with `…`.",
    "dup_lines": f"Share of lines ({_LINES}) that occur more than once, all copies counted.",
    "dup_line_characters": f"Characters of the lines ({_LINES}) that occur more than once, all "
    "copies counted / characters of the words.",
}


_SOURCE = "allenai/dolma 1.2.1, taggers/"

DOLMA = (
    Measure("gopher_dolma", 1, _GOPHER, gopher, source=f"{_SOURCE}gopher.py, `gopher_v1`"),
    Measure(
        "pii_dolma",
        1,
        {
            "spans": "E-mail addresses, phone numbers and IP addresses found, added up; 0 in a "
            "text of over 10,000 `?`."
        },
        pii,
        source=f"{_SOURCE}pii.py, `pii_regex_with_counts_fast_v2`",
    ),
)
