"""JSON-LD that stands in a page: its nodes, as far as sites write them well enough to be read."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from typing import Any

SCRIPTS = 'script[type="application/ld+json" i]'

_CHARACTERS = 1 << 18  # of a page's JSON-LD that are read
_MOST_NODES = 200
_DEPTH = 4  # of lists and graphs in each other
# Strings as they are, and a comma that nothing follows, which JSON has not.
_COMMA = re.compile(r'("(?:[^"\\]|\\.)*+")|,(?=\s*+[}\]])', re.DOTALL)

_MOST_VALUES = 10_000  # of nodes, that are looked through for others
_MOST_PEOPLE = 20
_PARTS = ("givenName", "familyName")

Node = dict[str, Any]


def nodes(texts: Iterable[str]) -> list[Node]:
    """The top nodes of a page's scripts in order, those of `@graph` and of lists one by one.

    What some sites put around the JSON, such as comments, is left out, and commas before a bracket
    that closes; a script that then is no JSON gives none. Of a page 262,144 characters and 200
    nodes are read.
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
        parsed = _parsed(text[start:end]) or _parsed(_COMMA.sub(r"\1", text[start:end]))
        found.extend(islice(_top(parsed, _DEPTH), _MOST_NODES - len(found)))
    return found


def _parsed(text: str) -> Any:
    try:
        return json.loads(text, strict=False)
    except (ValueError, RecursionError):
        return None


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


def by_id(nodes: Iterable[Node]) -> dict[str, Node]:
    """The nodes that have a name for others to mean them by, also those in others."""
    found: dict[str, Node] = {}
    todo: list[tuple[Any, int]] = [(node, _DEPTH) for node in nodes]
    for value, depth in todo:
        if len(todo) > _MOST_VALUES:
            break
        if isinstance(value, dict) and len(value) > 1 and isinstance(value.get("@id"), str):
            found.setdefault(value["@id"], value)
        if depth:
            inner = value.values() if isinstance(value, dict) else value
            todo += ((item, depth - 1) for item in inner if isinstance(item, dict | list))
    return found


def names(value: Any, known: Mapping[str, Node]) -> list[str]:
    """The names of a property's people, also of those in a node that is `known` by its id.

    A name is a text, a node with one, or a given and a family name.
    """
    return list(_names(value, known, _DEPTH))


def _names(value: Any, known: Mapping[str, Node], depth: int) -> Iterator[str]:
    if isinstance(value, str):
        if value not in known:
            if value.strip():
                yield value
            return
        value = {"@id": value}
    if not depth:
        return
    if isinstance(value, list):
        for item in value[:_MOST_PEOPLE]:
            yield from _names(item, known, depth - 1)
    elif isinstance(value, dict):
        parts = [part for key in _PARTS if isinstance(part := value.get(key), str)]
        name = value.get("name") or value.get("@value") or " ".join(parts)
        if isinstance(name, list):
            name = name[:1]
        if not name and (node := known.get(str(value.get("@id")))) is not value:
            name = node or ""
        yield from _names(name, known, depth - 1)
