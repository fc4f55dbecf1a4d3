"""Text of strangers, made fit to be shown: no personal data, nothing hidden, not too long."""

from __future__ import annotations

import unicodedata
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path

from curation.pii import TYPES, Finder, Redactor
from curation.pii.policies import Redacted
from curation.pii.settings import everything
from pipelines.recipes.files import CHAINS
from pipelines.runs.steps import Context, folder_path
from schemas.base import ModelFolder
from schemas.chain import RedactStep

# Text that is looked at to find personal data. What stands across its end may be missed there,
# so that as much as an e-mail address can have (254 characters, RFC 5321) is not shown.
_WINDOW = 20_000
_MARGIN = 400

# Controls, formats (such as those that turn the direction of writing), surrogates, private and
# unassigned code points, line separators: shown by number. The joiners and the soft hyphen are
# parts of ordinary words and change nothing around them.
_HIDDEN = {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}
_HARMLESS = "\n\t\u200c\u200d\u00ad"


class _Visible(dict[int, str]):
    def __missing__(self, code: int) -> str:
        char = chr(code)
        hidden = unicodedata.category(char) in _HIDDEN and char not in _HARMLESS
        self[code] = f"⟨U+{code:04X}⟩" if hidden else char
        return self[code]


_VISIBLE = _Visible()


def visible(text: str) -> str:
    """The text with every hidden character replaced by its number, such as ⟨U+202E⟩."""
    return text.translate(_VISIBLE)


_PLAIN = Redactor(Finder(TYPES))
_redactor: ContextVar[Redactor | None] = ContextVar("redactor", default=None)


@contextmanager
def redacting(context: Context) -> Iterator[None]:
    """Excerpts leave out what the run's recipe looks for too: patterns, and names by a model."""
    steps = (step for name in CHAINS for step in getattr(context.recipe, name).chain)
    asked = [step.asked for step in steps if isinstance(step, RedactStep)]

    def find(model: ModelFolder) -> Path:
        return folder_path(context.run, str(model.sha256))

    token = _redactor.set(everything(asked, find))
    try:
        yield
    finally:
        _redactor.reset(token)


def excerpt(text: str, most: int) -> tuple[str, bool]:
    """At most `most` characters of a text, without personal data; and whether there is more.

    Personal data of all kinds is replaced, whatever the recipe replaces; see `redacting`. It is
    still text of strangers: the reader of it escapes it.
    """
    clean = (_redactor.get() or _PLAIN).redact([text[:_WINDOW]])[0].text
    if len(text) > _WINDOW:
        clean = clean[: max(0, len(clean) - _MARGIN)]
    clean = "\n".join(line.strip() for line in clean.splitlines() if line.strip())
    cut = len(clean) > most or len(text) > _WINDOW
    return visible(clean[:most].rstrip()), cut


def evidence(
    text: str, most: int, spans: Sequence[tuple[int, int]] = ()
) -> tuple[str, bool, list[tuple[int, int]]]:
    """An excerpt as `excerpt` makes it, around the first of `spans` of the text if there are any;
    and where in it these spans stand, and what is in the place of personal data."""
    first = max(0, min((start for start, _ in spans), default=0) - most // 4)
    first = first if first > _MARGIN else 0
    window = text[max(0, first - _MARGIN) : first + _WINDOW]
    found = (_redactor.get() or _PLAIN).redact([window])[0]
    shift = max(0, first - _MARGIN)
    marks = [(place.start, place.end) for place in found.places]
    for start, end in spans:
        marks.append((_moved(found, start - shift), _moved(found, end - shift)))
    begin = _moved(found, first - shift)
    last = len(found.text) - (_MARGIN if first + _WINDOW < len(text) else 0)
    shown: list[str] = []
    places: list[int] = []  # in the redacted window, of each character shown
    at = 0
    for row in found.text.split("\n"):
        inner = row.strip()
        start = at + row.find(inner) if inner else at
        for place, char in enumerate(inner, start):
            if begin <= place < last and len(shown) < most:
                drawn = visible(char)
                shown += drawn
                places += [place] * len(drawn)
        if shown and inner and len(shown) < most:
            shown.append("\n")
            places.append(start + len(inner))
        at += len(row) + 1
        if at >= last or len(shown) >= most:
            break
    told = "".join(shown).rstrip()
    inside = (
        (bisect_left(places, start), min(bisect_left(places, end), len(told)))
        for start, end in marks
    )
    cut = first > 0 or at < last or len(shown) >= most or last < len(found.text)
    return told, cut, _apart((start, end) for start, end in inside if start < end)


def _moved(found: Redacted, at: int) -> int:
    """Where a character of the text stands in the redacted one."""
    moved = at
    for before, after in zip(found.spans, found.places, strict=True):
        if before.end <= at:
            moved = after.end + at - before.end
        elif before.start < at:
            moved = after.end
    return max(0, moved)


def _apart(marks: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    """Spans in order, those that touch as one."""
    found: list[tuple[int, int]] = []
    for start, end in sorted(marks):
        if found and start <= found[-1][1]:
            found[-1] = found[-1][0], max(end, found[-1][1])
        else:
            found.append((start, end))
    return found


def line(text: str | None, most: int = 160) -> str:
    """A short text, such as a URL or a title, on one line; nothing for None."""
    shown, cut = excerpt(" ".join((text or "").split()), most)
    return shown + "…" if cut else shown
