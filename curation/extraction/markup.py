"""What an HTML parser would misread in a page's markup, written so that it does not."""

from __future__ import annotations

import re

_DECLARATION = re.compile(r"\ufeff?\s*<\?xml\s")
_DOCTYPE = re.compile(r"DTD XHTML|<html[^<>]*\sxmlns=", re.IGNORECASE)
_BEGINNING = 2000  # characters in which a page says that it is XHTML
# A start tag that ends itself, with its attributes. Those of HTML that are always empty need none.
_ATTRIBUTES = r"""((?:[^<>"'/]++|"[^<"]*+"|'[^<']*+'|/(?!>))*+)/>"""
_SELF_CLOSED = re.compile(
    r"<(?!(?:area|base|br|col|embed|hr|img|input|link|meta|param|source|track|wbr)[\s/])"
    rf"([a-z][\w:.-]*+){_ATTRIBUTES}",
    re.IGNORECASE,
)
# Those of which HTML reads all that follows as their text.
_SWALLOWING = re.compile(
    rf"<(title|script|style|textarea|iframe|noframes|noembed|xmp)(?=[\s/]){_ATTRIBUTES}",
    re.IGNORECASE,
)
_SHADOW = "shadowrootmode"
_TEMPLATE = re.compile(r"<(/?)template(?=[\s/>])([^<>]*+)>", re.IGNORECASE)
_SHADOW_ROOT = re.compile(rf"(?:^|\s){_SHADOW}\s*=\s*[\"']?(?:open|closed)\b", re.IGNORECASE)


def mended(html: str, content_type: str | None) -> str:
    """A page's markup for a parser of HTML. In time linear in the page.

    In XHTML, which its media type or an XML declaration tells, any element may end itself: HTML
    takes `<script/>` or `<title/>` for the beginning of one. Where only a doctype or a name space
    speaks of XHTML, so may those that would swallow the page, and a browser's reading of the
    others stands. Declarative shadow DOM (HTML standard, 4.12.3), which a parser leaves in its
    template, is read in its place, as the element `shadow-root`.
    """
    if content_type == "application/xhtml+xml" or _DECLARATION.match(html):
        html = _SELF_CLOSED.sub(r"<\1\2></\1>", html)
    elif _DOCTYPE.search(html, 0, _BEGINNING):
        html = _SWALLOWING.sub(r"<\1\2></\1>", html)
    if _SHADOW in html:
        html = _with_shadow_roots(html)
    return html


def _with_shadow_roots(html: str) -> str:
    opened: list[bool] = []  # whether each template around is a shadow root

    def renamed(tag: re.Match[str]) -> str:
        if not tag[1]:
            opened.append(_SHADOW_ROOT.search(tag[2]) is not None)
            return "<shadow-root>" if opened[-1] else tag[0]
        return "</shadow-root>" if opened and opened.pop() else tag[0]

    return _TEMPLATE.sub(renamed, html)
