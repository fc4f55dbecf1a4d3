"""Chosen blocks to text: paragraphs, headings, list items and rows of tables on their own lines."""

from __future__ import annotations

from collections.abc import Iterable

from curation.extraction.blocks.dom import KINDS, Page

_CELLS = frozenset({KINDS.index("td"), KINDS.index("th")})
_ITEM = KINDS.index("li")


def render(page: Page, chosen: Iterable[int]) -> str:
    """The text of the blocks with these numbers, in their order.

    Cells of a row stand in one line with ` | ` between; preformatted text keeps its white space.
    """
    lines: list[str] = []
    row = -1
    for number in chosen:
        text = page.texts[number].strip("\n")
        owner = page.owners[number]
        here = _row(page, owner)
        if here >= 0 and here == row:
            lines[-1] += " | " + text
        elif page.kinds[owner] == _ITEM:
            lines.append("- " + text)
        else:
            lines.append(text)
        row = here
    return "\n".join(lines)


def _row(page: Page, element: int) -> int:
    """The row of a table of data whose cell the element is, -1 if it is none."""
    if page.kinds[element] not in _CELLS:
        return -1
    return page.parents[element]
