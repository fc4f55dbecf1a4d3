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

from curation.extraction.blocks.features import Table

Ints = NDArray[np.int64]
Favor = Literal["balanced", "precision", "recall"]
# Weight of recall against precision: beta of van Rijsbergen's F.
_BETA = {"balanced": 1.0, "precision": 0.5, "recall": 2.0}
# F1 that the trees expect, with which the net is not asked: it changes little there, on eight pages
# of ten.
_SURE = 0.9
# A logit of the first trees beyond which a block needs no others, and what it then is in the end:
# one in five blocks is so.
_GLANCE, _GROWN = 2.5, 1.85

# Scores are rounded, and chances are whole thousandths: the last bits of a sum or an exponential,
# which differ between machines, decide nothing.
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


class Model:
    """Trees or a net, on one thread: what they say does not depend on the machine."""

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
def _model(name: str) -> Model:
    """One of the package's models."""
    path = files(__package__) / "learned" / f"{name}.onnx.gz"
    return Model(gzip.decompress(path.read_bytes()))


def by_trees(glance: Model, others: Model, rows: NDArray[np.float32]) -> Ints:
    """Chances in thousandths by the first trees, and by the others where these are not sure."""
    scores = glance.scores(rows)
    again = np.flatnonzero(np.abs(scores) <= _GLANCE)
    grown = scores * np.float32(_GROWN)
    if len(again):
        grown[again] = scores[again] + others.scores(rows[again])
    return thousandths(steps(grown))


def by_net(net: Model, rows: NDArray[np.float32]) -> Ints:
    """Chances in thousandths by the net; rows: all of a page, in order."""
    return thousandths(steps(net.scores(rows)))


def asks_net(trees: Ints, sizes: NDArray[np.integer]) -> bool:
    """Whether the trees leave enough in doubt: they expect too small an F1 of what is taken."""
    _, expected = _ranked(trees, sizes, 1.0)
    return float(expected.max()) < _SURE


def both(trees: Ints, net: Ints) -> Ints:
    """What trees and net say of blocks together."""
    return (trees + net) // 2


def chances(table: Table) -> Ints:
    """How likely each block is main text, in thousandths."""
    rows = table.features
    likely = by_trees(_model("glance"), _model("first"), rows)
    if asks_net(likely, table.sizes):
        return both(likely, by_net(_model("net"), rows))
    return likely


def _ranked(
    likely: Ints, sizes: NDArray[np.integer], square: float
) -> tuple[NDArray[np.intp], NDArray[np.float64]]:
    """Blocks from the likeliest on, and F, with the square of its beta, to be expected of as many.

    F's expectation is approximated by that of its parts:
    (1 + beta^2) E[right] / (taken + beta^2 E[wanted]).
    """
    order = np.argsort(-likely, kind="stable")
    right = np.cumsum((likely * sizes)[order])
    taken = np.cumsum(sizes[order]) * 1000
    return order, (1 + square) * right / (taken + square * right[-1] + 1)


def cut(likely: Ints, sizes: NDArray[np.integer], favor: Favor) -> NDArray[np.bool_]:
    """The most likely blocks, as many as maximise the expected F of the words taken.

    likely: thousandths. sizes: words.
    """
    order, expected = _ranked(likely, sizes, _BETA[favor] ** 2)
    chosen = np.zeros(len(likely), np.bool_)
    chosen[order[: int(np.argmax(expected)) + 1]] = True
    return chosen
