"""IP and MAC addresses."""

from __future__ import annotations

import re
from collections.abc import Iterator
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address

from curation.pii.scan import Scan
from curation.pii.spans import Span

_GLOBAL_UNICAST = IPv6Network("2000::/3")
_NAT64 = IPv6Network("64:ff9b::/96")
_HEX = frozenset("0123456789abcdefABCDEF:.")
_LONGEST_V6 = 45  # INET6_ADDRSTRLEN less its zero
_MAC = re.compile(
    r"(?:[0-9A-Fa-f]{2}([:-])(?:[0-9A-Fa-f]{2}\1){4}[0-9A-Fa-f]{2}(?!\1)"
    r"|[0-9A-Fa-f]{4}\.[0-9A-Fa-f]{4}\.[0-9A-Fa-f]{4}(?!\.[0-9]))(?![0-9A-Za-z])"
)
_MAC_GOES_ON = re.compile(r"[0-9A-Za-z]\Z|[0-9A-Fa-f][:.-]\Z")
_GOES_ON = re.compile(r"[0-9A-Za-z_.:]")
_STOPS = re.compile(r"(?:(?<!:):|\.)+\Z")
_LEADS = re.compile(r"(?<![0-9A-Za-z])(?<![0-9A-Fa-f][:.-])(?:[0-9A-Fa-f]{2}){1,2}\Z")
_GOES_ON = re.compile(r"[0-9A-Za-z_.:]")
_STOPS = re.compile(r"(?:(?<!:):|\.)+\Z")
_LEADS = re.compile(r"[0-9A-Fa-f]{1,4}\Z")

# Words before four numbers with dots, in some languages: the nearest says whether they are the
# address of a host, or a version, a package or the number of a section.
_OF_HOST = (
    r"ip(?:v[46])?|addr(?:ess(?:e[sn]?)?)?|adresse?n?|dirección|host(?:s|name|ed)?|servers?"
    r"|resolvers?|dns|names?erver|ping\w*|gateway|subnet|netmask|router|ssh|telnet|curl|proxy|peer"
    r"|client|nodes?|login|log(?:ged)? in|from|visitor|blocke?d?|ban(?:ned)?|whois|traceroute"
    r"|адрес\w*|地址|アドレス|주소"
)
_OF_NUMBERING = (
    r"ver|versions?|versión|versão|versione|versie|wersja|версии?|版本|バージョン|버전|rev(?:ision)?"
    r"|releases?d?|builds?|firmware|drivers?|patch(?:ed|es)?|up(?:dated?|grad(?:ed?|ing))(?: \w+)?"
    r"|downgraded?|install(?:ed|s)?|packages?|lib\w*|plugin|module|app|sdk|api|kernel|bios|software"
    r"|sec|sect|sections?|sección|abschnitt|kapitel|clauses?|chapters?|chapitre|articles?|art|para"
    r"|paragraphs?|appendix|annex|figures?|fig|tables?|eq|equations?|steps?|exercises?|items?"
    r"|theorems?|lemmas?|propositions?|corollar(?:y|ies)|definitions?|remarks?|examples?|rules?|requirements?|oid|§|раздел\w*|пункт\w*|глав\w+|节|章|条"
)
_CUES = re.compile(rf"(?<![A-Za-z])(?:({_OF_HOST})|(?:{_OF_NUMBERING}))(?![A-Za-z])", re.IGNORECASE)
_CUE_REACH = 80  # characters
_SENTENCE_END = re.compile(r"[.!?]\s+(?=[A-Z])|[。！？]|\n\s*\n")
# Directly before and after them: `v1.2.3.4`, `pkg-1.2.3.4`, `Chrome/1.2.3.4`, `==1.2.3.4`.
_GLUED_BEFORE = re.compile(
    r"(?:[0-9A-Za-z_][-_/]?|[0-9A-Za-z]\.|[=<>~^!]=\s?|[~^]\s?|(?<![A-Za-z])v\.?\s)\Z",
    re.IGNORECASE,
)
_RANGE = re.compile(r"(?<![0-9.])(?:[0-9]{1,3}\.){3}[0-9]{1,3}-\Z")
_GLUED_AFTER = re.compile(
    r"\.[0-9]|[A-Za-z_]|[-+](?!\d{1,3}(?:\.\d{1,3}){3}(?!\.?\d))[0-9A-Za-z]"
    r"|\.(?:tar|tgz|zip|gz|deb|rpm|jar|whl|exe|dll|so|nupkg|apk|pkg)\b"
    r"|\s+(?:alpha|beta|rc\d?|release|or (?:later|newer|higher|above)|and (?:later|above|up))\b"
)
_HOST_WITH_PATH = re.compile(r"(?:://|@|^//|[^A-Za-z0-9_/]//)\Z")
_HEADING = re.compile(r"\.?[ \t]+[A-Z]")


def addresses(scan: Scan) -> Iterator[Span]:
    """IP_ADDRESS: public ones. Of an IPv6 address with an IPv4 address in it, that one decides."""
    inside = []
    for start, end in _version_6(scan):
        inside.append((start, end))
        if _is_public_6(scan.text[start:end]):
            yield Span(start, end, "IP_ADDRESS", 0.95)
    for start, end in scan.quads:
        if any(a <= start < b for a, b in inside):
            continue
        if _is_public_4(scan.text[start:end]) and not _is_numbering(scan.text, start, end):
            yield Span(start, end, "IP_ADDRESS", 0.95)


def hardware(scan: Scan) -> Iterator[Span]:
    """MAC_ADDRESS: of one device; not of groups, and none that are reserved for documentation."""
    for start in scan.macs:
        match = _MAC.match(scan.text, start)
        goes_on = _MAC_GOES_ON.search(scan.text[max(0, start - 2) : start])
        if match and not goes_on and _is_device(match[0]):
            yield Span(*match.span(), "MAC_ADDRESS", 0.9)


def _is_device(address: str) -> bool:
    digits = re.sub(r"[.:-]", "", address).lower()
    if len(set(digits)) < 3 or (digits.isdigit() and "." in address):
        return False
    of_group = int(digits[1], 16) & 1
    return not (of_group or digits.startswith("00005e0053"))  # RFC 7042, 2.1.2


def _version_6(scan: Scan) -> Iterator[tuple[int, int]]:
    """Start and end of what is written as an IPv6 address."""
    text, done = scan.text, 0
    for colon in scan.colons:
        if colon < done:
            continue
        lead = _LEADS.search(text, max(0, colon - 4), colon)
        start = lead.start() if lead else colon
        if _GOES_ON.match(text[max(0, start - 1) : start]):
            continue
        end = colon
        while end < len(text) and end - start <= _LONGEST_V6 and text[end] in _HEX:
            end += 1
        done = end
        if re.match(r"[0-9A-Za-z_]", text[end : end + 1]):
            continue
        found = _STOPS.sub("", text[start:end])
        end = start + len(found)
        if found.count(":") > 1 and ("::" in found or found.count(":") > 5):
            try:
                IPv6Address(found)
            except ValueError:
                continue
            yield start, end


def _is_public_6(found: str) -> bool:
    """Short forms must be in the block that is in use: `a::b` is often code."""
    address = IPv6Address(found)
    if address.ipv4_mapped:
        return _is_public_4(str(address.ipv4_mapped))
    if address in _NAT64 or ("." in found and int(address) >> 32 == 0):
        return _is_public_4(str(IPv4Address(int(address) & 0xFFFFFFFF)))
    if "::" in found:
        return address in _GLOBAL_UNICAST and address.is_global
    return address.is_global and sum(len(group) > 2 for group in found.split(":")) > 1


def _is_public_4(found: str) -> bool:
    try:
        address = ip_address(found)
    except ValueError:
        return False
    return address.is_global and not address.is_multicast


def _is_numbering(text: str, start: int, end: int) -> bool:
    """Whether four numbers are a version, a package's, or a section's, and no address."""
    before, after = text[max(0, start - _CUE_REACH) : start], text[end : end + 24]
    if _GLUED_AFTER.match(after):
        return True
    alone = _HOST_WITH_PATH.search(before) or _RANGE.search(before)
    if _GLUED_BEFORE.search(before) and not alone:
        return True
    sentence = _SENTENCE_END.split(before)[-1]
    cues = list(_CUES.finditer(sentence))
    if cues:
        return cues[-1][1] is None
    heads = not before or before.endswith("\n")
    return heads and max(map(int, text[start:end].split("."))) < 30 and bool(_HEADING.match(after))
