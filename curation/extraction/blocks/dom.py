"""A page's tree as flat arrays: its elements, its pieces of text, and the blocks these make.

One walk of the parsed tree, linear in its nodes whatever their nesting. Elements are numbered in
document order, so a parent's number is less than its children's and a subtree is a range.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Set
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from selectolax.lexbor import LexborHTMLParser, LexborNode

from curation.extraction import elements
from curation.extraction.blocks.walk import walk

Numbers = NDArray[np.int32]

# What the walk knows of a tag: two bytes of bits.
_TRAITS = {
    1: elements.SKIPPED,
    2: elements.CLOSED,
    4: elements.INLINE,
    8: elements.FORMATS,
    16: {"a"},
    32: elements.OBJECTS,
    64: elements.CODE,
}
_KINDS = {
    1: elements.LINES,
    2: elements.LINES - elements.OF_LISTINGS,
    4: {"table"},
    8: elements.HEADINGS,
    16: {"pre"},
    32: {"tr"},
    64: elements.CELLS,
}
_KNOWN = 256  # more than the numbers of the tags that lexbor knows


def _ids() -> dict[str, int]:
    """lexbor's number of each tag."""
    tree = LexborHTMLParser("<p></p>")
    names = sorted(set().union(*_TRAITS.values(), *_KINDS.values()))
    found = {name: tree.create_node(name).tag_id for name in names}
    return {name: number for name, number in found.items() if number < _KNOWN}


IDS = _ids()
TAGS = {number: name for name, number in IDS.items()}


def _bits(names_of: Mapping[int, Set[str]]) -> NDArray[np.uint8]:
    found = np.zeros(max(IDS.values()) + 1, np.uint8)
    for bit, names in names_of.items():
        found[[IDS[name] for name in names & IDS.keys()]] |= bit
    return found


_TRAITS_OF, _KINDS_OF = _bits(_TRAITS), _bits(_KINDS)


class Dom(NamedTuple):
    """The elements and texts of a page.

    A value an element: nodes, tags (lexbor's numbers), parents (number of the parent, 0 for the
    body), ends (number after the last element in it), blocks (number of the nearest element
    around it, itself included, that begins a line), links (whether it is in a link), first and
    last (range of its texts), rows and cells (number of the row and the cell of a table around
    it, 0 if there is none that can be read as such).
    A value a text: texts, with white space before it if it stands apart from the one before;
    owners (number of its element).
    """

    nodes: list[LexborNode]
    tags: Numbers
    parents: Numbers
    ends: Numbers
    blocks: Numbers
    links: Numbers
    first: Numbers
    last: Numbers
    rows: Numbers
    cells: Numbers
    texts: list[str]
    owners: Numbers


def read(tree: LexborHTMLParser) -> Dom | None:
    """Walk the body of a page; None if it has none."""
    return None if tree.body is None else _walk(tree.body)


def text(node: LexborNode) -> str:
    """The text of an element on one line, as it is shown."""
    return lines(_walk(node).texts).replace("\n", " ")


def _walk(node: LexborNode) -> Dom:
    return Dom(*walk(node, _TRAITS_OF, _KINDS_OF, IDS["br"]))


# Han, kana and full-width forms, between which the end of a line in the source is no space
# (CSS Text 4, 4.1.3: segment breaks; but not Hangul).
_WIDE = "\u2e80-\u312f\u31a0-\ua4cf\uf900-\ufaff\ufe30-\ufe4f\uff00-\uff9f\U00020000-\U0003ffff"
_WRAPPED = re.compile(rf"(?<=[{_WIDE}])[ \t]*[\n\r]\s*(?=[{_WIDE}])")
_BREAK = "\x0b"


def lines(texts: Iterable[str]) -> str:
    r"""Texts of a block as they are read: white space is a space, `br` a `\n`."""
    joined = "".join(texts)
    if "\n" in joined and not joined.isascii():
        joined = _WRAPPED.sub("", joined)
    if _BREAK in joined:
        rows = (" ".join(row.split()) for row in joined.split(_BREAK))
        return "\n".join(filter(None, rows))
    return " ".join(joined.split())
