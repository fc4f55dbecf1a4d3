"""The words of spaCy's blank English pipeline, which datatrove and so FineWeb count by.

The rules are spaCy's own (`English.Defaults`). Only the walk over a chunk, a piece of text
without white space, is ours: spaCy searches the rest of a chunk again for every mark it takes
off an end, so that a thousand brackets cost it a quarter of a second. Here an end is matched in
a window, and the time grows with the length of the chunk. The words are the same.

Two differences are known, both outside anything seen in real pages. spaCy's special cases
(`:)`, `10a.m.`) also match across one blank, where they change nothing themselves but can keep
an overlapping special case from being found; here a chunk never sees its neighbours. And a URL
of more than 1,024 characters is cut as if it were none, because spaCy's pattern for URLs takes
quadratic time.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable
from itertools import groupby, pairwise

from curation.imports import without_torch

# No mark that a prefix or suffix rule takes off is longer than this, with what it looks at
# around it, except a run of dots.
WINDOW = 8
LONGEST_URL = 1024


def _one_of(rules: Iterable[str | re.Pattern[str]]) -> str:
    """One expression for a list of rules, the first that matches wins. Neighbours of one
    character become a class, because trying a hundred rules at every place takes the time."""
    branches = []
    filled = filter(str.strip, map(str, rules))
    for single, group in groupby(filled, lambda rule: len(rule.lstrip("\\")) == 1):
        if single:
            branches.append("[" + "".join(re.escape(rule[-1]) for rule in group) + "]")
        else:
            branches.extend(group)
    return "(?:" + "|".join(branches) + ")"


class English:
    """Splits a chunk into words as `spacy.blank("en")` does."""

    def __init__(self) -> None:
        """Take over spaCy's rules."""
        with without_torch():
            from spacy.lang.en import English as Pipeline
            from spacy.symbols import ORTH

        rules = Pipeline.Defaults
        self._prefix = re.compile(_one_of(rules.prefixes or ()))
        self._suffix = re.compile(_one_of(rules.suffixes or ()) + "$")
        self._infix = re.compile(_one_of(rules.infixes or ()))
        self._url = rules.url_match
        self._special = {
            chunk: [str(word[ORTH]) for word in words]
            for chunk, words in rules.tokenizer_exceptions.items()
        }
        self._longest_special = max(map(len, self._special))
        # special cases that the rules above would cut: looked for in what they have cut
        self._cut: dict[tuple[str, str], list[list[str]]] = {}  # by their first two pieces
        for chunk in self._special:
            pieces = self._split(chunk, special=False)
            if len(pieces) > 1:
                self._cut.setdefault((pieces[0], pieces[1]), []).append(pieces)
        # marks that come off the end of letters whatever the letters are
        self._closing = frozenset(',;:!?)]"') - {
            second for first, second in self._cut if first.isalpha()
        }

    def words(self, chunk: str) -> list[str]:
        """The words of a chunk, which holds no white space; joined they are the chunk."""
        special = self._special.get(chunk)
        if special is not None:
            return special
        if chunk.isalpha():  # every rule needs something else than a letter
            return [chunk]
        letters, mark = chunk[:-1], chunk[-1]
        if chunk.isascii() and letters.isalpha():  # most of the others, cut at sight
            if mark in self._closing:
                return [*self._special.get(letters, (letters,)), mark]
            if mark == "." and letters[-1].islower() and letters not in self._special:
                return [letters, mark]
        pieces = self._split(chunk, special=True)
        return self._mend(pieces) if len(pieces) > 1 else pieces

    def _is_special(self, chunk: str, start: int, end: int) -> bool:
        return end - start <= self._longest_special and chunk[start:end] in self._special

    def _prefix_length(self, chunk: str, start: int, end: int) -> int:
        near = chunk[start : min(end, start + WINDOW)]
        if near.isalpha():
            return 0
        match = self._prefix.match(near)
        if match is not None and match.end() == WINDOW < end - start:  # a long run of dots
            match = self._prefix.match(chunk[start:end])
        return match.end() if match is not None else 0

    def _suffix_length(self, chunk: str, start: int, end: int) -> int:
        near = chunk[max(start, end - WINDOW) : end]
        if near.isalpha():
            return 0
        match = self._suffix.search(near)
        if match is not None and match.end() - match.start() == WINDOW < end - start:
            match = self._suffix.search(chunk[start:end])
        return match.end() - match.start() if match is not None else 0

    def _split(self, chunk: str, *, special: bool) -> list[str]:
        """spaCy's `_split_affixes` and `_attach_tokens`: marks off both ends, then the rest."""
        start, end = 0, len(chunk)
        before: list[str] = []
        after: list[str] = []
        while start < end and not (special and self._is_special(chunk, start, end)):
            prefix = self._prefix_length(chunk, start, end)
            if prefix and special and self._is_special(chunk, start + prefix, end):
                before.append(chunk[start : start + prefix])
                start += prefix
                break
            suffix = self._suffix_length(chunk, start + prefix, end)
            if suffix and special and self._is_special(chunk, start, end - suffix):
                after.append(chunk[end - suffix : end])
                end -= suffix
                break
            if not prefix and not suffix:
                break
            if prefix:
                before.append(chunk[start : start + prefix])
            if suffix:
                after.append(chunk[end - suffix : end])
            start, end = start + prefix, end - suffix
        rest = chunk[start:end]
        if rest:
            before.extend(self._rest(rest, special=special))
        after.reverse()
        return before + after

    def _rest(self, rest: str, *, special: bool) -> list[str]:
        if special and rest in self._special:
            return self._special[rest]
        # no rule cuts between letters, nor between ASCII letters and digits
        if rest.isalpha() or (rest.isascii() and rest.isalnum()):
            return [rest]
        # spaCy knows no URL without a dot
        if "." in rest and len(rest) <= LONGEST_URL and self._url is not None and self._url(rest):
            return [rest]
        pieces = []
        start = 0
        for match in self._infix.finditer(rest):
            if match.start() == 0:
                continue
            pieces += [rest[start : match.start()], match.group()]
            start = match.end()
        pieces.append(rest[start:])
        return list(filter(None, pieces))

    def _mend(self, pieces: list[str]) -> list[str]:
        """spaCy's `_apply_special_cases`: special cases that were cut, longest first, then
        leftmost; one that lost to a longer one still blocks its own pieces."""
        if self._cut.keys().isdisjoint(pairwise(pieces)):
            return pieces
        found = [
            (-len(case), start)
            for start, pair in enumerate(pairwise(pieces))
            for case in self._cut.get(pair, ())
            if pieces[start : start + len(case)] == case
        ]
        taken: set[int] = set()
        chosen: dict[int, int] = {}
        for negative_length, start in sorted(found):
            end = start - negative_length
            if start not in taken and end - 1 not in taken:
                chosen[start] = end
            taken.update(range(start, end))
        mended: list[str] = []
        position = 0
        while position < len(pieces):
            end = chosen.get(position, position)
            if end > position:
                mended.extend(self._special["".join(pieces[position:end])])
                position = end
            else:
                mended.append(pieces[position])
                position += 1
        return mended


@functools.cache
def english() -> English:
    """The rules, loaded once a process (spaCy takes a second or two to import)."""
    return English()


# what datatrove's sentencizer ends a sentence at: `Sentencizer.default_punct_chars` of spaCy
@functools.cache
def sentence_ends() -> frozenset[str]:
    """Words that end a sentence for spaCy's `Sentencizer`."""
    with without_torch():
        from spacy.pipeline import Sentencizer

    return frozenset(Sentencizer.default_punct_chars)
