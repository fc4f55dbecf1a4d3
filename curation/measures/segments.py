"""Words and sentences in any language, for rules of languages that the references do not know."""

from __future__ import annotations

from curation.measures.signals import Measure, ratio
from curation.measures.view import View
from curation.measures.words import SYMBOL


def segments(view: View) -> dict[str, float]:
    """How many words and sentences a text has."""
    tokens = view.cut("icu")
    words = len(tokens) - tokens.amount(SYMBOL)
    sentences = sum(1 for sentence in view.sentences_by_language if not sentence.isspace())
    sentences = sentences if view.chunks else 0
    return {
        "words": words,
        "sentences": sentences,
        "sentence_words": ratio(words, sentences),
    }


SEGMENTS = Measure(
    "segments",
    1,
    {
        "words": "Words (ICU's: UAX #29, and dictionaries for Chinese, Japanese, Thai, Khmer, Lao "
        "and Burmese) that are not of punctuation only.",
        "sentences": "Sentences that are not blank: of English by Punkt, of other languages by ICU "
        "but for abbreviations that spaCy lists.",
        "sentence_words": "`words` / `sentences`.",
    },
    segments,
    ("icu4py", "spacy"),
    source="Unicode UAX #29; Kiss and Strunk 2006, Computational Linguistics 32(4)",
    by_language=True,
)
