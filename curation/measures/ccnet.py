"""CCNet's buckets of perplexity.

Wenzek et al. 2020, https://arxiv.org/abs/1911.00359; facebookresearch/cc_net bda555b,
`perplexity.py` (`PerplexityBucket`) and `data/cutoff.csv` at the 30th and 60th percentile.
The perplexity is that of a KenLM model trained on the Wikipedia of the language, by SentencePiece
tokens; whoever has such a model measures it.
"""

from __future__ import annotations

from collections.abc import Mapping

HEAD, MIDDLE, TAIL, UNKNOWN = 0, 1, 2, 3

# Perplexities under which a text is in the head, and in the middle.
CUTOFFS: dict[str, tuple[float, float]] = {
    "de": (370, 590),
    "en": (340, 520),
    "fr": (180, 330),
    "hi": (480, 790),
    "zh": (1460, 1950),
}


def bucket(
    perplexity: float, language: str, cutoffs: Mapping[str, tuple[float, float]] = CUTOFFS
) -> int:
    """HEAD, MIDDLE or TAIL; UNKNOWN for a language without cut-offs or a negative perplexity."""
    if language not in cutoffs or perplexity < 0:
        return UNKNOWN
    head, middle = cutoffs[language]
    if perplexity < head:
        return HEAD
    return MIDDLE if perplexity < middle else TAIL
