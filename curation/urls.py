"""Addresses of pages: the site they belong to, one spelling for each, and those not wanted."""

from __future__ import annotations

import gzip
import re
import zlib
from array import array
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator
from functools import cache
from hashlib import blake2b
from ipaddress import ip_address
from pathlib import Path
from typing import TYPE_CHECKING, Literal
from urllib.parse import quote_from_bytes, unquote, urlsplit

import numpy as np

from curation.alternatives import alternatives
from schemas.problems import Problem

if TYPE_CHECKING:
    from tldextract import TLDExtract

Kind = Literal["domains", "urls", "words", "substrings"]

# An address that `normalise` leaves as it is, but for `/.`, `;` and what `_TRACKING` finds.
_NORMAL = re.compile(
    r"https?://[a-z0-9_-]++(?:\.[a-z0-9_-]++)++/[A-Za-z0-9._~!$'()*+,;=:@/&-]*+"
    r"(?:\?[A-Za-z0-9._~!$'()*+,;=:@/?-]++(?:&[A-Za-z0-9._~!$'()*+,;=:@/?-]++)*+)?+"
)
_PARTS = re.compile(r"(https?):[/\\]{2}([^/\\?#]*+)([^?#]*+)(?:\?([^#]*+))?+", re.IGNORECASE)
_PORT = re.compile(r":([0-9]*+)\Z")
_HOST = re.compile(r"[a-z0-9_-]++(?:\.[a-z0-9_-]++)*+\Z")
_HOST_CHARACTERS = 253  # of a name in the DNS, RFC 1035
_STRIPPED = re.compile(r"[\t\r\n]")
_EDGES = "".join(map(chr, range(33)))
_DEFAULT_PORTS = {"http": "80", "https": "443"}
# What may stand in a path or query besides letters, digits and `-._~` (RFC 3986, 3.3 and 3.4).
_PATH = "!$&'()*+,;=:@/"
_QUERY = "!$'()*+,;=:@/?"
_ESCAPE = re.compile(rb"%([0-9A-Fa-f]{2})")
_UNRESERVED = re.compile(r"[A-Za-z0-9._~-]")  # an escape of these says the same as they do
_ESCAPES = {
    b"%02X" % byte: chr(byte) if _UNRESERVED.match(chr(byte)) else f"%{byte:02X}"
    for byte in range(256)
}
# Parameters that say how a reader came, or which visit it is, and never which page: of analytics
# (Google, Matomo, Adobe), advertising and mailing services, and session ids.
_TRACKING_NAMES = (
    r"utm_\w+|hsa_\w+|mtm_\w+|pk_\w+|piwik_\w+|matomo_\w+|oly_\w+_id|vero_\w+|trk_\w+|at_custom\d"
    r"|gclid|gclsrc|dclid|gbraid|wbraid|gad_source|gad_campaignid|srsltid|_ga|_gl|_gac"
    r"|fbclid|fb_action_ids|fb_action_types|fb_source|igshid|igsh|msclkid|yclid|ysclid|_openstat"
    r"|twclid|ttclid|li_fat_id|epik|rb_clickid|wickedid|irclickid|dm_i|s_cid|ncid|cmpid"
    r"|mc_cid|mc_eid|mkt_tok|_hsenc|_hsmi|__hstc|__hssc|__hsfp|hsctatracking|elqtrackid|mkwid"
    r"|phpsessid|jsessionid|aspsessionid\w*|cfid|cftoken"
)
_TRACKING_NAME = re.compile(rf"(?:{_TRACKING_NAMES})(?==|\Z)", re.IGNORECASE | re.ASCII)
_TRACKING = re.compile(rf"[?&](?:{_TRACKING_NAMES})(?![^&=])", re.IGNORECASE | re.ASCII)
_SESSION = re.compile(r";(?:jsessionid|phpsessid)=[^/;]*+", re.IGNORECASE)

_WORD = re.compile(r"[^\W_]+")
_ENTRY_CHARACTERS = 100  # of a word
_COMMENT = re.compile(r"(?:\A|\s)#.*")
_GZIP = b"\x1f\x8b"


@cache
def public_suffixes() -> TLDExtract:
    """The public suffix list that tldextract carries; never the network, never a cache on disk."""
    from tldextract import TLDExtract  # brings `requests`: not for those who need no suffixes

    return TLDExtract(cache_dir=None, suffix_list_urls=())


def registered_domain(url: str) -> str:
    """The registered domain of a URL in ASCII, an IP address as it is, "" if it has neither.

    By the ICANN part of the public suffix list; a top-level domain that is not on it is taken as
    a suffix, as the list's default rule says.
    """
    try:
        host = (urlsplit(url.strip()).hostname or "").rstrip(".")
        if not host:
            return ""
        if host[0].isdigit() or ":" in host:
            return _address(host) or _site(host)
        return _site(host)
    except ValueError:
        return ""


def _address(host: str) -> str:
    try:
        return str(ip_address(host))
    except ValueError:
        return ""


def _site(host: str) -> str:
    """Raises UnicodeError, a ValueError, if the host is no domain name."""
    name = host.encode("idna").decode("ascii").lower()
    parts = public_suffixes()(name)
    if parts.suffix:
        return f"{parts.domain}.{parts.suffix}" if parts.domain else ""
    labels = name.split(".")
    return ".".join(labels[-2:]) if len(labels) > 1 else ""


def normalise(url: str) -> str:
    """One spelling of an address, to compare by; "" if it is no http or https URL with a host.

    What RFC 3986, 6.2, and the URL standard call equal: scheme and host in lower case, the host
    in ASCII (IDNA) without its last dot, no default port, no dot segments, escapes in upper case
    and only where one is needed. Dropped: user and password, the fragment, empty parameters,
    those that track a reader, and session ids. Kept: the scheme and `www.`, which can lead to other
    pages, a path's last slash, and the order of the parameters, as a server may heed it.
    Idempotent; time linear in the length; never raises.
    """
    if (
        _NORMAL.fullmatch(url)
        and "/." not in url
        and ";" not in url
        and len(url.split("/", 3)[2]) <= _HOST_CHARACTERS
        and ("?" not in url or not _TRACKING.search(url))
    ):
        return url
    parts = _PARTS.match(_STRIPPED.sub("", url.strip(_EDGES)))
    if not parts:
        return ""
    scheme = parts[1].lower()
    place = parts[2].rpartition("@")[2]
    port = _PORT.search(place)
    host = _host(place[: port.start()] if port else place)
    if not host:
        return ""
    number = port[1].lstrip("0") if port else ""
    if number and number != _DEFAULT_PORTS[scheme]:
        host = f"{host}:{number}"
    path = _SESSION.sub("", _escaped(parts[3].replace("\\", "/"), _PATH))
    pieces = [_escaped(piece, _QUERY) for piece in (parts[4] or "").split("&") if piece]
    query = "&".join(piece for piece in pieces if not _TRACKING_NAME.match(piece))
    return f"{scheme}://{host}{_without_dots(path)}{'?' if query else ''}{query}"


def sortable(url: str) -> str:
    """An address with the labels of its host reversed, `com,example,www)/page`: in sorted order
    the pages of a site are together, and of a domain those of its sites (SURT, as crawl indexes
    have it).

    Of the normalised address, without its scheme; what is no http or https URL stays as it is.
    """
    known = normalise(url)
    if not known:
        return url
    _, _, host, *path = known.split("/", 3)
    name, colon, port = ("", "", "") if host[0] == "[" else host.partition(":")
    if not name or (name[-1].isdigit() and _address(name)):
        return f"{host})/{''.join(path)}"
    return f"{_reversed(name)}{colon}{port})/{''.join(path)}"


def addresses_below(domain: str) -> list[tuple[str, str]]:
    """Ranges [low, high) of `sortable` addresses of a host and of all hosts below it.

    Raises Problem for what is no host.
    """
    host = _host(domain.strip()) if "/" not in domain else ""
    if not host:
        raise Problem("is no domain", domain, "write it as example.org, without a scheme or path")
    name = host if _address(host) else _reversed(host)
    # what may follow: the path, a port, the label of a host below it
    return [(name + mark, name + chr(ord(mark) + 1)) for mark in "),:"]


def _reversed(host: str) -> str:
    return ",".join(reversed(host.split(".")))


def _host(host: str) -> str:
    """A host in ASCII and lower case, "" if it is none."""
    if host.startswith("["):
        address = _address(host[1:-1]) if host.endswith("]") else ""
        return f"[{address}]" if ":" in address else ""
    if "%" in host:
        host = unquote(host)
    host = host.removesuffix(".").lower()
    if len(host) > _HOST_CHARACTERS:
        return ""
    if not host.isascii():
        try:
            host = host.encode("idna").decode("ascii").lower()
        except UnicodeError:
            return ""
    return host if _HOST.match(host) and len(host) <= _HOST_CHARACTERS else ""


def _escaped(text: str, safe: str) -> str:
    """Text with escapes only for bytes that need them, in upper case."""
    if "%" not in text:
        return quote_from_bytes(text.encode("utf-8", "replace"), safe)
    pieces = _ESCAPE.split(text.encode("utf-8", "replace"))
    plain = [quote_from_bytes(piece, safe) for piece in pieces[::2]]
    escapes = [_ESCAPES[code.upper()] for code in pieces[1::2]]
    return "".join([part for pair in zip(plain, [*escapes, ""], strict=True) for part in pair])


def _without_dots(path: str) -> str:
    """A path without `.` and `..` segments (RFC 3986, 5.2.4), at least `/`."""
    if "/." not in path:
        return path or "/"
    kept: list[str] = []
    segments = path.split("/")[1:]
    for segment in segments:
        if segment == "..":
            del kept[-1:]
        elif segment != ".":
            kept.append(segment)
    if segments[-1] in (".", ".."):
        kept.append("")
    return "/" + "/".join(kept)


class _Hosts:
    """A set of hosts in about 12 bytes each, for lists of millions.

    64-bit digests, and before them a bitmap that sends most hosts away. Of n hosts in the set,
    one that is not is taken for one of them with a probability of n / 2^64.
    """

    def __init__(self, names: list[bytes]) -> None:
        digests = np.fromiter(map(_digest, names), np.uint64, len(names))
        digests.sort()
        self._digests = array("Q", digests.tobytes())
        self._mask = (1 << max(3, (16 * len(names)).bit_length())) - 1
        seen = np.zeros(self._mask + 1, bool)
        seen[np.fromiter(map(zlib.crc32, names), np.int64, len(names)) & self._mask] = True
        self._seen = np.packbits(seen, bitorder="little").tobytes()

    def __len__(self) -> int:
        return len(self._digests)

    def covering(self, host: str) -> str:
        """The longest host of the set that is `host` or above it, "" if there is none."""
        name, seen, mask = host.encode(), self._seen, self._mask
        while name:
            bit = zlib.crc32(name) & mask
            if seen[bit >> 3] >> (bit & 7) & 1 and self._holds(_digest(name)):
                return name.decode()
            name = name.partition(b".")[2]
        return ""

    def _holds(self, digest: int) -> bool:
        at = bisect_left(self._digests, digest)
        return at < len(self._digests) and self._digests[at] == digest


def _digest(name: bytes) -> int:
    return int.from_bytes(blake2b(name, digest_size=8).digest(), "big")


class Blocked:
    """Addresses that are not wanted, by five kinds of entries, as `read_list` gives them.

    domains: hosts; an entry also means the hosts below it.
    urls: exact addresses, compared normalised, without scheme, `www.` and last slash, as lists
    give them without.
    words: one is enough. soft_words: more than `soft_words_allowed` different ones. Both are
    compared with the runs of letters and digits of the address, escapes undone, in lower case.
    substrings: one is enough, anywhere in the address when only its letters and digits are left.

    After FineWeb's URL filter (datatrove 0.10.1, `filters/url_filter.py`), of which the words and
    thresholds mean the same; it splits the address before lower-casing it and undoes no escapes,
    compares URLs as they stand, and of the hosts above one looks at the registered domain alone.
    """

    def __init__(
        self,
        *,
        domains: Iterable[str] = (),
        urls: Iterable[str] = (),
        words: Iterable[str] = (),
        soft_words: Iterable[str] = (),
        soft_words_allowed: int = 1,
        substrings: Iterable[str] = (),
    ) -> None:
        """Of any order and with repeats; `soft_words_allowed` is how many are no reason yet."""
        self._domains = _Hosts([domain.encode() for domain in domains])
        self._urls = frozenset(map(_address_key, urls))
        self._words = frozenset(words)
        self._soft_words = frozenset(soft_words)
        self._soft_words_allowed = soft_words_allowed
        strings = frozenset(substrings)
        self._substrings = re.compile(alternatives(strings)) if strings else None

    def reason(self, url: str) -> tuple[str, str] | None:
        """Why an address is blocked, and the entry that decided; None if it is not.

        Reasons: `blocked_domain`, `blocked_url`, `blocked_word`, `blocked_soft_words` (the words,
        in their order in the address), `blocked_substring`. An address that is no http or https
        URL has no host, but may have words.
        """
        known = normalise(url) if self._domains or self._urls else ""
        if known and self._domains:
            host = known.split("/", 3)[2]
            host = host if host[0] == "[" else host.partition(":")[0]
            if domain := self._domains.covering(host):
                return "blocked_domain", domain
        if known and self._urls and (key := _address_key(known)) in self._urls:
            return "blocked_url", key
        if self._words or self._soft_words or self._substrings:
            tokens = _WORD.findall((unquote(url) if "%" in url else url).lower())
            if not self._words.isdisjoint(tokens):
                return "blocked_word", next(token for token in tokens if token in self._words)
            if not self._soft_words.isdisjoint(tokens):
                found = dict.fromkeys(token for token in tokens if token in self._soft_words)
                if len(found) > self._soft_words_allowed:
                    return "blocked_soft_words", ", ".join(found)
            if self._substrings and (part := self._substrings.search("".join(tokens))):
                return "blocked_substring", part[0]
        return None


def _address_key(url: str) -> str:
    """What two addresses of one page have in common on lists: no scheme, `www.`, last slash."""
    return url.partition("//")[2].removeprefix("www.").rstrip("/")


def read_list(path: Path, kind: Kind) -> list[str]:
    """The entries of a list, for `Blocked`: one a line, in UTF-8, plain or gzip.

    What follows a `#` at the beginning of a line or after a space is a comment. `domains` may
    begin with `*.` or `.`, `urls` may lack their scheme, and of `words` and `substrings` only
    letters and digits count: so the files of the UT1 blacklists (`domains`, `urls`) can be read.
    Raises Problem, naming the file and line, for what can be no entry.
    """
    parse = _PARSERS[kind]
    found = []
    for number, line in enumerate(_lines(path), 1):
        text = (_COMMENT.sub("", line) if "#" in line else line).strip()
        if not text:
            continue
        if not (entry := parse(text)):
            raise Problem(
                f"{path}, line {number}: {text[:80]!r} is no entry of a list of {kind}: "
                "mend or remove the line"
            )
        found.append(entry)
    return found


def _lines(path: Path) -> Iterator[str]:
    number = 0
    try:
        with path.open("rb") as file:
            packed = file.peek(2)[:2] == _GZIP
            with gzip.open(file) if packed else file as stream:
                for line in stream:
                    number += 1
                    yield line.decode().removeprefix("\ufeff")
    except UnicodeDecodeError as error:
        raise Problem(f"{path}, line {number}: not UTF-8: convert the file") from error
    except (OSError, EOFError, zlib.error) as error:
        raise Problem(f"{path}: cannot be read after line {number}: {error}") from error


def _domain_entry(text: str) -> str:
    return _host(text.removeprefix("*").removeprefix("."))


def _url_entry(text: str) -> str:
    return normalise(text if "://" in text else f"http://{text}")


def _word_entry(text: str) -> str:
    word = "".join(_WORD.findall(text.lower()))
    return word if len(word) <= _ENTRY_CHARACTERS else ""


_PARSERS: dict[Kind, Callable[[str], str]] = {
    "domains": _domain_entry,
    "urls": _url_entry,
    "words": _word_entry,
    "substrings": _word_entry,
}
