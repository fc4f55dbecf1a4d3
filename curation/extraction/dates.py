"""Days as pages write them: in declarations, in addresses and in sight, in some fifteen languages.

A text that may mean two days means none.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from datetime import date

from selectolax.lexbor import LexborNode

from curation.extraction.nearby import Line, Piece
from curation.extraction.nearby import text as text_of

_MONTHS = {
    name: number
    for number, names in enumerate(
        (
            "jan january januar jänner janvier janv enero ene gennaio gen janeiro januari stycznia"
            " ledna leden tammikuuta января янв січня ocak มกราคม ม.ค.",
            "feb february februar feber février fevrier févr febrero febbraio fevereiro fev"
            " februari lutego února únor helmikuuta февраля фев лютого şubat กุมภาพันธ์ ก.พ.",
            "mar march märz maerz mär mrz mars marzo março maart mrt marts marca března březen"
            " maaliskuuta марта мар березня mart มีนาคม มี.ค.",
            "apr april avril avr abril abr aprile kwietnia dubna duben huhtikuuta апреля апр квітня"
            " nisan เมษายน เม.ย.",
            "may mai mayo maggio mag maio mei maj maja května květen toukokuuta мая травня mayıs"
            " พฤษภาคม พ.ค.",
            "jun june juni juin junio giugno giu junho czerwca června červen kesäkuuta июня июн"
            " червня haziran มิถุนายน มิ.ย.",
            "jul july juli juillet juil julio luglio lug julho lipca července červenec heinäkuuta"
            " июля июл липня temmuz กรกฎาคม ก.ค.",
            "aug august août aout agosto ago augustus augusti sierpnia srpna srpen elokuuta августа"
            " авг серпня ağustos สิงหาคม ส.ค.",
            "sep sept september septembre septiembre settembre set setembro września září syyskuuta"
            " сентября сен вересня eylül กันยายน ก.ย.",
            "oct october okt oktober octobre octubre ottobre ott outubro out października října"
            " říjen lokakuuta октября окт жовтня ekim ตุลาคม ต.ค.",
            "nov november novembre noviembre novembro listopada listopad marraskuuta ноября ноя"
            " листопада kasım พฤศจิกายน พ.ย.",
            "dec december dez dezember décembre déc decembre diciembre dic dicembre dezembro des"
            " desember grudnia prosince prosinec joulukuuta декабря дек грудня aralık ธันวาคม ธ.ค.",
        ),
        1,
    )
    for name in names.split()
}
# Signs of Thai are no letters to `\w`; its short names have dots in them.
_MONTH = (
    r"(?P<m>(?:[\u0e01-\u0e2e\u0e40\u0e34\u0e35]{1,3}\.){2}|(?:[^\W\d_]|[\u0e31-\u0e4e]){3,12})\.?"
)
# With the year, the month and the day by name, or two numbers of which one is the month.
_PATTERNS = tuple(
    re.compile(pattern)
    for pattern in (
        r"(?<![\d.])(?P<y>[12]\d{3})(?P<s>[-/.])(?P<m>[01]?\d)(?P=s)(?P<d>[0-3]?\d)(?!\d|[.-]\d)",
        r"(?<!\d)(?P<y>[12]\d{3})\s?[年년]\s?(?P<m>[01]?\d)\s?[月월]\s?(?P<d>[0-3]?\d)",
        r"(?<![\d.])(?P<d>[0-3]?\d)\s?\.\s?(?P<m>[01]?\d)\s?\.\s?(?P<y>[12]\d{3})(?!\d)",
        r"(?<![\d.])(?P<d>[0-3]?\d)\.(?P<m>[01]?\d)\.(?P<y>\d\d)(?![\d.])",
        rf"(?<!\d)(?P<d>[0-3]?\d)(?:st|nd|rd|th|er|º|\.)?(?:\s+|-)(?:(?:de|of)\s+)?{_MONTH}"
        r",?(?:\s+|-)(?:del?\s+|พ\.\s?ศ\.\s*)?(?P<y>[12]\d{3})(?!\d)",
        rf"(?<!\w){_MONTH}\s+(?P<d>[0-3]?\d)(?:st|nd|rd|th)?(?:,\s*|\s+)(?P<y>[12]\d{{3}})"
        r"(?!\d)",
        r"(?<![\d/])(?P<a>[0-3]?\d)(?P<s>[-/])(?P<b>[0-3]?\d)(?P=s)(?P<y>[12]\d{3})(?![\d/])",
    )
)
_BARE = re.compile(r"\s*([12]\d{3})([01]\d)([0-3]\d)(?!\d)")
_ADDRESS = re.compile(
    r"/((?:19|20)\d\d)(?:[/-]([01]?\d|[a-z]{3,9})[/-]([0-3]?\d)|([01]\d)([0-3]\d))(?=[^\w%]|_|\Z)",
    re.IGNORECASE,
)
_YEAR = re.compile(r"[12]\d{3}|\d\.\d\d(?!\d)")
_FIRST_YEAR, _LAST_YEAR = 1990, 2100  # of the web
_BUDDHIST = 543  # years more, in Thailand and beyond
_CHARACTERS = 200  # of a text that are read
# Languages that write 03/04 for the fourth of March, and those that may.
_MONTH_FIRST = re.compile(r"en-(?:US|PH)\Z")
_UNDECIDED = re.compile(r"en(?:-CA)?\Z")
_PUBLISHED = re.compile(
    r"datePublished|dateCreated|publish|entry-date|posted-on|pubdate", re.IGNORECASE
)
# What says of a day that it is not that of the first publication, in the languages of the months.
_CHANGED = re.compile(
    r"updat|modifi|edited|editiert|revis|review|änder|aktualis|\bstand\b|mise? à jour|\bmaj\b"
    r"|actualiz|aggiorn|atualiz|bijgewerkt|gewijzigd|opdater|uppdater|oppdater|päivitetty|aktualiz"
    r"|zmieniono|обновл|оновл|güncel|更新|copyright|©|joined|since|registered",
    re.IGNORECASE,
)
# And of what it is not of the page at all: of a manuscript, of an event, of a person.
_OTHER = re.compile(
    r"recei?ved|accepted|submitted|submission|in revised form|eingegangen|eingereicht|angenommen"
    r"|reçu|accepté|soumis|recibido|aceptado|enviado el|recebido|aceito|submetido|ricevuto"
    r"|accettato|ontvangen|geaccepteerd|поступила|принята|принято|投稿受付|受理|收稿|接受日期|수신|접수"
    r"|\bevent (?:date|time)|veranstaltungs|\btermin\b|deadline|\bdue\b|expir|valid (?:un)?til"
    r"|gültig|\b(?:held|takes place|when|wann|quand|cuándo)\b"
    r"|\bborn\b|geboren|\bdied\b|gestorben|\bcomment|kommentar",
    re.IGNORECASE,
)
_RANGE = re.compile(r"\d\s*(?:[-–—~]|bis|to|au|al|до)\s*\Z", re.IGNORECASE)
# The same, in names of classes and properties.
_MARKED_OTHER = re.compile(
    r"(?:start|end)[-_]?(?:date|time)|received|accepted|deadline|birth|death",
    re.IGNORECASE,
)
_STAMP = 32  # characters of a moment by ISO 8601
_LINE = 120  # characters of a line that is no prose
_LABEL = 25  # before a day
_LEAD = 30  # at the beginning of prose
_SHORTEST = 6  # characters of a day


def stated(nodes: list[LexborNode]) -> list[str]:
    """Of `time` elements those that say that they are of the publication, or the only day."""
    given, days = [], set()
    for node in nodes:
        attributes = node.attributes
        text = (attributes.get("datetime") or attributes.get("content") or node.text()).strip()
        days.add(text[:10])
        about = f"{attributes.get('itemprop') or ''} {attributes.get('class') or ''}"
        if "pubdate" in attributes or _PUBLISHED.search(about):
            given.append(text)
        last = text
    return [*given, last] if len(days) == 1 else given


def shown(
    before: Iterable[Line], after: Iterable[Line], language: str | None
) -> Iterator[tuple[date, bool]]:
    """The days in the lines before and after a heading, the likeliest first, each with whether it
    is known to be of a change only; these come last.

    A line after the heading is as likely as one half as far before it.
    """
    changes: list[date] = []
    earlier = list(_in_lines(before, language, changes))
    for place, day in _in_lines(after, language, changes):
        while earlier and 2 * earlier[0][0] <= place:
            yield earlier.pop(0)[1], False
        yield day, False
    yield from ((day, False) for _, day in earlier)
    yield from ((day, True) for day in changes)


def _in_lines(
    lines: Iterable[Line], language: str | None, changes: list[date]
) -> Iterator[tuple[int, date]]:
    """Days and the numbers of their lines, but for those of changes, which are put aside."""
    last = ""
    for place, line in enumerate(lines):
        words = text_of([piece for piece in line if not _is_of_other(piece)])
        if _YEAR.search(words[:_LINE]):
            end = 0
            for start, day in days(words, language):
                if start > _LEAD and len(words) > _LINE:
                    break
                said = words[end:start].strip() or last
                end = start + _SHORTEST
                if _OTHER.search(said[-_LABEL:]) or _RANGE.search(words[:start]):
                    continue
                if _CHANGED.search(said):
                    changes.append(day)
                else:
                    yield place, day
        last = words[:_LEAD]


def _is_of_other(piece: Piece) -> bool:
    """Whether a piece with a year in it is marked as another day than the page's."""
    if not _YEAR.search(piece.text):
        return False
    attributes = piece.element.attributes
    return any(
        (value := attributes.get(key)) and _MARKED_OTHER.search(value)
        for key in ("class", "itemprop", "id")
    )


def days(text: str, language: str | None = None) -> list[tuple[int, date]]:
    """The days that stand in a text, each with where it begins, in order.

    Of 03/04/2025 the `language`, a BCP 47 tag, says which is the month; if it does not, the text
    is left out. Of a text 200 characters are read.
    """
    text = text[:_CHARACTERS]
    if not _YEAR.search(text):
        return []
    if match := _BARE.match(text):
        return [(0, day)] if (day := _date(match[1], int(match[2]), match[3])) else []
    if len(text) <= _STAMP and (match := _PATTERNS[0].match(text)):
        return [(0, day)] if (day := _of(match, None)) else []
    found: dict[int, date] = {}
    for pattern in _PATTERNS:
        for match in pattern.finditer(text):
            if day := _of(match, language):
                found.setdefault(match.start(), day)
    return sorted(found.items())


def first(text: str, language: str | None = None) -> date | None:
    """The day that a text begins with or names first."""
    return next((day for _, day in days(text, language)), None)


def of_address(url: str) -> Iterator[date]:
    """The days in the path of an address."""
    for parts in _ADDRESS.findall(url):
        year, month, day = filter(None, parts)
        if found := _date(year, _month(month), day):
            yield found


def _of(match: re.Match[str], language: str | None) -> date | None:
    parts = match.groupdict()
    if "m" in parts:
        return _date(parts["y"], _month(parts["m"]), parts["d"])
    one, two = int(parts["a"]), int(parts["b"])
    is_american = bool(language and _MONTH_FIRST.match(language))
    is_unknown = not language or _UNDECIDED.match(language) is not None
    if one == two or one > 12 or (two <= 12 and not is_american and not is_unknown):
        return _date(parts["y"], two, one)
    return _date(parts["y"], one, two) if two > 12 or is_american else None


def _month(text: str) -> int:
    return int(text) if text.isdigit() else _MONTHS.get(text.lower(), 0)


def _date(year: str, month: int, day: str | int) -> date | None:
    number = 2000 + int(year) if len(year) == 2 else int(year)
    if number >= _FIRST_YEAR + _BUDDHIST:
        number -= _BUDDHIST
    try:
        found = date(number, month, int(day))
    except ValueError:
        return None
    return found if _FIRST_YEAR <= found.year <= _LAST_YEAR else None
