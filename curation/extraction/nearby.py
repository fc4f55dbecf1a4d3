"""What stands in sight around the heading of a page, line by line: where its day and author are."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from operator import attrgetter
from typing import NamedTuple

from selectolax.lexbor import LexborNode

# How far is looked: nodes after the heading and before it, characters on each side.
_NODES_AFTER = 250
_NODES_BEFORE = 40
_CHARACTERS = 1500
_PIECE = 200  # characters of a run of text

_SKIPPED = frozenset(
    {"script", "style", "noscript", "template", "svg", "iframe", "select", "textarea"}
    | {"form", "button", "nav"}
)
_INLINE = frozenset(
    {"a", "abbr", "b", "bdi", "bdo", "cite", "code", "data", "date", "em", "font", "i", "img"}
    | {"mark", "nobr", "q", "relative-time", "small", "span", "strong", "sub", "sup", "time"}
    | {"tt", "u", "var", "-text", "-comment"}
)


# Names of elements that hold what others say of the page, not what its author does.
_ANSWERS = re.compile(
    r"(?:^|[\s_]|(?<!type)-)(?:comments?|repl(?:y|ies)|answers?|responses?|respond|disqus|kommentare"
    r"|suggestedAnswer|acceptedAnswer)(?:$|[\s_-])",
    re.IGNORECASE,
)
_ANSWER_NAMES = ("class", "id", "itemprop")


_PLAIN = frozenset({"-text", "-comment", "a", "b", "br", "em", "i", "img", "strong", "time"})


class Piece(NamedTuple):
    """A run of text that no markup parts, and the element that it stands in."""

    text: str
    element: LexborNode


Line = list[Piece]


def after(heading: LexborNode) -> Iterator[Line]:
    """The lines that follow a heading, the nearest first; 250 nodes are walked at most."""
    return _lines(heading, attrgetter("first_child"), attrgetter("next"), _NODES_AFTER)


def before(heading: LexborNode) -> Iterator[Line]:
    """The lines that stand before a heading, the nearest first; 40 nodes are walked at most."""
    for line in _lines(heading, attrgetter("last_child"), attrgetter("prev"), _NODES_BEFORE):
        yield line[::-1]


def is_answer(node: LexborNode) -> bool:
    """Whether an element says that it holds a comment, a reply or an answer, or several."""
    attributes = node.attributes
    for name in _ANSWER_NAMES:
        value = attributes.get(name)
        if value and _ANSWERS.search(value):
            return True
    return False


def text(line: Line) -> str:
    """A line as it is read."""
    return " ".join(piece.text for piece in line)


def _lines(
    start: LexborNode,
    child: Callable[[LexborNode], LexborNode | None],
    sibling: Callable[[LexborNode], LexborNode | None],
    most: int,
) -> Iterator[Line]:
    """Lines on one side of an element, by depth first search without what is in the element."""
    line: Line = []
    left = _CHARACTERS
    node, enter = start, False
    for _ in range(most):
        step = child(node) if enter else None
        while step is None:
            step = sibling(node)
            if step is None:
                parent = node.parent
                if parent is None:
                    break
                node = parent
                if line and node.tag not in _INLINE:
                    yield line
                    line = []
        if step is None:
            break
        node, tag = step, step.tag
        enter = tag not in _SKIPPED and (tag in _PLAIN or not is_answer(node))
        if tag == "-text":
            words = (node.text_content or "").strip()
            parent = node.parent
            if words and parent is not None:
                left -= len(words)
                line.append(Piece(" ".join(words[:_PIECE].split()), parent))
                if left < 0:
                    break
        elif tag == "time" and (moment := node.attributes.get("datetime")):
            line.append(Piece(moment[:_PIECE], node))
            enter = False
        elif line and tag not in _INLINE:
            yield line
            line = []
    if line:
        yield line
