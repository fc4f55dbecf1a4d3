"""The learned choice: how likely each block is main text, and how many of them to take."""

from __future__ import annotations

import gzip
import math
from functools import cache
from importlib.resources import files
from typing import Literal

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from curation.extraction.blocks.context import context
from curation.extraction.blocks.features import Table

Ints = NDArray[np.int64]
Favor = Literal["balanced", "precision", "recall"]
# Weight of recall against precision: beta of van Rijsbergen's F.
_BETA = {"balanced": 1.0, "precision": 0.5, "recall": 2.0}
SURE = 20  # thousandths from 0 or 1, at which a block needs no second look
# A logit of the first trees beyond which a block needs no others, and what it then is in the end:
# half of the blocks are so.
_GLANCE, _GROWN = 2.5, 1.85

# Scores of the trees are rounded, and chances are whole thousandths: the last bits of a sum or an
# exponential, which differ between machines, decide nothing.
_STEPS = 16  # a unit of the logit
_MOST = 8  # logit
_CHANCES = np.array(
    [
        round(1000 / (1 + math.exp(-at / _STEPS)))
        for at in range(-_MOST * _STEPS, _MOST * _STEPS + 1)
    ]
)


def steps(scores: NDArray[np.float32]) -> Ints:
    """Logits in whole steps."""
    return np.rint(scores * _STEPS).clip(-_MOST * _STEPS, _MOST * _STEPS).astype(np.int64)


def thousandths(steps: Ints) -> Ints:
    """Logits in steps to chances in thousandths."""
    return _CHANCES[steps + _MOST * _STEPS]


class Forest:
    """Gradient-boosted trees, on one thread: what they say does not depend on the machine."""

    def __init__(self, model: bytes) -> None:
        """`model`: an ONNX file with one input, of float32 features, and one output."""
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        self._session = onnxruntime.InferenceSession(
            model, options, providers=["CPUExecutionProvider"]
        )
        self._input = self._session.get_inputs()[0].name

    def scores(self, rows: NDArray[np.float32]) -> NDArray[np.float32]:
        """Logits; rows: a row a block."""
        (found,) = self._session.run(None, {self._input: rows})
        return np.asarray(found[:, 0])


@cache
def _forest(name: str) -> Forest:
    """One of the package's models."""
    path = files(__package__) / "forests" / f"{name}.onnx.gz"
    return Forest(gzip.decompress(path.read_bytes()))


def unsure(likely: Ints) -> NDArray[np.bool_]:
    """Which blocks need a second look."""
    return (likely > SURE) & (likely < 1000 - SURE)


def second_look(first: Ints, second: Ints) -> Ints:
    """What both looks say of a block, in steps: a quarter is the second's."""
    return (3 * first + second) // 4


def first_look(glance: Forest, others: Forest, rows: NDArray[np.float32]) -> Ints:
    """Logits in steps by the first trees, and by the others where these are not sure."""
    scores = glance.scores(rows)
    again = np.flatnonzero(np.abs(scores) <= _GLANCE)
    grown = scores * np.float32(_GROWN)
    if len(again):
        grown[again] = scores[again] + others.scores(rows[again])
    return steps(grown)


def chances(table: Table) -> Ints:
    """How likely each block is main text, in thousandths."""
    first = first_look(_forest("glance"), _forest("first"), table.features)
    likely = thousandths(first)
    again = np.flatnonzero(unsure(likely))
    if len(again):
        rows = np.concatenate([context(table, likely, again), table.features[again]], axis=1)
        second = steps(_forest("second").scores(rows))
        likely[again] = thousandths(second_look(first[again], second))
    return likely


def cut(likely: Ints, sizes: NDArray[np.integer], favor: Favor) -> NDArray[np.bool_]:
    """The most likely blocks, as many as maximise the expected F of the words taken.

    likely: thousandths. sizes: words. F's expectation is approximated by that of its parts:
    (1 + beta^2) E[right] / (taken + beta^2 E[wanted]).
    """
    square = _BETA[favor] ** 2
    order = np.argsort(-likely, kind="stable")
    right = np.cumsum((likely * sizes)[order])
    taken = np.cumsum(sizes[order]) * 1000
    expected = (1 + square) * right / (taken + square * right[-1] + 1)
    chosen = np.zeros(len(likely), np.bool_)
    chosen[order[: int(np.argmax(expected)) + 1]] = True
    return chosen
