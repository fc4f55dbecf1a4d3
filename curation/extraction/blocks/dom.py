"""A page's tree as flat arrays: its elements, its pieces of text, and the blocks these make.

One walk of the parsed tree, linear in its nodes whatever their nesting. Elements are numbered in
document order, so a parent's number is less than its children's and a subtree is a range.
"""

from __future__ import annotations

from dataclasses import dataclass

from selectolax.lexbor import LexborHTMLParser, LexborNode

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


_TEXT = IDS["#text"]
_LINK = IDS["a"]
_NO_TEXT = ids(
    "head script style template iframe audio canvas object noembed noframes frameset title map "
    "optgroup option path"
)
_SHUT = ids("svg select textarea video")  # elements that count, but not what is in them
_NESTED = 8  # elements within a word
_BREAK = IDS["br"]
# Elements that do not begin a line of their own.
_INLINE = ids(
    "a abbr b bdi bdo big br cite code del dfn em font i img input ins kbd label mark nobr q rp rt "
    "ruby s samp small source span strike strong sub sup time tt u var picture data output embed "
    "progress math"
)
# Elements inside a word.
_IN_WORD = ids("b big em font i mark s small strike strong sub sup u nobr abbr")


@dataclass(slots=True)
class Dom:
    """The elements and texts of a page.

    A value an element: nodes, tags (lexbor's numbers), parents (number of the parent, 0 for the
    body), ends (number after the last element in it), blocks (number of the nearest element
    around it, itself included, that begins a line), links (whether it is in a link), first and
    last (range of its texts).
    A value a text: texts, with a space before it if it stands apart from the one before; owners
    (number of its element).
    """

    nodes: list[LexborNode]
    tags: list[int]
    parents: list[int]
    ends: list[int]
    blocks: list[int]
    links: list[bool]
    first: list[int]
    last: list[int]
    texts: list[str]
    owners: list[int]


def _follows_space(node: LexborNode | None) -> bool:
    """Whether the text before a node is white space alone, which the walk leaves out."""
    for _ in range(_NESTED):
        if node is None:
            break
        before = node.prev
        if before is not None:
            return before.tag_id == _TEXT and (before.text_content or "").isspace()
        node = node.parent
    return False


def read(tree: LexborHTMLParser) -> Dom | None:
    """Walk the body of a page; None if it has none."""
    body = tree.body
    if body is None:
        return None
    nodes, tags, parents, blocks, links, first = [body], [IDS["body"]], [0], [0], [False], [0]
    texts: list[str] = []
    owners: list[int] = []
    numbers = {body.mem_id: 0}
    number = numbers.get
    gap, apart = "", False
    walk = body.traverse(include_text=True, skip_empty=True)
    next(walk)
    for node in walk:
        tag = node.tag_id
        if tag in _NO_TEXT:
            continue
        above = node.parent
        parent = number(above.mem_id)  # type: ignore[union-attr]
        if parent is None:  # in an element without text
            continue
        if tag == _TEXT:
            text = node.text_content
            if not text or text.isspace():
                gap = " "
                continue
            if not gap and texts and text[0].isalnum() and texts[-1][-1].isalnum():
                left, within = owners[-1], parent
                for _ in range(_NESTED):
                    if within == left or tags[within] not in _IN_WORD:
                        break
                    within = parents[within]
                ended = within != left and tags[left] not in _IN_WORD
                gap = " " if apart or ended or _follows_space(node) else ""
            texts.append(gap + text)
            owners.append(parent)
            gap, apart = "", False
            continue
        if tag == _BREAK:
            gap = " "
            continue
        if tag not in _IN_WORD:
            apart = True
        at = len(tags)
        if tag not in _SHUT:
            numbers[node.mem_id] = at
        nodes.append(node)
        tags.append(tag)
        parents.append(parent)
        blocks.append(blocks[parent] if tag in _INLINE else at)
        links.append(tag == _LINK or links[parent])
        first.append(len(texts))
    last, ends = [0] * len(tags), list(range(1, len(tags) + 1))
    for at, owner in enumerate(owners, 1):
        last[owner] = at
    for at in range(len(tags) - 1, 0, -1):
        parent = parents[at]
        if last[at] > last[parent]:
            last[parent] = last[at]
        if ends[at] > ends[parent]:
            ends[parent] = ends[at]
    return Dom(nodes, tags, parents, ends, blocks, links, first, last, texts, owners)
