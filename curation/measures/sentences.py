"""Sentences as datatrove cuts them, by spaCy's Sentencizer on any language; and by language.

A sentence starts at the first word after an end mark (`tokens.STOP`) that is not itself
punctuation. Words of punctuation only (`tokens.MARK`) stay with what stands before them.
White space that spaCy makes a token of, all but the one blank after a chunk, counts as a word.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Sequence
from itertools import accumulate, chain, pairwise

import numpy as np
import numpy.typing as npt

from curation.imports import without_torch
from curation.measures.chunks import starts_in_lines
from curation.measures.punkt import punkt
from curation.measures.tokens import Tokens, lexicon
from curation.measures.words import MARK, STOP, without_surrogates

_CHUNK = re.compile(r"\S+")
_GAP = re.compile(r"\s{2,}|[^\S ]")


def _starts(kinds: npt.NDArray[np.uint8]) -> npt.NDArray[np.int64]:
    """Places of the words that start a sentence, but for the first of the text."""
    places = np.flatnonzero(kinds & MARK == 0)
    stops = kinds[places] & STOP != 0
    return places[1:][stops[:-1] & ~stops[1:]]


def split(text: str, tokens: Tokens) -> list[str]:
    """The sentences of a text, whose words are given; joined they are the text. At least one.

    As datatrove 0.10.1, utils/text.py, `split_into_sentences`.
    """
    if not len(tokens):
        return [text]
    spans = np.array([match.span() for match in _CHUNK.finditer(text)])
    starts = spans[:, 0]
    nexts = np.append(starts[1:], len(text))  # where the white space after a chunk ends
    gaps = [text[end:start] not in ("", " ") for end, start in zip(spans[:, 1], nexts, strict=True)]
    after = np.cumsum(tokens.counts)  # words up to the end of each chunk
    before = np.repeat(after - tokens.counts, tokens.counts)
    total = np.cumsum(tokens.lengths)
    ends = np.repeat(starts, tokens.counts) + total - np.append(0, total)[before]
    kinds = np.insert(tokens.kinds, after[gaps], 0)
    ends = np.insert(ends, after[gaps], nexts[gaps])
    cuts = [0, *ends[_starts(kinds) - 1].tolist(), len(text)]
    return [text[start:end] for start, end in pairwise(cuts)]


# Languages that write an ordinal number, of a day, with a full stop.
_ORDINALS = re.compile("bs|cs|da|de|et|eu|fi|hr|hu|is|lt|lv|nb|nn|pl|sk|sl|sr|tr")
_INITIAL = re.compile(r"[^\W\d_]\.")
_ORDINAL = re.compile(r"\d{1,2}\.")
_OPENING = "\"'([{«„“‚‘”¿¡"
_LONGEST = 40  # characters of a word that may be an abbreviation


@functools.cache
def _abbreviations(language: str) -> frozenset[str]:
    """Words with a full stop that spaCy's tokenizer knows in a language; none if it is not one of
    spaCy's 76."""
    with without_torch():
        from spacy.util import get_lang_class

        try:
            known = get_lang_class(language).Defaults.tokenizer_exceptions
        except ImportError:
            return frozenset()
    return frozenset(word for word in known if word.endswith("."))


def _is_abbreviated(before: str, language: str) -> bool:
    """Whether the full stop that a text ends with is of its last word alone."""
    word = before.split()[-1].lstrip(_OPENING) if before.strip() else ""
    if not word.endswith("."):
        return False
    # what rows say may be anything, and spaCy looks for a module of this name
    is_code = len(language) in (2, 3) and language.isascii() and language.isalpha()
    known = _abbreviations(language) if is_code else frozenset()
    return (
        word in known
        or word.lower() in known
        or bool(_INITIAL.fullmatch(word))
        or bool(_ORDINALS.fullmatch(language) and _ORDINAL.fullmatch(word))
    )


def by_language(text: str, language: str) -> list[str]:
    """The sentences of a text; joined they are the text. At least one.

    English by Punkt; any other language, an ISO 639 code, by ICU (UAX #29), but for the full stops
    of initials, of abbreviations that spaCy lists for the language, and of ordinals where it writes
    them so. ICU's own lists of abbreviations are not asked: it takes `Müller.` for `r.`.
    """
    if language == "en":
        cuts = [start for start, _ in punkt().spans(text)][1:]
    else:
        from icu4py.breakers import SentenceBreaker

        lengths = map(len, SentenceBreaker(without_surrogates(text), "root"))
        cuts = [
            cut
            for cut in list(accumulate(lengths))[:-1]
            if not _is_abbreviated(text[max(0, cut - _LONGEST) : cut], language)
        ]
    return [text[start:end] for start, end in pairwise([0, *cuts, len(text)])]


def count_by_line(lines: Sequence[str], chunks: list[int], tokens: Tokens) -> int:
    """The sentences of lines, each cut on its own; a line without words is one, as in datatrove.

    `chunks`: how many each line has; `tokens`: the words of all lines.
    """
    found = 1 + starts_in_lines(tokens.kinds, tokens.counts, chunks, STOP, MARK)
    space = sum(map(len, lines)) - int(tokens.lengths.sum())
    one_blank_each = space == sum(chunks) - len(lines) == "\n".join(lines).count(" ")
    if not one_blank_each:
        uneven = [place for place, line in enumerate(lines) if _GAP.search(line)]
        # In these lines white space is a word; any word that is no punctuation stands for it.
        padded = [_GAP.sub(" x ", lines[place]).split() for place in uneven]
        known = lexicon()
        again = known.cut("spacy", known.numbers(list(chain.from_iterable(padded))))
        many = list(map(len, padded))
        found[uneven] = 1 + starts_in_lines(again.kinds, again.counts, many, STOP, MARK)
    return int(found.sum())
