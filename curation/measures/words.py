"""What a word is: the definitions of the references, each as a cut of a chunk.

A chunk is a piece of text without white space (`str.split()`), so that no word reaches over its
ends. The bits of a word's kind are told beside the function that sets them.
"""

from __future__ import annotations

import re
import string
import unicodedata
from collections.abc import Callable

import regex  # type: ignore[import-untyped]

from curation.measures.characters import PUNCTUATION
from curation.measures.english import english, sentence_ends

# kinds of spaCy's and ICU's words
SYMBOL = 1  # of punctuation only: datatrove counts it as no word
ALPHABETIC = 2  # has a letter
STOP = 4  # ends a sentence (spaCy's Sentencizer)
MARK = 8  # of Unicode punctuation only, and no STOP: neither ends nor starts a sentence

# kinds of chunks (ALPHABETIC too)
HAS_SYMBOL = 1  # has a `#` or `…`: dolma's symbols
STOP_WORD = 4  # one of Gopher's eight
STOP_WORD_ANY_CASE = 8  # the same, in any case
MOSTLY_SYMBOLS = 16  # NeMo's: an ellipsis, or a number of runs of `#` over half its length
UNICODE_ALPHABETIC = 32  # has a character of the property Alphabetic, marks and numerals too

# kinds of RedPajama's words
UPPER = 1  # `str.isupper`
LATIN = 2  # has a letter of a-z or A-Z

# Rae et al. 2021, appendix A.1.1
STOP_WORDS = ("the", "be", "to", "of", "and", "that", "have", "with")

_STOP_WORDS = frozenset(STOP_WORDS)
# NeMo Curator 1e2e4275, text/utils/constants.py, `ellipsis_marks`
ELLIPSES = ("...", "[...]", "…", "(...)", "[…]", "-»", "read more..", "read more")
_HASHES = re.compile("#+")
_ALPHABETIC = regex.compile(r"\p{Alphabetic}")


def spacy() -> Callable[[str], list[str]]:
    """spaCy's blank English pipeline, see `english`: datatrove's words."""
    return english().words


def kind(word: str) -> int:
    """SYMBOL, ALPHABETIC, STOP, MARK."""
    found = 0
    if word.isalpha() or any(map(str.isalpha, word)):
        found |= ALPHABETIC
    elif PUNCTUATION.issuperset(word):
        found |= SYMBOL
    if word in sentence_ends():
        found |= STOP
    elif not found & ALPHABETIC and all(c[0] == "P" for c in map(unicodedata.category, word)):
        found |= MARK
    return found


def no_kind(_: str) -> int:
    """Nothing that anyone asks for."""
    return 0


def space_kind(word: str) -> int:
    """Of a chunk: HAS_SYMBOL, ALPHABETIC, STOP_WORD and the others."""
    found = 0
    if word.isalpha():
        found |= ALPHABETIC | UNICODE_ALPHABETIC
        if word in _STOP_WORDS:
            return found | STOP_WORD | STOP_WORD_ANY_CASE
        return found | (STOP_WORD_ANY_CASE if word.lower() in _STOP_WORDS else 0)
    if "#" in word or "…" in word:
        found |= HAS_SYMBOL
    if any(map(str.isalpha, word)):
        found |= ALPHABETIC | UNICODE_ALPHABETIC
    elif _ALPHABETIC.search(word):
        found |= UNICODE_ALPHABETIC
    if word in ELLIPSES or len(_HASHES.findall(word)) / len(word) > 0.5:
        found |= MOSTLY_SYMBOLS
    return found


# UAX #29, rules WB3c to WB13b. What extends a character stays with it.
_EXTEND = r"[\p{WB=Extend}\p{WB=Format}\p{WB=ZWJ}]*+"
_LETTER = rf"[\p{{WB=ALetter}}\p{{WB=Hebrew_Letter}}]{_EXTEND}"
_HEBREW = rf"\p{{WB=Hebrew_Letter}}{_EXTEND}"
_DIGIT = rf"\p{{WB=Numeric}}{_EXTEND}"
_KANA = rf"\p{{WB=Katakana}}{_EXTEND}"
_CONNECTOR = rf"\p{{WB=ExtendNumLet}}{_EXTEND}"
_INSIDE = r"\p{WB=MidNumLet}\p{WB=Single_Quote}"  # between letters and between digits
_RUN = (
    rf"(?:{_HEBREW}\p{{WB=Double_Quote}}{_EXTEND}(?={_HEBREW})"
    rf"|{_LETTER}[\p{{WB=MidLetter}}{_INSIDE}]{_EXTEND}(?={_LETTER})"
    rf"|{_LETTER}"
    rf"|{_DIGIT}[\p{{WB=MidNum}}{_INSIDE}]{_EXTEND}(?={_DIGIT})"
    rf"|{_DIGIT})++"
)
_PART = rf"(?:{_RUN}|(?:{_KANA})++)"
_WORD = regex.compile(
    rf"(?:{_PART}(?:(?:{_CONNECTOR})++{_PART}?+)*+|(?:(?:{_CONNECTOR})++{_PART}?+)++|.{_EXTEND})"
    rf"(?:(?<={_HEBREW})\p{{WB=Single_Quote}}{_EXTEND})?+"
    rf"(?:(?<=\p{{WB=ZWJ}})\p{{Extended_Pictographic}}{_EXTEND})*+",
    regex.DOTALL,
)
# The same of ASCII, where it is quicker.
_ASCII_WORD = re.compile(
    r"(?:[A-Za-z](?:[:.'](?=[A-Za-z]))?|[0-9](?:[,;.'](?=[0-9]))?|_)+|[^A-Za-z0-9_]+"
)


def unicode_words(chunk: str) -> list[str]:
    """The words between the word boundaries of UAX #29 that start with a letter or digit
    (`str.isalnum`): the words of DCLM's n-grams, for which it uses uniseg."""
    if chunk.isascii():
        if chunk.isalnum():
            return [chunk]
        return [word for word in _ASCII_WORD.findall(chunk) if word[0].isalnum()]
    return [word for word in _WORD.findall(chunk) if word[0].isalnum()]


_SURROGATE = re.compile("[\ud800-\udfff]")


def without_surrogates(text: str) -> str:
    """A text of the same length that ICU takes."""
    return _SURROGATE.sub("\ufffd", text)


def icu() -> Callable[[str], list[str]]:
    """Words and single marks by ICU: the rules of UAX #29, and dictionaries for Chinese, Japanese,
    Thai, Khmer, Lao and Burmese, which have no spaces between words."""
    from icu4py.breakers import WordBreaker

    return lambda chunk: list(WordBreaker(without_surrogates(chunk), "en"))


_WORD_OR_MARKS = re.compile(r"\w+|[^\w\s]+")
_LATIN = re.compile("[a-zA-Z]")
_WITHOUT_MARKS = str.maketrans("", "", string.punctuation)


def words_and_marks(chunk: str) -> list[str]:
    """Runs of word characters and runs of others: RedPajama-v2's raw words (NLTK's
    `WordPunctTokenizer`)."""
    return _WORD_OR_MARKS.findall(chunk)


def marks_kind(word: str) -> int:
    """UPPER, LATIN."""
    return (UPPER if word.isupper() else 0) | (LATIN if _LATIN.search(word) else 0)


def bare_words(chunk: str) -> list[str]:
    """A chunk without ASCII punctuation, in lower case and NFD: RedPajama-v2's normalised words."""
    return unicodedata.normalize("NFD", chunk.translate(_WITHOUT_MARKS).lower()).split()
