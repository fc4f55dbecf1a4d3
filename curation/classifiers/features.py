"""What a model fitted here reads of a text: more than its words.

Case is dropped, spelling that hides a word is undone, and statistics of the text, hits of the
bad-word lists and how it speaks of groups of people join it as words of their own.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from curation.classifiers.regard import regard
from curation.measures.bad_words import listed
from curation.measures.signals import ratio

FEATURES = 2  # bump when `features` changes: a model's card says which it was fitted on

_TOKEN = re.compile(r"[^\W_]+|[^\w\s\ue000-\uf8ff]|_")
_LONG = re.compile(r"(\w)\1{2,}")
_HIDDEN = re.compile(r"(?<=[a-z])[@$013457*]+(?=[a-z])|(?<![\w@$])[$013457](?=[a-z]{3})")
# letters apart, but for an `I` before them
_SPACED = re.compile(r"(?<!\S)(?!i )(?:[^\W\d_] ){2,}[^\W\d_](?!\w)")
_MEANT = str.maketrans({"@": "a", "$": "s", "0": "o", "1": "i", "3": "e", "4": "a", "5": "s"})
_MEANT |= str.maketrans({"7": "t", "*": ""})
_LETTERS, _DIGITS = re.compile(r"[\W\d_]+"), re.compile(r"\D+")
_ENDED = re.compile(r"[.!?。！？…][\"'”’)\]]*\s*$", re.MULTILINE)
_CAPITAL = re.compile(r"(?<!\S)[A-Z]")
# Bins of a share, of characters a word, words a line, and words.
_SHARES = np.array([0.001, 0.01, 0.02, 0.05, 0.1, 0.2, 0.4, 0.7, 0.95])
_WORD = np.array([4, 4.5, 5, 5.5, 6, 7, 8])
_LINE = np.array([2, 4, 6, 8, 12, 20, 40])
_LENGTH = np.array([5, 10, 20, 40, 80, 160, 320, 1000])


def features(text: str, lists: Sequence[str] = ("en",)) -> str:
    """What a model fitted here reads of a text: one line of words, marks and statistics.

    Lower-case words and punctuation marks; a letter three times or more is twice; digits and
    signs in a word are the letters they stand for (`sh1t`), letters apart (`s h i t`) a word. Then
    a character of Unicode's private use, which no word has here, for each statistic and bin:
    shares of capitals, digits, punctuation, exclamation and question marks, commas, ended lines
    and capitalised words; lengths of words, of lines, of the text; how many words are in the
    bad-word lists of these languages; and twice what `regard` says, if English is one of them.
    """
    low = text.lower()
    plain = _SPACED.sub(lambda found: found[0].replace(" ", ""), low)
    plain = _LONG.sub(r"\1\1", _HIDDEN.sub(lambda found: found[0].translate(_MEANT), plain))
    words = _TOKEN.findall(plain)
    hits = sum(sum(map(listed(language)[0].__contains__, words)) for language in lists)
    told = regard(words) if "en" in lists else ()
    bins = [*_statistics(text, low), min(hits, 3), *told, *told]
    # One character, as a longer name would weigh more: all its parts count.
    return " ".join([*words, *(chr(0xE000 + 16 * which + at) for which, at in enumerate(bins))])


def _statistics(text: str, low: str) -> list[int]:
    """The bins of the statistics, each below 16."""
    size = len(text)
    words = len(text.split())
    lines = sum(1 for line in text.splitlines() if line.strip())
    letters = len(_LETTERS.sub("", text))
    digits = len(_DIGITS.sub("", text))
    capitals = int(np.count_nonzero(_codes(text) != _codes(low))) if len(low) == size else 0
    shares = (
        ratio(capitals, letters),
        ratio(digits, size),
        ratio(max(0, size - letters - digits - words), size),
        ratio(text.count("!"), words),
        ratio(text.count("?"), words),
        ratio(text.count(","), words),
        ratio(len(_ENDED.findall(text)), lines),
        ratio(len(_CAPITAL.findall(text)), words),
    )
    return [
        *_SHARES.searchsorted(shares).tolist(),
        int(_WORD.searchsorted(ratio(size, words))),
        int(_LINE.searchsorted(ratio(words, lines))),
        int(_LENGTH.searchsorted(words)),
    ]


def _codes(text: str) -> npt.NDArray[np.uint32]:
    return np.frombuffer(text.encode("utf-32-le", "surrogatepass"), np.uint32)
