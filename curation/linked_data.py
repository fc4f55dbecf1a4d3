"""JSON-LD that stands in a page: its nodes, as far as sites write them well enough to be read."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any

SCRIPTS = 'script[type="application/ld+json" i]'

_CHARACTERS = 1 << 18  # of a page's JSON-LD that are read
_MOST_NODES = 200
_DEPTH = 4  # of lists and graphs in each other

Node = dict[str, Any]


def nodes(texts: Iterable[str]) -> list[Node]:
    """The top nodes of a page's scripts in order, those of `@graph` and of lists one by one.

    What some sites put around the JSON, such as comments, is left out; a script that then is no
    JSON gives none. Of a page 262,144 characters and 200 nodes are read.
    """
    found: list[Node] = []
    left = _CHARACTERS
    for text in texts:
        left -= len(text)
        if left < 0:
            break
        if "CDATA" in text:
            text = text.replace("<![CDATA[", "").replace("]]>", "")
        start = min((at for at in (text.find("{"), text.find("[")) if at >= 0), default=0)
        end = max(text.rfind("}"), text.rfind("]")) + 1
        try:
            parsed = json.loads(text[start:end], strict=False)
        except (ValueError, RecursionError):
            continue
        found.extend(islice(_top(parsed, _DEPTH), _MOST_NODES - len(found)))
    return found


def _top(value: Any, depth: int) -> Iterator[Node]:
    if isinstance(value, dict):
        yield value
        value = value.get("@graph")
    if isinstance(value, list) and depth:
        for item in value:
            yield from _top(item, depth - 1)


def types(node: Node) -> tuple[str, ...]:
    """The names of a node's types, without what stands before them."""
    given = node.get("@type")
    names = given if isinstance(given, list) else [given]
    return tuple(re.split(r"[/#:]", name)[-1] for name in names[:10] if isinstance(name, str))


def texts(value: Any, key: str = "name", most: int = 20) -> list[str]:
    """The texts of a property: of strings themselves, of nodes what they have at `key`."""
    items = value if isinstance(value, list) else [value]
    found = []
    for item in items[:most]:
        text = item.get(key) if isinstance(item, dict) else item
        if isinstance(text, list):
            text = text[0] if text else None
        if isinstance(text, dict):
            text = text.get("@value")
        if isinstance(text, str) and text.strip():
            found.append(text.strip())
    return found
