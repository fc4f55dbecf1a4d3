"""Edits: steps that change a text. What they found is told by signals; rules decide on them."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from itertools import chain, compress

import numpy as np

from curation.measures import Signals, View, round_signal
from curation.measures.sentences import count_by_line
from curation.measures.tokens import segment


@dataclass(frozen=True, slots=True)
class Edited:
    """An edited text, as the view that the next measures share, and the edit's signals."""

    view: View
    signals: Signals

    @property
    def text(self) -> str:
        """The text after the edit."""
        return self.view.text


@dataclass(frozen=True, slots=True)
class Edit:
    """A named change of a text.

    `version` is bumped by hand when a text or value changes; `names` are the signals it gives,
    in order, without the edit's name.
    """

    name: str
    version: int
    names: tuple[str, ...]
    function: Callable[[View], tuple[View, Mapping[str, float]]]

    @property
    def signals(self) -> tuple[str, ...]:
        """The full names, `edit.signal`."""
        return tuple(f"{self.name}.{name}" for name in self.names)

    def __call__(self, view: View) -> Edited:
        """The edited text, with rounded signals by full name in the order of `signals`."""
        edited, values = self.function(view)
        signals = {f"{self.name}.{name}": round_signal(values[name]) for name in self.names}
        return Edited(edited, signals)


_CITATION = re.compile(r"\[\d*\]|\[edit\]|\[citation needed\]")
_END_MARKS = (".", "?", "!", '"', "'")
_POLICY = (
    "terms of use",
    "privacy policy",
    "cookie policy",
    "uses cookies",
    "use of cookies",
    "use cookies",
)
_LINE_COUNTS = (
    "lines",
    "too_long_word",
    "no_terminal_punctuation",
    "too_few_words",
    "javascript",
    "policy",
)
_C4_SIGNALS = (*_LINE_COUNTS, "kept_lines", "lorem_ipsum", "curly_bracket", "sentences")
_LONGEST_WORD = 1000
_LEAST_WORDS = 3


def _c4_lines(view: View, *, terminal_punctuation: bool) -> tuple[View, dict[str, float]]:
    r"""datatrove 0.10.1's `C4QualityFilter`: strip lines, take citations such as `[1]` out, and
    drop lines in this order: a word of more than 1,000 characters; no end mark `. ? ! " '`, or
    `...` (if asked for); under 3 words, citations counted; "javascript"; a mention of terms of
    use or cookies. Every dropped line is counted once.

    `lorem_ipsum` and `curly_bracket` count lines for which the reference drops the page: those
    that get as far as that check, so that a `{` in a line dropped earlier does no harm. Such
    lines stay in. `sentences`: of the lines kept, each cut on its own.
    """
    text = view.text
    whole = (_CITATION.sub("", text) if "[" in text else text).lower()
    lorem_ipsum, javascript = "lorem ipsum" in whole, "javascript" in whole
    policies = [phrase for phrase in _POLICY if phrase in whole]
    count: dict[str, float] = dict.fromkeys(_C4_SIGNALS, 0)
    count["lines"] = len(view.lines)
    kept: list[str] = []
    keeps = [False] * len(view.lines)
    chunks: list[int] = []
    cited = False
    for place, line in enumerate(map(str.strip, view.lines)):
        words = line.split()
        chunks.append(len(words))
        if len(line) > _LONGEST_WORD and any(len(word) > _LONGEST_WORD for word in words):
            count["too_long_word"] += 1
            continue
        if "[" in line:
            line, found = _CITATION.subn("", line)
            cited |= found > 0
        if terminal_punctuation and (not line.endswith(_END_MARKS) or line.endswith("...")):
            count["no_terminal_punctuation"] += 1
            continue
        if len(words) < _LEAST_WORDS:
            count["too_few_words"] += 1
            continue
        if lorem_ipsum and "lorem ipsum" in line.lower():
            count["lorem_ipsum"] += 1
        if javascript and "javascript" in line.lower():
            count["javascript"] += 1
            continue
        if "{" in line:
            count["curly_bracket"] += 1
        if policies and any(phrase in line.lower() for phrase in policies):
            count["policy"] += 1
            continue
        kept.append(line)
        keeps[place] = True
    count["kept_lines"] = len(kept)
    edited = "\n".join(kept).strip()
    if cited:
        pieces = list(map(str.split, kept))
        tokens = segment(list(chain.from_iterable(pieces)))
        chunks = list(map(len, pieces))
    else:
        of_chunk = np.repeat(np.array(keeps, np.bool_), np.array(chunks, np.int64))
        tokens = view.tokens.of_chunks(of_chunk)
        chunks = list(compress(chunks, keeps))
    count["sentences"] = count_by_line(kept, chunks, tokens)
    return View(edited, tokens), count


# By name. A variant of a reference is an edit of its own.
EDITS: dict[str, Edit] = {
    edit.name: edit
    for edit in (
        # as FineWeb ran it, `filter_no_terminal_punct=False`
        Edit("c4_lines", 1, _C4_SIGNALS, partial(_c4_lines, terminal_punctuation=False)),
        # as the paper says
        Edit("c4_lines_paper", 1, _C4_SIGNALS, partial(_c4_lines, terminal_punctuation=True)),
    )
}
