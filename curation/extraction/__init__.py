"""A crawled record to the main text of its page, or the reason why there is none."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from curation import rights
from curation.extraction import quick
from curation.extraction.charset import UndecodableError, decode, flaw_of, markup_of
from curation.extraction.engines import Engine, engine
from curation.extraction.markup import mended
from curation.extraction.tags import tags
from curation.language import Languages
from curation.lines import normalised
from curation.readers import Damage, Record, storable
from curation.urls import Blocked
from schemas.extract import Extract

HTML_TYPES = frozenset({"text/html", "application/xhtml+xml"})
PAGES = frozenset({"response", "resource", "page"})  # kinds of record that can hold HTML
NOT_A_PAGE = "not_a_page"
TEXTS = frozenset({"text", "conversion"})  # and that are text already

_TRIAL = f"<!DOCTYPE html><html><body><p>{'The mill turns slowly. ' * 20}</p></body></html>"

# More attributes on one element than any page has: parsers take the square of their number.
_MOST_ATTRIBUTES = 1000
# Levels of elements: parsers take the square of them too, and browsers stop at 512.
_MOST_DEPTH = 2500
_MANY_TAGS = 10_000  # with fewer the square is small
_NESTING = re.compile("<(/?)([a-zA-Z][^\\s/<>]*)([^<>]*/>)?")
# Elements that have no end, and whose end a next one of their kind implies.
_FLAT = frozenset(
    re.findall(
        r"\w+",
        "area base br col embed hr img input link meta param source track wbr p li dt dd option "
        "optgroup tr td th tbody thead tfoot rp rt colgroup body html head a nobr button",
    )
)
_START = 1 << 14  # bytes in which a page without a content type is to begin
_HTML_START = re.compile(
    rb"\s*(?:\xef\xbb\xbf)?\s*(?:<\?xml[^>]{0,200}>\s*)?(?:<!--|<(?:!doctype\s+html|html|head|body"
    rb"|script|iframe|h1|div|font|table|a|style|title|b|br|p|meta|link)[\s>])",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Page:
    """What was read of a page.

    text: its main text. title, author, published (an ISO date), canonical (its address as the
    page gives it), language (a BCP 47 tag): as the page declares them.
    opt_outs, licences: what it declares of rights, honoured or not.
    flaw: what is wrong with it though it could be read, see `Record.flaw` and `charset.flaw_of`.
    charset: the codec it was decoded by, "" if it came as text. page_bytes: size before
    extraction. engine: what found the text; None if it came as text.
    """

    text: str
    title: str | None = None
    author: str | None = None
    published: str | None = None
    canonical: str | None = None
    language: str | None = None
    opt_outs: tuple[str, ...] = ()
    licences: tuple[str, ...] = ()
    flaw: str | None = None
    charset: str = ""
    page_bytes: int = 0
    engine: str | None = None

    def declared(self) -> dict[str, Any]:
        """What the page says of itself, by the names of columns."""
        return {
            "title": self.title,
            "author": self.author,
            "published": self.published,
            "canonical": self.canonical,
            "declared_language": self.language,
            "opt_outs": self.opt_outs,
            "licences": self.licences,
        }


@dataclass(frozen=True, slots=True)
class Rejected:
    """Why a record did not become a document, and the value that decided it."""

    reason: str
    value: str | None


class Extractor:
    """The cascade: what is cheap decides first.

    Its answers depend on the record and the options alone.
    """

    def __init__(
        self, options: Extract, blocked: Blocked | None = None, languages: Languages | None = None
    ) -> None:
        """`blocked`: addresses that `options.block` names. `languages`: the model that
        `options.languages` needs."""
        self.options = options
        self._blocked = blocked
        self._languages = languages

    def prepare(self) -> None:
        """Load what `rest` needs and try it out, so that an engine that cannot work here is an
        error at once, not a rejection of every page."""
        from selectolax.lexbor import LexborHTMLParser

        self._engine(_TRIAL, LexborHTMLParser(_TRIAL))

    def extract(self, record: Record | Damage) -> Page | Rejected:
        """The main text of a record, in this process."""
        return self.first(record) or self.rest(record)  # type: ignore[arg-type]

    def first(self, record: Record | Damage) -> Rejected | None:
        """What decides without reading the page's markup.

        Reasons: `damaged_*`, `not_a_page`, `status`, `blocked_*`, `empty_body`, `content_type`,
        `page_too_large`, `junk_*`, `other_language`.
        """
        if isinstance(record, Damage):
            return Rejected(f"damaged_{record.kind}", record.detail)
        if record.kind not in PAGES and record.kind not in TEXTS:
            return Rejected(NOT_A_PAGE, record.kind)
        if record.kind == "response" and record.status != 200:
            return Rejected("status", None if record.status is None else str(record.status))
        if self._blocked and record.url and (found := self._blocked.reason(record.url)):
            return Rejected(*found)
        if not (record.payload if record.text is None else record.text).strip():
            return Rejected("empty_body", None)
        if _size(record) > self.options.max_page_bytes:
            return Rejected("page_too_large", str(_size(record)))
        if record.kind in TEXTS:
            return None
        if not _is_html(record):
            return Rejected("content_type", record.content_type or None)
        return self._quick_look(record)

    def _quick_look(self, record: Record) -> Rejected | None:
        if found := quick.junk(record.payload):
            return Rejected(*found)
        if self._first and self._wanted:
            other = quick.surely_other(record.payload, self._wanted, self._first, record.charset)
            if other:
                return Rejected("other_language", f"{other[0]} {other[1]:.2f}")
        return None

    @cached_property
    def _first(self) -> Languages | None:
        """What a quick look asks: the first model, if it finds all that is wanted."""
        first = self._languages and self._languages.first
        return first if first and all(map(first.finds, self._wanted)) else None

    @cached_property
    def _wanted(self) -> frozenset[str]:
        return frozenset(self.options.languages)

    def rest(self, record: Record) -> Page | Rejected:
        """Read a record that `first` let pass.

        Reasons: `undecodable`, `too_many_nodes`, `too_deep`, `opt_out_*`, `licence`,
        `no_main_text`, `extractor_error`.
        """
        if record.text is not None:
            return self._of_text(record, record.text, "")
        try:
            content, charset = decode(record.payload, record.charset)
        except UndecodableError as error:
            return Rejected("undecodable", str(error))
        if record.kind in TEXTS:
            return self._of_text(record, content, charset)
        html = mended(content, record.content_type)
        # what the parser reads
        markup = markup_of(record.payload, html, charset) if html is content else html.encode()
        if excess := _excess(html, markup, self.options.max_page_nodes):
            return Rejected(*excess)
        try:
            found = self._of_html(record, html, markup)
        except Exception as error:
            return Rejected("extractor_error", type(error).__name__)
        if isinstance(found, Rejected):
            return found
        return replace(
            found,
            title=found.title or record.title,
            author=found.author or record.author,
            published=found.published or record.published,
            language=found.language or record.language,
            flaw=record.flaw or flaw_of(record.payload, record.charset, content, charset),
            charset=charset,
            page_bytes=len(record.payload),
        )

    def _of_html(self, record: Record, html: str, markup: bytes) -> Page | Rejected:
        from selectolax.lexbor import LexborHTMLParser

        from curation.extraction import metadata

        tree = LexborHTMLParser(markup)
        declared = rights.read(record.headers, tree)
        if of_row := _licences(record):
            licences = tuple(dict.fromkeys((*declared.licences, *of_row)))
            declared = replace(declared, licences=licences)
        if refused := rights.decide(declared, self.options.rights):
            return _refused(refused)
        about = metadata.read(tree, record.url, record.crawled)
        text = normalised(_without_hyphens(storable(self._engine(html, tree))))
        if not text.strip():
            return Rejected("no_main_text", None)
        return Page(
            text,
            title=about.title and _without_hyphens(storable(about.title)),
            author=_maybe(about.author),
            published=about.published,
            canonical=_maybe(about.canonical),
            language=_maybe(about.language),
            opt_outs=declared.opt_outs,
            licences=tuple(map(storable, declared.licences)),
            engine=self.options.engine,
        )

    def _of_text(self, record: Record, text: str, charset: str) -> Page | Rejected:
        licences = _licences(record)
        declared = rights.Declared(licences=licences)
        if refused := rights.decide(declared, self.options.rights):
            return _refused(refused)
        return Page(
            storable(text),
            title=record.title,
            author=record.author,
            published=record.published,
            language=record.language,
            licences=licences,
            flaw=record.flaw,
            charset=charset,
            page_bytes=_size(record),
        )

    @cached_property
    def _engine(self) -> Engine:
        return engine(self.options)


def _licences(record: Record) -> tuple[str, ...]:
    """The licence that a row or a file's folder gives, if one does."""
    if not record.licence:
        return ()
    return (rights.licence_of(record.licence) or record.licence.lower(),)


def _without_hyphens(text: str) -> str:
    """A text without the hyphens that are seen only where a line ends at them."""
    return text.replace("\xad", "")


def _maybe(text: str | None) -> str | None:
    return None if text is None else storable(text)


def _refused(refused: tuple[str, str]) -> Rejected:
    reason, value = refused
    return Rejected(reason, storable(value))


def _size(record: Record) -> int:
    return len(record.payload) if record.text is None else len(record.text.encode())


def _is_html(record: Record) -> bool:
    if record.content_type:
        return record.content_type in HTML_TYPES
    # of UTF-16 every other byte of its tags is zero
    return _HTML_START.match(record.payload[:_START].replace(b"\0", b"")) is not None


def _excess(html: str, markup: bytes, most: int) -> tuple[str, str] | None:
    """What there is too much of, if the page has more tags than `most`, if one of them is too
    large, or if they stand too deep in each other."""
    nodes, attributes = tags(markup)
    if attributes > _MOST_ATTRIBUTES:
        return "too_many_nodes", f"more than {_MOST_ATTRIBUTES} attributes"
    if nodes > most:
        return "too_many_nodes", str(nodes)
    return ("too_deep", f"more than {_MOST_DEPTH} levels") if _is_deep(html, nodes) else None


def _is_deep(html: str, nodes: int) -> bool:
    if nodes <= _MANY_TAGS:
        return False
    opened: Counter[str] = Counter()
    depth = 0
    for close, written, alone in _NESTING.findall(html):
        name = written.lower()
        # a drawing's elements and the like may end themselves
        if alone or name in _FLAT:
            continue
        if not close:
            opened[name] += 1
            depth += 1
            if depth > _MOST_DEPTH:
                return True
        elif opened[name]:
            opened[name] -= 1
            depth -= 1
    return False
