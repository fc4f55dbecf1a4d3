"""FineWeb's own measures.

Penedo et al. 2024, https://arxiv.org/abs/2406.17557, section 3.6, as datatrove 0.10.1 computes
them (`fineweb_quality_filter.py`).
"""

from __future__ import annotations

from curation.measures.characters import TERMINAL_PUNCTUATION
from curation.measures.signals import Measure, ratio
from curation.measures.view import View

SHORT_LINE = 30


def fineweb(view: View) -> dict[str, float]:
    """datatrove's `FineWebQualityFilter`, every value it compares."""
    text = view.text
    lines = [line for line in view.rows if line and not line.isspace()]
    lengths = list(map(len, lines))
    line_breaks = text.count("\n")
    copied = sum(lengths) - sum(map(len, set(lines)))
    ended = sum(map(TERMINAL_PUNCTUATION.__contains__, [line[-1] for line in lines]))
    return {
        "lines": len(lines),
        "line_punct_ratio": ratio(ended, len(lines)),
        "short_line_ratio": ratio(sum(map(SHORT_LINE.__ge__, lengths)), len(lines)),
        "char_dup_ratio": ratio(copied, len(text) - line_breaks),
        "list_ratio": ratio(line_breaks, len(view.tokens)),
    }


FINEWEB = Measure(
    "fineweb",
    1,
    {
        "lines": r"Lines between `\n` that are not blank.",
        "line_punct_ratio": "Share of lines that are not blank that end in terminal punctuation of "
        "any script; quotes, `;` and `:` are none, and nothing is stripped.",
        "short_line_ratio": "Share of lines that are not blank with 30 characters or fewer.",
        "char_dup_ratio": r"Characters of lines that are copies of an earlier one / characters of "
        r"the text that are not `\n`.",
        "list_ratio": r"Occurrences of `\n` / words (spaCy's, punctuation included).",
    },
    fineweb,
    ("spacy",),
    "Penedo et al. 2024, arXiv 2406.17557, section 3.6; datatrove 0.10.1, FineWebQualityFilter",
)
