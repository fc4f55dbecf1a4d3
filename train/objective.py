"""What is learned from a row: causal, prefix, masked, or corrupted spans. No torch.

All are told to one decoder by its labels and by which tokens are a *prefix*, seen by all of their
segment. Chance is drawn by the number of the row among all rows ever used, so that batches depend
on no process, and another epoch draws anew. Ids from the shards' vocabulary on are the
objective's own: a mask, marks of the middle, or sentinels.
"""

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from train import config
from train.data import IGNORED, targets

Ids = NDArray[np.int64]
SENTINELS = 100  # as many as T5 has


class Prepared(NamedTuple):
    """Arguments of the model, each [rows, T]; see model.Inputs."""

    tokens: Ids
    positions: NDArray[np.int32]
    segments: NDArray[np.int32]
    labels: Ids
    prefix: NDArray[np.bool_] | None


@dataclass(frozen=True)
class Objective:
    """An objective over rows of ids below `vocabulary`."""

    settings: config.Objective
    vocabulary: int
    padding: int

    @property
    def extra_ids(self) -> int:
        """Ids it needs after those of the shards."""
        if self.settings.name == "span":
            return SENTINELS
        return 3 * (self.settings.middle > 0) + (self.settings.name == "masked")

    @property
    def bidirectional(self) -> bool:
        """Whether every token sees all of its segment."""
        return self.settings.name == "masked"

    @property
    def has_prefix(self) -> bool:
        """Whether a part of a segment is seen by all of it."""
        return self.settings.name in ("prefix", "span")

    @property
    def predicts_all(self) -> bool:
        """Whether all of the text is predicted, so that bits per byte mean something."""
        return self.settings.name == "causal"

    def prepare(self, ids: NDArray[Any], begins: NDArray[np.bool_], first: int) -> Prepared:
        """Rows [rows, T] as the model takes them.

        begins: true at the first token of a segment. first: number of the first row among all.
        """
        tokens = ids.astype(np.int64)
        labels, positions, segments = targets(tokens, begins, self.padding)
        name = self.settings.name
        if name == "causal" and not self.settings.middle:
            return Prepared(tokens, positions, segments, labels, None)
        prefix = np.full(tokens.shape, self.bidirectional)
        for row in range(len(tokens)):
            chance = np.random.default_rng([self.settings.seed, first + row])
            if self.bidirectional:
                self._mask(tokens[row], labels[row], chance)
                continue
            for start, stop in _ranges(segments[row]):
                if tokens[row, start] == self.padding:
                    continue
                part = slice(start, stop)
                if name == "prefix":
                    cut = start + int(chance.integers(1, max(2, stop - start)))
                    prefix[row, start:cut] = True
                    labels[row, start : cut - 1] = IGNORED
                elif name == "span":
                    told = self._spans(tokens[row, part], chance)
                    tokens[row, part], labels[row, part], prefix[row, part] = told
                elif chance.random() < self.settings.middle and stop - start > 5:
                    tokens[row, part] = self._move_middle(tokens[row, part], chance)
                    labels[row, start : stop - 1] = tokens[row, start + 1 : stop]
        seen = prefix if self.bidirectional or self.has_prefix else None
        return Prepared(tokens, positions, segments, labels, seen)

    def _mask(self, tokens: Ids, labels: Ids, chance: Generator) -> None:
        """Of `rate` of a row 8 in 10 become the mask and 1 another token (Devlin et al., 2019)."""
        chosen = (chance.random(len(tokens)) < self.settings.rate) & (tokens != self.padding)
        how = chance.random(len(tokens))
        labels[:] = np.where(chosen, tokens, IGNORED)
        tokens[chosen & (how < 0.8)] = self.vocabulary
        other = chosen & (how >= 0.9)
        tokens[other] = chance.integers(0, self.vocabulary, int(other.sum()))

    def _move_middle(self, tokens: Ids, chance: Generator) -> Ids:
        """Mark, prefix, mark, suffix, mark, middle (Bavarian et al., 2022); the end is cut off."""
        kept = tokens[:-3]
        first, second = np.sort(chance.integers(0, len(kept) + 1, 2))
        marks = ([self.vocabulary + number] for number in range(3))
        parts = (kept[:first], kept[second:], kept[first:second])
        return np.concatenate([x for pair in zip(marks, parts, strict=True) for x in pair])

    def _spans(self, tokens: Ids, chance: Generator) -> tuple[Ids, Ids, NDArray[np.bool_]]:
        """Text with spans replaced by sentinels, then the spans (Raffel et al., 2020).

        What is corrupted is as long as its segment: the end of the text is cut off. All of the
        first part is prefix, and only the second has labels.
        """
        length = len(tokens)
        kept, noise, spans = self._sizes(length)
        labels, prefix = np.full(length, IGNORED), np.zeros(length, np.bool_)
        if not spans:
            return tokens, labels, prefix
        lost, left = _parts(noise, spans, chance), _parts(kept - noise, spans, chance)
        read, told, place = [], [], 0
        for number, (before, gone) in enumerate(zip(left, lost, strict=True)):
            sentinel = np.array([self.vocabulary + number])
            read += [tokens[place : place + before], sentinel]
            told += [sentinel, tokens[place + before : place + before + gone]]
            place += before + gone
        source, target = np.concatenate(read), np.concatenate(told)
        made = np.full(length, self.padding)
        end = len(source) + len(target)
        made[: len(source)], made[len(source) : end] = source, target
        labels[len(source) : end - 1] = target[1:]
        prefix[: len(source)] = True
        return made, labels, prefix

    def _sizes(self, length: int) -> tuple[int, int, int]:
        """Tokens of a segment that are used, lost, and in how many spans."""
        rate, mean = self.settings.rate, self.settings.span
        kept = int(length / (1 + 2 * rate / mean))
        while kept > 1:
            noise = min(max(1, round(kept * rate)), kept - 1)
            spans = min(max(1, round(noise / mean)), SENTINELS, kept - noise)
            if kept + 2 * spans <= length:
                return kept, noise, spans
            kept -= 1
        return length, 0, 0


def _parts(total: int, count: int, chance: Generator) -> Ids:
    """Cut `total` into `count` parts of at least one, all ways alike."""
    cuts = np.sort(chance.choice(total - 1, count - 1, replace=False)) + 1
    return np.diff(cuts, prepend=0, append=total)


def _ranges(segments: NDArray[np.int32]) -> list[tuple[int, int]]:
    """Where each segment of a row starts and stops."""
    starts = np.flatnonzero(np.diff(segments, prepend=segments[0] - 1)).tolist()
    return list(zip(starts, [*starts[1:], len(segments)], strict=True))
