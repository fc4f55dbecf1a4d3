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
# F1 that the trees expect, with which neither the net is asked nor blocks are seen together: it
# changes little there, on eight pages of ten.
_SURE = 0.9
# A logit of the first trees beyond which a block needs no others, and what it then is in the end:
# one in five blocks is so.
_GLANCE, _GROWN = 2.5, 1.85

# How far F's expectation goes from that of blocks independent of each other to that of blocks that
# are main text together; levels of chances, in thousandths.
_TOGETHER, _LEVELS = 1 / 3, np.arange(50, 1000, 100)

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


def _ranked(likely: Ints, sizes: NDArray[np.integer]) -> tuple[NDArray[np.intp], Ints, Ints]:
    """Blocks from the likeliest on; thousandths of words of as many: to be expected of main text,
    and all."""
    order = np.argsort(-likely, kind="stable")
    words = sizes[order]
    return order, np.cumsum(likely[order] * words), np.cumsum(words) * 1000


def _apart(right: Ints, taken: Ints, square: float) -> NDArray[np.float64]:
    """F, with the square of its beta, to be expected of blocks that are main text independently.

    F = (1 + beta^2) right / (taken + beta^2 wanted), of which that of its parts is near.
    """
    return (1 + square) * right / (taken + square * right[-1] + 1)


def _together(likely: Ints, taken: Ints, square: float) -> NDArray[np.float64]:
    """The same if all blocks above a level, drawn evenly, are main text; likely: in order."""
    above = np.searchsorted(-likely, -_LEVELS)
    wanted = np.append(0, taken).astype(np.float64)[above, None]
    found = np.minimum(taken, wanted)
    found /= taken + (square * wanted + 1)
    return (1 + square) * found.mean(0)


def asks_net(trees: Ints, sizes: NDArray[np.integer]) -> bool:
    """Whether the trees leave enough in doubt: they expect too small an F1 of what is taken."""
    _, right, taken = _ranked(trees, sizes)
    return float(_apart(right, taken, 1.0).max()) < _SURE


def cut(likely: Ints, sizes: NDArray[np.integer], favor: Favor) -> NDArray[np.bool_]:
    """The most likely blocks, as many as maximise the expected F of the words taken.

    Blocks are main text neither independently of each other nor all together: where an article has
    as many words of comments that are likely by half, it is right with all of them or with none.
    likely: thousandths. sizes: words.
    """
    square = _BETA[favor] ** 2
    order, right, taken = _ranked(likely, sizes)
    expected = _apart(right, taken, square)
    if expected.max() < _SURE:
        expected += _TOGETHER * (_together(likely[order], taken, square) - expected)
    chosen = np.zeros(len(likely), np.bool_)
    chosen[order[: int(np.argmax(expected)) + 1]] = True
    return chosen
