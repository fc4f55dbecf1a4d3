"""Where a text may be cut: never before what belongs to the character before it.

That are combining marks, vowel signs and voicing marks, joiners and what they join, emoji
modifiers, and the vowels and finals of decomposed Korean syllables: nearly the extended grapheme
clusters of Unicode Standard Annex 29.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from functools import cache

import numpy as np
import numpy.typing as npt

Index = npt.NDArray[np.int64]

_JOINER = 0x200D
# What has no category of marks. Vowel signs that stand before their consonant are none of them.
_ATTACHED = (
    *((0x0E30, 0x0E30), (0x0E32, 0x0E33), (0x0E45, 0x0E45)),  # Thai vowels
    *((0x0EB0, 0x0EB0), (0x0EB2, 0x0EB3), (0x0EBD, 0x0EBD)),  # Lao
    *((0x19B0, 0x19B4), (0x19B8, 0x19B9), (0x19BB, 0x19C0), (0x19C8, 0x19C9)),  # New Tai Lue
    *((0xAAB1, 0xAAB1), (0xAABA, 0xAABA), (0xAABD, 0xAABD)),  # Tai Viet
    *((0xAAC0, 0xAAC0), (0xAAC2, 0xAAC2)),  # its tones
    *((0x1160, 0x11FF), (0xD7B0, 0xD7FF)),  # Korean vowels and finals
    *((0x200C, _JOINER), (0xFF9E, 0xFF9F)),  # joiners; halfwidth voicing marks
    *((0x1F3FB, 0x1F3FF), (0xE0020, 0xE007F)),  # emoji modifiers and tags
)
_RANGES = ((0, 0x323B0), (0xE0000, 0xE01F0))  # where assigned characters stand


@cache
def _table() -> npt.NDArray[np.bool_]:
    """Of every code point whether it belongs to the character before; the last is for all after."""
    table = np.zeros(_RANGES[-1][1] + 1, np.bool_)
    for first, end in _RANGES:
        table[first:end] = [unicodedata.category(chr(code))[0] == "M" for code in range(first, end)]
    for first, last in _ATTACHED:
        table[first : last + 1] = True
    return table


def attached(text: str) -> npt.NDArray[np.bool_]:
    """Of each character of a text whether it belongs to one before; bool [characters]."""
    codes = np.frombuffer(text.encode("utf-32-le", "surrogatepass"), "<u4")
    found = np.take(_table(), codes, mode="clip")
    found[1:] |= (codes[:-1] == _JOINER) & (codes[1:] > ord(" "))
    found[:1] = False
    return found


def loose(lines: Sequence[str]) -> list[tuple[int, int]]:
    """The lines that begin with what belongs to a character before, and how many such."""
    firsts = "".join(line[:1] or "\n" for line in lines)
    if firsts.isascii():
        return []
    found = np.flatnonzero(attached(f"\n{firsts}")[1:]).tolist()
    return [(at, int(np.argmin(attached(f"\n{lines[at]}\n")[1:]))) for at in found]


def inside(text: str, starts: Index, ends: Index) -> tuple[Index, Index]:
    """Spans of a text, int64 [n] each, without the parts of characters at their ends: none begins
    or ends before what belongs to the character before. What is left of a span may be empty, or
    end before it begins."""
    if text.isascii():
        return starts, ends
    borders = np.append(np.flatnonzero(~attached(text)), len(text))
    lasts = borders[np.searchsorted(borders, ends, side="right") - 1]
    return borders[np.searchsorted(borders, starts)], lasts
