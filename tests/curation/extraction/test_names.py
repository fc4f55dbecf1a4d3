import random
import re

from curation.extraction.blocks.names import Names
from curation.extraction.blocks.words import GROUPS, groups

KNOWN = {"nav": 1, "navigation": 2, "card": 4, "h": 8}
WORD = re.compile("[A-Z]?[a-z]+|[A-Z]+(?![a-z])")


def plainly(name):
    found = 0
    for word in WORD.findall(name[:200]):
        word = word.lower()
        begins = [
            known for known in KNOWN if word == known or (len(known) > 3 and word.startswith(known))
        ]
        found |= KNOWN[max(begins, key=len)] if begins else 0
    return found


def test_words_are_found_as_the_plain_expression_finds_them():
    rng, names = random.Random(1), Names(KNOWN)
    pieces = [
        "nav",
        "Nav",
        "NAV",
        "igation",
        "card",
        "Card",
        "CARDs",
        "h",
        "H1",
        "-",
        "_",
        " ",
        "é",
        "x",
    ]
    some = 0
    for _ in range(20_000):
        name = "".join(rng.choices(pieces, k=rng.randrange(7)))
        assert names(name) == plainly(name), name
        some += names(name) > 0
    assert some > 10_000
    assert names("x" * 199 + "card") == 0


def test_groups_of_names():
    assert groups("siteNavBar post-content") == sum(
        1 << GROUPS.index(group) for group in ("article", "content", "nav")
    )
