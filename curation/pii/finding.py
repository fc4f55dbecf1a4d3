"""All recognizers under one name: types in, spans out."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache

from curation.pii import mail, national, network, numbers, phones, secrets
from curation.pii.scan import Scan
from curation.pii.spans import Span, apart

_Recognizer = Callable[[Scan], Iterator[Span]]
_RECOGNIZERS: Mapping[str, _Recognizer] = {
    "API_KEY": secrets.keys,
    "CREDIT_CARD": numbers.cards,
    "CRYPTO": secrets.wallets,
    "EMAIL_ADDRESS": mail.addresses,
    "IBAN_CODE": numbers.accounts,
    "IP_ADDRESS": network.addresses,
    "MAC_ADDRESS": network.hardware,
    "PHONE_NUMBER": phones.numbers,
    "PRIVATE_KEY": secrets.private_keys,
    "URL_CREDENTIALS": mail.credentials,
    "US_SSN": numbers.social_security,
}
# Those that need no model, under Presidio's names where it has one.
TYPES = frozenset(_RECOGNIZERS) | national.TYPES

# People's names and addresses by a model: texts to the spans of each.
Names = Callable[[Sequence[str]], list[list[Span]]]


@dataclass(frozen=True)
class Pattern:
    """A type of a user's own: what `regex` matches, near one of `words` if there are some."""

    type: str
    regex: re.Pattern[str]
    words: tuple[str, ...] = ()
    score: float = 1.0

    def spans(self, text: str) -> Iterator[Span]:
        """Where it is found in a text."""
        for match in self.regex.finditer(text):
            if match[0] and self._is_named(text, match.start()):
                yield Span(*match.span(), self.type, self.score)

    def _is_named(self, text: str, start: int) -> bool:
        before = text[max(0, start - _REACH) : start].lower()
        return not self.words or any(word.lower() in before for word in self.words)


# Numbers of STAND_INS, and the ranges that fakes are from, which another type could claim.
_NOBODYS = re.compile(
    r"\+1 [0-9]{3}-555-01[0-9]{2}|000-[0-9]{2}-[0-9]{4}|(?:0000|XX[0-9]{2})(?: [0-9]{4}){3,4}"
)


def _somebodys(text: str, spans: list[Span]) -> list[Span]:
    """Those spans that touch no number of nobody's."""
    if not spans:
        return spans
    nobodys = [match.span() for match in _NOBODYS.finditer(text)]
    return [
        span
        for span in spans
        if all(end <= span.start or span.end <= start for start, end in nobodys)
    ]


_REACH = 60  # characters before a match in which a pattern's word must be


@dataclass(frozen=True)
class Finder:
    """Finds personal data of `types`, of patterns, and what a model of names finds."""

    types: frozenset[str]
    patterns: Sequence[Pattern] = ()
    names: Names | None = None
    _recognizers: tuple[_Recognizer, ...] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        """Raises KeyError for a type that is not known."""
        if unknown := self.types - TYPES:
            raise KeyError(min(unknown))
        recognizers = [_RECOGNIZERS[type_] for type_ in sorted(self.types - national.TYPES)]
        if states := self.types & national.TYPES:
            recognizers.append(lambda scan: national.identifiers(states, scan))
        object.__setattr__(self, "_recognizers", tuple(recognizers))

    def find(self, texts: Sequence[str]) -> list[list[Span]]:
        """The spans of each text, in order, apart: of two that overlap the surer, then longer."""
        named = self.names(texts) if self.names else [[]] * len(texts)
        return [
            _somebodys(text, apart([*self._plain(text), *spans]))
            for text, spans in zip(texts, named, strict=True)
        ]

    def _plain(self, text: str) -> Iterator[Span]:
        if self._recognizers:
            scan = Scan(text)
            for recognizer in self._recognizers:
                yield from recognizer(scan)
        for pattern in self.patterns:
            yield from pattern.spans(text)


def find(text: str, types: Iterable[str]) -> list[Span]:
    """Personal data of `types` in a text, in order, without overlaps. KeyError: unknown type."""
    return _finder(frozenset(types)).find([text])[0]


@cache
def _finder(types: frozenset[str]) -> Finder:
    return Finder(types)
