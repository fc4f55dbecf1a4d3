"""fastText's model files: checked from end to end before the library, which trusts them, reads one.

Of a file that is cut short or forged the C++ code takes sizes as they come: it hangs, allocates
without bound or crashes the process. The layout is that of `FastText::saveModel` and
`Dictionary::save`, facebookresearch/fastText 1142dc4, versions 11 and 12.
"""

from __future__ import annotations

import mmap
import os
import re
import struct
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
from fasttext_pybind import fasttext

from curation.quantised import Quantised
from schemas.problems import Problem

Model: TypeAlias = "fasttext | Quantised"

LABEL = "__label__"

_MAGIC = 793712314
_SUPERVISED = 3
_LOSSES = range(1, 5)
_TREE = 1  # the loss of a hierarchical softmax
_CENTROIDS = 256
# More than any model has: bounds for what costs time and memory whatever the file's size.
_MOST_DIM, _MOST_NGRAMS, _MOST_WORD = 10_000, 20, 1 << 16
_MOST_BUCKETS = 1 << 26  # that `Quantised` has a bit for
_MOST_COUNT = 10**15  # of a label, what the tree of a hierarchical softmax begins with


class _BadFileError(Exception):
    """Why a file is no model that can be loaded."""


def load(path: str | Path) -> Model:
    """A supervised model, for `predict`. Raises Problem for an invalid file."""
    try:
        stat = os.stat(path)
    except OSError as error:
        raise Problem(f"{path}: not a fastText model: {error.strerror}") from None
    return _load(str(path), (stat.st_ino, stat.st_size, stat.st_mtime_ns))


@lru_cache(4)
def _load(path: str, _: tuple[int, int, int]) -> Model:
    """`load` once for what a file holds now."""
    try:
        with (
            Path(path).open("rb") as stream,
            mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as data,
        ):
            _check(_Reader(data))
            if quick := _quantised(_Reader(data)):
                return quick
    except (OSError, ValueError) as error:  # an empty file cannot be mapped
        raise Problem(f"{path}: not a fastText model: {error}") from None
    except _BadFileError as error:
        raise Problem(f"{path}: not a fastText model, or a damaged one: {error}") from None
    # The module `fasttext` fails on NumPy 2 and warns on every load; this is what it wraps.
    model = fasttext()
    try:
        model.loadModel(path)
        model.getLabels("strict")  # all of which must be UTF-8
    except (ValueError, RuntimeError, MemoryError) as error:
        raise Problem(f"{path}: not a fastText model: {error}") from None
    return model


# What fastText reads as the end of a text, and as a label: words between its own separators.
_MARK = re.compile(rf"(?<![^ \t\n\v\f\r\0])(?:</s>|{LABEL}[^ \t\n\v\f\r\0]*)(?![^ \t\n\v\f\r\0])")


def without_marks(text: str) -> str:
    """The text without the words that mean something to fastText: `</s>` and `__label__...`."""
    return _MARK.sub(" ", text) if "</s>" in text or LABEL in text else text


_SURROGATE = re.compile("[\ud800-\udfff]")


def predict(model: Model, lines: list[str], count: int) -> list[list[tuple[str, float]]]:
    """The `count` likeliest labels of each line, best first, without `__label__`, each with its
    share of 1; none of a line without a word. No line has a line break.

    What fastText would take for marks of its own is left out (`without_marks`).
    """
    lines = list(map(without_marks, lines))
    known = [at for at, line in enumerate(lines) if line.strip()]
    found: list[list[tuple[str, float]]] = [[] for _ in lines]
    if not known:
        return found
    asked = [lines[at] + "\n" for at in known]
    if isinstance(model, Quantised):
        for at, line in zip(known, asked, strict=True):
            try:
                data = line.encode()
            except UnicodeEncodeError:  # a lone surrogate
                data = _SURROGATE.sub("\ufffd", line).encode()
            found[at] = [(name, min(1.0, share)) for name, share in model.best(data, count)]
        return found
    try:
        names, shares = model.multilinePredict(asked, count, 0.0, "strict")
    except TypeError:  # a lone surrogate, of which there is no UTF-8
        asked = [_SURROGATE.sub("\ufffd", line) for line in asked]
        names, shares = model.multilinePredict(asked, count, 0.0, "strict")
    for at, some, values in zip(known, names, shares, strict=True):
        found[at] = [
            (name.removeprefix(LABEL), min(1.0, float(value)))
            for name, value in zip(some, values, strict=True)
        ]
    return found


def labels(model: Model) -> frozenset[str]:
    """The labels of a model, without `__label__`."""
    if isinstance(model, Quantised):
        return frozenset(model.labels)
    return frozenset(label.removeprefix(LABEL) for label in model.getLabels("strict")[0])


class _Reader:
    """Takes values off a file, never beyond its end."""

    def __init__(self, data: mmap.mmap) -> None:
        self.data, self.at = data, 0

    def skip(self, size: int, what: str) -> int:
        """Go over `size` bytes; where they start."""
        start = self.at
        _demand(0 <= size <= len(self.data) - start, f"it ends within its {what}")
        self.at = start + size
        return start

    def take(self, layout: str, what: str) -> tuple[int, ...]:
        layout = f"<{layout}"
        return struct.unpack_from(layout, self.data, self.skip(struct.calcsize(layout), what))

    def array(self, kind: str, count: int) -> npt.NDArray[Any]:
        """Take a copy of so many numbers."""
        start = self.skip(np.dtype(kind).itemsize * count, "numbers")
        return np.frombuffer(self.data[start : self.at], kind)

    def name(self) -> None:
        """Go over a name and the zero that ends it."""
        end = self.data.find(b"\0", self.at, self.at + _MOST_WORD)
        _demand(end >= 0, "a word without an end")
        self.at = end + 1


def _demand(holds: bool, why: str) -> None:
    if not holds:
        raise _BadFileError(why)


def _check(file: _Reader) -> None:
    magic, version = file.take("ii", "head")
    _demand(magic == _MAGIC, "it begins as no model does")
    _demand(version in (11, 12), f"version {version} of the format")
    dim, _, _, _, _, ngrams, loss, kind, bucket, minn, maxn, _, _ = file.take("12id", "head")
    _demand(kind == _SUPERVISED, "it gives vectors, no labels")
    if version == 11:
        maxn = 0
    _demand(
        0 < dim <= _MOST_DIM
        and 0 <= ngrams <= _MOST_NGRAMS
        and loss in _LOSSES
        and 0 <= minn <= _MOST_WORD
        and 0 <= maxn <= _MOST_WORD
        and (bucket > 0 or (bucket == 0 and ngrams <= 1 and maxn == 0)),
        "sizes that no model has",
    )
    words, names, pruned = _dictionary(file)
    (quantised,) = file.take("?", "input")
    rows = words + (bucket if pruned < 0 else pruned)
    _matrix(file, bool(quantised), rows, dim, "input")
    (quantised_too,) = file.take("?", "output")
    _matrix(file, bool(quantised and quantised_too), names, dim, "output")
    _demand(pruned < 0 or bool(quantised), "features left out of a matrix that has all")
    _demand(file.at == len(file.data), f"{len(file.data) - file.at} bytes more than it should have")


def _dictionary(file: _Reader) -> tuple[int, int, int]:
    """How many words, labels and kept parts of words (-1: all) there are."""
    size, words, names, _, pruned = file.take("iiiqq", "dictionary")
    _demand(words >= 0 and names > 0 and size == words + names, "a dictionary of other sizes")
    for index in range(size):
        file.name()
        count, kind = file.take("qb", "dictionary")
        _demand(kind == (index >= words), "words after labels")
        if index >= words:
            _demand(0 <= count < _MOST_COUNT, "a label with an odd count")
    if pruned > 0:
        start = file.skip(8 * pruned, "dictionary")
        pairs = memoryview(file.data[start : file.at]).cast("i")
        kept = pairs[1::2].tolist()
        _demand(min(kept) >= 0 and max(kept) < pruned, "features that are not there")
    return words, names, pruned


def _matrix(file: _Reader, quantised: bool, rows: int, dim: int, what: str) -> None:
    if not quantised:
        shape = file.take("qq", what)
        _demand(shape == (rows, dim), f"its {what} has {shape[0]} x {shape[1]} numbers")
        file.skip(4 * rows * dim, what)
        return
    has_norms, m, n, size = file.take("?qqi", what)
    _demand((m, n) == (rows, dim), f"its {what} has {m} x {n} numbers")
    file.skip(size, what)
    parts = _quantiser(file, dim, what)
    _demand(size == rows * parts, f"its {what} has {size} codes")
    if has_norms:
        file.skip(rows, what)
        _quantiser(file, 1, what)


def _quantiser(file: _Reader, dim: int, what: str) -> int:
    """Into how many parts a row is divided."""
    own, parts, width, last = file.take("4i", what)
    _demand(
        own == dim
        and 0 < width <= dim
        and parts == -(-dim // width)
        and last == (dim % width or width),
        f"its {what} is divided as no model's",
    )
    file.skip(4 * _CENTROIDS * dim, what)
    return parts


def _quantised(file: _Reader) -> Quantised | None:
    """A model that was checked, if it is one of those that `Quantised` reads."""
    *_, version = file.take("ii", "head")
    dim, _, _, _, _, ngrams, loss, _, buckets, minn, maxn, _, _ = file.take("12id", "head")
    size, words, names, _, pruned = file.take("iiiqq", "dictionary")
    if version != 12 or ngrams > 1 or loss != _TREE or maxn <= 0 or pruned <= 0:
        return None
    if buckets > _MOST_BUCKETS:
        return None
    spelled, counts = [], []
    for _ in range(size):
        start = file.at
        file.name()
        spelled.append(file.data[start : file.at - 1])
        counts.append(file.take("qb", "dictionary")[0])
    kept = file.array("<i4", 2 * pruned).reshape(-1, 2).astype(np.int64)
    kept = kept[np.argsort(kept[:, 0])]
    if kept[0, 0] < 0 or kept[-1, 0] >= buckets or not np.diff(kept[:, 0]).all():
        return None
    if not file.take("?", "input")[0]:
        return None
    rows = _rows(file)
    if file.take("?", "output")[0]:
        return None
    file.take("qq", "output")
    return Quantised(
        spelled[:words],
        [name.decode().removeprefix(LABEL) for name in spelled[words:]],
        counts[words:],
        (minn, maxn),
        buckets,
        kept[:, 0],
        np.concatenate([rows[:words], rows[words + kept[:, 1]]]),
        file.array("<f4", names * dim).reshape(names, dim),
    )


def _rows(file: _Reader) -> npt.NDArray[np.float32]:
    """The rows of a quantised matrix."""
    has_norms, rows, _, size = file.take("?qqi", "input")
    codes = file.array("u1", size).reshape(rows, -1)
    found = _decoded(file, codes)
    return found * _decoded(file, file.array("u1", rows)[:, None]) if has_norms else found


def _decoded(file: _Reader, codes: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
    """The numbers that codes stand for by the quantiser that comes next."""
    dim, parts, width, last = file.take("4i", "input")
    centroids = file.array("<f4", _CENTROIDS * dim)
    found = []
    for part in range(parts):
        own = centroids[part * _CENTROIDS * width :][
            : _CENTROIDS * (width, last)[part == parts - 1]
        ]
        found.append(own.reshape(_CENTROIDS, -1)[codes[:, part]])
    return np.concatenate(found, axis=1)
