"""Measures: a family of signals each, pure functions of a `View`."""

from __future__ import annotations

from curation.measures.bad_words import BAD_WORDS
from curation.measures.c4 import C4, MC4
from curation.measures.code import CODE
from curation.measures.dclm import DCLM
from curation.measures.dolma import DOLMA
from curation.measures.fineweb import FINEWEB
from curation.measures.fineweb2 import FINEWEB2
from curation.measures.gopher import QUALITY, REPETITION
from curation.measures.nemo import NEMO
from curation.measures.printed import PRINTED
from curation.measures.redpajama import REDPAJAMA
from curation.measures.signals import Measure, Signals, ratio, round_signal
from curation.measures.view import View

__all__ = ["MEASURES", "Measure", "Signals", "View", "ratio", "round_signal"]

# By family. A variant of a reference is a family of its own, such as `gopher_dolma`.
MEASURES: dict[str, Measure] = {
    measure.family: measure
    for measure in (
        QUALITY,
        REPETITION,
        FINEWEB,
        FINEWEB2,
        C4,
        MC4,
        *DCLM,
        *DOLMA,
        *NEMO,
        REDPAJAMA,
        CODE,
        *PRINTED,
        *BAD_WORDS,
    )
}
