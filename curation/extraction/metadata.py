"""What a page declares of itself: title, author, day of publication, address, language.

From meta elements, JSON-LD, microdata and a few elements that say it for sure; for the day and the
author also from the lines in sight around the heading. Reads the tree that the main text is found
in, so that a page is parsed once.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import date, datetime
from html import unescape
from itertools import chain, islice, tee
from urllib.parse import urljoin

from selectolax.lexbor import LexborHTMLParser, LexborNode

from curation import linked_data
from curation.extraction import bylines, dates, nearby
from curation.extraction.blocks import dom
from curation.selectors import Selector
from curation.urls import normalise, registered_domain

_elements = Selector(
    *("meta", "h1", "h2", "h3", "time", linked_data.SCRIPTS),
    *('a[rel~="author"]', '[itemprop~="author"]'),
)
_MOST_NODES = 3000
_MOST_AUTHORS = 20
_MOST_BYLINES = 10
_MOST_SUBHEADINGS = 20
_NEAR = 4  # lines before the heading that are looked at; half of those after it that are surely its
_MOST_HEADINGS = 5
_MOST_TIMES = 10
_MOST_TITLES = 5
_MOST_LEVELS = 12  # around an element, that are asked whether they hold an answer
_WHOLE = frozenset({"html", "head", "body", "main"})
_TELLING = 10  # letters that one heading of a page has and no other
# Least share of the words of a heading and a title that both have, of several headings and of the
# only one: by the gold titles of WCXB.
_AGREEMENT = 0.5
_AGREEMENT_OF_ONE = 0.2
_TITLE_CHARACTERS = 500
_AUTHOR_CHARACTERS = 100

_TITLES = ("og:title", "citation_title", "dc.title", "dcterms.title", "twitter:title")
_SITES = ("og:site_name", "application-name", "citation_journal_title", "dc.publisher")
_AUTHORS = (
    "citation_author",
    "author",
    "article:author",
    "article:author_name",
    "parsely-author",
    "sailthru.author",
    "dc.creator",
    "dcterms.creator",
    "dc.contributor",
    "twitter:creator:name",
    "byl",
)
_DATES = (
    "article:published_time",
    "og:article:published_time",
    "og:published_time",
    "article:published",
    "datepublished",
    "citation_publication_date",
    "citation_online_date",
    "citation_date",
    "dc.date.issued",
    "dcterms.issued",
    "dc.date.created",
    "dcterms.created",
    "dc.date",
    "dcterms.date",
    "parsely-pub-date",
    "sailthru.date",
    "article.published",
    "publish-date",
    "publish_date",
    "publishdate",
    "publication_date",
    "published_time",
    "pubdate",
    "cxenseparse:recs:publishtime",
    "bt:pubdate",
    "originalpublicationdate",
    "date",
)
_DATE = re.compile(r"publi(?:sh|c)")
_ARTICLE = re.compile(
    r"(?:Article|Posting|Report|Review|Recipe|HowTo|Book|Chapter|Thesis|CreativeWork|Question"
    r"|Course|LearningResource|Podcast\w*|VideoObject)\Z"
)
_PAGE = re.compile(r"Page\Z")
_SITE = re.compile(r"WebSite\Z|Organization\Z")

_SEPARATOR = re.compile(r"(\s+[|•·»«›‹:–—~>/\\-]+\s+|\s*[|»›•]+\s*|:\s+)")
_WORD = re.compile(r"\w+")
_ANCHOR = re.compile(r"(?: #| ?¶)\Z")  # the link of a heading to itself
_NOT_WORD = re.compile(r"[\W_]+")
_LANGUAGE = re.compile(
    r"([a-z]{2,3})(?:[-_]([a-z]{4}))?(?:[-_]([a-z]{2}|\d{3}))?(?:[-_.@].*)?\Z", re.IGNORECASE
)


@dataclass(frozen=True, slots=True)
class Metadata:
    """What a page declares; None where it declares nothing that can be used.

    title: without the name of the site. author: names, several joined by "; ". published: an ISO
    8601 day, not after the crawl; that of the last change if the page shows no other. canonical:
    the page's own address, absolute and normalised, on the registered domain that it was fetched
    from. language: as the page names it, a BCP 47 tag of language, script and region (`de`,
    `zh-Hant-TW`). site: name of the site.
    """

    title: str | None = None
    author: str | None = None
    published: str | None = None
    canonical: str | None = None
    language: str | None = None
    site: str | None = None


def read(tree: LexborHTMLParser, url: str | None, crawled: datetime | None) -> Metadata:
    """Read what a page declares. Pure; in time linear in the page; never fails on its content."""
    fields: dict[str, list[str]] = {}
    headings: list[tuple[str, LexborNode]] = []
    scripts: list[str] = []
    times: list[LexborNode] = []
    subheadings: list[LexborNode] = []
    authors: list[LexborNode] = []
    answers = _Answers()
    for node in _elements(tree.root, _MOST_NODES):
        tag = node.tag
        if tag == "meta":
            if "itemprop" not in node.attributes or not answers.hold(node):
                _read_meta(node, fields)
        elif tag == "script":
            scripts.append(node.text())
        elif tag == "time":
            if len(times) < _MOST_TIMES and not answers.hold(node):
                times.append(node)
        elif tag == "h2" or tag == "h3":
            subheadings.append(node)
        elif tag != "h1":
            if len(authors) < _MOST_BYLINES and not answers.hold(node):
                authors.append(node)
        elif len(headings) < _MOST_HEADINGS:
            text = _line(dom.text(node), _TITLE_CHARACTERS)
            headings.append((_ANCHOR.sub("", text), node))
    nodes = linked_data.nodes(scripts)
    pages = [node for node in nodes if any(map(_PAGE.search, linked_data.types(node)))]
    main = (node.get("mainEntity") for node in pages)  # such as the question of a thread
    articles = [
        node
        for node in (*nodes, *(node for node in main if isinstance(node, dict)))
        if any(map(_ARTICLE.search, linked_data.types(node)))
    ]
    site = _site(fields, nodes)
    domain = registered_domain(url or "")
    names = {_bare(name) for name in (site or "", domain, domain.partition(".")[0])} - {""}
    head = tree.head
    whole = _line(_title_element(tree), _TITLE_CHARACTERS)
    link = head.css_first('link[rel~="canonical" i]') if head else None
    headlines = [text for node in articles for text in linked_data.texts(node.get("headline"))]
    given = [*_values(fields, _TITLES), *headlines]
    days = [
        *(text for node in articles for text in linked_data.texts(_published(node))),
        *_values(fields, _DATES),
        *_values(fields, filter(_DATE.search, fields)),
        *(text for node in pages for text in linked_data.texts(node.get("datePublished"))),
        *dates.stated(times),
    ]
    title = _title(whole, given, [text for text, _ in headings], names)
    language = _language(tree, fields)
    in_address = dates.of_address(url or "")
    published = _known(chain(in_address, (dates.first(text, language) for text in days)), crawled)
    author = _declared_author(fields, articles, nodes, names)
    # Pages that are no articles have many names on them, and seldom that of their author.
    is_article = "article" in fields.get("og:type", ())
    if heading := _heading(headings, subheadings[:_MOST_SUBHEADINGS], title):
        before = list(islice(nearby.before(heading), _NEAR))
        after, again = tee(nearby.after(heading))
        if published is None:
            in_sight = (day for day, _ in dates.shown(before, after, language))
            published = _known(in_sight, crawled)
        else:
            # What is declared is often the day of a change, or that in another time zone.
            near = dates.shown(before, islice(after, 2 * _NEAR), language)
            day, is_change = next(near, (date.max, True))
            published = published if is_change else min(published, day.isoformat())
        if author is None and (published or is_article):
            author = "; ".join(bylines.shown(chain(reversed(before), again))) or None
    if author is None and (published or is_article):
        author = _byline(authors)
    return Metadata(
        title=title,
        author=author,
        published=published,
        canonical=_canonical(link.attributes.get("href"), url, domain) if link else None,
        language=language,
        site=site,
    )


class _Answers:
    """Which elements stand in comments, replies or answers; elements that hold the heading of the
    page are none of these, whatever their names say."""

    def __init__(self) -> None:
        self._known: dict[int, bool] = {}

    def hold(self, node: LexborNode) -> bool:
        """Whether an element or one of the nearest around it holds an answer."""
        path: list[int] = []
        found = False
        above: LexborNode | None = node
        for _ in range(_MOST_LEVELS):
            if above is None or above.tag in _WHOLE:
                break
            known = self._known.get(above.mem_id)
            if known is not None:
                found = known
                break
            path.append(above.mem_id)
            if nearby.is_answer(above):
                found = above.css_first("h1") is None
                break
            above = above.parent
        self._known.update(dict.fromkeys(path, found))
        return found


def _published(node: linked_data.Node) -> object:
    return node.get("datePublished") or node.get("dateCreated")


def _read_meta(node: LexborNode, fields: dict[str, list[str]]) -> None:
    attributes = node.attributes
    content = attributes.get("content")
    if not content:
        return
    for key in ("property", "name", "itemprop", "http-equiv"):
        if name := attributes.get(key):
            fields.setdefault(name.strip().lower(), []).append(content)


def _values(fields: dict[str, list[str]], names: Iterable[str]) -> Iterator[str]:
    for name in names:
        for value in fields.get(name, ()):
            if value.strip():
                yield value


def _line(text: str, most: int) -> str:
    """A text on one line, entities that were escaped twice undone, cut off after `most`."""
    text = text[: 4 * most]
    if "&" in text:
        text = unescape(text)
    return " ".join(text.split())[:most]


def _bare(text: str) -> str:
    """Letters and digits alone, to compare by."""
    return _NOT_WORD.sub("", text).casefold()


def _site(fields: dict[str, list[str]], nodes: list[linked_data.Node]) -> str | None:
    for text in _values(fields, _SITES):
        return _line(text, _AUTHOR_CHARACTERS) or None
    for node in nodes:
        if any(map(_SITE.search, linked_data.types(node))):
            for text in linked_data.texts(node.get("name")):
                return _line(text, _AUTHOR_CHARACTERS) or None
    return None


def _title_element(tree: LexborHTMLParser) -> str:
    """The text of `title`, wherever broken markup has put it, but not that of a picture."""
    node = tree.head.css_first("title") if tree.head else None
    if node is None:
        titles = tree.css("title")[:_MOST_TITLES]
        node = next((node for node in titles if not _in_picture(node)), None)
    return node.text() if node else ""


def _in_picture(node: LexborNode) -> bool:
    return node.parent is not None and node.parent.tag not in ("html", "head", "body", "div")


def _title(whole: str, given: list[str], headings: list[str], names: set[str]) -> str | None:
    """The heading that says what the title says, else the title without the site's name."""
    # What a page's title ends with and is a heading too is the name of what the page is part of.
    last = _SEPARATOR.split(whole)[2:][-1:]
    names = names | {_bare(text) for text in headings if last and _bare(text) == _bare(last[0])}
    lines = dict.fromkeys(_line(text, _TITLE_CHARACTERS) for text in given[:_MOST_TITLES])
    titles = list(filter(None, [_without_site(title, names) for title in (*lines, whole)]))
    headings = [text for text in headings if (bare := _bare(text)) and bare not in names]
    beginnings = {_bare(_SEPARATOR.split(title)[0]) for title in titles}
    words = [set(_WORD.findall(title.lower())) for title in titles]
    best, most = None, _AGREEMENT if len(headings) > 1 else _AGREEMENT_OF_ONE
    for heading in headings:
        if not titles or _bare(heading) in beginnings:
            return heading
        own = set(_WORD.findall(heading.lower()))
        agreement = max(len(own & others) / len(own | others) for others in words)  # Jaccard
        if agreement >= most and (best is None or agreement > most):
            best, most = heading, agreement
    return best or (titles[0] if titles else None)


def _without_site(title: str, names: set[str]) -> str:
    """A title without the names of the site at its ends."""
    parts = _SEPARATOR.split(title)  # texts and what stands between them, in turn
    first, last = 0, len(parts) - 1
    while last > first and _bare(parts[last]) in names:
        last -= 2
    while first < last and _bare(parts[first]) in names:
        first += 2
    return "".join(parts[first : last + 1]).strip()


def _declared_author(
    fields: dict[str, list[str]],
    articles: list[linked_data.Node],
    nodes: list[linked_data.Node],
    names: set[str],
) -> str | None:
    known = linked_data.by_id(nodes)
    linked = [text for node in articles for text in linked_data.names(node.get("author"), known)]
    for group in (linked, *(fields.get(name, []) for name in _AUTHORS)):
        lines = (_line(text, 4 * _AUTHOR_CHARACTERS) for text in group)
        if found := [name for name in bylines.names(lines) if _bare(name) not in names]:
            return "; ".join(found[:_MOST_AUTHORS])
    return None


def _byline(nodes: list[LexborNode]) -> str | None:
    """The one name that elements for authors hold: several are of a thread or a list."""
    found: dict[str, None] = {}
    for node in nodes:
        if "itemprop" in node.attributes:
            node = node.css_first('[itemprop~="name"]') or node
        text = node.attributes.get("content") or node.text(separator=" ")
        found.update(dict.fromkeys(bylines.byline([_line(text, _TITLE_CHARACTERS)])))
    return "; ".join(found) if len(found) == 1 else None


def _heading(
    headings: list[tuple[str, LexborNode]], subheadings: list[LexborNode], title: str | None
) -> LexborNode | None:
    """The heading that holds the title or a part of it, else the first."""
    bare = _bare(title or "")
    candidates = [node for text, node in headings if text]
    for node in candidates + subheadings:
        text = _bare(_line(node.text(), _TITLE_CHARACTERS))
        shorter, longer = sorted((text, bare), key=len)
        if text == bare or (len(shorter) >= _TELLING and shorter in longer):
            return node
    return candidates[0] if candidates else None


def _known(days: Iterable[date | None], crawled: datetime | None) -> str | None:
    """The first of days that is not after the crawl."""
    latest = crawled.date() if crawled else date.max
    return next((day.isoformat() for day in days if day and day <= latest), None)


def _canonical(link: str | None, url: str | None, domain: str) -> str | None:
    """The address that a page gives as its own, if it is one of the same registered domain."""
    if not link or not link.strip():
        return None
    try:
        link = link.strip()
        address = normalise(link if link.startswith("http") else urljoin(url or "", link))
    except ValueError:
        return None
    host = address.split("/", 3)[2].partition(":")[0] if address else ""
    if host and (not url or host == domain or host.endswith(f".{domain}")):
        return address or None
    return None


def _language(tree: LexborHTMLParser, fields: dict[str, list[str]]) -> str | None:
    root = tree.root
    attributes = root.attributes if root else {}
    declared = [attributes.get("lang") or attributes.get("xml:lang") or ""]
    declared += fields.get("content-language", []) + fields.get("language", [])
    declared += fields.get("dc.language", []) + fields.get("og:locale", [])
    for text in declared:
        if match := _LANGUAGE.match(text.partition(",")[0].strip()):
            script, region = match[2], match[3]
            parts = (match[1].lower(), script and script.title(), region and region.upper())
            return "-".join(filter(None, parts))
    return None
