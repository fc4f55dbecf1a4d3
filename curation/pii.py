"""Personal data in a text, found by Presidio's recognizers and replaced by fixed stand-ins.

Only single recognizers are used: patterns and checksums, no language model and no network. What
is found, and what it becomes, depends on the text alone.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from ipaddress import IPv6Address, IPv6Network, ip_interface
from typing import Any

from curation.imports import without_torch
from curation.urls import public_suffixes

# What each kind of personal data becomes: values that are reserved for examples (RFC 2606, 5737,
# 3849, the NANP's 555-0100 range) or never issued, so that they are nobody's.
STAND_INS = {
    "EMAIL_ADDRESS": "email@example.com",
    "IP_ADDRESS": "192.0.2.1",
    "PHONE_NUMBER": "+1 202-555-0100",
    "CREDIT_CARD": "0000 0000 0000 0000",
    "IBAN_CODE": "XX00 0000 0000 0000 0000",
    "US_SSN": "000-00-0000",
}
KINDS = frozenset(STAND_INS)
VERSION = 1  # bump when what is found or what it becomes changes
LIBRARIES = ("presidio-analyzer", "tldextract")
_IPV6_STAND_IN = "2001:db8::1"

# Least score of Presidio: leaves out its patterns "very weak", such as any nine digits.
_LEAST_SCORE = 0.4
# The recognizers' patterns can take the square of a line's length, so longer lines are cut.
_LONGEST_LINE = 2000
_GLOBAL_UNICAST = IPv6Network("2000::/3")
_RESERVED = re.compile(
    r"(?:^|\.)(?:example(?:\.(?:com|net|org))?|test|invalid|localhost)\Z", re.IGNORECASE
)
_BETWEEN_WORDS = re.compile(r"(?<=[^\W\d_])\s+(?=[^\W\d_])")


@dataclass(frozen=True, slots=True)
class Finding:
    """Personal data at [start, end) of a text, in characters."""

    start: int
    end: int
    kind: str
    score: float


def replace(text: str, kinds: Iterable[str]) -> tuple[str, Counter[str]]:
    """Put stand-ins in the place of personal data of `kinds`; the text, and how many of each.

    IP addresses are replaced if they are public, e-mail addresses if their domain can exist.
    """
    parts = []
    counts: Counter[str] = Counter()
    at = 0
    for finding in find(text, kinds):
        found = text[finding.start : finding.end]
        parts += [text[at : finding.start], _stand_in(finding.kind, found)]
        counts[finding.kind] += 1
        at = finding.end
    return "".join([*parts, text[at:]]), counts


def find(text: str, kinds: Iterable[str]) -> list[Finding]:
    """Personal data of `kinds` in a text, in order, without overlaps. KeyError: unknown kind."""
    found = [
        Finding(start + finding.start, start + finding.end, finding.kind, finding.score)
        for kind in sorted(set(kinds))
        for start, line in _lines(text)
        if _TRIGGERS[kind].search(line)
        for finding in _search(kind, line)
    ]
    found.sort(key=lambda one: (-one.score, one.start - one.end, one.start, one.kind))
    taken = bytearray(len(text))
    chosen = []
    for finding in found:
        if not any(taken[finding.start : finding.end]):
            taken[finding.start : finding.end] = b"\1" * (finding.end - finding.start)
            chosen.append(finding)
    return sorted(chosen, key=lambda one: one.start)


def _stand_in(kind: str, found: str) -> str:
    if kind == "IP_ADDRESS" and ":" in found:
        return _IPV6_STAND_IN
    return STAND_INS[kind]


def _lines(text: str) -> Iterator[tuple[int, str]]:
    """Lines and where they start; long ones cut, between words where there is such a place."""
    start = 0
    for line in text.splitlines(keepends=True):
        end = start + len(line)
        while end - start > _LONGEST_LINE:
            cut = start + _LONGEST_LINE
            for place in _BETWEEN_WORDS.finditer(text, start + _LONGEST_LINE // 2, cut):
                cut = place.end()
            yield start, text[start:cut]
            start = cut
        yield start, text[start:end]
        start = end


# What a line must have, for it to be worth a look.
_TRIGGERS = {
    "EMAIL_ADDRESS": re.compile("@"),
    "IP_ADDRESS": re.compile(r"\d\.\d|[0-9a-fA-F:]:[0-9a-fA-F:]"),
    "PHONE_NUMBER": re.compile(r"\d\D{0,3}\d\D{0,3}\d\D{0,3}\d\D{0,3}\d"),
    "CREDIT_CARD": re.compile(r"\d{4}[- ]?\d{3}"),
    "IBAN_CODE": re.compile(r"[A-Z]{2}\d\d"),
    "US_SSN": re.compile(r"\d{3}[- .]\d\d[- .]\d{4}"),
}


def _search(kind: str, line: str) -> Iterator[Finding]:
    for one in _recognizer(kind).analyze(line, [kind]):
        found = line[one.start : one.end]
        if one.score < _LEAST_SCORE or found == STAND_INS[kind]:
            continue
        if kind == "EMAIL_ADDRESS":
            found = _mailbox(found)
        elif kind == "IP_ADDRESS":
            around = line[max(0, one.start - 2) : one.start], line[one.end : one.end + 2]
            if not _is_public(found, *around):
                continue
        if found:
            yield Finding(one.start, one.start + len(found), kind, one.score)


@cache
def _recognizer(kind: str) -> Any:
    # Takes seconds, and only who replaces personal data needs it.
    with without_torch():
        from presidio_analyzer import predefined_recognizers as known

    classes: dict[str, Callable[[], Any]] = {
        "EMAIL_ADDRESS": known.EmailRecognizer,
        "IP_ADDRESS": known.IpRecognizer,
        "PHONE_NUMBER": known.PhoneRecognizer,
        "CREDIT_CARD": known.CreditCardRecognizer,
        "IBAN_CODE": known.IbanRecognizer,
        "US_SSN": known.UsSsnRecognizer,
    }
    recognizer = classes[kind]()
    if kind == "EMAIL_ADDRESS":
        # Its own check fetches the public suffix list; `_mailbox` is ours.
        recognizer.validate_result = lambda _: True
    return recognizer


def _mailbox(found: str) -> str:
    """The part of a match whose domain can exist, "" if there is none or it is reserved.

    The first word of a next sentence, in `a@mill.com.The`, is no part of it.
    """
    user, _, domain = found.rpartition("@")
    labels = domain.split(".")
    while len(labels) > 1 and not public_suffixes()(".".join(labels)).fqdn:
        labels.pop()
    domain = ".".join(labels)
    return f"{user}@{domain}" if len(labels) > 1 and not _RESERVED.search(domain) else ""


def _is_public(found: str, before: str, after: str) -> bool:
    """Whether it is a public address, and no part of a longer number such as `1.2.3.4.5`.

    Short forms of version 6 must also be in the block that is in use: `a::b` is often code.
    """
    if re.fullmatch(r"\d\.", before) or re.fullmatch(r"\.\d", after):
        return False
    try:
        address = ip_interface(found.partition("%")[0]).ip
    except ValueError:
        return False
    if isinstance(address, IPv6Address) and found.count(":") < 7:
        return address in _GLOBAL_UNICAST and address.is_global
    return address.is_global
