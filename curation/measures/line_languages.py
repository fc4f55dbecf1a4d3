"""The languages of a text's lines: how mixed a page is."""

from __future__ import annotations

import functools
from collections import Counter
from typing import TYPE_CHECKING

from curation.measures.signals import Measure, ratio
from curation.measures.view import View

if TYPE_CHECKING:
    from curation.language import Languages

# A line that is shorter, in characters, or of which the models are less sure, tells nothing.
_LEAST = 40
_SURE = 0.5
_PART = 0.1  # of the characters that tell: what a language must have to count


@functools.cache
def _models() -> Languages:
    from curation.language import FIRST, SECOND, Languages, bundled

    return Languages(bundled(FIRST), bundled(SECOND))


def line_languages(view: View) -> dict[str, float]:
    """How much of a text is in another language than it is said to be, and in how many it is."""
    from curation.language import canonical

    lines = [line for line in map(str.strip, view.rows) if len(line) >= _LEAST]
    sizes: Counter[str] = Counter()
    for line, (code, score) in zip(lines, _models().identify(lines), strict=True):
        if score > _SURE:
            sizes[canonical(code)] += len(line)
    total = sizes.total()
    return {
        "other": ratio(total - sizes[view.language], total),
        "languages": sum(size >= _PART * total for size in sizes.values()),
    }


LINE_LANGUAGES = Measure(
    "line_languages",
    1,
    {
        "other": "Share of lines, by characters, in another language than the document's, of those "
        "of 40 characters or more whose language lid.176 and its second opinion name with a score "
        "above 0.5.",
        "languages": "Languages in which a tenth or more of these lines are, by characters.",
    },
    line_languages,
    ("fasttext",),
    source="the bundled models, see curation/models/README.md",
    by_language=True,
)
