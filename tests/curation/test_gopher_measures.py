"""Gopher's measures by datatrove's definitions; each trap has a test with its name."""

import pydoc_data.topics
import random
import re
from collections import Counter

import pytest

from curation.measures import MEASURES, View

QUALITY = MEASURES["gopher"]
REPETITION = MEASURES["gopher_repetition"]

PROSE = """The mill stands where the river bends, and it has been grinding since 1843.
Its owners, the Haugens, keep two pairs of stones: one for rye, one for wheat.

"We don't run it for money," says Anne Haugen (61). "We run it because it's there."
"""


def quality(text: str) -> dict[str, float]:
    return {name.partition(".")[2]: value for name, value in QUALITY(View(text)).items()}


def repetition(text: str) -> dict[str, float]:
    return {name.partition(".")[2]: value for name, value in REPETITION(View(text)).items()}


def test_prose() -> None:
    """Counted by hand."""
    found = quality(PROSE)
    words = View(PROSE).words
    real = [word for word in words if re.search(r"\w", word)]
    assert len(words) == 63
    assert found["words"] == len(real) == 47
    assert found["mean_word_length"] == round(sum(map(len, real)) / 47, 9)
    assert found["alpha_words"] == round(45 / 63, 9)  # all but 1843, 61 and 16 marks
    assert found["stop_words"] == 3  # the, and, of
    assert found["bullet_lines"] == found["hash_ratio"] == found["ellipsis_ratio"] == 0


def test_trap_word_count_and_mean_leave_punctuation_out_but_alpha_does_not() -> None:
    found = quality("Yes, no! (Maybe?) 42")
    assert View("Yes, no! (Maybe?) 42").words == [
        "Yes", ",", "no", "!", "(", "Maybe", "?", ")", "42",
    ]  # fmt: skip
    assert found["words"] == 4
    assert found["mean_word_length"] == 3
    assert found["alpha_words"] == round(3 / 9, 9)


def test_trap_the_definition_of_a_word_moves_alpha_over_its_threshold() -> None:
    """With white-space words all four would have a letter; spaCy's words fail the rule."""
    text = '"Yes," (he) said: "no!"'
    assert all(re.search("[a-z]", word) for word in text.split())
    assert quality(text)["alpha_words"] == round(4 / 13, 9)


def test_trap_a_full_width_one_is_punctuation_for_datatrove() -> None:
    assert quality("１ ２")["words"] == 1


def test_trap_symbols_are_counted_in_the_text_and_divided_by_all_words() -> None:
    found = quality("# one ## two... three…")
    assert len(View("# one ## two... three…").words) == 8
    assert found["hash_ratio"] == round(3 / 8, 9)
    assert found["ellipsis_ratio"] == round(2 / 8, 9)
    assert quality("one ......")["ellipsis_ratio"] == 1.0  # two times three dots, two words
    assert quality("one . . . two")["ellipsis_ratio"] == 0  # a mark for DCLM only


def test_trap_bullets_are_two_marks_and_blank_lines_count() -> None:
    assert quality("• a\n - b\n-c\n* d\n● e\n\nf")["bullet_lines"] == round(3 / 7, 9)


def test_trap_lines_of_quality_end_at_any_line_end() -> None:
    assert quality("- a\r\nb\u2028c\x0bd")["bullet_lines"] == 0.25


def test_trap_lines_that_end_with_an_ellipsis() -> None:
    assert quality("a...\nb… \nc..\nd...e")["ellipsis_lines"] == 0.5


def test_trap_stop_words_are_distinct_and_case_sensitive() -> None:
    assert quality("the the the The THE")["stop_words"] == 1
    assert quality("the be to of and that have with")["stop_words"] == 8
    assert quality("Of course; to-do, thebe")["stop_words"] == 1  # `to` of spaCy's to - do


def test_trap_dup_lines_counts_copies_beyond_first() -> None:
    """dolma and DCLM count all four of the equal lines."""
    found = repetition("menu\nmenu\nmenu\nmenu\nother")
    assert found["dup_line_frac"] == 0.6
    assert found["dup_line_char_frac"] == round(12 / 25, 9)


def test_trap_blank_lines_are_no_lines_for_repetition() -> None:
    assert repetition("a\n\n\nb\n\n\nc")["dup_line_frac"] == 0


def test_trap_a_line_break_at_both_ends_makes_two_empty_lines() -> None:
    assert repetition("\n\na b\nc\n")["dup_line_frac"] == 0.25
    assert repetition("\na b\nc")["dup_line_frac"] == 0
    assert repetition("\n")["dup_line_frac"] == 0.5


def test_trap_lines_are_not_stripped() -> None:
    assert repetition("menu\nmenu \nmenu")["dup_line_frac"] == round(1 / 3, 9)


def test_trap_paragraphs_are_between_two_or_more_line_breaks() -> None:
    found = repetition("\n\na\nb\n\na\nb\n\n\n\n\nc\n \nd\n\na\nb\n\n")
    assert found["dup_para_frac"] == 0.5  # a b, a b, c d, a b
    assert found["dup_para_char_frac"] == round(6 / 27, 9)


def test_trap_top_n_gram_has_its_blanks_and_divides_by_the_text() -> None:
    text = "to be or not to be"
    found = repetition(text)
    assert found["top_2_gram"] == round(5 * 2 / len(text), 9)  # "to be" twice
    assert found["top_3_gram"] == round(8 * 1 / len(text), 9)  # the first of four


def test_trap_of_equally_frequent_top_n_grams_the_first_counts() -> None:
    """DCLM takes the longest."""
    text = "a b x a b y longest words z longest words"
    assert repetition(text)["top_2_gram"] == round(3 * 2 / len(text), 9)


def test_trap_top_n_gram_is_no_share_and_may_exceed_one() -> None:
    """n-grams overlap, and have blanks between words where the text has none."""
    assert repetition("((((")["top_2_gram"] == round(3 * 3 / 4, 9)


def test_trap_short_texts_fail_by_their_only_n_gram() -> None:
    assert repetition("Hello there")["top_2_gram"] == 1.0
    assert repetition("Hello")["top_2_gram"] == 0


def test_trap_repeated_n_grams_are_read_greedily_and_without_blanks() -> None:
    text = "a b c d e a b c d e a b c d e"
    # the second five words are a repeat and are jumped over as a whole, then the third
    assert repetition(text)["dup_5_gram"] == round(10 / len(text), 9)
    # 6-grams start at words 0 to 9; the first seen again is that of word 5, and ends it
    assert repetition(text)["dup_6_gram"] == round(6 / len(text), 9)


def test_trap_n_grams_are_equal_when_their_joined_words_are() -> None:
    text = "x ab c d e f | x a bc d e f"
    assert View(text).words == text.split()
    assert repetition(text)["dup_5_gram"] == round(6 / len(text), 9)  # xabcde


def by_definition(text: str) -> dict[str, float]:
    """The repeated n-grams as the definitions read, a word at a time."""
    words = View(text).words
    found: dict[str, float] = {}
    for n in (2, 3, 4):
        grams = Counter(" ".join(words[i : i + n]) for i in range(len(words) - n + 1))
        best = max(grams.values(), default=0)
        first = next((gram for gram in grams if grams[gram] == best), "")
        found[f"top_{n}_gram"] = len(first) * best
    for n in range(5, 11):
        seen: set[str] = set()
        place = characters = 0
        while place + n <= len(words):
            gram = "".join(words[place : place + n])
            characters += len(gram) if gram in seen else 0
            place += n if gram in seen else 1
            seen.add(gram)
        found[f"dup_{n}_gram"] = characters
    return {name: round(value / len(text), 9) for name, value in found.items()}


@pytest.mark.parametrize("vocabulary", [2, 3, 8, 40])
def test_n_grams_of_random_texts_are_as_defined(vocabulary: int) -> None:
    rng = random.Random(vocabulary)
    words = ["a", "b", "ab", "ba", "aab", "x.", "(b", "don't", "é"]
    words = (words * 10)[:vocabulary] if vocabulary < 9 else words + list(map(str, range(31)))
    for _ in range(60):
        text = " ".join(rng.choices(words, k=rng.choice([1, 4, 5, 9, 10, 11, 30, 200])))
        found = repetition(text)
        expected = by_definition(text)
        assert {name: found[name] for name in expected} == expected, text


def test_n_grams_of_real_texts_are_as_defined() -> None:
    topics = pydoc_data.topics.topics
    for name in sorted(topics)[:25]:
        found = repetition(topics[name])
        expected = by_definition(topics[name])
        assert {name: found[name] for name in expected} == expected


def test_n_grams_of_more_words_than_fit_in_a_packed_key() -> None:
    """From 32,769 different words 4-grams are numbered another way."""
    words = list(map(str, range(33_000)))
    text = " ".join([*words, *words[10:14], "end", *words[10:14]])
    assert repetition(text)["top_4_gram"] == round(11 * 3 / len(text), 9)


def test_degenerate_texts_have_every_signal() -> None:
    for text in ("", " ", "\n\n", "...", "!!! ???", "\x00\x01", "ー", "#"):
        assert tuple(QUALITY(View(text))) == QUALITY.signals
        assert tuple(REPETITION(View(text))) == REPETITION.signals
    assert quality("")["mean_word_length"] == quality("!!!")["mean_word_length"] == 0
