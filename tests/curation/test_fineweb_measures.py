"""FineWeb's and mC4's measures and C4's bad words; each trap has a test with its name."""

import pytest

from curation.measures import MEASURES, View
from curation.measures.bad_words import pattern
from curation.measures.characters import PUNCTUATION, TERMINAL_PUNCTUATION


def fineweb(text: str) -> dict[str, float]:
    found = MEASURES["fineweb"](View(text))
    return {name.partition(".")[2]: value for name, value in found.items()}


def test_trap_terminal_punctuation_has_no_quotes_colons_or_blanks_after_it() -> None:
    text = 'One.\nTwo!\nThree?\n四。\nपाँच।\n"Six."\nSeven:\nEight;\nNine. \nTen…'
    assert fineweb(text)["line_punct_ratio"] == 0.5
    assert len(TERMINAL_PUNCTUATION) == 159
    assert len(PUNCTUATION) == 281
    assert not TERMINAL_PUNCTUATION & set("\"'”’»;:,)…")


def test_trap_blank_lines_are_no_lines() -> None:
    found = fineweb("One line that is longer than thirty characters.\n\n  \n\xa0\nshort")
    assert found["lines"] == 2
    assert found["line_punct_ratio"] == found["short_line_ratio"] == 0.5


def test_trap_a_short_line_has_at_most_thirty_characters_unstripped() -> None:
    assert fineweb("x" * 30 + "\n" + "x" * 31)["short_line_ratio"] == 0.5
    assert fineweb("x" * 30 + " ")["short_line_ratio"] == 0


def test_trap_dup_characters_are_of_copies_by_what_is_no_line_break() -> None:
    assert fineweb("menu\n\nmenu\nother\nmenu")["char_dup_ratio"] == round(8 / 17, 9)


def test_trap_line_breaks_are_by_spacys_words() -> None:
    assert fineweb("a,\nb,\n\n")["list_ratio"] == 0.75


def test_lines_are_between_line_feeds_only() -> None:
    assert fineweb("one\r\ntwo\u2028three")["lines"] == 2
    assert fineweb("one.\r\ntwo.")["line_punct_ratio"] == 0.5  # the carriage return ends a line


def test_nothing_has_every_signal() -> None:
    assert set(fineweb("").values()) == {0.0}


def test_mc4_counts_lines_of_200_characters() -> None:
    text = "\n".join(["x" * 200, "y" * 199, "z" * 500, ""])
    assert MEASURES["mc4"](View(text)) == {"mc4.long_lines": 2}


def bad_words(language: str, text: str) -> float:
    family = f"bad_words_{language}"
    return MEASURES[family](View(text))[f"{family}.found"]


def test_bad_words_are_whole_words_in_any_case() -> None:
    assert bad_words("en", "Panties and panties, PANTIES") == 3
    assert bad_words("en", "scunthorpe classic assassin") == 0
    assert bad_words("en", "an ass_ets file") == 0  # `_` is part of a word
    assert bad_words("en", "") == 0


def test_bad_words_that_touch_are_each_found() -> None:
    """A border that is shared is no reason to miss the second."""
    assert bad_words("en", "sex porn") == 2


def test_bad_words_of_languages_without_spaces_are_parts_of_text() -> None:
    assert bad_words("zh", "这是一个强奸案件") > 0
    assert bad_words("de", "Arschlochs") == 0


def test_trap_bad_words_are_allowed_in_their_own_language_only() -> None:
    """datatrove takes what is allowed in Japanese and Chinese from every list."""
    assert pattern("ja").search("女の子") is None
    assert bad_words("ja", "sm") == 0
    assert bad_words("zh", "性") == 0
    assert bad_words("fr", "chatte") == 1


@pytest.mark.parametrize("family", sorted(f for f in MEASURES if f.startswith("bad_words_")))
def test_every_list_of_bad_words_compiles_and_finds_nothing_in_nothing(family: str) -> None:
    assert MEASURES[family](View("")) == {f"{family}.found": 0}
