"""What a page itself declares about its use: opt-outs from AI and text mining, and licences.

Read from its HTTP header and its HTML alone. What a site says for all its pages, in robots.txt or
`/.well-known/tdmrep.json`, is no part of a crawled record.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import get_args

from selectolax.lexbor import LexborHTMLParser, LexborNode

from curation import linked_data
from curation.selectors import Selector
from schemas.extract import OptOut, Rights

_OPT_OUTS: tuple[OptOut, ...] = get_args(OptOut)
# Directives of X-Robots-Tag and robots meta, letters alone: `noai` and `noimageai` (DeviantArt),
# `noml` (noml.info), `DisallowAITraining` (draft-canel-robots-ai-control), and how they are also
# written. `noarchive` and `nocache` are about copies that a search engine shows.
_DIRECTIVES: dict[str, OptOut] = {
    "noai": "noai",
    "noimageai": "noimageai",
    "noaiimage": "noimageai",
    "notrain": "notrain",
    "notraining": "notrain",
    "noaitrain": "notrain",
    "noaitraining": "notrain",
    "noml": "notrain",
    "disallowaitraining": "notrain",
}
# Fields that say which uses are refused: of IETF aipref (draft-ietf-aipref-attach) and Content
# Signals (contentsignals.org).
_USES = {
    "content-usage": re.compile(r"\btrain-ai\s*=\s*(?:n|\?0)\b", re.IGNORECASE),
    "content-signal": re.compile(r"\bai-train\s*=\s*no\b", re.IGNORECASE),
}
# Directives whose value stands after a colon, as directives for one agent do.
_VALUED = frozenset({"unavailable_after", "max-snippet", "max-image-preview", "max-video-preview"})
_SEPARATORS = re.compile(r"[\s,;]+")
_NOT_LETTERS = re.compile(r"[^a-z]+")

_ROBOTS_FIELD = "x-robots-tag"
_TDM, _TDM_POLICY = "tdm-reservation", "tdm-policy"
_RIGHTS_META = re.compile(
    r"(?:dc|dcterms)\.(?:rights|rights\.licen[cs]e|licen[cs]e)\Z|licen[cs]e\Z"
)

# What the names of crawlers have: GPTBot, anthropic-ai, ChatGPT-User, Google-Extended, Bytespider.
_AGENT = re.compile(r"bot|spider|agent|-(?:ai|user|extended)\Z")
_elements = Selector(
    *('meta[name*="bot" i]', 'meta[http-equiv*="robots" i]', 'meta[name*="-extended" i]'),
    *('meta[name*="-ai" i]', 'meta[name*="-user" i]', 'meta[name*="spider" i]'),
    'meta[name*="agent" i]',
    *('meta[name^="tdm-" i]', 'meta[name*="rights" i]', 'meta[name*="licen" i]'),
    *('[rel*="license" i]', 'a[href*="creativecommons.org/" i]', 'a[itemprop~="license" i]'),
    linked_data.SCRIPTS,
)
_MOST_NODES = 1000  # that are looked at; pages have some ten
_MOST_LICENCES = 8
_VALUE_CHARACTERS = 4096  # of a field or attribute
_URL_CHARACTERS = 500

_VERSION = r"(?:(?:/version)?[/ _-]?v?(?P<version>\d(?:[.-]\d)?))?"
_KIND = r"(?P<kind>cc0|[a-z]+(?:-[a-z]+)*(?:-\d-clause)?)"
# What an address has of a known licence, and its name, in the manner of SPDX but in lower case.
_LICENCES = tuple(
    (re.compile(address + _VERSION, re.IGNORECASE), name)
    for address, name in (
        (r"//(?:www\.)?creativecommons\.org/licen[sc]es/(?P<kind>by(?:-nc|-nd|-sa){0,2})\b",
         "cc-{kind}"),
        (r"//(?:www\.)?creativecommons\.org/(?:publicdomain|licenses)/zero", "cc0"),
        (r"//(?:www\.)?creativecommons\.org/publicdomain/mark", "pdm"),
        (r"wikipedia\.org/wiki/Wikipedia:Text_of_(?:the_)?Creative_Commons_Attribution-ShareAlike",
         "cc-by-sa"),
        (r"//opendatacommons\.org/licenses/(?P<kind>odbl|by|pddl)", "odc-{kind}"),
        (r"nationalarchives\.gov\.uk/doc/open-government-licence", "ogl-uk"),
        (r"govdata\.de/dl-de/(?P<kind>by|zero)", "dl-de-{kind}"),
        (r"etalab\.gouv\.fr/licence-ouverte-open-licence", "etalab"),
        (r"gnu\.org/(?:licenses|copyleft)/(?:old-licenses/)?fdl", "gfdl"),
        (r"gnu\.org/(?:licenses|copyleft)/(?:old-licenses/)?(?P<kind>[al]?gpl)", "{kind}"),
        (r"apache\.org/licenses/LICENSE", "apache"),
        (r"mozilla\.org/(?:[a-z-]{2,5}/)?MPL", "mpl"),
        (rf"//(?:www\.)?opensource\.org/licen[sc]es?/{_KIND}", "{kind}"),
        (rf"//spdx\.org/licenses/{_KIND}", "{kind}"),
    )
)  # fmt: skip
_CC_NAME = re.compile(
    r"\bcc[ -]?(?:(?P<kind>by(?:[ -](?:nc|nd|sa)){0,2})|zero|0)\b(?:[ -]v?(?P<version>\d\.\d))?",
    re.IGNORECASE,
)
_ARCHIVE = re.compile(r"https?://web\.archive\.org/web/\w{1,20}/")
_LINK = re.compile(r"<([^<>]{1,500})>([^<>]{0,500})")
_LINK_REL = re.compile(r";\s*rel\s*=\s*(?:\"([^\"]*)\"|([^\s,;\"]+))", re.IGNORECASE)
_ABSOLUTE = re.compile(r"https?://[^\s/]+\.[^\s]+\Z", re.IGNORECASE)
# Types of schema.org whose licence is that of a page's text, not of a picture or program on it.
_PAGE_TYPE = re.compile(
    r"(?:Page|Article|Posting|CreativeWork|WebSite|Blog|Report|Book|Chapter|Course"
    r"|LearningResource|HowTo|Recipe|Question|Guide|Thesis)\Z"
)
_FOOT = re.compile(r"foot|copyright|licen[cs]e|colophon|imprint|legal", re.IGNORECASE)
_BADGE = re.compile(r"creativecommons\.org|licensebuttons\.net|creative commons", re.IGNORECASE)
_MOST_ANCESTORS = 20


@dataclass(frozen=True, slots=True)
class Declared:
    """What a page declares.

    opt_outs: in the order of the recipe's names. licences: in the order found, known ones by
    names in the manner of SPDX in lower case (`cc-by-sa-4.0`, `cc0-1.0`, `gfdl-1.3`; without a
    version if none is named; ports such as `3.0/de` by their version), others by their address.
    tdm_policy: address of the policy of a TDM reservation. sources: where each opt-out and licence
    was first found: a field of the header, `robots meta`, `tdm-reservation meta`, `rights meta`,
    `rel`, `json-ld`, `microdata`, `badge` or `footer`.
    """

    opt_outs: tuple[OptOut, ...] = ()
    licences: tuple[str, ...] = ()
    tdm_policy: str | None = None
    sources: tuple[tuple[str, str], ...] = ()


class _Findings:
    """What is found on the way through a page."""

    def __init__(self) -> None:
        self.opt_outs: dict[OptOut, str] = {}
        self.licences: dict[str, str] = {}
        self.tdm_policy: str | None = None

    def directives(self, value: str, source: str) -> None:
        """Read directives; what names an agent before a colon counts as well."""
        for token in _SEPARATORS.split(value[:_VALUE_CHARACTERS].lower()):
            name, colon, rest = token.partition(":")
            if colon and name not in _VALUED and (name[:1].isalpha() or name == "*"):
                name = rest
            name = _NOT_LETTERS.sub("", name)
            if name in _DIRECTIVES:
                self.opt_outs.setdefault(_DIRECTIVES[name], source)

    def reservation(self, value: str, source: str) -> None:
        if "1" in (part.strip() for part in value[:_VALUE_CHARACTERS].split(",")):
            self.opt_outs.setdefault("tdm", source)

    def policy(self, value: str) -> None:
        address = value.strip()
        if not self.tdm_policy and len(address) <= _URL_CHARACTERS and _ABSOLUTE.match(address):
            self.tdm_policy = address

    def licence(self, name: str | None, source: str) -> None:
        if name and len(self.licences) < _MOST_LICENCES:
            self.licences.setdefault(name, source)

    def declared(self) -> Declared:
        opt_outs = tuple(name for name in _OPT_OUTS if name in self.opt_outs)
        return Declared(
            opt_outs,
            tuple(self.licences),
            self.tdm_policy,
            (*((name, self.opt_outs[name]) for name in opt_outs), *self.licences.items()),
        )


def read(headers: Mapping[str, str], tree: LexborHTMLParser) -> Declared:
    """What the header's fields, by names in lower case, and the page declare.

    An opt-out counts whichever agent it is told to: those who train on a crawl are never the
    agent that made it, and a site cannot know their names. Any `tdm-reservation` of 1 is an
    opt-out; 0, another value or none is not.

    A licence counts if it is declared for the page: by `rel=license` (also of a Link header, and
    RDFa's `cc:license` and the like), structured data (JSON-LD and microdata of a page or text,
    Dublin Core), or a link to Creative Commons that is in a footer or has its badge. Other links
    are what a text is about, and those in a `figure` are of a picture.
    """
    found = _Findings()
    if headers:
        _read_headers(headers, found)
    scripts = []
    for node in _elements(tree.root, _MOST_NODES):
        if node.tag == "meta":
            _read_meta(node, found)
        elif node.tag == "script":
            scripts.append(node)
        else:
            _read_link(node, found)
    if scripts:
        _read_linked_data(scripts, found)
    return found.declared()


def decide(declared: Declared, options: Rights) -> tuple[str, str] | None:
    """The reason why a page is rejected and the value that decided, None if it is not.

    `opt_out_NAME` with where the opt-out stands (`tdm`: the policy, if there is one); `licence`
    with what is declared instead, "" if nothing. One wanted licence is enough. A name without a
    version means all versions: `cc-by` is `cc-by-4.0` too, and never `cc-by-sa`.
    """
    sources = dict(declared.sources)
    for name in declared.opt_outs:
        if name in options.opt_outs:
            policy = declared.tdm_policy if name == "tdm" else None
            return f"opt_out_{name}", policy or sources[name]
    wanted = [name.lower() for name in options.licences]
    if wanted and not any(_covers(name, own) for own in declared.licences for name in wanted):
        return "licence", ", ".join(declared.licences)
    return None


def _covers(wanted: str, licence: str) -> bool:
    rest = licence.removeprefix(wanted)
    return not rest or (rest != licence and re.fullmatch(r"-\d[\d.]*", rest) is not None)


def licence_of(address: str) -> str | None:
    """The name of the licence at an address, the address itself if it is not known, None if it
    is no absolute address."""
    address = _ARCHIVE.sub("", address.strip()[:_URL_CHARACTERS])
    for pattern, name in _LICENCES:
        if match := pattern.search(address):
            return _named(name, match)
    if address.startswith("//"):
        address = f"https:{address}"
    return address if _ABSOLUTE.match(address) else None


def _named(name: str, match: re.Match[str]) -> str:
    groups = match.groupdict()
    kind = (groups.get("kind") or "").lower().replace(" ", "-").removesuffix("-license")
    version = (groups["version"] or "").replace("-", ".")
    if version and "." not in version:
        version = f"{version}.0"
    return name.format(kind=kind) + (f"-{version}" if version else "")


def _licence_in(text: str) -> str | None:
    """The licence that a text names, by a known address or as `CC BY 4.0`."""
    text = text[:_VALUE_CHARACTERS]
    for pattern, name in _LICENCES:
        if match := pattern.search(text):
            return _named(name, match)
    if match := _CC_NAME.search(text):
        return _named("cc-{kind}" if match["kind"] else "cc0", match)
    return None


def _read_headers(headers: Mapping[str, str], found: _Findings) -> None:
    if value := headers.get(_ROBOTS_FIELD):
        found.directives(value, _ROBOTS_FIELD)
    for name, refused in _USES.items():
        if refused.search(headers.get(name, "")):
            found.opt_outs.setdefault("notrain", name)
    found.reservation(headers.get(_TDM, ""), _TDM)
    found.policy(headers.get(_TDM_POLICY, ""))
    for target, parameters in _LINK.findall(headers.get("link", "")):
        rel = _LINK_REL.search(parameters)
        if rel and _means_licence(rel[1] or rel[2]):
            found.licence(licence_of(target), "link")


def _read_meta(node: LexborNode, found: _Findings) -> None:
    attributes = node.attributes
    name = (attributes.get("name") or attributes.get("http-equiv") or "").strip().lower()
    content = attributes.get("content") or ""
    if name == _TDM:
        found.reservation(content, f"{_TDM} meta")
    elif name == _TDM_POLICY:
        found.policy(content)
    elif _RIGHTS_META.match(name):
        found.licence(_licence_in(content), "rights meta")
    elif name == _ROBOTS_FIELD or _AGENT.search(name):
        found.directives(content, "robots meta")


def _read_link(node: LexborNode, found: _Findings) -> None:
    attributes = node.attributes
    address = attributes.get("href") or attributes.get("resource") or ""
    if _means_licence(attributes.get("rel") or ""):
        if not _in_figure(node):
            found.licence(licence_of(address), "rel")
    elif "itemprop" in attributes and "license" in (attributes["itemprop"] or "").split():
        text = address or attributes.get("content") or node.text()
        if _is_of_page(node):
            found.licence(licence_of(text) or _licence_in(text), "microdata")
    elif "creativecommons.org/" in address.lower() and not _in_figure(node):
        if any(_BADGE.search(_image(image)) for image in node.css("img")[:3]):
            found.licence(_licence_in(address), "badge")
        elif any(_is_foot(above) for above in _ancestors(node)):
            found.licence(_licence_in(address), "footer")


def _means_licence(rel: str) -> bool:
    """Whether a link's relation is `license`, or ends so in RDFa's way (`cc:license`)."""
    return any(token.rpartition(":")[2] == "license" for token in rel.lower().split())


def _ancestors(node: LexborNode) -> Iterator[LexborNode]:
    for _ in range(_MOST_ANCESTORS):
        above = node.parent
        if above is None or above.tag in ("body", "html"):
            return
        yield above
        node = above


def _in_figure(node: LexborNode) -> bool:
    return any(above.tag in ("figure", "figcaption") for above in _ancestors(node))


def _is_foot(node: LexborNode) -> bool:
    attributes = node.attributes
    label = f"{attributes.get('class') or ''} {attributes.get('id') or ''}"
    return node.tag == "footer" or _FOOT.search(label[:_URL_CHARACTERS]) is not None


def _image(node: LexborNode) -> str:
    attributes = node.attributes
    return f"{attributes.get('src') or ''} {attributes.get('alt') or ''}"[:_VALUE_CHARACTERS]


def _is_of_page(node: LexborNode) -> bool:
    """Whether the microdata item that a property belongs to is a page or a text."""
    for above in _ancestors(node):
        attributes = above.attributes
        if "itemscope" in attributes:
            return _PAGE_TYPE.search((attributes.get("itemtype") or "").strip()) is not None
    return True


def _read_linked_data(scripts: list[LexborNode], found: _Findings) -> None:
    texts = [node.text() for node in scripts]
    if not any('"license"' in text for text in texts):
        return
    for node in linked_data.nodes(texts):
        if any(map(_PAGE_TYPE.search, linked_data.types(node))):
            for text in linked_data.texts(node.get("license"), key="url"):
                found.licence(licence_of(text) or _licence_in(text), "json-ld")
