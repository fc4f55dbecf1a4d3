"""Line ends of a text, written in one way."""

from __future__ import annotations

import re

_BLANK = re.compile(r"\n[^\S\n]+(?![^\n])")
_BLANK_FIRST = re.compile(r"[^\S\n]+(?![^\n])")


def normalised(text: str) -> str:
    r"""A text whose lines end in `\n` alone, those of nothing but white space empty.

    What ends them (`\r\n`, `\r`) and what stands in an empty one says nothing of a text; rules
    that count lines would take it for words, or for lines that are repeated.
    """
    if "\r" in text:
        text = text.replace("\r\n", "\n").replace("\r", "\n")
    if first := _BLANK_FIRST.match(text):
        text = text[first.end() :]
    return _BLANK.sub("\n", text)
