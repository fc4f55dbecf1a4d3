"""Papers and books: what peS2o tests of a paper, and words that optical recognition garbled."""

from __future__ import annotations

import re
from collections import Counter
from string import punctuation

from curation.measures.signals import Measure, ratio
from curation.measures.view import View

_VOWELS = frozenset("aeiouyäëïöüáéíóúàèìòùâêîôûåøæœAEIOUYÄËÏÖÜÁÉÍÓÚÀÈÌÒÙÂÊÎÔÛÅØÆŒ")
_SAME = re.compile(r"(.)\1\1")
_MARKS = punctuation + "“”‘’«»„—–…•·§¶†‡°"
_MOST = 40  # characters of a word


def pes2o(view: View) -> dict[str, float]:
    """What peS2o tests of a paper."""
    words = Counter(view.chunks)
    top, count = words.most_common(1)[0] if words else ("", 0)
    return {
        "words": len(view.chunks),
        "paragraphs": sum(1 for each in view.paragraphs if each.strip()),
        "top_word_share": ratio(count, len(view.chunks)),
        "top_word_alphabetic": float(top.isalpha()),
    }


def _is_garbled(word: str) -> bool:
    """Kulp and Kontostathis' rules, for a word without the marks around it."""
    letters = [character for character in word if character.isalpha()]
    upper = sum(map(str.isupper, letters))
    vowels = sum(1 for character in letters if character in _VOWELS)
    consonants = len(letters) - vowels
    plain = sum(map(str.isalnum, word))
    return (
        len(word) > _MOST
        or len(word) - plain > plain
        or len({character for character in word[1:-1] if not character.isalnum()}) > 1
        or _SAME.search(word) is not None
        or len(word) > upper > len(letters) - upper
        or (len(letters) == len(word) and max(vowels, consonants) > 8 * min(vowels, consonants) > 0)
        or (word[:1].islower() and word[-1:].islower() and upper > 0)
    )


def ocr(view: View) -> dict[str, float]:
    """How many words optical recognition garbled, by their form."""
    words = Counter(filter(None, (chunk.strip(_MARKS) for chunk in view.chunks)))
    garbled = sum(count for word, count in words.items() if _is_garbled(word))
    return {"garbled": ratio(garbled, words.total())}


PRINTED = (
    Measure(
        "pes2o",
        1,
        {
            "words": "Words between white space.",
            "paragraphs": "Paragraphs, parted by blank lines.",
            "top_word_share": "How often the most frequent word stands, of all words; of several "
            "the one that comes first.",
            "top_word_alphabetic": "1 if that word is of letters only.",
        },
        pes2o,
        source="Soldaini and Lo 2023, peS2o, allenai/peS2o, its card",
    ),
    Measure(
        "ocr",
        1,
        {
            "garbled": "Words, without the marks around them, that by their length, marks, "
            "capitals, vowels or repeated characters are none of a language in Latin script, of "
            "all words.",
        },
        ocr,
        source="Kulp and Kontostathis 2007, On retrieving legal files: shortening documents and "
        "weeding out garbage, TREC 2007; after Taghva et al. 2001",
    ),
)
