"""The words of a document as arrays: what counting needs, without a Python loop over words.

Words come a chunk (text between white space) at a time from `english.English`. What a chunk
was cut into is kept, so that a chunk seen before costs one look-up; the store is bounded and
holds nothing that decides a result.
"""

from __future__ import annotations

import functools
import threading
import unicodedata
from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate, chain

import numpy as np
import numpy.typing as npt

from curation.measures.characters import PUNCTUATION
from curation.measures.english import English, sentence_ends

# kinds of words, as bits
SYMBOL = 1  # of punctuation only: datatrove counts it as no word
ALPHABETIC = 2  # has a letter
STOP = 4  # ends a sentence (spaCy's Sentencizer)
MARK = 8  # of Unicode punctuation only, and no STOP: neither ends nor starts a sentence

MOST_CHUNKS = 1 << 18
MOST_CHARACTERS = 1 << 23


@dataclass(frozen=True, slots=True)
class Tokens:
    """The n words of a text, in order.

    `numbers` int64 [n], equal for equal words, from 0, and small; `lengths` int64 [n],
    characters; `kinds` uint8 [n], the bits above; `counts` int64 [chunks], words in each chunk.
    """

    numbers: npt.NDArray[np.int64]
    lengths: npt.NDArray[np.int64]
    kinds: npt.NDArray[np.uint8]
    counts: npt.NDArray[np.int64]
    _ids: npt.NDArray[np.int32]
    _known: dict[str, int]

    def __len__(self) -> int:
        return len(self._ids)

    def of_chunks(self, kept: npt.NDArray[np.bool_]) -> Tokens:
        """The words of some of the chunks: bool [chunks]."""
        words = np.repeat(kept, self.counts)
        return Tokens(
            self.numbers[words],
            self.lengths[words],
            self.kinds[words],
            self.counts[kept],
            self._ids[words],
            self._known,
        )

    def distinct(self, words: Sequence[str]) -> int:
        """How many of these (different) words occur."""
        return sum(bool((self._ids == self._known.get(word, -1)).any()) for word in words)

    def amount(self, kind: int) -> int:
        """How many words are of a kind."""
        return int(np.count_nonzero(self.kinds & kind))


class _Index(dict[str, int]):
    """Numbers strings in the order in which they are first asked for."""

    def __init__(self) -> None:
        self.new: list[str] = []

    def __missing__(self, key: str) -> int:
        number = self[key] = len(self)
        self.new.append(key)
        return number


class _Store:
    """Chunks and words seen lately."""

    def __init__(self, english: English) -> None:
        self._english = english
        self._lock = threading.Lock()
        self._clear()

    def _clear(self) -> None:
        self._chunks = _Index()
        self._first = array("q")  # a chunk's first place in `_words`
        self._count = array("q")  # its words
        self._words = array("i")  # ids of words, chunk after chunk
        self._ids = _Index()
        self._lengths = array("q")
        self._kinds = array("B")
        self._scratch = np.empty(0, np.int64)
        self._characters = 0

    def segment(self, chunks: Sequence[str]) -> Tokens:
        """The words of chunks that hold no white space."""
        with self._lock:
            whole = len(self._chunks) == len(self._count) and len(self._ids) == len(self._kinds)
            if not whole or len(self._chunks) > MOST_CHUNKS or self._characters > MOST_CHARACTERS:
                self._clear()
            numbers = np.fromiter(map(self._chunks.__getitem__, chunks), np.int64, len(chunks))
            if self._chunks.new:
                self._learn()
            return self._gather(numbers)

    def _learn(self) -> None:
        """Cut the new chunks, and look at the new words."""
        chunks, self._chunks.new = self._chunks.new, []
        cut = list(map(self._english.words, chunks))
        counts = list(map(len, cut))
        self._first.extend(accumulate(counts[:-1], initial=len(self._words)))
        self._words.extend(map(self._ids.__getitem__, chain.from_iterable(cut)))
        self._count.extend(counts)
        self._characters += sum(map(len, chunks))
        words, self._ids.new = self._ids.new, []
        self._lengths.extend(map(len, words))
        self._kinds.extend(map(_kind, words))

    def _gather(self, chunks: npt.NDArray[np.int64]) -> Tokens:
        if not len(chunks):
            nothing = np.empty(0, np.int64)
            kinds, ids = np.empty(0, np.uint8), np.empty(0, np.int32)
            return Tokens(nothing, nothing, kinds, nothing, ids, self._ids)
        counts = np.frombuffer(self._count, np.int64)[chunks]
        ends = np.cumsum(counts)
        places = np.repeat(np.frombuffer(self._first, np.int64)[chunks] - ends + counts, counts)
        places += np.arange(len(places))
        ids = np.frombuffer(self._words, np.int32)[places]
        if len(self._scratch) < len(self._ids):
            self._scratch = np.empty(2 * len(self._ids), np.int64)
        self._scratch[ids] = np.arange(len(ids))  # of equal words, one place stays
        return Tokens(
            self._scratch[ids],
            np.frombuffer(self._lengths, np.int64)[ids],
            np.frombuffer(self._kinds, np.uint8)[ids],
            counts,
            ids,
            self._ids,
        )


def _kind(word: str) -> int:
    kind = 0
    if word.isalpha() or any(map(str.isalpha, word)):
        kind |= ALPHABETIC
    elif PUNCTUATION.issuperset(word):
        kind |= SYMBOL
    if word in sentence_ends():
        kind |= STOP
    elif not kind & ALPHABETIC and all(c[0] == "P" for c in map(unicodedata.category, word)):
        kind |= MARK
    return kind


@functools.cache
def _store() -> _Store:
    from curation.measures.english import english

    return _Store(english())


def segment(chunks: Sequence[str]) -> Tokens:
    """The words of chunks, the pieces of a text between white space (`str.split()`).

    The words are those of spaCy's blank English pipeline, see `english`. Safe to call from
    several threads.
    """
    return _store().segment(chunks)


def forget() -> None:
    """Forget the chunks and words seen so far; nothing but the time depends on them."""
    _store.cache_clear()
