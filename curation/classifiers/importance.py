"""Importance weights: how much likelier a text is in a target set than in a source set.

Xie et al. 2023, arXiv 2302.03169 (DSIR), as RedPajama-v2's `rps_doc_*_importance`, at
togethercomputer/RedPajama-Data 855a8e0: words and pairs of words are hashed into 10,000 buckets, of
which both sets have a distribution. The hash there is Python's own, which changes with its seed;
here it is CRC-32.
"""

from __future__ import annotations

import functools
import math
import re
import zipfile
import zlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from curation.classifiers.cards import card_path, file_sha256, weights_card
from curation.classifiers.passages import DECIMALS, Span, lines, reaching
from schemas.problems import Problem

BUCKETS = 10_000
_NONE = 1e-8  # is added to each probability
_MIX = np.uint64(0x9E3779B97F4A7C15)
_WORD = re.compile(r"\w+|[^\w\s]+")


@functools.lru_cache(1 << 16)
def _hash(word: str) -> int:
    return zlib.crc32(word.encode("utf-8", "surrogatepass"))


def buckets(text: str) -> tuple[npt.NDArray[np.int64], int]:
    """The bucket of each word and each pair of words of a text: int64; and how many are words.

    Words are runs of letters, digits and `_`, or of other marks, in their case.
    """
    words = np.fromiter(map(_hash, _WORD.findall(text)), np.uint64)
    pairs = (words[:-1] * _MIX + words[1:]) * _MIX >> np.uint64(32)
    return (np.concatenate((words, pairs)) % np.uint64(BUCKETS)).astype(np.int64), len(words)


def fit_importance(
    target: Iterable[str], source: Iterable[str], path: Path, *, with_length: bool = False
) -> None:
    """Write the counts of both sets to `path`, a .npz file; `with_length` scores heed lengths."""
    counts, means = zip(*map(_counted, (target, source)), strict=True)
    with path.open("wb") as out:
        np.savez(
            out, counts=np.stack(counts), words=np.array(means), with_length=np.array(with_length)
        )


def _counted(texts: Iterable[str]) -> tuple[npt.NDArray[np.int64], float]:
    """How often each bucket is in the texts: int64 [BUCKETS]; and their mean number of words."""
    counts = np.zeros(BUCKETS, np.int64)
    sizes = []
    for text in texts:
        found, size = buckets(text)
        counts += np.bincount(found, minlength=BUCKETS)
        sizes.append(size)
    return counts, sum(sizes) / len(sizes)


class Importance:
    """The weights of two sets: the score is the log of the ratio of a text's likelihoods."""

    def __init__(self, path: str | Path) -> None:
        """Load what `fit_importance` wrote, with its card if there is one. Raises Problem."""
        path = Path(path)
        try:
            with np.load(path, allow_pickle=False) as held:
                counts, words = held["counts"], held["words"]
                with_length = bool(held["with_length"])
            if counts.shape != (2, BUCKETS) or words.shape != (2,):
                raise ValueError("its sizes are others")
            if not counts.sum(axis=1).all():
                raise ValueError("a set without words")
            shares = counts / counts.sum(axis=1, keepdims=True)
        except OSError as error:
            raise Problem(f"{path}: cannot be read: {error.strerror}") from None
        except (ValueError, TypeError, KeyError, EOFError, zlib.error, zipfile.BadZipFile):
            raise Problem(f"{path}: no importance weights, or damaged") from None
        self._weights = np.subtract(*np.log(shares + _NONE))
        self._words = words.tolist() if with_length else None
        card = card_path(path)
        told = (
            weights_card(card.read_bytes(), file_sha256(path), str(path)) if card.exists() else {}
        )
        self.card: dict[str, Any] = told

    def score(self, texts: list[str]) -> list[float]:
        """The sum over a text's words and pairs of log target share - log source share, rounded; 0
        of a text without words.

        Fitted `with_length`: and the same of its number of words, by Poisson distributions with the
        sets' means.
        """
        return list(map(self._score, texts))

    def spans(self, text: str, threshold: float) -> list[Span]:
        """The lines that reach the threshold."""
        spans = lines(text)
        return reaching(spans, self.score([text[start:end] for start, end in spans]), threshold)

    def _score(self, text: str) -> float:
        found, words = buckets(text)
        score = float(self._weights[found].sum())
        if self._words and words:
            target, source = (math.log(_poisson(words, mean) + _NONE) for mean in self._words)
            score += target - source
        return round(score, DECIMALS)


def _poisson(count: int, mean: float) -> float:
    return math.exp(count * math.log(mean) - mean - math.lgamma(count + 1)) if mean else 0.0


def is_importance(name: str) -> bool:
    """Whether a file is meant to be importance weights: .npz."""
    return name.endswith(".npz")
