"""The learned part: how probable each block is main text, and the cut for a page."""

from __future__ import annotations

import gzip
from functools import cache
from importlib import resources

import lightgbm
import numpy as np
from numpy.typing import NDArray

from curation.extraction.blocks.features import Floats, Ints

_FILE = "model.txt.gz"
# Steps of probabilities: coarser than what libraries of mathematics may differ by.
_STEP = 1e-6


@cache
def _booster() -> lightgbm.Booster:
    packed = resources.files("curation.extraction.blocks").joinpath(_FILE).read_bytes()
    return lightgbm.Booster(model_str=gzip.decompress(packed).decode("ascii"))


def probabilities(features: Floats) -> NDArray[np.float64]:
    """The share of each block's words that are main text, as expected by the trees.

    features: (blocks, features) of `features.measure`.
    """
    expected = _booster().predict(features, num_threads=1)
    return np.round(np.asarray(expected, np.float64) / _STEP) * _STEP


def choose(
    expected: NDArray[np.float64], words: Ints, beta: float = 1.0
) -> NDArray[np.bool_]:
    """The blocks above the cut that maximises the expected F-measure of their words.

    With the blocks in the order of `expected`, F = (1 + beta^2) TP / (words taken + beta^2 words
    of main text), in which TP is the sum of words times `expected` over the blocks taken, and the
    words of main text the same over all blocks. beta above 1 weighs recall higher.
    """
    order = np.argsort(-expected, kind="stable")
    true = np.cumsum((words * expected)[order])
    taken = np.cumsum(words[order])
    measure = (1 + beta**2) * true / np.maximum(taken + beta**2 * true[-1], 1e-9)
    chosen = np.zeros(len(words), np.bool_)
    chosen[order[: int(measure.argmax()) + 1]] = True
    return chosen
