"""A document, cut up once for all measures."""

from __future__ import annotations

from functools import cached_property
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from curation.measures import sentences
from curation.measures.tokens import Tokens, segment

# Bump when a cut changes; the fingerprint of a run holds it.
VERSION = 1


class View:
    """A text and its segments, each made when first asked for.

    A view never changes; an edit makes another one.
    """

    def __init__(self, text: str, tokens: Tokens | None = None) -> None:
        """Any text, and its words where they are known."""
        self.text = text
        self._tokens = tokens

    @cached_property
    def chunks(self) -> list[str]:
        """White-space words: what `str.split()` gives."""
        return self.text.split()

    @cached_property
    def tokens(self) -> Tokens:
        """Words of spaCy's blank English pipeline as arrays, as datatrove counts them."""
        return segment(self.chunks) if self._tokens is None else self._tokens

    @cached_property
    def solid(self) -> str:
        """The text without white space: the words joined."""
        return "".join(self.chunks)

    @cached_property
    def offsets(self) -> npt.NDArray[np.int64]:
        """Where each word starts in `solid`, and the end of the last: int64 [words + 1]."""
        return np.concatenate(([0], np.cumsum(self.tokens.lengths)))

    @cached_property
    def words(self) -> list[str]:
        """The words of `tokens` as strings."""
        return [self.solid[start:end] for start, end in pairwise(self.offsets.tolist())]

    @cached_property
    def lines(self) -> list[str]:
        """`str.splitlines()`: any line end, blank lines too."""
        return self.text.splitlines()

    @cached_property
    def paragraphs(self) -> list[str]:
        r"""What stands between two or more `\n` in the stripped text; at least one."""
        pieces = (piece.lstrip("\n") for piece in self.text.strip().split("\n\n"))
        return list(filter(None, pieces)) or [""]

    @cached_property
    def sentences(self) -> list[str]:
        """spaCy's sentences; joined they are the text. At least one."""
        return sentences.split(self.text, self.tokens)
