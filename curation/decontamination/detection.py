"""Which test items stand in texts, and how much of them."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from curation.decontamination.index import UNIT_WEIGHT, Index
from curation.decontamination.matches import Matcher
from curation.decontamination.words import Index as Offsets
from curation.decontamination.words import hashes, places

# The share of a unit that must be there, by its weight in words: nearly all of one that is short,
# because phrases and definitions are shared by chance; less of a longer one.
_WEIGHTS = (10.0, 16.0, 22.0, 30.0)
_SHARES = (0.95, 0.85, 0.5, 0.42)
# A copy that breaks off begins as the item does, where a sentence begins, and goes on word by word.
_BROKEN_SHARE, _BROKEN_WORDS, _BROKEN_WEIGHT = 0.4, 8, 5.6
_BEGINNING = re.compile(r"(?:^|[\n\"“”„'‘’«»()\[\]:*>#|]\s*|[.!?][\"”’)]*\s+|[0-9][.)]\s+)\Z")
_BEFORE = 8  # characters that show it


@dataclass(frozen=True, slots=True)
class Hit:
    """A test item in a text: [start, end) in code points. `share` of its weight is there; `score`
    is that as a part of what must be there of an item of its length, at most 1."""

    benchmark: str
    item: str
    score: float
    share: float
    start: int
    end: int


def required(weights: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """The share of units that must be there, by their weights in words."""
    return np.interp(weights, _WEIGHTS, _SHARES)


class Detector:
    """Looks for the items of an index; one for each thread."""

    def __init__(self, index: Index, least: float = 1.0, benchmarks: Collection[str] = ()) -> None:
        """Hits have a score of `least` or more; `benchmarks`: only of these, unless it is empty."""
        self.index = index
        self.least = least
        self._benchmarks = benchmarks
        self._matcher = Matcher(
            index.words,
            index.weights,
            index.starts,
            index.keys,
            index.seed_units,
            index.directory,
        )

    def find(self, texts: Sequence[str]) -> list[list[Hit]]:
        """The items in each text, the best first; of an item its best place."""
        words, counts = hashes(texts)
        matches = self._matcher.match(words, counts, int(_BROKEN_WEIGHT * UNIT_WEIGHT))
        totals = self.index.totals[matches[:, 1]] / UNIT_WEIGHT
        shares = matches[:, 2] / UNIT_WEIGHT / totals
        scores = np.minimum(1, shares / required(totals))
        broken = (matches[:, 3] >= _BROKEN_WORDS) & (shares >= _BROKEN_SHARE * self.least)
        broken &= matches[:, 3] == matches[:, 5] - matches[:, 4]
        best: dict[tuple[int, int], Hit] = {}
        offsets: dict[int, tuple[Offsets, Offsets]] = {}
        for at in np.flatnonzero((scores >= self.least) | broken).tolist():
            text, unit, _, _, first, last = matches[at].tolist()
            if text not in offsets:
                offsets[text] = places(texts[text])
            start, end = int(offsets[text][0][first]), int(offsets[text][1][last - 1])
            score, share = float(scores[at]), float(shares[at])
            if broken[at] and _BEGINNING.search(texts[text][max(0, start - _BEFORE) : start]):
                score = min(1.0, share / _BROKEN_SHARE)
            item = int(self.index.unit_items[unit])
            key = text, item
            if score >= self.least and (key not in best or best[key].share < share):
                best[key] = Hit(*self._named(item), round(score, 4), round(share, 4), start, end)
        found: list[list[Hit]] = [[] for _ in texts]
        for (text, _), hit in best.items():
            if not self._benchmarks or hit.benchmark in self._benchmarks:
                found[text].append(hit)
        for hits in found:
            hits.sort(key=lambda hit: (-hit.score, -hit.share, hit.benchmark, hit.item))
        return found

    def _named(self, item: int) -> tuple[str, str]:
        names = self.index.items
        return names["benchmark"][item].as_py(), names["id"][item].as_py()
