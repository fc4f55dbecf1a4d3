"""Source code: lengths of lines, letters and digits, generated files, encoded data."""

from __future__ import annotations

import re

from curation.measures.signals import Measure, ratio
from curation.measures.view import View

_GENERATED = re.compile(
    r"auto-?generated|automatically generated|generated automatically|this file is generated",
    re.IGNORECASE,
)
_ENCODED = re.compile(
    r"[a-zA-Z0-9+/\n=]{64,}+"
    r"|(?:\b(?:0x|\\x)?[0-9a-fA-F]{2}(?:,|\b\s*+)){8,}+"
    r"|(?:\\u[0-9a-fA-F]{4}){8,}+"
)


def code(view: View) -> dict[str, float]:
    """What the rules of StarCoder and RedPajama test."""
    lengths = list(map(len, view.lines))
    size = len(view.text)
    letters = sum(map(str.isalpha, view.text))
    encoded = [match.end() - match.start() for match in _ENCODED.finditer(view.text)]
    return {
        "lines": len(lengths),
        "mean_line": ratio(sum(lengths), len(lengths)),
        "longest_line": max(lengths, default=0),
        "alphabetic": ratio(letters, size),
        "alphanumeric": ratio(sum(map(str.isalnum, view.text)), size),
        "letters_a_word": ratio(letters, len(view.cut("unicode"))),
        "generated": float(_GENERATED.search("\n".join(view.lines[:5])) is not None),
        "xml": float("<?xml version=" in view.text[:100]),
        "encoded": ratio(sum(encoded), size),
        "longest_encoded": max(encoded, default=0),
    }


CODE = Measure(
    "code",
    1,
    {
        "lines": "Lines, as `str.splitlines` finds them.",
        "mean_line": "Characters a line, without its end.",
        "longest_line": "Characters of the longest line.",
        "alphabetic": "Letters, of all characters.",
        "alphanumeric": "Letters and digits, of all characters.",
        "letters_a_word": "Letters a word of UAX #29, marks too. RedPajama divides by tokens of "
        "its tokenizer.",
        "generated": "1 if one of the first 5 lines says that the file was generated.",
        "xml": "1 if `<?xml version=` is in the first 100 characters.",
        "encoded": "Characters in runs that look like Base64 (64 or more), lists of hexadecimal "
        "bytes or escapes `\\u` (8 or more), of all characters.",
        "longest_encoded": "Characters of the longest such run.",
    },
    code,
    source="Li et al. 2023 (StarCoder), arXiv 2305.06161, section 3; Lozhkov et al. 2024 "
    "(StarCoder 2), arXiv 2402.19173; RedPajama-Data rp_v1, data_prep/github",
)
