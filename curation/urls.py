"""Addresses of pages: the site they belong to."""

from __future__ import annotations

from functools import cache
from ipaddress import ip_address
from urllib.parse import urlsplit

from tldextract import TLDExtract


@cache
def public_suffixes() -> TLDExtract:
    """The public suffix list that tldextract carries; never the network, never a cache on disk."""
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
