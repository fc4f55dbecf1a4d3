"""What becomes of personal data that was found.

Stand-ins and fakes come from ranges that are reserved for examples or never issued, so that they
are nobody's, and detection leaves them alone: redacting a redacted text changes nothing. A type
without such a range becomes its placeholder instead.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from hashlib import blake2b
from ipaddress import IPv6Address
from typing import Literal

from curation.pii.finding import Finder
from curation.pii.numbers import luhn
from curation.pii.spans import Span

Policy = Literal["stand_in", "placeholder", "fake", "hash", "keep"]
POLICIES: tuple[Policy, ...] = ("stand_in", "placeholder", "fake", "hash", "keep")

# RFC 2606, 5737, 3849 and 7042, the NANP's 555-0100 range; what no issuer, country or office uses.
STAND_INS = {
    "CREDIT_CARD": "0000 0000 0000 0000",
    "EMAIL_ADDRESS": "email@example.com",
    "IBAN_CODE": "XX00 0000 0000 0000 0000",
    "IP_ADDRESS": "192.0.2.1",
    "MAC_ADDRESS": "00:00:5E:00:53:01",
    "PHONE_NUMBER": "+1 202-555-0100",
    "URL_CREDENTIALS": "user:password",
    "US_SSN": "000-00-0000",
}
_IPV6_STAND_IN = "2001:db8::1"
_DIGEST_BYTES = 8
_LETTERS = "bdfghklmnprstvz", "aeiou"


def replacement(type_: str, value: str, policy: Policy, seed: int = 0, key: bytes = b"") -> str:
    """What a value becomes: a pure function of these arguments; `key` for `hash` alone."""
    if policy == "keep":
        return value
    if policy == "hash":
        digest = _digest(type_, value, key).hex()
        # letters alone, as digits could look like a number of somebody's
        return f"<{type_}:{digest.translate(_HEX_TO_LETTERS)}>"
    if policy == "stand_in" and type_ in STAND_INS:
        is_v6 = type_ == "IP_ADDRESS" and ":" in value
        return _IPV6_STAND_IN if is_v6 else STAND_INS[type_]
    if policy == "fake" and type_ in _FAKES:
        return _FAKES[type_](_digest(type_, value, str(seed).encode()), value)
    return f"<{type_}>"


_HEX_TO_LETTERS = str.maketrans("0123456789abcdef", "bcdfghjklmnpqrst")


def _digest(type_: str, value: str, key: bytes) -> bytes:
    """Of a value as it means: capitals, blanks and separators of numbers make no other."""
    meant = "".join(char for char in value.casefold() if char.isalnum() or char in "@.:_")
    if type_ in _NUMBERS:
        meant = "".join(filter(str.isalnum, meant))
    keyed = blake2b(key).digest()  # a key of any length
    return blake2b(f"{type_}\0{meant}".encode(), key=keyed, digest_size=_DIGEST_BYTES).digest()


_NUMBERS = {"CREDIT_CARD", "IBAN_CODE", "MAC_ADDRESS", "PHONE_NUMBER", "US_SSN"}


def _mail(digest: bytes, _: str) -> str:
    consonants, vowels = _LETTERS
    syllables = [consonants[byte % 15] + vowels[byte // 15 % 5] for byte in digest]
    domain = ("com", "net", "org")[digest[0] // 75 % 3]
    return f"{''.join(syllables[:3])}.{''.join(syllables[3:])}@example.{domain}"


def _address(digest: bytes, value: str) -> str:
    if ":" in value:
        return str(IPv6Address(0x20010DB8 << 96 | int.from_bytes(digest)))
    net = ("192.0.2", "198.51.100", "203.0.113")[digest[0] % 3]
    return f"{net}.{1 + digest[1] % 254}"


def _phone(digest: bytes, _: str) -> str:
    area = 201 + int.from_bytes(digest[:4]) % 788
    return f"+1 {area}-555-01{digest[4] % 100:02}"


def _card(digest: bytes, _: str) -> str:
    digits = f"0000{int.from_bytes(digest) % 10**11:011}"
    digits += next(check for check in "0123456789" if luhn(digits + check))
    return " ".join(digits[at : at + 4] for at in range(0, 16, 4))


def _account(digest: bytes, _: str) -> str:
    number = f"{int.from_bytes(digest) % 10**8:016}"
    check = 98 - int(f"{number}333300") % 97  # X is 33
    whole = f"XX{check:02}{number}"
    return " ".join(whole[at : at + 4] for at in range(0, 20, 4))


def _social_security(digest: bytes, _: str) -> str:
    number = int.from_bytes(digest)
    return f"000-{1 + number % 99:02}-{1 + number // 99 % 9999:04}"


_FAKES: Mapping[str, Callable[[bytes, str], str]] = {
    "CREDIT_CARD": _card,
    "EMAIL_ADDRESS": _mail,
    "IBAN_CODE": _account,
    "IP_ADDRESS": _address,
    "MAC_ADDRESS": lambda digest, _: f"00:00:5E:00:53:{digest[0]:02X}",
    "PHONE_NUMBER": _phone,
    "US_SSN": _social_security,
}


@dataclass(frozen=True)
class Redacted:
    """A text with its personal data replaced, where that stood in the text before, and where what
    is in its place, or was left, stands in this one."""

    text: str
    spans: list[Span]
    places: list[Span]
    # of those that were replaced, by type
    counts: Counter[str]


@dataclass(frozen=True)
class Redactor:
    """Replaces what a finder finds: `policy`, or that of its type in `policies`."""

    finder: Finder
    policy: Policy = "stand_in"
    policies: Mapping[str, Policy] = field(default_factory=dict)
    seed: int = 0
    key: bytes = b""

    def redact(self, texts: Sequence[str]) -> list[Redacted]:
        """Each text, redacted. What is found only once its neighbour was replaced counts too."""
        return [
            self._settled(text, spans) if spans else Redacted(text, spans, spans, Counter())
            for text, spans in zip(texts, self.finder.find(texts), strict=True)
        ]

    def _settled(self, text: str, spans: list[Span]) -> Redacted:
        plain = Finder(self.finder.types, self.finder.patterns)
        while True:
            redacted, edits = self._replaced(text, spans)
            more = [
                Span(
                    _origin(edits, one.start)[0],
                    _origin(edits, one.end - 1)[1],
                    one.type,
                    one.score,
                )
                for one in plain.find([redacted.text])[0]
                if self._policy(one) != "keep"
            ]
            before, spans = spans, _joined(spans, more)
            if spans == before:
                return redacted

    def _policy(self, span: Span) -> Policy:
        return self.policies.get(span.type, self.policy)

    def _replaced(self, text: str, spans: list[Span]) -> tuple[Redacted, list[_Edit]]:
        parts: list[str] = []
        edits: list[_Edit] = []
        places: list[Span] = []
        at = length = 0
        for span in spans:
            policy = self._policy(span)
            value = text[span.start : span.end]
            new = replacement(span.type, value, policy, self.seed, self.key)
            parts += [text[at : span.start], new]
            length += span.start - at
            places.append(Span(length, length + len(new), span.type, span.score))
            if policy != "keep":
                edits.append((length, length + len(new), span))
            at, length = span.end, length + len(new)
        counts = Counter(span.type for _, _, span in edits)
        return Redacted("".join([*parts, text[at:]]), spans, places, counts), edits


# Start and end in the new text, and what stood there.
_Edit = tuple[int, int, Span]


def _origin(edits: list[_Edit], at: int) -> tuple[int, int]:
    """Start and end in the old text of what became the character at `at` of the new one."""
    shift = 0
    for start, end, span in edits:
        if at < start:
            break
        if at < end:
            return span.start, span.end
        shift = span.end - end
    return at + shift, at + shift + 1


def _joined(spans: list[Span], more: list[Span]) -> list[Span]:
    """Spans with those of `more` that cover something new, each one with what it overlaps."""
    for one in more:
        over = [span for span in spans if span.start < one.end and one.start < span.end]
        if sum(span.end - span.start for span in over) < one.end - one.start:
            start = min([one.start, *(span.start for span in over)])
            end = max([one.end, *(span.end for span in over)])
            others = [span for span in spans if span not in over]
            spans = sorted(
                [*others, Span(start, end, one.type, one.score)], key=lambda span: span.start
            )
    return spans


def replace(text: str, types: Iterable[str]) -> tuple[str, Counter[str]]:
    """Put stand-ins in the place of personal data of `types`; the text, and how many of each.

    IP addresses are replaced if they are public, e-mail addresses if their domain can exist.
    KeyError: unknown type.
    """
    redacted = _standing_in(frozenset(types)).redact([text])[0]
    return redacted.text, redacted.counts


@cache
def _standing_in(types: frozenset[str]) -> Redactor:
    return Redactor(Finder(types))
