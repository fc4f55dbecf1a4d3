"""The index of test items: what of them is compared, by seeds that a text is looked up for.

A *unit* is what must be found: an item's question, or, where the question is too short to tell it,
question, choices and answer together; and a long answer by itself. Words weigh by how rare they are
among the items, so that the average word has the weight 1: `which of the following` says little.

Of every four seeds (runs of five words) of a unit the rarest is kept, so that eleven words in a row
that a text shares with a unit are found; of a short unit all. A seed of more than 64 units says
nothing and is left out.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import islice

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from curation.decontamination.matches import grams, seeds
from curation.decontamination.words import Index as Offsets
from curation.decontamination.words import Words, hashes
from curation.dedup.nodes import Array

VERSION = 1
# Weight of an average word, and the most that one has.
UNIT_WEIGHT, _MOST_WEIGHT = 32, 255
# Words' worth of weight: of a question that tells an item by itself, of an answer that does.
LEAST_QUESTION, LEAST_ANSWER = 8, 25
# And of a unit at all: what is shorter is too common to be told.
LEAST_UNIT = 6
_WINDOW = 4  # seeds of which one is kept
_SHORT = 26  # words of a unit of which all seeds are
_MOST_UNITS = 64  # that share a seed
_BATCH = 4096


@dataclass(frozen=True)
class Item:
    """A test item: `text` is the question, prompt or passage."""

    benchmark: str
    id: str
    text: str
    choices: tuple[str, ...] = ()
    answer: str = ""


@dataclass(frozen=True)
class Index:
    """Items and their units; all arrays may be mapped from files."""

    items: pa.Table  # benchmark, id: a row an item
    words: Words  # of all units, a 0 behind each part
    weights: npt.NDArray[np.uint8]
    starts: Offsets  # [units + 1]
    unit_items: Words  # [units]
    totals: Offsets  # weight of each unit
    keys: Words  # low bits of the seeds, by their high bits
    seed_units: Words
    directory: Words  # where the seeds of each value of their high bits begin

    def told(self) -> npt.NDArray[np.bool_]:
        """Which items can be told from what else texts hold: [items]."""
        found = np.zeros(len(self.items), np.bool_)
        found[self.unit_items[self.seed_units]] = True
        return found


SCHEMA = pa.schema([pa.field("benchmark", pa.string(), False), pa.field("id", pa.string(), False)])


def build(items: Iterable[Item]) -> Index:
    """The index of items, in their order."""
    names: list[dict[str, str]] = []
    words, ends = [np.empty(0, np.uint32)], [np.empty((0, 3), np.int64)]
    end = 0
    while batch := list(islice(items := iter(items), _BATCH)):
        names += [{"benchmark": item.benchmark, "id": item.id} for item in batch]
        own, own_ends = _parts(batch)
        words.append(own)
        ends.append(own_ends + end)
        end += len(own)
    every = np.concatenate(words)
    weights = _weights(every)
    slices, unit_items = _units(np.concatenate(ends), weights)
    chosen = np.concatenate([np.empty(0, np.int64), *(np.arange(a, b) for a, b in slices)])
    starts = np.cumsum([0, *(b - a for a, b in slices)], dtype=np.int64)
    own, own_weights = every[chosen], weights[chosen]
    sums = np.concatenate([[0], np.cumsum(own_weights, dtype=np.int64)])
    totals = sums[starts[1:]] - sums[starts[:-1]]
    table = pa.Table.from_pylist(names, SCHEMA)
    return Index(table, own, own_weights, starts, unit_items, totals, *_seeds(own, starts))


def _parts(items: Sequence[Item]) -> tuple[Words, Offsets]:
    """Words of the parts of items, a 0 behind each; where the question, the choices and the answer
    of each item end: int64 [items, 3]."""
    parts = [
        (item.text, *item.choices, *([item.answer] if _says_more(item) else [])) for item in items
    ]
    words, counts = hashes([part for own in parts for part in own])
    part_ends = np.cumsum(counts + 1)
    last = np.cumsum([len(own) for own in parts])
    first = last - [len(own) for own in parts]
    choices = first + [len(item.choices) for item in items]
    return (
        np.insert(words, np.cumsum(counts), 0),
        np.stack([part_ends[first], part_ends[choices], part_ends[last - 1]], axis=1),
    )


def _says_more(item: Item) -> bool:
    """Whether the answer is none of the choices, nor the letter or number of one."""
    return len(item.answer) > 2 and item.answer not in item.choices


def _weights(words: Words) -> npt.NDArray[np.uint8]:
    """By how rare words are, and less in phrases that many items have: a word's rarity times that
    of the commonest three words that it is among, as a part of the rarest; the average is
    UNIT_WEIGHT. What ends a part has none."""
    single = _rarity(words)
    rare = np.full(len(words), np.inf)
    if len(words) > 2:
        phrase = grams(words)
        of_phrase = np.where(phrase[:-2] != 0, _rarity(phrase[:-2]), np.inf)
        for at in range(3):
            part = rare[at : at + len(of_phrase)]
            np.minimum(part, of_phrase, out=part)
    most = np.log2(max(2, len(words)))
    weights = single * np.minimum(rare / most, 1) * (words != 0)
    mean = weights.sum() / max(1, np.count_nonzero(words))
    scaled = np.round(weights * (UNIT_WEIGHT / max(mean, 1e-9)))
    return np.minimum(scaled, _MOST_WEIGHT).astype(np.uint8)


def _rarity(values: Array) -> npt.NDArray[np.float64]:
    """Bits that each says, by how often it is there."""
    _, which, counts = np.unique(values, return_inverse=True, return_counts=True)
    return np.log2(len(values) / counts)[which]


def _units(ends: Offsets, weights: Array) -> tuple[list[tuple[int, int]], Words]:
    """Where the words of units begin and end, and the item of each."""
    sums = np.concatenate([[0], np.cumsum(weights, dtype=np.int64)]) // UNIT_WEIGHT
    slices: list[tuple[int, int]] = []
    owners: list[int] = []
    begin = 0
    for item, (question, choices, answer) in enumerate(ends.tolist()):
        own = []
        if sums[question] - sums[begin] >= LEAST_QUESTION:
            own.append((begin, question))
        elif sums[answer] - sums[begin] >= LEAST_UNIT:
            own.append((begin, answer))
        if (begin, answer) not in own and sums[answer] - sums[choices] >= LEAST_ANSWER:
            own.append((choices, answer))
        slices += own
        owners += [item] * len(own)
        begin = answer
    return slices, np.array(owners, np.uint32)


def _seeds(words: Words, starts: Offsets) -> tuple[Words, Words, Words]:
    """Low bits of the seeds in order, the unit of each, and where their high bits begin."""
    values = seeds(words)
    places = np.flatnonzero(values)
    _, which, counts = np.unique(values[places], return_inverse=True, return_counts=True)
    units = np.searchsorted(starts, places, side="right") - 1
    short = (starts[units + 1] - starts[units]) <= _SHORT
    window = (places - starts[units]) // np.where(short, 1, _WINDOW)
    order = np.lexsort((places, counts[which], window, units))
    first = np.ones(len(order), np.bool_)
    first[1:] = (np.diff(units[order]) != 0) | (np.diff(window[order]) != 0)
    chosen = order[first]
    values, units = values[places[chosen]], units[chosen]
    order = np.argsort(values, kind="stable")
    values, units = values[order], units[order]
    _, which, counts = np.unique(values, return_inverse=True, return_counts=True)
    telling = counts[which] <= _MOST_UNITS
    values, units = values[telling], units[telling]
    bits = max(1, len(values)).bit_length() + 1
    edges = np.arange((1 << bits) + 1, dtype=np.uint64)
    high = values >> np.uint64(64 - bits)
    directory = np.searchsorted(high, edges).astype(np.uint32)
    return values.astype(np.uint32), units.astype(np.uint32), directory
