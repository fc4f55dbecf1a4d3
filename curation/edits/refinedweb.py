r"""The edits of RefinedWeb as DCLM-baseline ran them: addresses out, and the corrections of lines.

Source: dclm 361714b, `baselines/mappers/modifiers.py`, with the parameters of
`dclm_baseline_refinedweb.yaml`; Penedo et al. 2023, https://arxiv.org/abs/2306.01116, appendix G.2.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Sequence
from importlib import resources

import numpy as np

from curation.alternatives import alternatives
from curation.edits.edit import Edit
from curation.measures import View, characters
from curation.measures.fasttext_words import count_words

MOST_UPPER = 0.5
MOST_DIGITS = 0.999999
LEAST_WORDS = 2
MOST_WORDS = 10  # of a line in which phrases are looked for

_COUNTER = re.compile(
    r"\W*\d[,.\d]*[kmb]?\s+(?:likes|shares|comments|retweets|reposts|quotes|bookmarks|upvotes"
    r"|downvotes|downloads|views|followers)\W*$"
)
_COUNTED = re.compile(r"\W*\d")
# the dots are any characters, as there
_PHRASES = {
    "cart": re.compile(r"\s?items in cart", re.I),
    "read_more": re.compile(r"\s?read more...$", re.I),
    "sign_in": re.compile(r"^sign-in\s?", re.I),
}
# what a text in lower case must hold for it to have the phrase
_MARKS = {"cart": "items in cart", "read_more": "read more", "sign_in": "sign-in"}
# characters that `re.I` takes for ASCII letters: dotless i, long s, the sign of kelvins, dotted I
_FOLDED = re.compile("[\u0131\u017f\u212a\u0130]")


def _strip(lines: list[str]) -> list[str]:
    """What `"\n".join(lines).strip().split("\n")` gives; nothing for a blank text."""
    start, end = 0, len(lines)
    while start < end and not lines[start].strip():
        start += 1
    while start < end and not lines[end - 1].strip():
        end -= 1
    if start == end:
        return []
    lines = lines[start:end]
    lines[0] = lines[0].lstrip()
    lines[-1] = lines[-1].rstrip()
    return lines


def _shares(view: View, kind: int) -> list[float]:
    """Of each row the share of its characters of a class; 0 of an empty one."""
    lengths = np.fromiter(map(len, view.rows), np.int64, len(view.rows))
    ends = np.cumsum(lengths + 1) - 1
    total = np.zeros(len(view.text) + 1, np.int64)
    np.cumsum(view.classes & kind != 0, out=total[1:])
    shares: list[float] = ((total[ends] - total[ends - lengths]) / np.maximum(lengths, 1)).tolist()
    return shares


def upper(view: View) -> list[str]:
    """Lines of more than half upper-case letters go."""
    pairs = zip(view.rows, _shares(view, characters.UPPER), strict=True)
    return _strip([row for row, share in pairs if share <= MOST_UPPER])


def numeric(lines: list[str]) -> list[str]:
    """Lines of digits only go."""
    return _strip([line for line in lines if not (line.isdigit() or _is_number(line))])


def _is_number(line: str) -> bool:
    """Only of a million characters may a few be no digits."""
    if len(line) * (1 - MOST_DIGITS) < 1:
        return False
    return sum(map(str.isdigit, line)) / len(line) > MOST_DIGITS


def counters(lines: list[str]) -> list[str]:
    """Lines such as `3 likes` go."""
    return _strip([line for line in lines if not _is_counter(line)])


def _is_counter(line: str) -> bool:
    return _COUNTED.match(line) is not None and _COUNTER.match(line.lower()) is not None


def short(lines: list[str]) -> list[str]:
    """Lines of one word go, and blank ones that are not empty; nothing is stripped."""
    return [
        line
        for line in lines
        if not line or " " in line.strip() or len(line.split(None, 1)) >= LEAST_WORDS
    ]


def phrase(name: str, lines: list[str]) -> list[str]:
    """A phrase goes from lines of at most ten words, and the line with it if nothing is left."""
    pattern = _PHRASES[name]
    kept = []
    for line in lines:
        if len(line.split(None, MOST_WORDS + 1)) <= MOST_WORDS:
            shorter = pattern.sub("", line)
            if line and not shorter.strip():
                continue
            line = shorter
        kept.append(line)
    return _strip(kept)


_STEPS: dict[str, Callable[[list[str]], list[str]]] = {
    "numeric": numeric,
    "counters": counters,
    "short": short,
}


def _lines(view: View) -> tuple[View, dict[str, float]]:
    """The corrections in their order: `upper`, `numeric`, `counters`, `short`, then the phrases
    of a shop's cart, "Read more..." at an end and "Sign-in" at a start."""
    before = count_words(view.classes, view.codes)
    found: dict[str, float] = dict.fromkeys(_SIGNALS, 0)
    lines = upper(view)
    found["upper"] = len(view.rows) - len(lines)
    for name, step in _STEPS.items():
        fewer = step(lines)
        found[name] = len(lines) - len(fewer)
        lines = fewer
    folded = view.text.lower() if not _FOLDED.search(view.text) else None
    for name in _PHRASES:
        if folded is not None and _MARKS[name] not in folded:
            lines = _strip(lines)
            continue
        fewer = phrase(name, lines)
        found[name] = _differing(lines, fewer)
        lines = fewer
    text = "\n".join(lines)
    if text == view.text:
        after, edited = before, view
    else:
        edited = view.edited(text)
        after = count_words(edited.classes, edited.codes)
    found["words_before"] = before
    found["words_after"] = after
    found["removed_words"] = (before - after) / before if before else 1.0
    found["lines"] = len(lines) if text else 0
    return edited, found


def _differing(before: Sequence[str], after: Sequence[str]) -> int:
    """Lines that are not as they were."""
    return len(before) - len(set(before) & set(after))


_WORDS = "Words (fastText's, that start with a letter or digit)"
_SIGNALS = {
    "upper": "Lines taken out: more than half of their characters are upper-case letters.",
    "numeric": "Lines taken out: nothing but digits.",
    "counters": "Lines taken out: counters such as `3 likes`.",
    "short": "Lines taken out: one word.",
    "cart": 'Lines of at most ten words that lost "items in cart", or went with it.',
    "read_more": 'Lines of at most ten words that lost "Read more..." at their end, or went with '
    "it.",
    "sign_in": 'Lines of at most ten words that lost "Sign-in" at their start, or went with it.',
    "words_before": f"{_WORDS} before the corrections.",
    "words_after": f"{_WORDS} after the corrections.",
    "removed_words": "(`words_before` - `words_after`) / `words_before`; 1 without words.",
    "lines": "Lines left; 0 if one of the corrections left nothing, where the reference drops the "
    "page.",
}


@functools.cache
def _addresses() -> tuple[re.Pattern[str], re.Pattern[str]]:
    """What a text must start with, and what an address is."""
    listed = resources.files(__package__).joinpath("tlds.txt").read_text("utf-8").split()
    domains = f"(?:{alternatives(listed)})"
    return re.compile(domains, re.I), re.compile(
        rf"\s{{0,10}}(?:(?:https?|ftp)://)?[-a-zA-Z0-9@:%._+~#=]{{1,256}}\.{domains}\b"
        r"[-a-zA-Z0-9()@:%_+.~#?&/=]*"
    )


_IP = re.compile(
    r"\s{0,10}\b(?:(?:https?|ftp)://)?(?:[0-2]?[0-9]{1,2}\.){3}[0-2]?[0-9]{1,2}"
    r"[-a-zA-Z0-9()@:%_+.~#?&/=]*"
)
_IP_INSIDE = re.compile(r"[0-9]\.[0-9]{1,3}\.[0-9]{1,3}\.[0-9]")
_DOT = re.compile(r"\.(?=\w)")
_BLANK = re.compile(r"\s")
_MOST_BLANKS = 10


def _urls(view: View) -> tuple[View, dict[str, float]]:
    """Addresses of the web, and IP addresses, go with the white space before them.

    As the reference runs: names of hosts are only looked for in a text that starts with a
    top-level domain, such as `The`, which starts with `th`.
    """
    starts, address = _addresses()
    text, removed = view.text, 0
    if starts.match(text):
        text, removed = _without(address, text)
    if _IP_INSIDE.search(text):
        text, more = _IP.subn("", text)
        removed += more
    return (view.edited(text) if removed else view), {"removed": removed}


def _without(address: re.Pattern[str], text: str) -> tuple[str, int]:
    """`address.subn("", text)`, tried only around dots inside words: an address holds one, and no
    white space but before it."""
    kept: list[str] = []
    removed = done = 0
    for dot in _DOT.finditer(text):
        place = dot.start()
        if place < done:
            continue
        start = max(text.rfind(" ", done, place), text.rfind("\n", done, place), done)
        for _ in range(_MOST_BLANKS):
            start -= start > done and text[start - 1].isspace()
        blank = _BLANK.search(text, place)
        end = blank.start() if blank else len(text)
        piece, found = address.subn("", text[start:end])
        kept += [text[done:start], piece]
        removed += found
        done = end
    kept.append(text[done:])
    return "".join(kept), removed


REFINEDWEB = (
    Edit(
        "refinedweb_urls",
        1,
        {"removed": "Addresses of the web, and IP addresses, that were taken out."},
        _urls,
        source="dclm 361714b, mappers/modifiers.py, dclm_baseline_refinedweb.yaml",
    ),
    Edit(
        "refinedweb_lines",
        1,
        _SIGNALS,
        _lines,
        source="Penedo et al. 2023, arXiv 2306.01116, appendix G.2; dclm 361714b, "
        "mappers/modifiers.py",
    ),
)
