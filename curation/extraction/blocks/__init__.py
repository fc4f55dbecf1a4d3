"""The main text of a page by a learned choice of its blocks.

A block is a run of text whose nearest element that begins a line is the same: a paragraph, an
item of a list, a cell. Trees of decisions and a small net say how likely each is main text; what
is taken maximises the expected F1 of the page, and long texts are taken once. `learned/README.md`
says what they learned from.
"""

from __future__ import annotations

import gc
from itertools import groupby
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from selectolax.lexbor import LexborHTMLParser, LexborNode

from curation.extraction.blocks import declared, dom, state
from curation.extraction.blocks.features import Table, table
from curation.extraction.blocks.model import Favor, chances, cut
from curation.extraction.blocks.repeats import once
from curation.extraction.structure import render
from schemas.extract import Extract

_BARE = 30  # words of a page without text of its own
# A row of a table with more arranges a page.
_CELL_BLOCKS = 4  # mean number of blocks a cell
_ROW_WORDS = 60


class Block(NamedTuple):
    """A block: the element it is in, and its text, with white space collapsed and "\n" for `br`."""

    node: LexborNode
    text: str


def choose(tree: LexborHTMLParser, favor: Favor, *, comments: bool = False) -> list[Block]:
    """The blocks of a page's main text, in document order.

    The posts of a forum are its main text. Readers' comments below an article are not, unless
    `comments` asks for what is clearly one.
    A page that is put together by scripts may have its text only in what they carry: JSON-LD or
    the state of an application. Then it is the blocks of that text, as a page of its own.
    """
    page, head = dom.read(tree), declared.read(tree)
    found = page and table(page, head)
    words = int(found.sizes.sum()) if found else 0
    if words < _BARE:
        written = [head.embedded[1]] if head.embedded else []
        carried = max(map(_all, [*written, state.read(tree)]), key=_words)
        if _words(carried) > max(words, _BARE):
            return carried
    if not page or not found:
        return []

    def text(at: int) -> str:
        return "".join(page.texts[found.first[at] : found.last[at]]).strip()

    taken = cut(chances(found), found.sizes, favor)
    around = page.parents[page.parents[found.elements]]
    taken = once(taken, found.sizes, page.tags[found.elements], around, text)
    taken = _by_rows(page, found, taken)
    if comments:
        taken |= found.comments
    return [
        Block(
            page.nodes[found.elements[at]],
            dom.lines(page.texts[found.first[at] : found.last[at]]),
        )
        for at in np.flatnonzero(taken).tolist()
    ]


def _by_rows(page: dom.Dom, found: Table, taken: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """What is taken, and the rest of each row of a table of which half of the words are."""
    rows = page.rows[found.elements]
    if not rows.any():
        return taken
    cells = np.unique(page.cells[found.elements[rows > 0]])  # with text
    blocks, words = np.bincount(rows), np.bincount(rows, found.sizes)
    filled = np.bincount(page.rows[cells], minlength=len(blocks))
    read = (filled > 1) & (blocks <= _CELL_BLOCKS * filled) & (words <= _ROW_WORDS)
    whole = 2 * np.bincount(rows, found.sizes * taken) >= words
    return taken | ((rows > 0) & (read & whole)[rows])


def _all(markup: str) -> list[Block]:
    """All blocks of a text in markup, or in lines."""
    page = dom.read(LexborHTMLParser(state.markup_of(markup)))
    if not page:
        return []
    return [
        Block(
            page.nodes[block],
            dom.lines(page.texts[owner] for owner in owners),
        )
        for block, owners in groupby(
            range(len(page.texts)), lambda at: page.blocks[page.owners[at]]
        )
    ]


def _words(blocks: list[Block]) -> int:
    return sum(len(block.text.split()) for block in blocks)


def main_text(tree: LexborHTMLParser, options: Extract) -> str:
    """The main text of a page, "" if it has none."""
    # A page's many nodes die by their counts; to look for cycles in them is a sixth of the time.
    collects = gc.isenabled()
    gc.disable()
    try:
        chosen = choose(tree, options.favor, comments=options.comments)
        return render(chosen, options.structure)
    finally:
        if collects:
            gc.enable()
