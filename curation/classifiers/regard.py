"""How a text speaks of groups of people, by short lists of English words (`regard.yaml`): what no
word says for itself."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from importlib import resources

import yaml

NO_GROUP = 7  # the regard for groups of a text that names none
_NEAR = 5  # words on which a negation reaches
_MOST = 3


# What a word is, bits; the first six by the names of the lists.
_GROUP, _PRONOUN, _HOSTILE, _KIND, _NEGATION, _REPORT, _QUOTE, _END = (1 << at for at in range(8))
_LISTS = ("groups", "pronouns", "hostile", "kind", "negations", "reports")


@functools.cache
def _known() -> dict[str, int]:
    text = resources.files("curation").joinpath("classifiers/regard.yaml").read_text("utf-8")
    lists = yaml.safe_load(text)
    found: dict[str, int] = dict.fromkeys('"“”«»', _QUOTE) | dict.fromkeys(".!?", _END)
    for at, name in enumerate(_LISTS):
        for word in lists[name].split():
            found[word] = found.get(word, 0) | 1 << at
    return found


def regard(words: Sequence[str]) -> tuple[int, int, int, int]:
    """Regard for groups, regard for others, groups and reports, of words and marks in lower case.

    A hostile word counts -1, a kind one 1; within five words after a negation the other way round;
    a hostile one in quotation marks 1. Regard is the sum, from -3 (here 0) to 3 (here 6), over the
    sentences that name a group, or speak of `they` after one that does; and over all others. That
    for groups is NO_GROUP where none is named. Groups: sentences that name one. Reports: sentences
    hostile to groups that speak of what others say and do, and are no part of the sum. Both up to
    3.
    """
    known = _known()
    sums = [0, 0]  # of others, of groups
    groups = reports = 0
    total, negated, seen = 0, -_NEAR - 1, 0
    for place, word in enumerate([*words, "."]):
        found = known.get(word)
        if found is None:
            continue
        if found & (_HOSTILE | _KIND):
            good = bool(found & _KIND) != (place - negated <= _NEAR)
            total += 1 if good or seen & _QUOTE else -1
        if found & _NEGATION:
            negated = place
        seen ^= found & _QUOTE
        seen |= found & ~_QUOTE
        if found & _END:
            groups += bool(seen & _GROUP)
            about = bool(seen & _GROUP or (groups and seen & _PRONOUN))
            if about and total < 0 and seen & _REPORT:
                reports += 1
            else:
                sums[about] += total
            total, negated, seen = 0, -_NEAR - 1, 0
    others, own = (max(-_MOST, min(_MOST, each)) + _MOST for each in sums)
    return own if groups else NO_GROUP, others, min(groups, _MOST), min(reports, _MOST)
