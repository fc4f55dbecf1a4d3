"""Numbers by which states know a person, by Presidio's recognizers.

Digits alone say nothing: a row of nine is a US passport, a Portuguese taxpayer, or a price list.
So a number counts beside a word that names it, and where a country's number has a check digit, that
must be right. The forms and checks are Presidio's; the words are ours, because some of Presidio's
are too common to say much (`us`, `check`, `car`).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from typing import Any

from curation.imports import without_torch
from curation.pii.scan import Scan
from curation.pii.spans import Span

# Presidio's recognizer of a type, and the words of which one must be near.
_NATIONAL = {
    "US_ITIN": ("UsItinRecognizer", "itin|taxpayer identification|tax id|taxpayer id"),
    "US_PASSPORT": ("UsPassportRecognizer", "passport"),
    "US_DRIVER_LICENSE": (
        "UsLicenseRecognizer",
        r"driver'?s?'?s? licen[sc]e|driving licen[sc]e|driver'?s? permit|dl (?:no|number)",
    ),
    "US_BANK_NUMBER": (
        "UsBankRecognizer",
        "bank account|account (?:no|number|#)|acct|checking account|savings account",
    ),
    "US_MBI": ("UsMbiRecognizer", "medicare|mbi|beneficiary"),
    "MEDICAL_LICENSE": ("MedicalLicenseRecognizer", "dea|medical licen[sc]e"),
    "UK_NHS": ("NhsRecognizer", "nhs|national health service"),
    "UK_NINO": ("UkNinoRecognizer", "national insurance|nino|ni (?:no|number)"),
    "UK_PASSPORT": ("UkPassportRecognizer", "passport"),
    "UK_DRIVING_LICENCE": ("UkDrivingLicenceRecognizer", "driving licen[sc]e|dvla|licen[sc]e"),
    "CA_SIN": ("CaSinRecognizer", "social insurance|sin|assurance sociale|nas"),
    "AU_TFN": ("AuTfnRecognizer", "tax file|tfn"),
    "AU_MEDICARE": ("AuMedicareRecognizer", "medicare"),
    "IN_AADHAAR": ("InAadhaarRecognizer", "aadhaar|aadhar|uidai|आधार"),
    "IN_PAN": ("InPanRecognizer", "pan|permanent account"),
    "IN_PASSPORT": ("InPassportRecognizer", "passport"),
    "IN_VOTER": ("InVoterRecognizer", "voter|epic"),
    "SG_NRIC_FIN": ("SgFinRecognizer", "nric|fin"),
    "ES_NIF": ("EsNifRecognizer", "dni|nif|documento nacional"),
    "ES_NIE": ("EsNieRecognizer", "nie|identidad de extranjero|identificación de extranjero"),
    "ES_PASSPORT": ("EsPassportRecognizer", "pasaporte|passport"),
    "IT_FISCAL_CODE": ("ItFiscalCodeRecognizer", "codice fiscale|cod fiscale|fiscal code|cf"),
    "IT_DRIVER_LICENSE": ("ItDriverLicenseRecognizer", "patente"),
    "IT_IDENTITY_CARD": ("ItIdentityCardRecognizer", "carta d.identità|carta di identità|cie"),
    "IT_PASSPORT": ("ItPassportRecognizer", "passaporto|passport"),
    "PL_PESEL": ("PlPeselRecognizer", "pesel"),
    "FI_PERSONAL_IDENTITY_CODE": (
        "FiPersonalIdentityCodeRecognizer",
        "hetu|henkilötunnus|personbeteckning|personal identity code",
    ),
    "SE_PERSONNUMMER": ("SePersonnummerRecognizer", "personnummer|samordningsnummer"),
    "DE_TAX_ID": ("DeTaxIdRecognizer", r"steuer-?\s?id\w*|steueridentifikationsnummer|idnr"),
    "DE_ID_CARD": ("DeIdCardRecognizer", "personalausweis|ausweis|ausweisnummer|identity card"),
    "DE_PASSPORT": ("DePassportRecognizer", "reisepass|passnummer|reisepassnummer|passport"),
    "DE_SOCIAL_SECURITY": (
        "DeSocialSecurityRecognizer",
        "rentenversicherungsnummer|sozialversicherungsnummer|rvnr|svnr|versicherungsnummer",
    ),
    "DE_HEALTH_INSURANCE": (
        "DeHealthInsuranceRecognizer",
        "krankenversichertennummer|krankenversicherungsnummer|versichertennummer|kvnr",
    ),
    "DE_FUEHRERSCHEIN": ("DeFuehrerscheinRecognizer", "führerschein|führerscheinnummer"),
    "KR_RRN": ("KrRrnRecognizer", "주민등록번호|주민번호|rrn|resident registration"),
    "KR_FRN": ("KrFrnRecognizer", "외국인등록번호|frn|foreigner registration"),
    "KR_PASSPORT": ("KrPassportRecognizer", "여권|여권번호|passport"),
    "KR_DRIVER_LICENSE": ("KrDriverLicenseRecognizer", "운전면허|면허번호|driver'?s? licen[sc]e"),
    "TH_TNIN": ("ThTninRecognizer", "เลขประจำตัวประชาชน|เลขบัตรประชาชน|thai (?:national )?id|tnin"),
    "TR_NATIONAL_ID": ("TrNationalIdRecognizer", "kimlik|tckn|t\\.?c\\.? no|turkish id"),
    "NG_NIN": ("NgNinRecognizer", "nin|national identification|national identity"),
    "PH_PASSPORT": ("PhPassportRecognizer", "passport|pasaporte"),
    "PH_TIN": ("PhTinRecognizer", "tin|taxpayer identification"),
    "PH_UMID": ("PhUmidRecognizer", "umid|crn"),
    "ZA_ID_NUMBER": ("ZaIdNumberRecognizer", "id number|identity number|rsa id|sa id"),
    "ZA_PASSPORT": ("ZaPassportRecognizer", "passport"),
}
# Where Presidio has a pattern for anything, to be told by its words alone.
_LEAST_SCORES = {"IN_PAN": 0.05}
TYPES = frozenset(_NATIONAL)

_BEFORE, _AFTER = 60, 20  # characters in which a word belongs to a number
_LONGEST = 30  # characters that a number may begin before, or end after, its candidate
_CHECKED, _NAMED = 1.0, 0.75


def identifiers(types: frozenset[str], scan: Scan) -> Iterator[Span]:
    """Those of `types`: beside a word that names them and, where there is one, with the right
    check digit. The longest of what overlaps."""
    words = _words(types)
    for start, end in sorted({*scan.numbers, *scan.codes}):
        near = f"{scan.text[max(0, start - _BEFORE) : start]} \n {scan.text[end : end + _AFTER]}"
        for match in words.finditer(near):
            for type_ in sorted(_named(match[0].lower()) & types):
                yield from _verified(type_, scan.text, start, end)


def _verified(type_: str, text: str, start: int, end: int) -> Iterator[Span]:
    """What a recognizer finds that overlaps [start, end) of a text."""
    patterns, recognizer = _recognizer(type_)
    for pattern in patterns:
        for match in pattern.finditer(text, max(0, start - _LONGEST), end + _LONGEST):
            if match.start() >= end or match.end() <= start or not match[0]:
                continue
            right = recognizer.validate_result(match[0])
            if right is False or recognizer.invalidate_result(match[0]):
                continue
            if _stands_alone(text, *match.span()):
                yield Span(*match.span(), type_, _CHECKED if right else _NAMED)


def _stands_alone(text: str, start: int, end: int) -> bool:
    """Whether no Latin letter or digit, and no decimal point, goes on from a number."""
    before, after = text[max(0, start - 1) : start], text[end : end + 2]
    return not (before.isascii() and before.isalnum()) and not re.match(
        r"[0-9A-Za-z]|[.,-][0-9]", after
    )


@cache
def _words(types: frozenset[str]) -> re.Pattern[str]:
    every = "|".join(dict.fromkeys(_NATIONAL[type_][1] for type_ in sorted(types)))
    return re.compile(rf"(?<![A-Za-z0-9])(?:{every})(?![A-Za-z0-9])", re.IGNORECASE)


@cache
def _named(word: str) -> frozenset[str]:
    """Types that a word names, in small letters."""
    return frozenset(
        type_ for type_, (_, words) in _NATIONAL.items() if re.fullmatch(f"(?:{words})", word)
    )


@cache
def _recognizer(type_: str) -> tuple[list[re.Pattern[str]], Any]:
    """Presidio's patterns, in which letters of other scripts end a word, and its recognizer."""
    # Takes seconds, and only who meets a candidate needs it.
    with without_torch():
        from presidio_analyzer import predefined_recognizers

    recognizer = getattr(predefined_recognizers, _NATIONAL[type_][0])()
    flags = re.ASCII | re.DOTALL | re.MULTILINE
    patterns = [
        re.compile(
            pattern.regex.replace("(?i)", ""),
            flags | (re.IGNORECASE if "(?i)" in pattern.regex else re.NOFLAG),
        )
        for pattern in recognizer.patterns
        if pattern.score >= _LEAST_SCORES.get(type_, 0)
    ]
    return patterns, recognizer
