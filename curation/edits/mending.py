"""Small mends of a text, each on its own."""

from __future__ import annotations

import re
from functools import cache
from typing import Any

from curation.edits.c4 import CITATION
from curation.edits.edit import Edit
from curation.measures import View

_BREAKS = re.compile(r"\n{3,}")


def _citations(view: View) -> tuple[View, dict[str, float]]:
    """Wikipedia's marks such as `[1]`, `[edit]` and `[citation needed]` go."""
    text, removed = CITATION.subn("", view.text) if "[" in view.text else (view.text, 0)
    return (view.edited(text) if removed else view), {"removed": removed}


def _line_breaks(view: View) -> tuple[View, dict[str, float]]:
    r"""At most two `\n` follow each other."""
    text = _BREAKS.sub("\n\n", view.text) if "\n\n\n" in view.text else view.text
    removed = len(view.text) - len(text)
    return (view.edited(text) if removed else view), {"removed": removed}


@cache
def _mending() -> Any:
    from ftfy import TextFixerConfig

    return TextFixerConfig(
        fix_latin_ligatures=False,
        fix_character_width=False,
        uncurl_quotes=False,
        fix_line_breaks=False,
        normalization=None,
    )


def _ftfy(view: View) -> tuple[View, dict[str, float]]:
    """Mend text decoded by the wrong character set, HTML entities, stray control characters; leave
    quotes, ligatures, widths and line ends as they are. The work is ftfy's."""
    from ftfy import fix_text

    text = fix_text(view.text, _mending())
    changed = text != view.text
    return (view.edited(text) if changed else view), {"changed": float(changed)}


def _bars(view: View) -> tuple[View, dict[str, float]]:
    """Lines of nothing but `|` and blanks, left over from tables, become an empty line, a run of
    them one; lines end as `str.splitlines` finds them. The reference puts two line ends in their
    place."""
    kept: list[str] = []
    removed, inside = 0, False
    for line in view.lines:
        bars = line.count("|") + line.count(" ") == len(line) and "|" in line
        if not bars:
            kept.append(line)
        elif not inside:
            kept.append("\n")
        removed += bars
        inside = bars
    text = "\n".join(kept)
    return (view.edited(text) if text != view.text else view), {"removed": removed}


MENDING = (
    Edit(
        "citations",
        1,
        {"removed": "Marks such as `[1]`, `[edit]` and `[citation needed]` that were taken out."},
        _citations,
        source="dclm 361714b, `citation_removal_modifier`; the expression is C4's",
    ),
    Edit(
        "line_breaks",
        1,
        {"removed": r"Characters `\n` that were taken out, so that at most two follow each other."},
        _line_breaks,
        source="dclm 361714b, `newline_removal_modifier`, `max_consecutive: 2`",
    ),
    Edit(
        "ftfy",
        1,
        {"changed": "1 if anything in the text was mended, else 0."},
        _ftfy,
        ("ftfy",),
        "FineWeb-2's FTFYFormatter, datatrove 0.10.1",
    ),
    Edit(
        "bar_lines",
        1,
        {"removed": "Lines of nothing but `|` and blanks."},
        _bars,
        source="FineWeb-2's last step, datatrove 0.10.1, SymbolLinesFormatter",
    ),
)
