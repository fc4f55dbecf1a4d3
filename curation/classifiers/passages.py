"""The pieces of a text that are scored on their own, and those whose score is high enough."""

from __future__ import annotations

import re
from collections.abc import Sequence

DECIMALS = 6  # of a score, as sums are in another order on another CPU
Span = tuple[int, int, float]
"""Start and end in characters, and score."""

# Of Unicode's Sentence_Terminal those that stand in running text, by script: Latin, Chinese and
# Japanese, Devanagari, Arabic, Urdu, Burmese, Khmer, Armenian, Ethiopic, Tibetan.
_ENDS = ".!?…。！？｡।॥؟۔။៕។։።፧།"
# A sentence, or as much of one as is read at once.
_SENTENCE = re.compile(rf"[^\s{_ENDS}][^{_ENDS}\n]{{0,999}}[{_ENDS}]*[\"'”’)\]]*")
_LINE = re.compile(r"\S[^\n]*")


def sentences(text: str) -> list[tuple[int, int]]:
    """Start and end of each sentence in characters; of a longer one 1,000 at a time."""
    return [match.span() for match in _SENTENCE.finditer(text)]


def lines(text: str) -> list[tuple[int, int]]:
    """Start and end of each line that is not blank, in characters."""
    return [match.span() for match in _LINE.finditer(text)]


def reaching(
    spans: Sequence[tuple[int, int]], scores: Sequence[float], threshold: float
) -> list[Span]:
    """Those of the spans whose score reaches the threshold."""
    return [
        (start, end, score)
        for (start, end), score in zip(spans, scores, strict=True)
        if score >= threshold
    ]
