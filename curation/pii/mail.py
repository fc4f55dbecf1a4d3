"""E-mail addresses, and user names with passwords in URLs: what stands around an `@`.

An address is the longest part around its `@` that can be one: a local part of the characters that
are in use (RFC 5322 allows more, and then `E-mail=`, `Anna|` and `/` would be part of it), and a
domain that ends in a public suffix. It may touch letters of any script; where a domain goes over
into another script without a blank, it ends with the last suffix that is on the list.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache

from curation.pii.scan import Scan
from curation.pii.spans import Span
from curation.urls import public_suffixes

_LONGEST_LOCAL = 64  # octets, RFC 5321, 4.5.3.1.1
_LONGEST_PASSWORD = 256
_ASCII = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
_LOCAL = frozenset(_ASCII + "._+-'&")
_DOMAIN = re.compile(r"(?>[^\W_]|-){1,63}(?>\.(?>[^\W_]|-){1,63})+")
_ESCAPE = re.compile(r"[nrtbf]|u[0-9a-fA-F]{4}")
_RESERVED = re.compile(
    r"(?:^|\.)(?:example(?:\.(?:com|net|org))?|test|invalid|localhost)\Z", re.IGNORECASE
)
# What names no method of an object: `x@layer.to(device)` is no address, `a@mill.com(work)` is.
_NO_METHOD = re.compile(r"com|org|net|edu|gov|int|mil|info|biz|de|uk|fr|jp|cn|ru|eu")
_PATH = re.compile(r":(?:[\w.~-]*/|~|[\w-]+\.\w)")
_COPIES = re.compile(r"(?:^|[\s`$#])(?:scp|rsync|sftp|git|hg|svn|sshfs)\s[^\n@]*\Z")
_SHELL = re.compile(r"(?:^|[\s`$#])(?:ssh|autossh|mosh|ssh-copy-id)(?:\s+-\S+(?:\s+\d+)?)*\s+\Z")
_SCALE = re.compile(r"[0-9]x\Z")
_TEMPLATE = re.compile(r"[${}<>*\[\]()\"'`\\|,;…]|%[sd(]|\.\.\.|x{3}", re.IGNORECASE)
_SAID_PASSWORDS = re.compile(
    r"(?:my|your)?(?:pass(?:word|wd|wort)?|pwd?|secret|token|changeme)", re.IGNORECASE
)


def addresses(scan: Scan) -> Iterator[Span]:
    """EMAIL_ADDRESS: those whose domain can exist and is not reserved for examples."""
    for at in scan.ats:
        start = _local(scan.text, at)
        if start < at and (end := _domain_end(scan.text, at)):
            if scan.text[start] == "_" and scan.text[end : end + 1] == "_":
                start += 1  # of Markdown
            if start < at and _is_mail(scan.text, start, at, end):
                yield Span(start, end, "EMAIL_ADDRESS", 1.0)


def credentials(scan: Scan) -> Iterator[Span]:
    """URL_CREDENTIALS: `user:password` of a URL, unless it is a template or says `password`."""
    text = scan.text
    for at in scan.ats:
        start = text.rfind("://", max(0, at - _LONGEST_PASSWORD), at) + 3
        if start < 3:
            continue
        user, colon, password = text[start:at].partition(":")
        if (
            colon
            and password
            and not re.search(r"[\s/@?#]", text[start:at])
            and not _TEMPLATE.search(text[start:at])
            and not _SAID_PASSWORDS.fullmatch(password)
            and password != user
            and not _of_examples(text, at)
        ):
            yield Span(start, at, "URL_CREDENTIALS", 1.0)


def _of_examples(text: str, at: int) -> bool:
    host = re.compile(r"[\w.-]*").match(text, at + 1)
    return host is not None and bool(_RESERVED.search(host[0].strip(".")))


def _local(text: str, at: int) -> int:
    """Where the local part starts that ends at an `@`; the `@` itself if there is none."""
    start = at
    least = max(0, at - _LONGEST_LOCAL - 1)
    while start > least and (text[start - 1] in _LOCAL or "À" <= text[start - 1] <= "ɏ"):
        start -= 1
    if start == at:
        # a local part in another script goes with a domain in it
        while start > least and text[start - 1].isalnum() and text[start - 1] > "ɏ":
            start -= 1
        return start if _is_foreign(text, at) else at
    if at - start > _LONGEST_LOCAL:
        return at
    if text[start - 1 : start] == "\\" and (escape := _ESCAPE.match(text, start, at)):
        start = escape.end()
    elif text[start - 1 : start] == "%" and re.match(r"[0-9A-F]{2}", text[start : start + 2]):
        start += 2
    doubled = text.rfind("..", start, at)
    start = start if doubled < 0 else doubled + 2
    while start < at and text[start] in ".-'&+":
        start += 1
    return start


def _is_foreign(text: str, at: int) -> bool:
    domain = _DOMAIN.match(text, at + 1)
    return domain is not None and domain[0][0] > "ɏ" and domain[0].rpartition(".")[2][0] > "ɏ"


def _domain_end(text: str, at: int) -> int:
    """Where the domain ends that starts after an `@`; 0 if there is none."""
    found = _DOMAIN.match(text, at + 1)
    if not found:
        return 0
    labels = found[0].split(".")
    for last in range(len(labels) - 1, 0, -1):
        before = labels[:last]
        if any(label.startswith("-") or label.endswith("-") for label in before):
            continue
        for suffix in _beginnings(labels[last]):
            if suffix.lower() in _top_level() and suffix in (
                suffix.lower(),
                suffix.upper(),
                suffix.capitalize(),
            ):
                domain = ".".join([*before, suffix])
                exists = bool(public_suffixes()(domain).fqdn) and not _RESERVED.search(domain)
                return at + 1 + len(domain) if exists else 0
    return 0


def _beginnings(label: str) -> Iterator[str]:
    """A label, and what of it could be one where it goes over into something else, longest first:
    another script, a hyphen, a capital after a small letter; in another script anywhere."""
    yield label
    for cut in range(min(len(label), 64) - 1, 1, -1):
        before, after = label[cut - 1], label[cut]
        if (
            after > "ɏ"
            or before > "ɏ"
            or after == "-"
            or (before.islower() and after.isupper() and cut > 1)
        ):
            yield label[:cut]


@cache
def _top_level() -> frozenset[str]:
    """The last labels of the public suffix list, in Unicode and as `xn--`."""
    names = {suffix.rpartition(".")[2] for suffix in public_suffixes().tlds}
    return frozenset(names | {name.encode("idna").decode() for name in names if not name.isascii()})


def _is_mail(text: str, start: int, at: int, end: int) -> bool:
    """Whether what has the shape of an address is used as one: `@` is an operator, too, and stands
    before versions and before hosts from which files are copied."""
    local, domain = text[start:at], text[at + 1 : end]
    if local.endswith(".") or not any(char.isalnum() for char in local):
        return False
    before, after = text[max(0, start - 100) : start], text[end : end + 80]
    labels = domain.lower().split(".")
    called = after[:1] in ("(", "[") or len(labels[0]) == len(local) == 1
    if called and not _NO_METHOD.fullmatch(labels[-1]):
        return False
    if _SCALE.match(labels[0]) or (labels[0].isdigit() and len(labels[0]) < 3):
        return False
    if any(label.isdigit() for label in labels[1:]):
        return False
    if _in_url(before) or (before.endswith("/") and after.startswith("/")):
        return False
    if after.startswith(":") and (_PATH.match(after) or _COPIES.search(before)):
        return False
    return not (local in ("git", "hg", "svn") or _SHELL.search(before))


def _in_url(before: str) -> bool:
    """Whether the user of a URL's authority begins here."""
    scheme, _, authority = before.rpartition("://")
    return bool(scheme) and not (scheme.endswith("mailto") or re.search(r"[\s/?#]", authority))
