"""The text of a page that has none of its own: what its scripts carry for the browser to show.

Applications keep it as JSON (`__NEXT_DATA__`, `__NUXT_DATA__`, `window.__INITIAL_STATE__ = {...}`),
as JSON in a string (`JSON.parse("...")`, `__next_f.push([1, "..."])`), or as the arguments of a
function (`__NUXT__`). All have in common that a text is a string between double quotes and stands
under a name: so no script is parsed, and none is run.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator
from html import escape

from selectolax.lexbor import LexborHTMLParser

from curation.extraction.tags import tags

_SCRIPTS = "script:not([src])"
# What state is assigned to, or given to: a script that is a program has none.
_STATE = re.compile(
    r"\s*+(?:(?:var|let|const)\s++)?(?:(?:window|self|globalThis)\s*+[.\[])?[\"'\w$.\]]*+\s*+"
    r"=\s*+(?:\{|\[|JSON\.parse\(|\(?function\b|\")"
    r"|[^\n]{0,200}\b__(?:next_f|NUXT|[A-Z_]*(?:STATE|DATA|PROPS|STORE|CONTEXT)__)",
    re.IGNORECASE,
)
_CHARACTERS = 1 << 21  # of a page's scripts that are read
_DEPTH = 2  # of JSON in strings of JSON
_STRING = re.compile(r'"((?:[^"\\]|\\.?)*+)(?:"|\Z)', re.DOTALL)
_NAME = re.compile(r"([A-Za-z_$][\w$]{0,40})\s*:\s*[\[({]*\s*\Z")
_BEFORE = 60  # characters in which the name of a string stands that has no quotes
_NESTED = re.compile(r'\s*[\[{]|[^"]{0,40}[\[{,]"')
_TAG = re.compile(r"<[^<>]*>")
_SENTENCE = re.compile(r"[.!?](?:[\s\"')\]\u201d]|\Z)|[\u3002\uff01\uff1f\u0964]")
_NO_LETTERS = re.compile(r"[\W\d_]+")
_SHORTEST = 40  # characters of a string that is text
_LEAST = 500  # of all of it
_LETTERS = 0.7  # a character, at least
_SIGNS = 0.02  # of programs, a character, at most
_WORD = 12  # characters between two spaces, at most, where all are ASCII
_MOST_TAGS, _MOST_ATTRIBUTES = 10_000, 1000


def read(tree: LexborHTMLParser) -> str:
    """What the page's scripts carry as its text, as markup; "" if nothing looks like one.

    The strings of that name that holds most text, each once: the paragraphs of an article, the
    posts of a thread. If one string is as long as half of these, that alone.
    """
    texts: dict[str, str] = {}  # with their names
    left = _CHARACTERS
    for script in tree.css(_SCRIPTS):
        kind = (script.attributes.get("type") or "").lower()
        code = script.text()[:left]
        if kind.endswith("/json") or ("json" not in kind and _STATE.match(code)):
            left -= len(code)
            for name, text in _strings(code, _DEPTH):
                texts.setdefault(text, name)
    sizes: Counter[str] = Counter()
    for text, name in texts.items():
        sizes[name] += len(text)
    if not sizes:
        return ""
    name, size = max(sizes.items(), key=lambda item: item[1])
    if size < _LEAST:
        return ""
    longest = max(texts, key=len)
    if 2 * len(longest) >= size:
        return longest
    return "\n".join(markup_of(text) for text in texts if texts[text] == name)


def markup_of(text: str) -> str:
    """Markup as it is, and lines of plain text as paragraphs. So are the words of markup that no
    parser is given, as it takes the square of what is nested or of attributes."""
    if "<" in text:
        nodes, attributes = tags(text.encode(errors="replace"))
        if nodes <= _MOST_TAGS and attributes <= _MOST_ATTRIBUTES:
            return text
        text = _TAG.sub("\n", text)
    return "".join(f"<p>{escape(line, quote=False)}</p>" for line in text.splitlines())


def _strings(code: str, depth: int) -> Iterator[tuple[str, str]]:
    """The strings in a script that look like text, with the last name before each."""
    name, end = "", 0
    for match in _STRING.finditer(code):
        raw, start = match[1], match.start()
        if code[match.end() : match.end() + 2].lstrip().startswith(":"):
            name = raw
            end = match.end()
            continue
        if found := _NAME.search(code, max(end, start - _BEFORE), start):
            name = found[1]
        end = match.end()
        if len(raw) < _SHORTEST:
            continue
        try:
            text = json.loads(f'"{raw}"', strict=False)
        except ValueError:
            continue
        if depth and _NESTED.match(text):
            yield from _strings(text, depth - 1)
        elif _is_text(text):
            yield name, text


def _is_text(text: str) -> bool:
    """Whether it is what people read, not an address, a key, a style or a program."""
    plain = _TAG.sub(" ", text).strip()
    size = len(plain)
    return (
        size >= _SHORTEST
        and len(_NO_LETTERS.sub("", plain)) >= _LETTERS * size
        and sum(map(plain.count, "{};=")) <= _SIGNS * size
        and (plain.count(" ") * _WORD >= size or not plain.isascii())
        and _SENTENCE.search(plain) is not None
    )
