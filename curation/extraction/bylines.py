"""Names of authors: out of what a page declares, and out of the lines around its heading."""

from __future__ import annotations

import re
from collections.abc import Iterable
from itertools import chain

from curation.extraction.nearby import Line, Piece

_CHARACTERS = 100
_ATTRIBUTES = ("class", "id", "itemprop")
_ANCESTORS = 3  # whose class says of a name that it is an author's

# What stands before a name, after it, and instead of it.
_BY = re.compile(
    r"(?i:(?:(?:written|posted|published|reviewed|created)\s+)?by|text|autore?|autorin|author)"
    r"(?:\s*:\s*|\s+)"
    # These may also be of the name: not before two more words.
    r"|(?i:von|par|por|di|door|af|av)\s+(?=[^\W\d_a-z]\S*\s+\S)"
)
# What a byline in sight begins with, by language; alone in its element, or before the name.
_SIGNS = (
    # English
    r"(?:(?:an? )?(?:article|story|post|words|text|written|posted|published|submitted|started"
    r"|created|authored|contributed) )?by|text|authors?|author\(s\)|(?:thread|topic) starter",
    # German
    r"(?:(?:text|verfasst|geschrieben|veröffentlicht|erstellt|gespeichert|eingestellt|gepostet"
    r"|(?:ein )?(?:beitrag|artikel)|gastbeitrag) )?von|autor(?:/?in|en|innen)?|verfasser(?:in)?",
    # French
    r"(?:(?:écrit|publié|rédigé|posté|proposé) )?par|auteure?s?|autrice",
    # Spanish and Portuguese
    r"(?:(?:escrito|publicado|redactado|enviado) )?por|autora|autores",
    # Italian
    r"(?:(?:scritto|pubblicato|inserito) )?da|a cura di|di|autore",
    # Dutch, Danish, Norwegian, Swedish, Finnish
    r"(?:(?:geschreven|geplaatst) )?door|(?:skrevet |skriven )?a[fv]|tekst|skribent|kirjoittaja",
    # Polish, Czech, Russian, Turkish, Japanese, Chinese
    r"autorka|napisała?|napsala?|автор|текст|yazan|yazar|著者|作者",
)
_SIGNED = re.compile(rf"(?:{'|'.join(_SIGNS)})(?:\s*[:：]\s*|\s+|\Z)")
_AFTER_NAME = re.compile(
    r"\s+[|•·●–—/-]\s+|\s*[|•·●]\s*|[,;]?\s+(?:on|am|le|el|vom|in|at|im|den|il|op|для|for)\s"
    r"|[,\s(]+\d|\s*[:(\[]"
)
_NO_NAME = re.compile(
    r"https?:|www\.|@\w|\d{3}|\d:\d|[{}<>|\[\]=]|\.(?:com|de|org|net|at|ch|info)\b"
    r"|\A(?:admin(?:istrator)?|editor|author|staff|user|super user|webmaster|publisher|unknown"
    r"|anonymous|null|none|undefined|n/?a|redaktion|guest|written by|by)\Z",
    re.IGNORECASE,
)
# What stands in elements for authors beside their names.
_NO_BYLINE = re.compile(
    r"\A(?:about|view|see|read|learn|follow|share|show|more|mehr|alle|all|zum|zur|the|posts?|member"
    r"|beiträge|article|artikel|autor|verfasser|author|posted|written|published|updated|last|date"
    r"|datum|comments?|kommentare?|twitter|facebook|linkedin|instagram|email|e-mail|home|blog|news"
    r"|senior|junior|well-known|joined|contributor|offline|online|active|new|new member|share|print"
    r"|contents?|table|photo|foto|image|bild|quelle|source|credit|min|minutes?|reading)\b",
    re.IGNORECASE,
)
_DEGREE = re.compile(
    r"(?:ph\.?\s?d|m\.?d|m\.?[as]|m\.?b\.?a|r\.?n|dr|prof|jr|sr|rdn?|cpa|esq|e\. ?v)\.?\Z",
    re.IGNORECASE,
)
_BETWEEN = re.compile(r"\s*(?:;|,|\band\b|\bund\b|\bet\b|&|\s/\s|\|)\s*")
# A name as it stands in a byline: up to four words.
_BYLINE = re.compile(r"(?=.{2,40}\Z)[^\W\d]\S*(?:(?: \S+){0,2} [^\W\d_a-zäöü]\S*)?\Z")
# Names of classes and the like of elements for authors, and of what stands in these too.
_MARKS = (
    *("author", "byline", "autor", "verfasser", "auteur", "posted-by", "postedby", "username"),
    *("writer", "contributor"),
)
_NO_MARKS = (
    *("bio", "desc", "avatar", "image", "img", "photo", "date", "time", "publi", "role", "title"),
    *("count", "job", "posit", "social", "badge", "follow", "comment", "related", "label"),
    *("company", "stat"),
)


def names(texts: Iterable[str]) -> list[str]:
    """Names of people in texts of one line, each once."""
    found: dict[str, None] = {}
    for line in texts:
        if by := _BY.match(line):
            line = line[by.end() :]
        for part in _BETWEEN.split(line):
            name = part.strip(" .,:-–—·")
            if (
                2 <= len(name) <= _CHARACTERS
                and not _NO_NAME.search(name)
                and not _DEGREE.match(name)
            ):
                found.setdefault(name)
    return list(found)


def byline(texts: Iterable[str]) -> list[str]:
    """The names in the texts of elements for authors that are no more than names."""
    return [name for name in names(texts) if _BYLINE.match(name) and not _NO_BYLINE.match(name)]


def shown(lines: Iterable[Line]) -> list[str]:
    """The names in the first byline among lines.

    It is told by its words, as in "By Ada Miller", or by the classes of the elements around it.
    """
    signed = False  # by the piece before
    for piece in chain.from_iterable(lines):
        text = piece.text
        found: list[str] = []
        if len(text) > _CHARACTERS:
            signed = False
        elif by := _SIGNED.match(text.lower()):
            rest = text[by.end() :]
            found = _signature(rest) if rest[:1].isupper() else []
            signed = not rest
        elif signed:
            found = _signature(text)
            signed = False
        elif _BYLINE.match(text) and _is_marked(piece):
            found = byline([text])
        if found:
            return found
    return []


def _signature(text: str) -> list[str]:
    """The names that a text which follows on "by" begins with."""
    text = _AFTER_NAME.split(text, maxsplit=1)[0]
    found = byline([text])
    return found if all(name[0].isupper() or " " not in name for name in found) else []


def _is_marked(piece: Piece) -> bool:
    """Whether an element around a piece says that it is of an author, and none nearer denies it."""
    node = piece.element
    for _ in range(_ANCESTORS):
        attributes = node.attributes
        if attributes:
            marks = " ".join(attributes.get(key) or "" for key in _ATTRIBUTES).lower()
            if any(word in marks for word in _NO_MARKS):
                return False
            marks += f" {attributes.get('rel') or ''} {attributes.get('href') or ''}".lower()
            if any(word in marks for word in _MARKS):
                return True
        if node.parent is None:
            return False
        node = node.parent
    return False
