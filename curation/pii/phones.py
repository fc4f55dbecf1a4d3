"""Telephone numbers: international ones, by the numbering plans that `phonenumbers` knows; those of
North America as they are written there; others beside a word that calls them so.

Without a country a row of digits has no numbering plan: `33 93 31` is a number of Greenland
behind `you can call`, and three numbers anywhere else.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from curation.pii.scan import Scan
from curation.pii.spans import Span

_GROUP = re.compile(r"[0-9]+", re.ASCII)
_CLOSED = re.compile(r"[0-9]{1,5}\)", re.ASCII)
_LEAST, _MOST = 6, 15  # digits; ITU-T E.164, 6.1
# NANP: an area code and an exchange never start with 0 or 1.
_NANP = re.compile(
    r"(?:1[ .-]?)?(?:\([2-9][0-9]{2}\) ?|[2-9][0-9]{2}([.-]))[2-9][0-9]{2}([.-])[0-9]{4}", re.ASCII
)
_AFTER_OTHERS = re.compile(
    r"(?<=[0-9] )((?:\([2-9][0-9]{2}\) ?|[2-9][0-9]{2}-)[2-9][0-9]{2}-[0-9]{4})\Z", re.ASCII
)
_OURS = re.compile(r"(?:1\D{0,2})?\(?[2-9][0-9]{2}\D{1,2}555\D?01[0-9]{2}", re.ASCII)

# Nouns that stand before or after nothing but a telephone number; then words that may.
_NOUNS = (
    r"(?:tele)?phones?|tel|telephone|fax|telefax|mobiles?|cell(?:ular|phone)?|whatsapp|viber"
    r"|hotline|helpline|landline|pager|sms|gsm|dial|toll.free|phone number|telefon\w*|handy|mobil"
    r"|rufnummer|durchwahl|téléphone|tél|portable|teléfonos?|telefone|telefono|móvil|celular|"
    r"cellulare|telefoon|puhelin\w*|telefonu?|komórka|τηλ\w*|телефон\w*|тел|факс|моб|電話|电话"
    r"|手机|手機|传真|전화|휴대폰|هاتف|تلفن|جوال|फोन|โทร\w*|điện thoại|sđt"
)
_VERBS = (
    r"call|ring|text(?= (?:me|us|him|her|them|at)\b)|reach|contact|messages?|rang|phoned|appelez"
    r"|appeler|anrufen|ruf\w*|llama\w*|llame|chiama\w*|звон\w*|позвон\w*"
    r"|(?:(?<=\bmy )|(?<=\byour )|(?<=\bhis )|(?<=\bher )|(?<=\bour ))numbers?"
)
_CUE = re.compile(rf"(?<![a-z])(?:({_NOUNS})|(?:{_VERBS}))(?![a-z])", re.IGNORECASE)
_BEHIND = re.compile(
    r"[ \t]{0,2}[(,:-]?[ \t]?(?:mobile|cell|office|home|work|fax|phone|tel|direct|toll.free)\b",
    re.I,
)
_REACH = 45
_SENTENCE_END = re.compile(r"[.!?]\s+(?=[A-Z])|[。！？;]|\n[^\n]*\n")
_OTHER = re.compile(
    r"(?:isbn|issn|doi|order|invoice|ref|id|zip|patent|oclc|lot|vol|pp?)\b\W*\Z", re.I
)
_AND = re.compile(r"\s*(?:,|;|/|\||&|or|and|oder|und|ou|et|y|o|или|和|或)?\s*\(?\+?\Z")
_DATE = re.compile(
    r"(?:(?:19|20)[0-9]{2}([ ./-])[01]?[0-9]\1[0-3]?[0-9]"
    r"|[0-3]?[0-9]([ ./-])[01]?[0-9]\2(?:19|20)?[0-9]{2}"
    r"|[01]?[0-9]([./-])[0-3]?[0-9]\3(?:19|20)[0-9]{2})(?![0-9])"
)
_YEARS = re.compile(
    r"(?:1[0-9]|20)[0-9]{2} ?[-/\u2010-\u2013 ] ?(?:(?:1[0-9]|20)[0-9]{2}|[0-9]{2})\Z"
)


_FORMULA = re.compile(r"[0-9A-Za-z})=] ?\+|[0-9] ?[\\*^]|[\\$]")
# A decimal number, or an IPv4 address, whether somebody's or not.
_DOTTED = re.compile(r"[0-9]+\.[0-9]+\Z|(?:[0-9]{1,3}\.){3}[0-9]{1,3}\Z")


def numbers(scan: Scan) -> Iterator[Span]:
    """PHONE_NUMBER: those that a text writes for people to dial."""
    text, last = scan.text, -1
    for run_start, run_end in scan.numbers:
        start = run_start
        while start < run_end:
            found = _number(text, start, run_end, last)
            if found:
                yield found
                last = start = found.end
            elif not (start := _next_group(text, start, run_end)):
                break


def _next_group(text: str, start: int, end: int) -> int:
    """Where the next group of digits starts, after a wider gap than one separator; 0 if nowhere."""
    for match in re.finditer(r"[0-9][^0-9]{2,3}+[0-9]|[0-9][/\u2010-\u2013][0-9]", text[start:end]):
        return start + match.end() - 1
    return 0


def _number(text: str, start: int, run_end: int, last: int) -> Span | None:
    """The telephone number that starts with the digits at `start`; `last`: where one ended."""
    before = text[max(0, start - 3) : start]
    opened = start
    if before.endswith("(") and _CLOSED.match(text, start):
        opened -= 1
    plus = before.rstrip("(")[-1:] in ("+", "＋")
    if plus and (end := _international(text, start, run_end)):
        return Span(max(text.rfind(sign, 0, start) for sign in "+＋"), end, "PHONE_NUMBER", 0.9)
    if before and (_glued(before) or _OTHER.search(text[max(0, start - 12) : opened])):
        return None
    end = _end_of_number(text, start, run_end)
    north = _NANP.match(text, opened, run_end)
    if north and not _glued_behind(text, north.end()):
        if _OURS.fullmatch(north[0]):
            return None
        if "." not in north[0] or _cue(text, opened, north.end(), last):
            return Span(opened, north.end(), "PHONE_NUMBER", 0.8)
    if not end or _glued_behind(text, end):
        return None
    if tail := _AFTER_OTHERS.search(text, opened, end):  # behind a ZIP code, say
        return None if _OURS.fullmatch(tail[1]) else Span(tail.start(1), end, "PHONE_NUMBER", 0.8)
    cue = _cue(text, opened, end, last)
    return (
        Span(opened, end, "PHONE_NUMBER", 0.7)
        if cue and _is_dialled(text[opened:end], cue)
        else None
    )


def _international(text: str, start: int, run_end: int) -> int:
    """Where the longest valid number with a country's code ends; 0 if there is none."""
    import phonenumbers  # only for those who look for numbers

    ends = [match.end() for match in _GROUP.finditer(text, start, run_end)]
    for end in reversed(ends[:9]):
        digits = "".join(_GROUP.findall(text[start:end].replace("(0)", "")))
        if not 7 <= len(digits) <= _MOST or _glued_behind(text, end):
            continue
        if text[start:end].isdigit() and _FORMULA.search(text[max(0, start - 4) : end + 3]):
            continue
        try:
            number = phonenumbers.parse(f"+{digits}")
        except phonenumbers.NumberParseException:
            continue
        if phonenumbers.is_valid_number(number):
            return 0 if _OURS.fullmatch(text[start:end]) else end
    return 0


def _end_of_number(text: str, start: int, run_end: int) -> int:
    """Where the groups of digits end that one number can have; 0 if they are not one."""
    digits = groups = 0
    end = 0
    for match in _GROUP.finditer(text, start, run_end):
        gap = text[end : match.start()] if end else ""
        if end and (len(gap) > 1 and not re.fullmatch(r"\) ?-?|[ ./-]?\(|\)[/-]| ?[/-] ?", gap)):
            break
        digits, groups = digits + len(match[0]), groups + 1
        if digits > _MOST or groups > 6:
            return 0
        end = match.end()
    return end if digits >= _LEAST else 0


def _glued(before: str) -> bool:
    """Whether digits go on from a number or a word before them."""
    return bool(
        re.search(r"[0-9A-Za-z_$€£#%@=+*^<>\\]\(?\Z|[0-9][.,:/-]\Z|[A-Za-z][-_/.]\Z", before)
    )


def _glued_behind(text: str, end: int) -> bool:
    return bool(
        re.match(
            r"[0-9A-Za-z_%°€]|[.,:/-][0-9]|[-_][A-Za-z]|\)?[ ]?[-+*/=^<>]=?[ ]?[0-9a-z(]",
            text[end : end + 5],
        )
    )


def _cue(text: str, start: int, end: int, last: int) -> str:
    """The word that says it is a telephone number; what goes on from one that was found is one."""
    if 0 <= last <= start and _AND.match(text[last:start]):
        return "tel"
    before = text[max(0, start - _REACH) : start]
    before = _SENTENCE_END.split(before)[-1]
    cues = [match for match in _CUE.finditer(before) if not _GROUP.search(before, match.end())]
    if any(match[1] for match in cues):
        return "tel"
    if cues and not re.search(r"\bto\s\Z", before):
        return "call"
    return "tel" if _BEHIND.match(text[end : end + 14]) else ""


def _is_dialled(found: str, cue: str) -> bool:
    """Whether digits look like what is dialled, behind a word that says so."""
    groups = _GROUP.findall(found)
    if _DATE.match(found) or _YEARS.match(found) or _DOTTED.match(found):
        return False
    if len(groups) > 1 and len(set(groups)) == 1:
        return False
    if found.isdigit():
        return len(found) >= (7 if cue == "tel" else 9) and len(set(found)) > 2
    return all(len(group) < 12 for group in groups)
