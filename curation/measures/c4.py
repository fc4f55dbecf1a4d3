"""What C4 and mC4 measure of a page; the lines C4 removes are an edit, see `curation.edits`."""

from __future__ import annotations

from curation.measures.signals import Measure
from curation.measures.view import View

LONG_LINE = 200


def mc4(view: View) -> dict[str, float]:
    """mC4's paragraph filter."""
    return {"long_lines": sum(len(line) >= LONG_LINE for line in view.text.split("\n"))}


def c4(view: View) -> dict[str, float]:
    """C4's limit on the length of a page."""
    return {"characters": len(view.text)}


C4 = Measure(
    "c4",
    1,
    {"characters": "Characters of the text. C4 took no page of more than 190,000."},
    c4,
    source="tensorflow/datasets 3e77995, text/c4_utils.py, `is_valid_length`",
)
MC4 = Measure(
    "mc4",
    1,
    {"long_lines": r"Lines between `\n` that have 200 characters or more."},
    mc4,
    source="tensorflow/datasets 3e77995, text/c4_utils.py, `paragraph_filter`",
)
