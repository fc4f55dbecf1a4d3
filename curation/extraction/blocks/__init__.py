"""Main text by a learned choice of a page's blocks; README.md beside this file says how."""

from __future__ import annotations

import numpy as np

from curation.extraction.blocks.dom import AROUND, read
from curation.extraction.blocks.features import measure
from curation.extraction.blocks.model import choose, probabilities
from curation.extraction.blocks.text import render
from schemas.recipe import Extract

_BETAS = {"precision": 0.5, "balanced": 1.0, "recall": 2.0}


def main_text(html: str, options: Extract) -> str:
    """The main text of a page, "" if none is found. Never fails on any string.

    `favor` sets the beta of the F-measure that the cut maximises.
    """
    page = read(html)
    if not page.texts:
        return ""
    features, words, _ = measure(page)
    chosen = choose(probabilities(features), words, _BETAS[options.favor])
    return render(page, np.flatnonzero(chosen).tolist())
