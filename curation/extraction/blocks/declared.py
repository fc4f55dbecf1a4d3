"""What a page declares about itself: its kind, title, description and the body of its article."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass

from selectolax.lexbor import LexborHTMLParser, LexborNode

from curation.selectors import Selector

_described = Selector("meta[content]")
_scripts = Selector('script[type="application/ld+json"]')
_MOST = 1 << 18  # characters of JSON-LD that are read
_TYPES = (
    "article blogposting newsarticle techarticle reportage",
    "product offer productgroup",
    "itemlist collectionpage searchresultspage offercatalog",
    "discussionforumposting qapage question",
    "recipe event jobposting course howto",
    "faqpage",
    "webpage website",
    "organization localbusiness service corporation",
)
_KINDS = {"article": 1, "blog": 1, "product": 2, "product.item": 2, "og:product": 2, "website": 3}
_TYPE_OF = {name: 1 << at for at, names in enumerate(_TYPES) for name in names.split()}
_TYPE = re.compile(r'"@type"\s*:\s*(?:\[\s*)?"([^"]{1,40})"')
_BODY = re.compile(r'"(articleBody|text|description)"\s*:\s*("(?:[^"\\]|\\.)*+")', re.DOTALL)


@dataclass(slots=True)
class Declared:
    """page: numbers about the page. title: its words. description and body: squeezed texts.

    embedded: the longest text in the page's JSON-LD, and the script that holds it.
    """

    page: list[int]
    title: frozenset[str]
    description: str
    body: str
    embedded: tuple[LexborNode, str] | None


def _squeeze(text: str) -> str:
    return "".join(text.split()).lower()


def read(tree: LexborHTMLParser) -> Declared:
    """Read the head of a page and its JSON-LD."""
    head = tree.head
    title, description, kind = "", "", 0
    if head is not None:
        found = head.css_first("title")
        title = found.text()[:500] if found is not None else ""
        for node in _described(head):
            attributes = node.attributes
            name = attributes.get("property") or attributes.get("name")
            value = attributes.get("content")
            if not name or not value:
                continue
            if name == "og:type":
                kind = _KINDS.get(value.lower(), 4)
            elif name in ("og:description", "description") and len(value) > len(description):
                description = value
    types, body, holder, size = 0, "", None, 0
    for node in _scripts(tree.root):
        text = node.text()
        size += len(text)
        if size > _MOST:
            break
        for name in _TYPE.findall(text):
            types |= _TYPE_OF.get(name.lower(), 0)
        for key, value in _BODY.findall(text):
            if len(value) > len(body) and (key != "description" or not body):
                try:
                    body, holder = json.loads(value, strict=False), node
                except ValueError:
                    continue
    page = [kind, *(types >> at & 1 for at in range(len(_TYPES)))]
    words = frozenset(title.lower().split())
    embedded = (holder, body) if holder else None
    return Declared(page, words, _squeeze(description[:2000]), _squeeze(body), embedded)
