"""English sentences by Punkt, as NLTK 3.10.4 cuts them: the sentences of C4.

Kiss and Strunk 2006, Unsupervised Multilingual Sentence Boundary Detection, with NLTK's tables
for English, which are in this folder. NLTK itself looks for its tables in folders of the machine
and imports much; the classifier is small.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator
from importlib import resources

_MARKS = ".?!"
_CLOSING = "\"')]}‘’“”«»"
_NO_WORD = r"[)\";}\]*:@'({\[‘’“”«»?!]"
_SEVERAL = r"(?:-{2,}|\.{2,}|(?:\.\s){2,}\.)"
# an end mark, before punctuation or before white space and another word
_END = re.compile(rf"[.?!](?=(?P<after>{_NO_WORD}|\s+(?P<next>\S+)))")
_WORD = re.compile(
    rf"{_SEVERAL}|(?=[^(\"`{{\[:;&#*@)}}\]\-,])\S+?"
    rf"(?=\s|$|{_NO_WORD}|{_SEVERAL}|,(?=$|\s|{_NO_WORD}|{_SEVERAL}))|\S"
)
_CLOSES = re.compile(rf"[{re.escape(_CLOSING)}]+?(?:\s+|(?=--)|$)", re.MULTILINE)
_BLANKS = " \t\n\r\x0b\x0c"
_NUMBER = re.compile(r"-?[.,]?\d[\d,.\-]*\.?$")
_DOTS = re.compile(r"\.\.+$")
_INITIAL = re.compile(r"[^\W\d]\.$")
_PUNCTUATION = frozenset(";:,.!?")

# how a word was seen written, bits of `ortho_context.tab`
_MIDDLE_UPPER = 1 << 2
_START_LOWER = 1 << 4
_UPPER = 1 << 1 | 1 << 2 | 1 << 3
_LOWER = 1 << 4 | 1 << 5 | 1 << 6


def _type(word: str) -> str:
    """A word in lower case; all numbers are one."""
    word = word.lower()
    return "##number##" if _NUMBER.match(word) else word


class Punkt:
    """The splitter with its tables."""

    def __init__(self) -> None:
        """Load the tables of this folder."""

        def rows(name: str) -> list[str]:
            text = resources.files(__name__).joinpath(name).read_text("utf-8")
            return text.removesuffix("\n").split("\n")

        self._abbreviations = frozenset(rows("abbrev_types.txt"))
        self._starters = frozenset(rows("sent_starters.txt"))
        self._collocations = {tuple(row.split("\t")) for row in rows("collocations.tab")}
        pairs = (row.split("\t") for row in rows("ortho_context.tab"))
        self._seen = {word: int(bits) for word, bits in pairs}
        self._ends = functools.lru_cache(1 << 14)(self._has_end)

    def spans(self, text: str) -> Iterator[tuple[int, int]]:
        """Start and end of each sentence; closing quotes and brackets belong to the one before."""
        shift = 0
        slices = self._slices(text)
        start, end = next(slices)
        for next_start, next_end in slices:
            closing = _CLOSES.match(text[next_start:next_end])
            if closing is not None:
                yield start + shift, next_start + len(closing.group().rstrip())
            elif start + shift < end:
                yield start + shift, end
            shift = closing.end() if closing is not None else 0
            start, end = next_start, next_end
        if start + shift < end:
            yield start + shift, end

    def count(self, text: str) -> int:
        """How many sentences a text has."""
        return sum(1 for _ in self.spans(text))

    def _slices(self, text: str) -> Iterator[tuple[int, int]]:
        start = 0
        for match, context in self._contexts(text):
            ends = self._ends(context) if len(context) < 100 else self._has_end(context)
            if ends:
                yield start, match.end()
                start = match.start("next") if match["next"] else match.end()
        yield start, len(text.rstrip())

    def _contexts(self, text: str) -> Iterator[tuple[re.Match[str], str]]:
        """Marks that may end a sentence, each with the word before it and what follows; of several
        in one word the last."""
        start = end = 0
        held: re.Match[str] | None = None
        for match in _END.finditer(text):
            blank = max(text.rfind(mark, end, match.start()) for mark in _BLANKS)
            # white space right after the mark before is not seen, as in NLTK
            word_start = blank + 1 if blank > end else start
            if held is not None and end <= word_start:
                yield held, text[start:end] + held.group() + held["after"]
            held, start, end = match, word_start, match.start()
        if held is not None:
            yield held, text[start:end] + held.group() + held["after"]

    def _has_end(self, context: str) -> bool:
        """Whether a sentence ends before the last word of a context."""
        words = [word for line in context.split("\n") for word in _WORD.findall(line)]
        return any(self._is_end(words[place], words[place + 1]) for place in range(len(words) - 1))

    def _is_end(self, word: str, following: str) -> bool:
        """Whether a sentence ends between two words: Kiss and Strunk's sections 3 and 4."""
        if not word.endswith("."):
            return word in ("?", "!")
        end, abbreviated = word == ".", False
        if not end:
            stem = word[:-1].lower()
            if _DOTS.match(word):
                abbreviated = True  # an ellipsis is treated as one
            elif not word.endswith(".."):
                abbreviated = not self._abbreviations.isdisjoint((stem, stem.split("-")[-1]))
                end = not abbreviated
        word_type = _type(word)
        if len(word_type) > 1 and word_type[-1] == ".":
            word_type = word_type[:-1]
        next_type = self._type_before_pass(following)
        if (word_type, next_type) in self._collocations:
            return False
        initial = _INITIAL.match(word) is not None
        starts = self._starts(following, next_type)
        upper = following[0].isupper()
        if abbreviated and not initial and (starts or (upper and next_type in self._starters)):
            return True
        if initial or word_type == "##number##":
            if starts is False:
                return False
            if starts is None and initial and upper and not self._seen.get(next_type, 0) & _LOWER:
                return False
        return end

    def _type_before_pass(self, word: str) -> str:
        """A word's type without the full stop, if that ends a sentence at first sight."""
        word_type = _type(word)
        if len(word_type) > 1 and word_type[-1] == "." and not word.endswith(".."):
            stem = word[:-1].lower()
            if self._abbreviations.isdisjoint((stem, stem.split("-")[-1])):
                return word_type[:-1]
        return word_type

    def _starts(self, word: str, word_type: str) -> bool | None:
        """Whether a word, by how it is written, starts a sentence; None if that does not tell."""
        if word in _PUNCTUATION:
            return False
        seen = self._seen.get(word_type, 0)
        if word[0].isupper() and seen & _LOWER and not seen & _MIDDLE_UPPER:
            return True
        if word[0].islower() and (seen & _UPPER or not seen & _START_LOWER):
            return False
        return None


@functools.cache
def punkt() -> Punkt:
    """The splitter, loaded once a process."""
    return Punkt()
