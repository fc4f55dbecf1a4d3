"""A document, cut up once for all measures."""

from __future__ import annotations

import re
from functools import cached_property
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from curation.measures import characters, sentences, tokens
from curation.measures.chunks import in_lines, without_space
from curation.measures.tokens import Integers, Lexicon, Tokens

# Bump when a cut or what a chain normalises changes; the fingerprint of a run holds it.
VERSION = 3


# The narrow no-break space is white space, but joins words by UAX #29.
_JOINER = "\u202f"
_APART = re.compile(rf"(?:(?!{_JOINER})\s)+")


class View:
    """A text and its segments, each made when first asked for.

    A view never changes; an edit makes another one.
    """

    def __init__(
        self, text: str, language: str = "", numbers: tuple[Lexicon, Integers] | None = None
    ) -> None:
        """Any text, its language as a code (or nothing), and its chunks where they are known."""
        self.text = text
        self.language = language
        self._given = numbers
        self._cuts: dict[str, Tokens] = {}
        self._offsets: dict[str, npt.NDArray[np.int64]] = {}

    def edited(self, text: str, kept: npt.NDArray[np.bool_] | None = None) -> View:
        """A view of an edited text; `kept` if it has just these of the chunks: bool [chunks]."""
        if kept is None:
            return View(text, self.language)
        lexicon, numbers = self._numbers
        view = View(text, self.language, (lexicon, numbers[kept]))
        view._cuts = {name: cut.of_chunks(kept) for name, cut in self._cuts.items()}
        return view

    @cached_property
    def chunks(self) -> list[str]:
        """White-space words: what `str.split()` gives."""
        return self.text.split()

    @cached_property
    def _numbers(self) -> tuple[Lexicon, Integers]:
        if self._given is not None:
            return self._given
        lexicon = tokens.lexicon()
        return lexicon, lexicon.chunks(self.text)

    def cut(self, name: str) -> Tokens:
        """The words by one of the definitions in `tokens.CUTS`."""
        found = self._cuts.get(name)
        if found is None:
            lexicon, numbers = self._numbers
            if name == "unicode" and _JOINER in self.text:
                chunks = list(filter(None, _APART.split(self.text)))
                numbers = lexicon.numbers(chunks)
            found = self._cuts[name] = lexicon.cut(name, numbers)
        return found

    @property
    def tokens(self) -> Tokens:
        """Words of spaCy's blank English pipeline as arrays, as datatrove counts them."""
        return self.cut("spacy")

    @cached_property
    def solid(self) -> str:
        """The text without white space: the words joined."""
        return without_space(self.text)

    def offsets(self, name: str) -> npt.NDArray[np.int64]:
        """Where each word of a cut that leaves nothing out starts in `solid`, and the end of the
        last: int64 [words + 1]."""
        found = self._offsets.get(name)
        if found is None:
            found = np.concatenate(([0], np.cumsum(self.cut(name).lengths)))
            self._offsets[name] = found
        return found

    @cached_property
    def words(self) -> list[str]:
        """The words of `tokens` as strings."""
        return [self.solid[start:end] for start, end in pairwise(self.offsets("spacy").tolist())]

    @cached_property
    def lines(self) -> list[str]:
        """`str.splitlines()`: any line end, blank lines too."""
        return self.text.splitlines()

    @cached_property
    def line_chunks(self) -> list[int]:
        """How many of `chunks` each of `lines` has."""
        return in_lines(self.text)

    @cached_property
    def rows(self) -> list[str]:
        r"""What stands between `\n`, blank or not; at least one."""
        return self.text.split("\n")

    @cached_property
    def filled_rows(self) -> list[str]:
        r"""`re.split(r"\n+", text)`: what stands between runs of `\n`, also before or after one."""
        rows = list(filter(None, self.rows))
        ends = self.text.startswith("\n") + self.text.endswith("\n")
        return [*rows, *[""] * ends] or [""]

    @cached_property
    def paragraphs(self) -> list[str]:
        r"""What stands between two or more `\n` in the stripped text; at least one."""
        pieces = (piece.lstrip("\n") for piece in self.text.strip().split("\n\n"))
        return list(filter(None, pieces)) or [""]

    @cached_property
    def sentences(self) -> list[str]:
        """spaCy's sentences; joined they are the text. At least one."""
        return sentences.split(self.text, self.tokens)

    @cached_property
    def sentences_by_language(self) -> list[str]:
        """Sentences by the rules of the view's language, see `sentences.by_language`."""
        return sentences.by_language(self.text, self.language)

    @cached_property
    def codes(self) -> npt.NDArray[np.uint32]:
        """Code points: uint32 [characters]."""
        return np.frombuffer(self.text.encode("utf-32-le", "surrogatepass"), np.uint32)

    @cached_property
    def classes(self) -> npt.NDArray[np.uint8]:
        """Classes of the characters, the bits of `characters`: uint8 [characters]."""
        return characters.classes()[self.codes]
