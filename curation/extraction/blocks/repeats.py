"""Text that a page has twice: a quoted post, the copy for small screens, the clones of a slide."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from curation.extraction.blocks.dom import IDS

_LEAST = 16  # words of a block whose text is taken once
# Steps of a manual, listings and cells repeat each other, and mean it.
_MEANT = {IDS[tag] for tag in ("li", "pre", "td", "th")}


def once(
    taken: NDArray[np.bool_],
    sizes: NDArray[np.integer],
    tags: NDArray[np.integer],
    around: NDArray[np.integer],
    text: Callable[[int], str],
) -> NDArray[np.bool_]:
    """What is taken, without long blocks whose text an earlier one has elsewhere on the page.

    A text that comes again in the same element or in one beside it is a refrain. A value a block:
    taken, sizes (words), tags (lexbor's number of its element's), around (number of the parent of
    its element's parent); `text` gives a block's text.
    """
    told: dict[str, int] = {}
    left = taken.copy()
    for at in np.flatnonzero(taken & (sizes >= _LEAST)).tolist():
        if int(tags[at]) not in _MEANT:
            place = int(around[at])
            left[at] = told.setdefault(text(at), place) == place
    return left
