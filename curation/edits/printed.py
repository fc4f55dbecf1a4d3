"""Papers and books: what stands on a page and is no text of it."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator
from itertools import pairwise

from curation.edits.edit import Edit
from curation.measures import View

_LEAST_PAGES = 3  # on which a line stands to be a header
_NUMBER = re.compile(
    r"\s*(?:[-–—\[(]\s*)?(?:page\s+)?(\d{1,4})(?:\s+of\s+\d{1,4})?(?:\s*[-–—\])])?\s*", re.I
)
_EDGE = re.compile(r"^(\d{1,4})\s+|\s+(\d{1,4})$")
_START = re.compile(r"^\*\*\*\s*START OF TH(?:E|IS) PROJECT GUTENBERG EBOOK\b.*$", re.I | re.M)
_END = re.compile(
    r"^(?:\*\*\*\s*END OF TH(?:E|IS) PROJECT GUTENBERG EBOOK\b|"
    r"End of (?:the )?Project Gutenberg'?s).*",
    re.I | re.M | re.S,
)
_REFERENCES = re.compile(
    r"^[ \t]*(?:#+[ \t]*)?(?:\d{1,2}\.?[ \t]+)?"
    r"(?:references|bibliography|works cited|literature cited)[ \t]*:?[ \t]*$",
    re.I | re.M,
)
_APPENDIX = re.compile(r"^[ \t]*(?:#+[ \t]*)?(?:appendix|appendices|supplementary)\b", re.I | re.M)
_ENTRY = re.compile(r"^\s*\[?\d{1,3}[\].]|\b(?:1[6-9]|20)\d\d[a-z]?\b")
_SECTION = re.compile(r"^[ \t]*\\(?:part|chapter|section)\b\*?[ \t]*[\[{]", re.M)
_DOCUMENT = re.compile(r"\\begin\{document\}")
_COMMENT_LINES = re.compile(r"^[ \t]*%.*\n?", re.M)
_COMMENT = re.compile(r"(?<!\\)%.*$", re.M)
_BACK = re.compile(
    r"\\(?:begin\{(?:references|thebibliography)\}|bibliography\{|printbibliography\b|"
    r"end\{document\}).*",
    re.I | re.S,
)


def _page_furniture(view: View) -> tuple[View, dict[str, float]]:
    """Page numbers and running headers and footers go. Pages end at form feeds; without any, at
    lines of nothing but a number, if it is one more than on the page before and the pages have 3
    lines or more. A first or last line of a page goes if it stands on 3 pages or more: the same, or
    but for a number that counts the pages. Headings count otherwise, and stay."""
    rows = view.rows
    gone = {at for at, _ in _numbered(rows)} if "\f" not in view.text else set()
    feeds = (at - row.startswith("\f") for at, row in enumerate(rows) if "\f" in row)
    ends = [*feeds] if "\f" in view.text else sorted(gone)
    if len(ends) + 1 < _LEAST_PAGES:
        return view, {"lines": 0}
    where: dict[tuple[str, int | None], set[int]] = defaultdict(set)
    for page, (start, end) in enumerate(pairwise([-1, *ends, len(rows)])):
        inside = [at for at in range(start + 1, min(end + 1, len(rows))) if rows[at].strip()]
        edges = [at for at in inside if at not in gone]
        for at in {*edges[:1], *edges[-1:]}:
            row = " ".join(rows[at].split())
            number = _NUMBER.fullmatch(row) or _EDGE.search(row)
            value = next(filter(None, number.groups()), None) if number else None
            rest = _EDGE.sub("", row) if value and not _NUMBER.fullmatch(row) else row
            own = "" if _NUMBER.fullmatch(row) else rest.casefold()
            where[own, int(value) - page if value else None].add(at)
    for places in where.values():
        if len(places) >= _LEAST_PAGES:
            gone |= places
    if not gone:
        return view, {"lines": 0}
    text = "\n".join(row for at, row in enumerate(rows) if at not in gone)
    return view.edited(text), {"lines": len(gone)}


def _numbered(rows: list[str]) -> Iterator[tuple[int, int]]:
    """Lines of nothing but a number that count pages, and their numbers."""
    found = [(at, int(m[1])) for at, row in enumerate(rows) if (m := _NUMBER.fullmatch(row))]
    counting = [
        (one, other)
        for one, other in pairwise(found)
        if other[1] == one[1] + 1 and other[0] - one[0] > _LEAST_PAGES
    ]
    # of pairs that go on: 3 pages in a row
    for before, after in pairwise(counting):
        if before[1] == after[0]:
            yield from (*before, after[1])


def _gutenberg(view: View) -> tuple[View, dict[str, float]]:
    """Project Gutenberg's licence before and behind a book goes."""
    start, end = _START.search(view.text), _END.search(view.text)
    first = start.end() if start else 0
    last = end.start() if end and end.start() > first else len(view.text)
    text = view.text[first:last].strip("\n") if start or end else view.text
    removed = len(view.text) - len(text)
    return (view.edited(text) if removed else view), {"removed": removed}


def _references(view: View) -> tuple[View, dict[str, float]]:
    """The list of references goes: from its heading, in the second half of the text, to the end or
    an appendix, if a third of its lines have a number in front or a year."""
    text = view.text
    for heading in reversed(list(_REFERENCES.finditer(text, len(text) // 2))):
        appendix = _APPENDIX.search(text, heading.end())
        end = appendix.start() if appendix else len(text)
        lines = [row for row in text[heading.end() : end].split("\n") if row.strip()]
        if lines and 3 * sum(1 for row in lines if _ENTRY.search(row)) >= len(lines):
            rest = text[: heading.start()].rstrip() + ("\n\n" + text[end:] if appendix else "\n")
            return view.edited(rest), {"removed": len(text) - len(rest)}
    return view, {"removed": 0}


def _latex(view: View) -> tuple[View, dict[str, float]]:
    """Of LaTeX, all before the first section goes if there is a preamble, comments and the
    bibliography too. The reference also expands macros without arguments, and gives nothing for a
    text without sections."""
    text = view.text
    if "\\" not in text or not (_SECTION.search(text) or _DOCUMENT.search(text)):
        return view, {"removed": 0}
    begin = _DOCUMENT.search(text)
    if begin:
        section = _SECTION.search(text, begin.end())
        text = text[section.start() if section else begin.end() :]
    text = _COMMENT.sub("", _COMMENT_LINES.sub("", _BACK.sub("", text)))
    removed = len(view.text) - len(text)
    return (view.edited(text) if removed else view), {"removed": removed}


PRINTED = (
    Edit(
        "page_furniture",
        1,
        {"lines": "Lines that were taken out: page numbers, running headers and footers."},
        _page_furniture,
        source="Lin 2003, Header and footer extraction by page association, SPIE 5010",
    ),
    Edit(
        "gutenberg",
        1,
        {"removed": "Characters that were taken out before the book and behind it."},
        _gutenberg,
        source="Rae et al. 2020 (PG-19), arXiv 1911.05507; the marks are Project Gutenberg's",
    ),
    Edit(
        "references",
        1,
        {"removed": "Characters of the list of references that were taken out."},
        _references,
        source="Touvron et al. 2023 (LLaMA), arXiv 2302.13971, section 2.1, for texts that are not "
        "LaTeX",
    ),
    Edit(
        "latex",
        1,
        {"removed": "Characters of preamble, comments and bibliography that were taken out."},
        _latex,
        source="Touvron et al. 2023 (LLaMA), arXiv 2302.13971, section 2.1; RedPajama-Data rp_v1, "
        "data_prep/arxiv",
    ),
)
