"""Numbers that prove themselves: payment cards, bank accounts, US social security numbers."""

from __future__ import annotations

import re
from collections.abc import Iterator

from curation.pii.scan import Scan
from curation.pii.spans import Span

_CARD = re.compile(
    r"(?<![0-9A-Za-z])(?<![0-9][.,-])(?:"
    r"[0-9]{4}([ -])[0-9]{4}\1[0-9]{4}\1[0-9]{1,7}|3[0-9]{3}([ -])[0-9]{6}\2[0-9]{4,5}|[0-9]{12,19}"
    r")(?![0-9A-Za-z]|[.,-][0-9])",
    re.ASCII,
)
# The issuers' first digits and lengths, ISO/IEC 7812: Visa, Mastercard, American Express, Diners
# Club, Discover, JCB, UnionPay; then Maestro, whose numbers may be short.
_ISSUERS = re.compile(
    r"4(?:[0-9]{12}|[0-9]{15}|[0-9]{18})"
    r"|(?=[0-9]{16}\Z)(?:5[1-5]|222[1-9]|22[3-9]|2[3-6]|27[01]|2720)[0-9]+"
    r"|3[47][0-9]{13}|3(?:0[0-5]|09|[689][0-9])[0-9]{11}|(?:6011|64[4-9]|65)[0-9]{12,15}"
    r"|35(?:2[89]|[3-8][0-9])[0-9]{12,15}|(?:1800|2131)[0-9]{11}|62[0-9]{14,17}"
)
_MAESTRO = re.compile(r"(?:5[06-9]|6[0-9])[0-9]{10,17}|35[0-9]{14}")
_CARD_WORDS = re.compile(
    r"(?<![a-z])(?:cards?|cc|credit|debit|visa|maestro|karten?|kreditkarte\w*|carte|tarjeta|carta"
    r"|cartão|карт\w+|卡|カード)(?![a-z])",
    re.IGNORECASE,
)
_IBAN = re.compile(
    r"(?<![0-9A-Za-z])[A-Z]{2}[0-9]{2}(?:[ -]?[A-Z0-9]){11,28}", re.ASCII | re.IGNORECASE
)
# Characters of a country's account numbers, SWIFT's registry of IBANs (ISO 13616-2).
_LENGTHS = {
    country: length
    for length, countries in {
        15: "NO",
        16: "BE",
        18: "DK FI FO GL NL SD",
        19: "MK SI",
        20: "AT BA EE KZ LT LU XK",
        21: "CH HR LI LV",
        22: "BG BH CR DE GB GE IE ME RS VA",
        23: "AE GI IL IQ TL",
        24: "AD CZ ES MD PK RO SA SE SK TN VG",
        25: "LY PT ST",
        26: "IS TR",
        27: "FR GR IT MC MR SM",
        28: "AL AZ BY CY DO GT HU LB PL SV",
        29: "BR EG PS QA UA",
        30: "JO KW MU",
        31: "MT SC",
        32: "LC",
    }.items()
    for country in countries.split()
}
_SSN = re.compile(
    r"(?<![0-9A-Za-z])(?<![0-9][.,/-])([0-9]{3})([ .-]?)([0-9]{2})\2([0-9]{4})"
    r"(?![0-9A-Za-z]|[.,/-][0-9])",
    re.ASCII,
)
_SSN_WORDS = re.compile(r"social security|(?<![a-z])ssns?(?![a-z])", re.IGNORECASE)
_REACH = 50  # characters in which a word belongs to a number


def cards(scan: Scan) -> Iterator[Span]:
    """CREDIT_CARD: of an issuer's digits and length, with the check digit of Luhn's formula; those
    of 12 or 13 digits, and Maestro's, beside a word such as `card`."""
    for match in _matches(_CARD, scan, 12):
        digits = re.sub("[ -]", "", match[0])
        if not luhn(digits) or len(set(digits)) < 2:
            continue
        known = bool(_ISSUERS.fullmatch(digits))
        if (known and len(digits) > 13) or (
            (known or _MAESTRO.fullmatch(digits)) and _near(_CARD_WORDS, match)
        ):
            yield Span(*match.span(), "CREDIT_CARD", 1.0)


def _matches(pattern: re.Pattern[str], scan: Scan, least: int) -> Iterator[re.Match[str]]:
    """Matches that start in a run of numbers of `least` characters or more; they see what follows
    the run."""
    for start, end in scan.numbers:
        if end - start >= least:
            for match in pattern.finditer(scan.text, start, end + 2):
                if match.start() < end:
                    yield match


def luhn(digits: str) -> bool:
    """Whether the last digit is the check digit of ISO/IEC 7812-1, annex B."""
    total = sum(map(int, digits[-1::-2]))
    return (total + sum(sum(divmod(2 * int(digit), 10)) for digit in digits[-2::-2])) % 10 == 0


def accounts(scan: Scan) -> Iterator[Span]:
    """IBAN_CODE: of its country's length, with the check digits of ISO 13616-1."""
    seen = -1
    for start, end in sorted({*scan.numbers, *scan.codes}):
        first = max(0, start - 12, seen)
        for match in _IBAN.finditer(scan.text, first, min(len(scan.text), end + 40)):
            length = _LENGTHS.get(match[0][:2].upper(), 0)
            whole = re.match(rf"(?:[ -]?[0-9A-Za-z]){{{length}}}(?![0-9A-Za-z])", match[0])
            if length and whole and _mod_97(re.sub("[ -]", "", whole[0])):
                seen = match.start() + whole.end()
                yield Span(match.start(), seen, "IBAN_CODE", 1.0)


def _mod_97(code: str) -> bool:
    return int("".join(str(int(char, 36)) for char in code[4:] + code[:4])) % 97 == 1


def social_security(scan: Scan) -> Iterator[Span]:
    """US_SSN: with hyphens, or beside its name; of numbers that may have been issued."""
    for match in _matches(_SSN, scan, 9):
        if _issued(match) and (match[2] == "-" or _near(_SSN_WORDS, match)):
            yield Span(*match.span(), "US_SSN", 0.85)


def _issued(match: re.Match[str]) -> bool:
    area, group, serial = match[1], match[3], match[4]
    return area not in ("000", "666") and area < "900" and group != "00" and serial != "0000"


def _near(words: re.Pattern[str], match: re.Match[str]) -> bool:
    text, start, end = match.string, match.start(), match.end()
    return bool(
        words.search(text[max(0, start - _REACH) : start])
        or words.search(text[end : end + _REACH // 2])
    )
