"""Texts to hashes of words, as test items and documents are compared.

What a copy may change is folded away: case, diacritics, compatibility forms (fullwidth letters,
ligatures), letters of other scripts that look like Latin ones, apostrophes, and whatever stands
between words. Digits stay, because they are what differs between two exercises. In scripts without
spaces every character is a word, as in `curation.dedup.words`, whose tables these are.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from functools import cache

import numpy as np
import numpy.typing as npt

from curation.dedup.nodes import Array
from curation.dedup.wordhashes import of_words
from curation.dedup.words import batches, folded

Words = npt.NDArray[np.uint32]
Index = npt.NDArray[np.int64]

_REMOVED, _FORM, _SEPARATOR = 0, 1, ord(" ")
_ALONE = 1 << 31
_BASE = 0x9E3779B97F4A7C15  # as in curation.dedup.words
_APOSTROPHES = "'`\u00b4\u02bc\u2018\u2019"
# Cyrillic and Greek letters that look like Latin ones, as capitals or not, folded.
_ALIKE = dict(
    zip(
        "авекмнорстухіјѕԁԛԝһαβεζηικμνορτυχ",
        "abekmhopctyxijsdqwhabezhikmnoptyx",
        strict=True,
    )
)

_DIGITS = np.arange(ord("0"), ord("9") + 1)
_COMMON = 0x3000  # code points before the scripts without spaces of East Asia


@cache
def _table() -> Array:
    """What the first code points become: uint32 [_COMMON]."""
    table = folded(np.arange(_COMMON, dtype=np.uint32))
    table[_DIGITS] = _DIGITS
    table[list(map(ord, _APOSTROPHES))] = _REMOVED
    alike = np.arange(_COMMON, dtype=np.uint32)
    for letter, like in _ALIKE.items():
        alike[ord(letter)] = ord(like)
    low = table < _COMMON
    table[low] = alike[table[low]]
    table[[char for char in range(128, _COMMON) if _compatible(chr(char)) != chr(char)]] = _FORM
    return table


def hashes(texts: Sequence[str]) -> tuple[Words, Index]:
    """Hashes of the words of texts, uint32 [words], never 0, and how many each has, int64 [n]."""
    found, counts = [np.empty(0, np.uint32)], [np.empty(0, np.int64)]
    for batch in batches(texts):
        plain = batch
        codes = _codes("\n".join([*plain, ""]))
        if (codes == _FORM).any():
            plain = list(map(_plain, batch))
            codes = _codes("\n".join([*plain, ""]))
        # a text ends behind a separator, which is never removed
        ends = np.cumsum([len(text) + 1 for text in plain], dtype=np.int64)
        if not codes.all():
            kept = codes != _REMOVED
            ends = np.cumsum(kept, dtype=np.int64)[ends - 1]
            codes = codes[kept]
        values, own = of_words(codes, ends, _BASE, _SEPARATOR, _ALONE)
        found.append(_shortened(values))
        counts.append(own)
    return np.concatenate(found), np.concatenate(counts)


def places(text: str) -> tuple[Index, Index]:
    """Where the words of `hashes` start and end in a text, in code points, end exclusive."""
    codes = _codes(text)
    origin = np.arange(len(text))
    if (codes == _FORM).any():
        plain = [_compatible(char) for char in text]
        origin = np.repeat(origin, [len(part) for part in plain])
        codes = _codes("".join(plain))
    kept = np.flatnonzero(codes != _REMOVED)
    codes, origin = codes[kept], origin[kept]
    alone = codes >= _ALONE
    word = (codes != _SEPARATOR) & ~alone
    before, after = np.zeros_like(word), np.zeros_like(word)
    before[1:], after[:-1] = word[:-1], word[1:]
    return origin[(word & ~before) | alone], origin[(word & ~after) | alone] + 1


def _shortened(values: Array) -> Words:
    """64 bits to 32 that are not 0."""
    return np.maximum((values >> np.uint64(32)).astype(np.uint32), 1)


def _codes(text: str) -> Array:
    """What each code point becomes, uint32 [n]; `_FORM` if it is to be asked `_compatible`."""
    points = np.frombuffer(text.encode("utf-32-le", "surrogatepass"), "<u4")
    codes = np.take(_table(), points, mode="clip")
    high = np.flatnonzero(points >= _COMMON)
    if len(high):
        codes[high] = folded(points[high])
        forms = [char for char in np.unique(points[high]) if _compatible(chr(char)) != chr(char)]
        codes[np.isin(points, forms)] = _FORM
    return codes


def _plain(text: str) -> str:
    """The text with compatibility forms of letters and digits as what they stand for."""
    forms = {char: other for char in set(text) if (other := _compatible(char)) != char}
    return text.translate({ord(char): other for char, other in forms.items()}) if forms else text


@cache
def _compatible(char: str) -> str:
    """Its NFKC, if it is a letter or a number: what else it is separates words anyway."""
    return unicodedata.normalize("NFKC", char) if unicodedata.category(char)[0] in "LN" else char
