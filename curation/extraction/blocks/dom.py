"""A page to its blocks: pieces of text that no block element divides, and the elements above."""

from __future__ import annotations

from dataclasses import dataclass, field

from selectolax.lexbor import LexborHTMLParser, LexborNode

from curation.extraction.blocks import names

_SKIPPED = frozenset(
    "script style template svg math iframe object embed applet canvas audio video select datalist"
    " textarea input img picture source track param area base link noframes frameset".split()
)
_INLINE = frozenset(
    "a abbr acronym b bdi bdo big cite code data del dfn em font i ins kbd label mark q rp rt ruby"
    " s samp small span strike strong sub sup time tt u var wbr nobr".split()
)
# Elements whose kind is a feature of their text; the number of a kind is its place.
KINDS = (
    "other div p li h1 h2 h3 h4 h5 h6 td th dt dd pre blockquote figcaption button section article"
    " a span br label summary center caption address body"
).split()
_KIND = {name: number for number, name in enumerate(KINDS)}
# Elements and roles that say something about all text inside them: a bit each.
AROUND = (
    "nav header footer aside main article section table ul ol dl form figure pre a li blockquote"
    " details button p noscript tr thead fieldset dialog center label h1 h2 h3 h4 td hidden"
    " itemprop itemscope b code search td2 comment time"
).split()
_BIT = {name: 1 << number for number, name in enumerate(AROUND)}
_BIT |= {"strong": _BIT["b"], "kbd": _BIT["code"], "h5": _BIT["h4"], "h6": _BIT["h4"]}
_ROLES = {
    "navigation": _BIT["nav"],
    "banner": _BIT["header"],
    "contentinfo": _BIT["footer"],
    "complementary": _BIT["aside"],
    "main": _BIT["main"],
    "article": _BIT["article"],
    "search": _BIT["search"],
    "dialog": _BIT["dialog"],
    "alertdialog": _BIT["dialog"],
    "menu": _BIT["nav"],
    "menubar": _BIT["nav"],
    "button": _BIT["button"],
    "listitem": _BIT["li"],
}
_DEEPEST = 400  # elements nested deeper are left out
_TEXT = 2  # lexbor's number of a text node


@dataclass(slots=True)
class Page:
    """The elements of a page in document order, and its blocks.

    Of element i: parents[i] its parent's number (of the first, 0), kinds[i] in KINDS, around[i]
    bits of AROUND of it and all above it, named[i] bits of `names` of it and above[i] of all above
    it, signatures[i] equal for equal tag and class, depths[i], and first[i]:last[i] the blocks
    inside it. Of block j: owners[j] its element, texts[j], linked[j] characters in anchors[j]
    links, breaks[j] line breaks, images[j] pictures in it or before it since the last block,
    inline_named[j] and inline_around[j] the bits of inline elements in it.
    """

    parents: list[int] = field(default_factory=list)
    kinds: list[int] = field(default_factory=list)
    around: list[int] = field(default_factory=list)
    named: list[int] = field(default_factory=list)
    above: list[int] = field(default_factory=list)
    signatures: list[int] = field(default_factory=list)
    depths: list[int] = field(default_factory=list)
    first: list[int] = field(default_factory=list)
    last: list[int] = field(default_factory=list)
    owners: list[int] = field(default_factory=list)
    texts: list[str] = field(default_factory=list)
    linked: list[int] = field(default_factory=list)
    anchors: list[int] = field(default_factory=list)
    breaks: list[int] = field(default_factory=list)
    images: list[int] = field(default_factory=list)
    inline_named: list[int] = field(default_factory=list)
    inline_around: list[int] = field(default_factory=list)
    title: str = ""
    description: str = ""
    kind: str = ""
    linked_data: list[str] = field(default_factory=list)


def read(html: str) -> Page:
    """Parse and walk a page, in time linear in its size."""
    page = Page()
    tree = LexborHTMLParser(html)
    if tree.head is not None:
        _read_head(tree.head, page)
    if tree.body is not None:
        _walk(tree.body, page)
    return page


_DECLARED = 1 << 16  # characters of a declaration that are read


def _read_head(head: LexborNode, page: Page) -> None:
    node = head.first_child
    while node is not None:
        tag = node.tag
        if tag == "title":
            page.title = page.title or node.text(deep=True)[:1000]
        elif tag == "meta":
            attributes = node.attributes
            name = (attributes.get("property") or attributes.get("name") or "").lower()
            if name in ("description", "og:description"):
                page.description += " " + (attributes.get("content") or "")[:2000]
            elif name == "og:type":
                page.kind = (attributes.get("content") or "").lower()[:50]
        elif tag == "script":
            _read_script(node, page)
        node = node.next


def _read_script(node: LexborNode, page: Page) -> None:
    if node.attributes.get("type") == "application/ld+json" and len(page.linked_data) < 8:
        page.linked_data.append(node.text(deep=True)[:_DECLARED])


class _Block:
    """The block that is being gathered."""

    __slots__ = ("anchors", "around", "breaks", "images", "linked", "named", "parts")

    def __init__(self) -> None:
        self.images = 0
        self.clear()

    def clear(self) -> None:
        self.parts: list[str] = []
        self.linked = self.anchors = self.breaks = self.named = self.around = 0

    def close(self, page: Page, owner: int) -> None:
        text = "".join(self.parts)
        if not page.around[owner] & _BIT["pre"]:
            if self.breaks:
                lines = (" ".join(line.split()) for line in text.split("\v"))
                text = "\n".join(line for line in lines if line)
            else:
                text = " ".join(text.split())
        elif self.breaks:
            text = text.replace("\v", "\n")
        if text and not text.isspace():
            page.owners.append(owner)
            page.texts.append(text)
            page.linked.append(self.linked)
            page.anchors.append(self.anchors)
            page.breaks.append(self.breaks)
            page.images.append(self.images)
            page.inline_named.append(self.named)
            page.inline_around.append(self.around)
            self.images = 0
        self.clear()


def _walk(body: LexborNode, page: Page) -> None:
    seen: dict[tuple[str, str | None], int] = {}
    block = _Block()
    in_link = _BIT["a"]
    around, above = page.around, page.above
    _enter(body, "body", 0, 0, 0, page, seen)
    element = owner = 0  # where we are; the nearest element that is not inline
    depth = 0
    state = 0
    stack: list[tuple[LexborNode, int, int, int]] = []
    node = body.first_child
    while True:
        if node is None:
            if element == owner and block.parts:
                block.close(page, owner)
            page.last[element] = len(page.texts)
            if not stack:
                break
            node, element, owner, state = stack.pop()
            node = node.next
            continue
        number = node.tag_id
        if number == _TEXT:
            text = node.text_content
            if text:
                block.parts.append(text)
                if state & in_link:
                    block.linked += len(text)
            node = node.next
            continue
        tag = node.tag
        if tag is None or tag in _SKIPPED or tag[0] in "-!":
            if tag == "img" or tag == "picture":
                block.images += 1
            elif tag == "script":
                _read_script(node, page)
            node = node.next
            continue
        if tag == "br" or tag == "hr":
            if block.parts:
                if tag == "hr" or block.parts[-1] == "\v":
                    block.close(page, owner)
                else:
                    block.breaks += 1
                    block.parts.append("\v")
            node = node.next
            continue
        child = node.first_child
        if child is None:
            node = node.next
            continue
        if len(stack) >= _DEEPEST:
            # Its text is lost; but pages nested so deep are made to break readers.
            node = node.next
            continue
        is_inline = tag in _INLINE
        if not is_inline and block.parts:
            block.close(page, owner)
        stack.append((node, element, owner, state))
        element = _enter(node, tag, element, state, len(stack), page, seen)
        state = around[element]
        if is_inline:
            if tag == "a":
                block.anchors += 1
            block.named |= page.named[element]
            block.around |= _BIT.get(tag, 0)
        else:
            owner = element
        node = child


def _enter(
    node: LexborNode, tag: str, parent: int, state: int, depth: int, page: Page,
    seen: dict[tuple[str, str | None], int],
) -> int:
    """Note an element; its number."""
    bits = _BIT.get(tag, 0)
    named = 0
    attributes = node.attributes
    name = None
    if attributes:
        name = attributes.get("class")
        if name:
            named = names.bits(name)
        if "id" in attributes:
            named |= names.bits(attributes["id"] or "")
        role = attributes.get("role")
        if role:
            bits |= _ROLES.get(role, 0)
        if "itemprop" in attributes:
            bits |= _BIT["itemprop"]
            named |= names.bits(attributes["itemprop"] or "")
        if "itemscope" in attributes:
            bits |= _BIT["itemscope"]
        if "hidden" in attributes or attributes.get("aria-hidden") == "true":
            bits |= _BIT["hidden"]
        elif "style" in attributes:
            style = attributes["style"] or ""
            if "none" in style and "display" in style:
                bits |= _BIT["hidden"]
    number = len(page.parents)
    page.parents.append(parent)
    page.kinds.append(_KIND.get(tag, 0))
    page.around.append(state | bits)
    page.named.append(named)
    page.above.append((page.above[parent] | page.named[parent]) if number else 0)
    page.signatures.append(seen.setdefault((tag, name), len(seen)))
    page.depths.append(depth)
    page.first.append(len(page.texts))
    page.last.append(0)
    return number
