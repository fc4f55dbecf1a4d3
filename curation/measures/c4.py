"""What mC4 measures; the lines that C4 removes are an edit, see `curation.edits`."""

from __future__ import annotations

from curation.measures.signals import Measure
from curation.measures.view import View

LONG_LINE = 200


def mc4(view: View) -> dict[str, float]:
    r"""mC4's paragraph filter: `long_lines`, lines between `\n` of 200 characters or more.

    Source: tensorflow/datasets 3e77995, text/c4_utils.py, `paragraph_filter`.
    """
    return {"long_lines": sum(len(line) >= LONG_LINE for line in view.text.split("\n"))}


MC4 = Measure("mc4", 1, ("long_lines",), mc4)
