"""Words as fastText cuts them, which DCLM counts by."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from curation.measures.characters import ALNUM

# what ends a word for fastText (`Dictionary::readWord`); other white space is part of a word
_BLANKS = np.zeros(128, np.bool_)
_BLANKS[[ord(mark) for mark in " \n\r\t\v\f\0"]] = True


def count_words(classes: npt.NDArray[np.uint8], codes: npt.NDArray[np.uint32]) -> int:
    """How many of a text's words start with a letter or digit (`str.isalnum`).

    `classes` uint8 [n] and `codes` uint32 [n] of its characters, see `View`.
    """
    if not len(codes):
        return 0
    blank = _BLANKS[np.minimum(codes, 127)]
    letter = classes & ALNUM != 0
    return int(np.count_nonzero(blank[:-1] & letter[1:])) + bool(letter[0])
