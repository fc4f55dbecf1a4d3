"""Regular expressions of many words."""

from __future__ import annotations

import re
from collections.abc import Iterable


def alternatives(words: Iterable[str]) -> str:
    """An expression for one of the words, the longest that fits; those that share a start share
    its test, so that each character is looked at once."""
    return _alternatives(sorted(set(words)))


def _alternatives(words: list[str]) -> str:
    if words == [""]:
        return ""
    branches = []
    for first in sorted({word[:1] for word in words}):
        if first:
            rest = [word[1:] for word in words if word[:1] == first]
            branches.append(re.escape(first) + _alternatives(rest))
    if len(branches) == 1 and "" not in words:
        return branches[0]
    return f"(?:{'|'.join(branches)}){'?' if '' in words else ''}"
