"""The main text of a page by a learned choice of its blocks.

A block is a run of text whose nearest element that begins a line is the same: a paragraph, an
item of a list, a cell. Trees of decisions and a small net say how likely each is main text; what
is taken maximises the expected F1 of the page. `learned/README.md` says what they learned from.
"""

from __future__ import annotations

import gc
from itertools import groupby
from typing import NamedTuple

import numpy as np
from selectolax.lexbor import LexborHTMLParser, LexborNode

from curation.extraction.blocks import declared, dom, state
from curation.extraction.blocks.features import table
from curation.extraction.blocks.model import Favor, chances, cut
from curation.extraction.structure import render
from schemas.extract import Extract

_BARE = 30  # words of a page without text of its own


class Block(NamedTuple):
    """A block: the element it is in, its text with white space collapsed, and whether that has
    line breaks in its source."""

    node: LexborNode
    text: str
    broken: bool = False


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
    taken = cut(chances(found), found.sizes, favor)
    if comments:
        taken |= found.comments
    return [
        Block(
            page.nodes[found.elements[at]],
            " ".join("".join(page.texts[found.first[at] : found.last[at]]).split()),
            bool(page.broken[found.elements[at]]),
        )
        for at in np.flatnonzero(taken).tolist()
    ]


def _all(markup: str) -> list[Block]:
    """All blocks of a text in markup, or in lines."""
    page = dom.read(LexborHTMLParser(state.markup_of(markup)))
    if not page:
        return []
    return [
        Block(
            page.nodes[block],
            " ".join("".join(page.texts[owner] for owner in owners).split()),
            bool(page.broken[block]),
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
