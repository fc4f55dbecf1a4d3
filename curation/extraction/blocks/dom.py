"""A page's tree as flat arrays: its elements, its pieces of text, and the blocks these make.

One walk of the parsed tree, linear in its nodes whatever their nesting. Elements are numbered in
document order, so a parent's number is less than its children's and a subtree is a range.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from selectolax.lexbor import LexborHTMLParser, LexborNode

from curation.extraction.blocks.walk import walk

Numbers = NDArray[np.int32]

_HTML = """
a abbr address article aside b base bdi bdo big blockquote body br button caption center
cite code col colgroup dd del details dfn dialog dir div dl dt em fieldset figcaption figure font
footer form frame frameset h1 h2 h3 h4 h5 h6 head header hgroup hr html i iframe img input ins kbd
label legend li link main mark marquee math menu meta nav noembed noframes noscript object ol
optgroup option p picture pre q rp rt ruby s samp script search section select small source span
strike strong style sub summary sup svg table tbody td template textarea tfoot th thead time title
tr tt u ul var video audio canvas embed map nobr data output path progress
"""


def _ids() -> dict[str, int]:
    """lexbor's number of each tag."""
    tree = LexborHTMLParser("<p></p>")
    found = {name: tree.create_node(name).tag_id for name in _HTML.split()}
    body = tree.body
    assert body is not None  # noqa: S101
    body.insert_child("x")
    text = body.last_child
    assert text is not None  # noqa: S101
    return found | {"#text": text.tag_id}


IDS = _ids()
TAGS = {number: name for name, number in IDS.items()}


def ids(names: str) -> frozenset[int]:
    """lexbor's numbers of some tags."""
    return frozenset(IDS[name] for name in names.split())


# What the walk knows of a tag: bits.
_TRAITS = {
    # without text of the page
    1: "head script style template iframe audio canvas object noembed noframes frameset title map "
    "optgroup option path",
    # elements that count, but not what is in them
    2: "svg select textarea video",
    # not on a line of its own
    4: "a abbr b bdi bdo big br cite code del dfn em font i img input ins kbd label mark nobr q rp "
    "rt ruby s samp small source span strike strong sub sup time tt u var picture data output "
    "embed progress math",
    # inside a word
    8: "b big em font i mark s small strike strong sub sup u nobr abbr",
    16: "a",
}


def _traits() -> NDArray[np.uint8]:
    found = np.zeros(max(IDS.values()) + 1, np.uint8)
    for bit, names in _TRAITS.items():
        found[list(ids(names))] |= bit
    return found


_TRAITS_OF = _traits()


class Dom(NamedTuple):
    """The elements and texts of a page.

    A value an element: nodes, tags (lexbor's numbers), parents (number of the parent, 0 for the
    body), ends (number after the last element in it), blocks (number of the nearest element
    around it, itself included, that begins a line), links (whether it is in a link), first and
    last (range of its texts), broken (whether it begins a line and has one broken in it).
    A value a text: texts, with a space before it if it stands apart from the one before; owners
    (number of its element).
    """

    nodes: list[LexborNode]
    tags: Numbers
    parents: Numbers
    ends: Numbers
    blocks: Numbers
    links: Numbers
    first: Numbers
    last: Numbers
    broken: Numbers
    texts: list[str]
    owners: Numbers


def read(tree: LexborHTMLParser) -> Dom | None:
    """Walk the body of a page; None if it has none."""
    body = tree.body
    if body is None:
        return None
    return Dom(*walk(body, _TRAITS_OF, IDS["#text"], IDS["br"]))
