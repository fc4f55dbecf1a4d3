"""Features of the blocks of a page: what its markup, place, neighbours and repetition say.

All values are whole numbers or quotients of whole numbers, so every machine finds the same. What
they are is in `measure.pyx`, which is compiled; here is what it is told of tags and characters.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from curation.extraction.blocks.declared import Declared
from curation.extraction.blocks.dom import IDS, Dom
from curation.extraction.blocks.measure import counts, sections
from curation.extraction.blocks.measure import table as measured
from curation.extraction.blocks.words import GROUPS, groups

Ints = NDArray[np.int32]

# Kinds of elements, by how much text of their kind is prose.
KINDS = (
    *("p", "h1", "h2", "h3", "h4 h5 h6", "li", "dd", "dt", "td", "th", "tr", "blockquote q"),
    *("pre code samp kbd", "figcaption figure caption", "article", "main", "section", "header"),
    *("footer", "nav", "aside", "form fieldset", "label legend", "button input", "a", "span font"),
    *("address", "details summary", "ul ol menu", "dl", "table tbody thead tfoot", "body center"),
    *("strong b em i", "time", "dialog"),
)


def _by_tag(values: dict[str, int]) -> Ints:
    """A value for each of lexbor's numbers of tags, 0 where none is given."""
    found = np.zeros(max(IDS.values()) + 1, np.int32)
    for tag, value in values.items():
        found[IDS[tag]] = value
    return found


_KIND_OF = _by_tag({tag: at for at, tags in enumerate(KINDS, 1) for tag in tags.split()})
_HEADING_OF = _by_tag({f"h{level}": level for level in range(1, 7)})
# Elements that say what is in them, however far up they are.
ROLES = (
    *("article", "main", "section", "header", "footer", "nav", "aside", "form", "table", "ul ol"),
    *("dl", "figure figcaption", "blockquote", "pre", "button", "details", "a", "p", "label"),
    *("h1 h2 h3 h4 h5 h6", "li", "address", "dialog", "tr", "noscript"),
)
_ROLE_OF = np.zeros(max(IDS.values()) + 1, np.uint64)
for _at, _tags in enumerate(ROLES):
    for _tag in _tags.split():
        _ROLE_OF[IDS[_tag]] = 1 << _at
_IS_IMAGE = _by_tag(dict.fromkeys(("img", "picture", "svg", "video"), 1))
_IS_CONTROL = _by_tag(dict.fromkeys(("input", "button", "select", "textarea"), 1))
_COUNTED = [IDS[tag] for tag in ("article", "form", "section", "table")]
_HIDDEN = 1 << GROUPS.index("hidden")
_COMMENT = GROUPS.index("comment")

# Classes of characters.
_SPACE, _DIGIT, _UPPER, _COMMA, _STOP, _MARK, _OTHER = 1, 2, 3, 4, 5, 6, 0


def _classes() -> NDArray[np.uint8]:
    table = np.zeros(1 << 16, np.uint8)
    for code in range(1 << 16):
        character = chr(code)
        if character.isspace() or code == 0:
            table[code] = _SPACE
        elif character.isdecimal():
            table[code] = _DIGIT
        elif character.isupper():
            table[code] = _UPPER
    for characters, kind in (
        (",;、，；،", _COMMA),
        (".!?:。！？…؟।", _STOP),
        ("|/»›•·©®™$€£¥+*#@<>", _MARK),
    ):
        for character in characters:
            table[ord(character)] = kind
    return table


_CLASS = _classes()


@dataclass(slots=True)
class Table:
    """The blocks of a page.

    A value a block: elements (its number in the page's Dom), first and last (range of its texts),
    sizes (words), comments (whether it is prose in an element whose name says that it holds
    comments), features (a row).
    """

    elements: Ints
    first: Ints
    last: Ints
    sizes: Ints
    comments: NDArray[np.bool_]
    features: NDArray[np.float32]


# Features of a block.
COLUMNS = 375


def table(dom: Dom, declared: Declared) -> Table | None:
    """The blocks of a page and their features; None if it has no text."""
    if not dom.texts:
        return None
    tree = sections(
        *(dom.nodes, dom.tags, dom.parents, dom.ends, dom.blocks, dom.first, dom.last),
        *(_ROLE_OF, groups, _HIDDEN),
    )
    found = measured(
        dom,
        tree,
        counts(dom.texts, _CLASS),
        _KIND_OF,
        _HEADING_OF,
        _IS_IMAGE,
        _IS_CONTROL,
        _COUNTED,
        len(GROUPS),
        len(ROLES),
        _COMMENT,
        declared,
        COLUMNS,
    )
    return Table(*found)
