"""A crawled record to the main text of its page, or the reason why there is none."""

from __future__ import annotations

import re
from dataclasses import dataclass

from curation.extraction.charset import UndecodableError, decode
from curation.extraction.trafilatura import declared, main_text
from curation.readers import Damage, Record
from schemas.recipe import Extract

HTML_TYPES = frozenset({"text/html", "application/xhtml+xml"})

# More attributes on one element than any page has: parsers take the square of their number.
_MOST_ATTRIBUTES = 1000
# The HTML standard's tokenizer as far as it finds attributes; possessive, so in linear time.
_ATTRIBUTE = r"""[\s/]*+[^\s/>][^\s/>=]*+(?:\s*+=\s*+(?:"[^"]*+"|'[^']*+'|[^\s>"'][^\s>]*+)?+)?+"""
_TAG = re.compile(rf"<[a-zA-Z][^\s/>]*+(?:{_ATTRIBUTE}){{0,{_MOST_ATTRIBUTES}}}+({_ATTRIBUTE})?+")
_HTML_START = re.compile(
    rb"\s*(?:\xef\xbb\xbf)?\s*(?:<\?xml[^>]{0,200}>\s*)?(?:<!--|<(?:!doctype\s+html|html|head|body"
    rb"|script|iframe|h1|div|font|table|a|style|title|b|br|p|meta|link)[\s>])",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Page:
    """What was read of a page.

    text: its main text. title, author, published (an ISO date): as the page declares them.
    charset: the codec it was decoded by. page_bytes: size of its HTML.
    """

    text: str
    title: str | None
    author: str | None
    published: str | None
    charset: str
    page_bytes: int


@dataclass(frozen=True, slots=True)
class Rejected:
    """Why a record did not become a document, and the value that decided it."""

    reason: str
    value: str | None


def extract(record: Record | Damage, options: Extract) -> Page | Rejected:
    """Find the main text of a record, by a cascade of which the cheap steps come first.

    Reasons: `damaged_*`, `not_a_response`, `status`, `content_type`, `empty_body`,
    `page_too_large`, `undecodable`, `too_many_nodes`, `extractor_error`, `no_main_text`.
    The answer depends on the record and the options alone.
    """
    if isinstance(record, Damage):
        return Rejected(f"damaged_{record.kind}", record.detail)
    if record.kind != "response":
        return Rejected("not_a_response", record.kind)
    if record.status != 200:
        return Rejected("status", None if record.status is None else str(record.status))
    if not record.payload.strip():
        return Rejected("empty_body", None)
    if not _is_html(record):
        return Rejected("content_type", record.content_type or None)
    if len(record.payload) > options.max_page_bytes:
        return Rejected("page_too_large", str(len(record.payload)))
    try:
        html, charset = decode(record.payload, record.charset)
    except UndecodableError as error:
        return Rejected("undecodable", str(error))
    excess = _excess_nodes(html, options.max_page_nodes)
    if excess is not None:
        return Rejected("too_many_nodes", excess)
    try:
        found = main_text(html, options)
        if not found:
            return Rejected("no_main_text", None)
        title, author, published = declared(html, record.url, record.crawled)
    except Exception as error:
        return Rejected("extractor_error", type(error).__name__)
    return Page(found, title, author, published, charset, len(record.payload))


def _is_html(record: Record) -> bool:
    if record.content_type:
        return record.content_type in HTML_TYPES
    return _HTML_START.match(record.payload) is not None


def _excess_nodes(html: str, most: int) -> str | None:
    """What there is too much of, if the page has more tags than `most` or one is too large."""
    nodes = 0
    for tag in _TAG.finditer(html):
        nodes += 1
        if tag[1] is not None:
            return f"more than {_MOST_ATTRIBUTES} attributes"
    return str(nodes) if nodes > most else None
