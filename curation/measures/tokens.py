"""The words of a document as arrays: what counting needs, without a Python loop over words.

A document is split at white space once, and each chunk between is looked up once. What a chunk
holds, by each definition of a word (`CUTS`), is worked out the first time it is met and kept; the
store is bounded and holds nothing that decides a result.
"""

from __future__ import annotations

import functools
import threading
from array import array
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import chain

import numpy as np
import numpy.typing as npt

from curation.measures import words
from curation.measures.chunks import Numbers, gather

MOST_CHUNKS = 1 << 18
MOST_CHARACTERS = 1 << 23

Integers = npt.NDArray[np.int32]
_NOTHING = np.empty(0, np.int64)


@dataclass(frozen=True, slots=True)
class Tokens:
    """The n words of a text, in order.

    `ids` int32 [n], equal for equal words; `lengths` int64 [n], characters; `kinds` uint8 [n],
    bits that `curation.measures.words` names; `counts` int64 [chunks], words in each chunk.
    """

    ids: Integers
    lengths: npt.NDArray[np.int64]
    kinds: npt.NDArray[np.uint8]
    counts: npt.NDArray[np.int64]
    _known: Numbers

    def __len__(self) -> int:
        return len(self.ids)

    def of_chunks(self, kept: npt.NDArray[np.bool_]) -> Tokens:
        """The words of some of the chunks: bool [chunks]."""
        words = np.flatnonzero(np.repeat(kept, self.counts))
        return Tokens(
            self.ids[words],
            self.lengths[words],
            self.kinds[words],
            self.counts[kept],
            self._known,
        )

    def distinct(self, listed: Sequence[str]) -> int:
        """How many of these (different) words occur."""
        return sum(bool((self.ids == self._known.get(word)).any()) for word in listed)

    def occurrences(self, word: str) -> int:
        """How often a word occurs."""
        return int(np.count_nonzero(self.ids == self._known.get(word)))

    def among(self, words: Iterable[str]) -> int:
        """How many words are one of these."""
        known = [self._known.get(word) for word in words]
        return int(np.isin(self.ids, known).sum())

    def amount(self, kind: int) -> int:
        """How many words are of a kind."""
        return int(np.count_nonzero(self.kinds & kind))


class _Cut:
    """What chunks hold by one definition of a word."""

    def __init__(self, cut: Callable[[str], list[str]], kind: Callable[[str], int]) -> None:
        self._cut = cut
        self._kind = kind
        self._chunks = array("q")  # a chunk's first place in `_words` << 32 | its words
        self._words = array("i")  # ids of words, chunk after chunk
        self._ids = Numbers()
        self._looks = array("q")  # of each word, its characters << 8 | its kind

    def learn(self, chunks: Sequence[str]) -> None:
        """Cut the chunks not yet cut, and look at the new words."""
        cut = list(map(self._cut, chunks[len(self._chunks) :]))
        if not cut:
            return
        counts = np.fromiter(map(len, cut), np.int64, len(cut))
        firsts = len(self._words) + np.cumsum(counts) - counts
        self._chunks.frombytes((firsts << 32 | counts).tobytes())
        self._words.frombytes(self._ids.of(list(chain.from_iterable(cut))).tobytes())
        new = self._ids.strings[len(self._looks) :]
        self._looks.extend([len(word) << 8 | self._kind(word) for word in new])

    def gather(self, chunks: Integers) -> Tokens:
        """The words of the chunks of these numbers."""
        return Tokens(*gather(chunks, self._chunks, self._words, self._looks), self._ids)


class _Chunks(_Cut):
    """Chunks as words: their numbers are their ids."""

    def __init__(self, kind: Callable[[str], int]) -> None:
        super().__init__(lambda chunk: [chunk], kind)

    def learn(self, chunks: Sequence[str]) -> None:
        new = chunks[len(self._looks) :]
        self._looks.extend([len(chunk) << 8 | self._kind(chunk) for chunk in new])

    def gather(self, chunks: Integers) -> Tokens:
        looks = np.frombuffer(self._looks, np.int64)[chunks] if len(chunks) else _NOTHING
        ones = np.ones(len(chunks), np.int64)
        return Tokens(chunks, looks >> 8, looks.astype(np.uint8), ones, self._ids)


# By name: how a chunk is cut into words, and the bits of a word.
CUTS: dict[str, Callable[[], _Cut]] = {
    "spacy": lambda: _Cut(words.spacy(), words.kind),
    "space": lambda: _Chunks(words.space_kind),
    "unicode": lambda: _Cut(words.unicode_words, words.no_kind),
    "icu": lambda: _Cut(words.icu(), words.kind),
    "marks": lambda: _Cut(words.words_and_marks, words.marks_kind),
    "bare": lambda: _Cut(words.bare_words, words.no_kind),
}


class Lexicon:
    """Chunks seen lately."""

    def __init__(self) -> None:
        """Hold nothing yet."""
        self._lock = threading.RLock()
        self._numbers = Numbers()
        self._cuts: dict[str, _Cut] = {}

    @property
    def is_spent(self) -> bool:
        """Whether it holds as much as it may."""
        return len(self._numbers) > MOST_CHUNKS or self._numbers.characters > MOST_CHARACTERS

    def chunks(self, text: str) -> Integers:
        """A number for each chunk of a text: int32 [chunks]."""
        with self._lock:
            return self._numbers.of_chunks(text)

    def numbers(self, chunks: Sequence[str]) -> Integers:
        """A number for each of these chunks: int32 [chunks]."""
        with self._lock:
            return self._numbers.of(chunks)

    def cut(self, name: str, numbers: Integers) -> Tokens:
        """The words of the chunks of these numbers, by the definition `name` in `CUTS`."""
        with self._lock:
            cut = self._cuts.pop(name, None) or CUTS[name]()
            cut.learn(self._numbers.strings)
            self._cuts[name] = cut  # not if it was cut short
            return cut.gather(numbers)


@functools.cache
def _current() -> list[Lexicon]:
    return [Lexicon()]


def lexicon() -> Lexicon:
    """The store to use for a new document. Safe to call from several threads."""
    held = _current()
    if held[0].is_spent:
        held[0] = Lexicon()
    return held[0]


def forget() -> None:
    """Forget the chunks and words seen so far; nothing but the time depends on them."""
    _current.cache_clear()
