"""Problems: what a user can mend, with what is wrong, where, and how to mend it."""

from __future__ import annotations

import difflib
import errno
from collections.abc import Iterable, Sequence

_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


class Problem(Exception):
    """Something that a user can mend.

    `what` is wrong, in a sentence; `where`: the file, key or record, or the parameter of a call;
    `mend`: what to do. As a string it is all three in a line.
    """

    def __init__(self, what: str, where: str = "", mend: str = "") -> None:
        """`where` and `mend` are empty if `what` says it all."""
        self.what, self.where, self.mend = what, where, mend
        super().__init__(what, where, mend)

    def __str__(self) -> str:
        place = f"{self.where}: " if self.where else ""
        return f"{place}{self.what}{f': {self.mend}' if self.mend else ''}"


def full_disk(error: BaseException) -> Problem | None:
    """The problem behind an error of writing, if it is that there is no more room."""
    if not isinstance(error, OSError) or error.errno not in _FULL:
        return None
    why = (error.strerror or str(error)).splitlines()[0]
    mend = "make room; the same command goes on from what is done"
    return Problem(f"there is no room to write ({why})", str(error.filename or ""), mend)


def close_or_all(name: str, names: Iterable[str]) -> str:
    """`; did you mean ...?` with the closest of the names, or `; there are ...` with all."""
    known = list(dict.fromkeys(names))
    listed = f"; there {'is' if len(known) == 1 else 'are'} {', '.join(f'`{x}`' for x in known)}"
    return close_to(name, known) or (listed if known else "")


def close_to(name: str, names: Iterable[str], most: int = 3, least: float = 0.6) -> str:
    """`; did you mean ...?` with the closest of the names, or nothing. `least`: of 1, how alike."""
    close: Sequence[str] = difflib.get_close_matches(name, sorted(set(names)), most, least)
    return f"; did you mean {' or '.join(f'`{item}`' for item in close)}?" if close else ""
