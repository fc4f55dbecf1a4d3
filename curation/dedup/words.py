"""Text to 64-bit hashes of words, a batch of documents at a time.

Normalisation, after FineWeb's (datatrove's `simplify_text`): case is folded, diacritics are
removed (canonical decomposition, then no marks), every digit is a 0, and what is not a letter, a
mark or a number separates words. Invisible format characters are removed. It goes character by
character, so it is linear in the text whatever the text is; a Korean syllable spelled as separate
jamo stays different from the one character.

A word is a run of what remains. In the scripts that are written without spaces between words
(Chinese, Japanese, Thai, Lao, Khmer, Burmese and some more) every character is a word, so that
a shingle of 5 words is 5 characters there; Korean has spaces.

The tables come from Python's `unicodedata`: characters that a newer Unicode version adds are
separators under an older Python.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt

from curation.dedup.nodes import Array, Words
from curation.dedup.wordhashes import of_words

# Characters hashed at once: 1 MiB of 64-bit values, which stays in a processor's cache.
BATCH = 1 << 17

_REMOVED = 0
_SEPARATOR = ord(" ")
_ZERO = ord("0")
_MINUS = (ord("-"), 0x2212)
# Set on a character that is a word by itself.
# Odd factor of polynomials over hashes (that of PCG64's "cheap" multiplier).
FACTOR = np.uint64(0xDA942042E4DD58B5)
_ALONE = 1 << 31
# Of the polynomials over characters: 2^64 / golden ratio, the increment of SplitMix64.
_BASE = 0x9E3779B97F4A7C15

# Blocks of the scripts without spaces, first and last code point.
SPACELESS = (
    (0x0E00, 0x0EFF),  # Thai, Lao
    (0x1000, 0x109F),  # Myanmar
    (0x1780, 0x17FF),  # Khmer
    (0x1950, 0x19DF),  # Tai Le, New Tai Lue
    (0x1A20, 0x1AAF),  # Tai Tham
    (0x3005, 0x3007),  # ideographic iteration, closing and zero marks
    (0x3040, 0x312F),  # Hiragana, Katakana, Bopomofo
    (0x31A0, 0x31BF),  # Bopomofo Extended
    (0x31F0, 0x31FF),  # Katakana extensions
    (0x3400, 0x4DBF),  # CJK Extension A
    (0x4E00, 0xA4CF),  # CJK, Yi
    (0xA9E0, 0xA9FF),  # Myanmar Extended-B
    (0xAA60, 0xAADF),  # Myanmar Extended-A, Tai Viet
    (0xF900, 0xFAFF),  # CJK compatibility
    (0xFF66, 0xFF9F),  # halfwidth Katakana
    (0x1AFF0, 0x1B16F),  # Kana extensions
    (0x20000, 0x323AF),  # CJK extensions B to H
)
# Where assigned characters stand: the planes in use, then tags and variation selectors.
_ASSIGNED = ((0, 0x323B0), (0xE0000, 0xE01F0))


def _fold(char: str) -> int:
    """What a character is replaced by."""
    category = unicodedata.category(char)
    if category in {"Mn", "Me", "Cf"}:
        return _REMOVED
    if category == "Nd":
        return _ZERO
    if category[0] not in "LMN":
        return _SEPARATOR
    bases = [
        base
        for base in unicodedata.normalize("NFD", char.casefold())
        if unicodedata.category(base) not in {"Mn", "Me"}
    ]
    # Some have no single base: a Korean syllable, the German sharp s. They stay what they are.
    return next((ord(c) for c in ("".join(bases), char.lower()) if len(c) == 1), ord(char))


_ASCII = bytes(_fold(chr(code)) for code in range(128)).ljust(256)


# `_fold` of every code point, with `_ALONE`, once its page of 256 was asked for (they take
# half a second together); the last entry stands for all that follow.
_UNKNOWN = (1 << 32) - 1
_table = np.full(_ASSIGNED[-1][1] + 1, _SEPARATOR, np.uint32)
for _first, _end in _ASSIGNED:
    _table[_first:_end] = _UNKNOWN


def folded(points: Array) -> Array:
    """What code points become, uint32 [n]: 0 is removed, a blank separates, from 2^31 on alone."""
    result = np.take(_table, points, mode="clip")
    if result.max(initial=0) < _UNKNOWN:
        return result
    for page in np.unique(points[result == _UNKNOWN] >> 8).tolist():
        own = _table[page << 8 : (page + 1) << 8]
        own[:] = [_fold(chr(code)) for code in range(page << 8, (page << 8) + len(own))]
        for first, last in SPACELESS:
            own[(own >= first) & (own <= last)] |= np.uint32(_ALONE)
    return np.take(_table, points, mode="clip")


def mix(hashes: Words) -> Words:
    """The finalizer of MurmurHash3: a bijection of 64-bit values that spreads their bits."""
    hashes = hashes ^ (hashes >> np.uint64(33))
    hashes *= np.uint64(0xFF51AFD7ED558CCD)
    hashes ^= hashes >> np.uint64(33)
    hashes *= np.uint64(0xC4CEB9FE1A85EC53)
    hashes ^= hashes >> np.uint64(33)
    return hashes


def _codes(text: str) -> Array:
    """Folded code points of a text, with removed ones still in it: uint8 if they fit, or uint32."""
    if text.isascii():
        return np.frombuffer(text.encode().translate(_ASCII), np.uint8)
    points = np.frombuffer(text.encode("utf-32-le", "surrogatepass"), "<u4")
    others = np.flatnonzero(points > 127)
    if 2 * len(others) > len(points):
        return folded(points)
    # Most are ASCII: quotation marks, dashes and accents are looked up alone, and fold to it.
    others_folded = folded(points[others])
    low = bytearray(points.astype(np.uint8)).translate(_ASCII)
    codes: Array = np.frombuffer(low, np.uint8)
    if others_folded.max() > 255:
        codes = codes.astype(np.uint32)
    codes[others] = others_folded
    return codes


def _with_numbers(text: str, codes: Array) -> Array:
    """Folded code points of a text, with its digits, and `-` for a minus in front of a number."""
    zeros = np.flatnonzero(codes == _ZERO)
    if not len(zeros):
        return codes
    points = np.frombuffer(text.encode("utf-32-le", "surrogatepass"), "<u4")
    distinct, at = np.unique(points[zeros], return_inverse=True)
    digits = [unicodedata.digit(chr(point)) for point in distinct.tolist()]
    codes = codes.copy()
    codes[zeros] = np.array(digits, codes.dtype)[at] + _ZERO
    before = zeros[zeros > 0] - 1
    signs = before[np.isin(points[before], _MINUS)]
    codes[signs[(signs == 0) | (codes[signs - 1] == _SEPARATOR)]] = _MINUS[0]
    return codes


def normalise(text: str) -> str:
    """The text as it is compared: folded words, one space where the original has separators."""
    codes = _codes(text)
    codes = codes[codes != _REMOVED]
    word = codes != _SEPARATOR
    follows_word = np.zeros(len(word), np.bool_)
    follows_word[1:] = word[:-1]
    points = codes[word | follows_word].astype("<u4") & np.uint32(_ALONE - 1)
    return points.tobytes().decode("utf-32-le").rstrip(" ")


def batches(texts: Sequence[str]) -> Iterator[list[str]]:
    """Consecutive texts that fit `BATCH` together; a longer one comes alone."""
    batch: list[str] = []
    room = BATCH
    for text in texts:
        if batch and len(text) >= room:
            yield batch
            batch, room = [], BATCH
        batch.append(text)
        room -= len(text) + 1
    if batch:
        yield batch


def hashes(batch: Sequence[str], *, numbers: bool = False) -> tuple[Words, npt.NDArray[np.int64]]:
    """Hashes of the words of a batch, uint64 [words], and how many each text has, int64 [n].

    `numbers`: digits are what they are, and a sign in front of them is part of the number.
    """
    if len(batch) == 1 and len(batch[0]) >= BATCH:
        pieces = [_hash([piece], numbers)[0] for piece in _pieces(batch[0])]
        whole = np.concatenate(pieces)
        return whole, np.array([len(whole)])
    return _hash(batch, numbers)


def characters(batch: Sequence[str]) -> tuple[Words, npt.NDArray[np.int64]]:
    """Hashes of the characters of the normalised texts of a batch, uint64 [characters], and how
    many each text has, int64 [n]."""
    if len(batch) == 1 and len(batch[0]) >= BATCH:
        pieces = [_characters([piece])[0] for piece in _pieces(batch[0])]
        blank = mix(np.array([_SEPARATOR], np.uint64))
        whole = np.concatenate([part for piece in pieces if len(piece) for part in (blank, piece)])
        return whole[1:], np.array([len(whole) - 1])
    return _characters(batch)


def _pieces(text: str) -> Iterator[str]:
    """A long text cut at blanks; a longer run without one is cut where the piece is full."""
    start = 0
    while start < len(text):
        end = start + BATCH - 1
        if end < len(text):
            cut = max(text.rfind(" ", start + 1, end), text.rfind("\n", start + 1, end))
            end = cut if cut > 0 else end
        yield text[start:end]
        start = end


def _hash(texts: Sequence[str], numbers: bool) -> tuple[Words, npt.NDArray[np.int64]]:
    """`hashes` of texts that have at most BATCH characters together, one more for each text.

    The hash of a word of code points c is mix(sum c[i] x p^i mod 2^64).
    """
    return of_words(*_joined(texts, numbers), _BASE, _SEPARATOR, _ALONE)


def _characters(texts: Sequence[str]) -> tuple[Words, npt.NDArray[np.int64]]:
    """`characters` of texts that have at most BATCH characters together."""
    codes, ends_of_texts = _joined(texts)
    word = codes != _SEPARATOR
    kept = word.copy()
    kept[1:] |= word[:-1]
    ends = np.cumsum(kept)[ends_of_texts - 1]
    codes = codes[kept]
    counts = np.diff(ends, prepend=0)
    # the last character that is kept of a text is the blank after its last word
    codes = np.delete(codes, ends[counts > 0] - 1)
    points = codes.astype(np.uint64) & np.uint64(_ALONE - 1)
    return mix(points), np.maximum(counts - 1, 0)


def _joined(texts: Sequence[str], numbers: bool = False) -> tuple[Array, npt.NDArray[np.int64]]:
    """Folded code points of texts, each closed by a separator, and where each text ends."""
    whole = "\n".join(texts) + "\n"
    codes = _with_numbers(whole, _codes(whole)) if numbers else _codes(whole)
    lengths = np.fromiter(map(len, texts), np.int64, len(texts))
    ends = np.cumsum(lengths + 1)
    if not codes.all():
        removed = np.flatnonzero(codes == _REMOVED)
        ends -= np.searchsorted(removed, ends)
        codes = np.delete(codes, removed)
    return codes, ends
