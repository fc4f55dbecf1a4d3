"""Sets of characters that the references count by, as ranges of code points."""

from __future__ import annotations

import functools
from collections.abc import Callable

import numpy as np
import numpy.typing as npt


def _characters(ranges: str) -> frozenset[str]:
    """The characters of hexadecimal ranges such as `21 2E 1809-180A`."""
    found: set[str] = set()
    for item in ranges.split():
        first, _, last = item.partition("-")
        found.update(map(chr, range(int(first, 16), int(last or first, 16) + 1)))
    return frozenset(found)


# datatrove 0.10.1, utils/text.py, TERMINAL_PUNCTUATION (159): what ends a sentence in any
# script. No quotes, no brackets, neither `;` nor `:`.
TERMINAL_PUNCTUATION = _characters(
    "21 2E 3F 589 61D-61F 6D4 700-702 7F9 837 839 83D-83E 964-965 104A-104B 1362 1367-1368 166E "
    "1735-1736 17D4-17D6 17D9-17DA 1803 1809 1944-1945 1AA8-1AAB 1B5A-1B5B 1B5E-1B5F 1B7D-1B7E "
    "1C3B-1C3C 1C7E-1C7F 203C-203D 2047-2049 2E2E 2E3C 2E53-2E54 3002 A4FF A60E-A60F A6F3 A6F7 "
    "A876-A877 A8CE-A8CF A92F A9C8-A9C9 AA5D-AA5F AAF0-AAF1 ABEB FE52 FE56-FE57 FF01 FF0E FF1F "
    "FF61 10A56-10A57 10F55-10F59 10F86-10F89 11047-11048 110BE-110C1 11141-11143 111C5-111C6 "
    "111CD 111DE-111DF 11238-11239 1123B-1123C 112A9 1144B-1144C 115C2-115C3 115C9-115D7 "
    "11641-11642 1173C-1173E 11944 11946 11A42-11A43 11A9B-11A9C 11C41-11C42 11EF7-11EF8 "
    "11F43-11F44 16A6E-16A6F 16AF5 16B37-16B38 16B44 16E98 1BC9F 1DA88"
)

# datatrove 0.10.1, utils/text.py, PUNCTUATION_SET: a word of nothing else is a symbol and no
# word. Control characters are in it, and, as there, a full-width one (FF11).
PUNCTUATION = TERMINAL_PUNCTUATION | _characters(
    "0-8 B-1F 22-2D 2F 3A-3E 40 5B-60 7B-9F AB B4 BB 2013-2014 2019 201C-201E 2026 2236 2501 25BA "
    "3001 3008-300D 3010-3011 FF05 FF08-FF09 FF0C FF11 FF1A-FF1B FF5E"
)

# Classes of characters, as bits.
SPACE = 1  # str.isspace
UPPER = 2  # str.isupper
DIGIT = 4  # str.isdigit
ALNUM = 8  # str.isalnum
NUMERIC = 16  # str.isnumeric

_PLANES = 0x32400  # beyond are no letters, digits or blanks


@functools.cache
def classes() -> npt.NDArray[np.uint8]:
    """The bits above by code point: uint8 [0x110000]."""
    table = np.zeros(0x110000, np.uint8)
    every = list(map(chr, range(_PLANES)))
    tests: dict[int, Callable[[str], bool]] = {
        SPACE: str.isspace,
        UPPER: str.isupper,
        DIGIT: str.isdigit,
        ALNUM: str.isalnum,
        NUMERIC: str.isnumeric,
    }
    for bit, test in tests.items():
        table[:_PLANES] |= np.fromiter(map(test, every), np.bool_, _PLANES) * np.uint8(bit)
    return table
