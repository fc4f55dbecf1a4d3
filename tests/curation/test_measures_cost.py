"""Degenerate texts go through the whole chain: nothing raises, and nothing takes more than linear
time, in which a text of this size would take minutes or hours instead of a second."""

import random
from pathlib import Path

import pytest

from curation.chain import Chain
from curation.measures import MEASURES, View
from curation.readers import storable
from curation.rules import load_chain, load_table, with_languages
from schemas.chain import EditStep, RulesStep
from schemas.filter import Filter
from tests.curation.judging import judge

SIZE = 100_000
RANDOM = random.Random(1)

UNITS = {
    "one huge word": "a",
    "opening brackets": "(",
    "closing brackets": ")",
    "quotation marks": '"',
    "dots": ".",
    "ellipses": "…",
    "hyphens": "-",
    "genitives": "'s",
    "colons": "::",
    "smileys": ":)",
    "smileys apart": ":) ",
    "addresses": "http://a:",
    "at signs": "x@",
    "units": "1km",
    "numbers": "1.",
    "currencies": "US$",
    "hyphenated": "a-",
    "letters": "a ",
    "full stops": ". ",
    "line breaks": "\n",
    "short lines": "a\n",
    "paragraphs": "a\n\n",
    "carriage returns": "One two three four.\r\n",
    "control characters": "\x00\x01\x02",
    "control words": "\x00 \x01\x02 ",
    "no-break spaces": "a\xa0\xa0b. ",
    "citations": "[1] ",
    "cited lines": "[1] one two. [2]\n",
    "open citations": "[",
    "Chinese": "我们。",
    "Thai": "กขฃ",
    "emoji": "😀",
    "combining marks": "e\u0301\u0301",
    "dropped pages": "lorem ipsum { javascript use cookies\n",
    "surrogates": "\ud800 ",
    "addresses of mail": "a@b.c@",
    "hosts": "a.b.",
    "hosts apart": "The a.com ",
    "numbers of telephones": " (555) 123-",
    "counters": "1 likes\n",
    "phrases": "Sign-in items in cart Read more...\n",
    "ends of sentences": "A. b? c! ",
    "ends without blanks": "a.b?c!",
    "closing quotes": "a.\u201d",
    "connectors": "a_",
    "Hebrew": "א'א\"",
    "joiners": "a\u200d",
    "narrow blanks": "a\u202f",
    "tables": "|  |\n",
    "entities": "&amp;amp;",
}
TEXTS = {name: unit * (SIZE // len(unit)) for name, unit in UNITS.items()} | {
    "100,000 lines": "\n".join(f"Line {number} of many." for number in range(100_000)),
    "long words": ("w" * 1001 + " of three words.\n") * 200,
    "words that differ": " ".join(map(str, range(SIZE // 6))),
    "marks that differ": " ".join("".join(RANDOM.choices("a(b).,'-", k=4)) for _ in range(40_000)),
    "one in two": "".join(f"a{number} b " for number in range(SIZE // 9)),
}


@pytest.fixture(scope="module")
def chain() -> Chain:
    names = ("gopher_repetition", "gopher_quality", "", "c4", "fineweb_quality", "mc4", "bad_words")
    steps = (
        RulesStep(rules=load_table(name, Path())) if name else EditStep(edit="c4_lines")
        for name in names
    )
    return Chain(Filter(chain=tuple(steps)))


OTHERS = ("c4_code", "dclm", "dolma", "fineweb2", "nemo")


@pytest.fixture(scope="module")
def others() -> dict[str, Chain]:
    chains = {name: load_chain(name, Path()) for name in OTHERS}
    return {name: Chain(with_languages(spec, {})) for name, spec in chains.items()}


@pytest.mark.parametrize("name", sorted(TEXTS))
def test_a_degenerate_text_is_judged_by_every_chain(others: dict[str, Chain], name: str) -> None:
    text = TEXTS[name][: 2 * SIZE]
    for chain in others.values():
        outcome = judge(chain, storable(text), "zh", 1.0)
        assert None not in outcome.signals.values()
        assert all(value == value and abs(value) < 1e9 for value in outcome.signals.values())
    view = View(text, "de")
    assert all(value >= 0 for value in MEASURES["redpajama"](view).values())
    assert "".join(view.sentences_by_language) == text


@pytest.mark.parametrize("name", sorted(TEXTS))
def test_a_degenerate_text_is_judged(chain: Chain, name: str) -> None:
    outcome = judge(chain, storable(TEXTS[name]), "en", 1.0)
    assert not outcome.kept
    assert None not in outcome.signals.values()
    assert all(0 <= value < float("inf") for value in outcome.signals.values() if value)


@pytest.mark.parametrize("family", ["gopher", "gopher_repetition", "fineweb"])
def test_shares_are_shares(family: str) -> None:
    shares = ("_frac", "dup_5_gram", "dup_10_gram", "_lines", "alpha_words", "_line_ratio")
    for text in (text[:2_000] for text in TEXTS.values()):
        for name, value in MEASURES[family](View(text)).items():
            assert value >= 0
            assert value <= 1 or not name.endswith(shares), (name, text[:20])
