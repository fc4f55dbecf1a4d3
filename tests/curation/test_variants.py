"""The variants of the references; each trap has a test with its name."""

import math

import pytest

from curation.edits import EDITS
from curation.measures import MEASURES, View, ccnet
from curation.measures.fineweb2 import languages

TEXT = """The mill stands where the river bends, and it has been grinding since 1843.
Its owners, the Haugens, keep two pairs of stones: one for rye, one for wheat.

"We don't run it for money," says Anne Haugen (61). "We run it because it's there."
"""


def measured(family: str, text: str, language: str = "") -> dict[str, float]:
    signals = MEASURES[family](View(text, language))
    return {name.partition(".")[2]: value for name, value in signals.items()}


def edited(name: str, text: str) -> tuple[str, dict[str, float]]:
    result = EDITS[name](View(text))
    signals = result.signals.items()
    return result.text, {name.partition(".")[2]: value for name, value in signals if value}


def test_trap_mean_or_median_word_length() -> None:
    text = "a a a a extraordinarily"
    assert measured("gopher_dolma", text)["median_word_length"] == 1
    assert measured("gopher_dclm", text)["mean_word_length"] == round(19 / 5, 9)


def test_trap_stop_words_are_occurrences_in_their_case_or_in_any() -> None:
    text = "the the THE The of"
    assert measured("gopher", text)["stop_words"] == 2  # datatrove: distinct
    assert measured("gopher_dolma", text)["stop_words"] == 3
    assert measured("gopher_dclm", text)["stop_words"] == 5


def test_trap_bullets_differ() -> None:
    text = "* a\n- b\n• c\n● d"
    assert measured("gopher", text)["bullet_lines"] == 0.5  # - •
    assert measured("gopher_dolma", text)["bullet_lines"] == 0.5  # * -
    assert measured("gopher_dclm", text)["bullet_lines"] == 1


def test_trap_ellipses_differ() -> None:
    text = "a...\nb…\nc. . .\nd"
    assert measured("gopher", text)["ellipsis_lines"] == 0.5
    assert measured("gopher_dolma", text)["ellipsis_lines"] == 0.25
    assert measured("gopher_dclm", text)["ellipsis_lines"] == 0.75


def test_trap_symbols_are_counted_or_words_that_have_one() -> None:
    text = "## two... three… four"
    assert measured("gopher_dolma", text)["symbol_words"] == 0.5  # ## and three…
    assert measured("gopher_dclm", text)["symbol_ratio"] == 1  # four symbols, four words


def test_trap_all_copies_count_for_dclm_and_dolma() -> None:
    text = "menu\nmenu\nother line"
    assert measured("gopher_repetition", text)["dup_line_frac"] == round(1 / 3, 9)
    assert measured("repetition_dclm", text)["dup_lines"] == round(2 / 3, 9)
    assert measured("gopher_dolma", text)["dup_lines"] == round(2 / 3, 9)
    assert measured("nemo", text)["repeated_lines"] == round(2 / 3, 9)  # distinct ones


def test_trap_blank_lines_are_lines_for_dolmas_first_version() -> None:
    text = "one\n\ntwo\n\nthree"
    assert measured("gopher_dolma", text)["dup_lines"] == 0.4


def test_trap_top_n_grams() -> None:
    text = "a b x a b y longest words z longest words"
    assert measured("repetition_dclm", text)["top_2_gram"] == round(12 * 2 / 31, 9)  # the longest
    assert measured("gopher_dolma", text)["top_2_gram"] == round(2 * 2 / 31, 9)  # the first
    assert measured("nemo", text)["repeating_top_2grams"] == round(3 * 2 / len(text), 9)
    once = "no word twice here"
    assert measured("repetition_dclm", once)["top_2_gram"] == 0
    assert measured("gopher_dolma", once)["top_2_gram"] == round(6 / 15, 9)  # the first


def test_trap_repeated_n_grams() -> None:
    text = "a b c d e x a b c d e"
    assert measured("repetition_dclm", text)["dup_5_gram"] == round(10 / 11, 9)  # words in any
    assert measured("gopher_dolma", text)["dup_5_gram"] == round(10 / 35, 9)  # of all n-grams
    assert measured("nemo", text)["repeating_dup_5gram"] == round(9 / 21, 9)  # the second, blanks
    assert measured("redpajama", text)["frac_chars_dupe_5grams"] == round(10 / 11, 9)


@pytest.mark.parametrize(
    ("text", "spans"),
    [
        ("Write to anne@mill.com or bob@mill.org, or (c@mill.org). Bye", 2),
        ("No host: anne@mill here", 0),
        ("Call (555) 123-4567 or 555.123.4567", 2),
        ("555 123 4567 starts a line", 0),  # white space must stand before it
        ("From 10.0.0.1 to 300.1.1.1", 2),  # 300 holds 00
        ("?" * 10_001 + " 10.0.0.1 ", 0),
    ],
)
def test_personal_data_by_dolma(text: str, spans: int) -> None:
    assert measured("pii_dolma", text)["spans"] == spans


def test_trap_addresses_are_only_looked_for_behind_a_top_level_domain() -> None:
    """The reference tests the start of the text where it means the whole."""
    text = "See http://mill.com/bread now"
    assert edited("refinedweb_urls", "The page. " + text) == ("The page. See now", {"removed": 1})
    assert edited("refinedweb_urls", "Xy. " + text) == ("Xy. " + text, {})
    assert edited("refinedweb_urls", "Xy at 10.0.0.1:80/x now") == ("Xy at now", {"removed": 1})


def test_addresses_around_odd_white_space_are_those_of_the_expression() -> None:
    from curation.edits.refinedweb import _addresses, _without

    pieces = ["a.com", "b", " ", "\n", "\t", " " * 15, "x.y.org/z?q=1", ".", "e.g.", "v1.2", "\xa0"]
    pieces += ["http://", "ftp://c.net", "(d.de)", "end.The", "а.рф", "f@g.it,"]
    import random

    rng = random.Random(3)
    _, address = _addresses()
    for _ in range(3000):
        text = "".join(rng.choices(pieces, k=rng.randint(1, 9)))
        assert _without(address, text) == address.subn("", text), repr(text)


def test_corrections_of_lines() -> None:
    text = "\n".join(
        [
            "BREAKING NEWS TODAY",
            "1234567",
            "12.5k Likes",
            "Menu",
            "  ",
            "",
            "A good line of text. Read more...",
            "Sign-in to go on",
            "3 items in cart",
            "And so the page ends here.",
        ]
    )
    after, found = edited("refinedweb_lines", text)
    assert after == "A good line of text.\nto go on\n3\nAnd so the page ends here."
    assert {name: found[name] for name in ("upper", "numeric", "counters", "short")} == {
        "upper": 1, "numeric": 1, "counters": 1, "short": 2,
    }  # fmt: skip
    assert (found["words_before"], found["words_after"]) == (28, 15)
    assert found["removed_words"] == round(13 / 28, 9)


def test_trap_the_dots_of_read_more_are_any_characters() -> None:
    assert edited("refinedweb_lines", "A line of text Read more >>")[0] == "A line of text"
    assert edited("refinedweb_lines", "A line of text Read more")[0] == "A line of text Read more"


def test_trap_phrases_in_long_lines_stay() -> None:
    text = "one two three four five six seven eight nine items in cart"
    assert edited("refinedweb_lines", text)[0] == text


def test_trap_upper_case_letters_by_all_characters() -> None:
    """Not by letters: half of a line may be capitals when the rest is blanks and marks."""
    assert edited("refinedweb_lines", "NASA - 19 72")[0] == "NASA - 19 72"
    assert edited("refinedweb_lines", "NASA NASA")[0] == ""


def test_letters_that_fold_to_ascii_are_found_as_by_the_expression() -> None:
    assert edited("refinedweb_lines", "Now ıtemſ in cart here")[0] == "Now here"


@pytest.mark.parametrize(
    ("name", "before", "after", "signals"),
    [
        ("citations", "Rye[1] grows[edit].[citation needed]", "Rye grows.", {"removed": 3}),
        ("line_breaks", "a\n\n\n\nb\n\nc", "a\n\nb\n\nc", {"removed": 2}),
        ("ftfy", "The MÃ¼ller &amp; Son “quote” ﬁ", "The Müller & Son “quote” ﬁ", {"changed": 1}),
        ("bar_lines", "a | b\n| |\n|\n\nc", "a | b\n\n\n\nc", {"removed": 2}),
        ("citations", "nothing", "nothing", {}),
        ("ftfy", "nothing", "nothing", {}),
    ],
)
def test_mends(name: str, before: str, after: str, signals: dict[str, float]) -> None:
    assert edited(name, before) == (after, signals)


def test_nemo_by_hand() -> None:
    found = measured("nemo", TEXT)
    assert found["word_count"] == 45
    assert found["common_english_words"] == 4
    assert found["punctuation"] == 0
    assert found["parentheses_ratio"] == round(2 / len(TEXT), 9)
    assert found["numbers_ratio"] == round(6 / len(TEXT), 9)
    assert measured("nemo", "Lorem ipsum dolor\n\nb")["boilerplate_string_ratio"] == 1
    assert measured("nemo", "a\n\nOur Privacy Policy")["boilerplate_string_ratio"] == 0.5
    assert measured("nemo", "Go to https://a.org/b now")["urls_ratio"] == round(15 / 25, 9)
    assert measured("nemo", "# ## a b")["symbol_to_word"] == 0.25  # ## is one run of two


def test_redpajama_by_hand() -> None:
    found = measured("redpajama", "To be, or NOT to be!\n• That is it...\n")
    assert found["word_count"] == 10  # the bullet is no ASCII punctuation
    assert found["num_sentences"] == 2
    assert found["frac_unique_words"] == round(8 / 10, 9)
    assert found["frac_chars_top_2gram"] == round(4 * 2 / 22, 9)
    assert found["frac_all_caps_words"] == round(1 / 13, 9)
    assert found["frac_no_alph_words"] == round(4 / 13, 9)
    assert found["lines_start_with_bulletpoint"] == found["frac_lines_end_with_ellipsis"] == 0.5
    assert found["lines_num_words"] == 5
    assert found["lines_uppercase_letter_fraction"] == round(5 / 35, 9)
    entropy = -2 * 0.2 * math.log(0.2) - 6 * 0.1 * math.log(0.1)
    assert found["unigram_entropy"] == round(entropy, 9)


def test_redpajama_stop_words_by_language() -> None:
    text = "The mill is by the brook, in 1½ fields.\nDie Mühle ist am Bach"
    for language, share in (("en", 5 / 16), ("de", 3 / 16), ("xx", 0), ("", 0), ("../os", 0)):
        found = measured("redpajama", text, language)
        assert found["stop_word_fraction"] == round(share, 9), language
    # 1½ of the 47 characters of words: NFD makes two of `ü`
    assert found["lines_numerical_chars_fraction"] == round(2 / 47, 9)


def test_fineweb2_by_language() -> None:
    german = "Der Müller und die Frau gehen in den Wald, um das Korn von dem Feld zu holen. "
    found = measured("fineweb2", german * 2, "de")
    assert found["known"] == 1
    assert found["stop_words"] == 7  # as they are written: not `Der`
    assert found["over_dup_line_frac"] == -languages()["de"]["dup_line_frac"]
    assert found["over_top_2_gram"] == round(found["top_2_gram"] - 0.169, 9)
    assert found["over_alpha_words"] == round(0.774 - found["alpha_words"], 9)
    unknown = measured("fineweb2", german, "xx")
    assert unknown["known"] == unknown["stop_words"] == unknown["over_top_2_gram"] == 0
    assert unknown["words"] == found["words"] / 2


def test_fineweb2_counts_words_of_scripts_without_spaces() -> None:
    found = measured("fineweb2", "我爱北京天安门，今天的天气很好。", "zh")
    assert found["words"] == 8
    assert found["stop_words"] == 1


@pytest.mark.parametrize("language", sorted(languages()))
def test_thresholds_of_a_language_are_whole(language: str) -> None:
    row = languages()[language]
    assert len(row["stop_words"]) >= 2
    assert 0.3 <= row["language_score"] <= 0.9
    falling = [row[f"dup_{n}_gram"] for n in range(5, 11)]
    assert falling == sorted(falling, reverse=True)
    assert row["min_word_length"] < row["max_word_length"]


@pytest.mark.parametrize(
    ("perplexity", "language", "bucket"),
    [
        (339.9, "en", ccnet.HEAD),
        (340, "en", ccnet.MIDDLE),
        (520, "en", ccnet.TAIL),
        (200, "fr", ccnet.MIDDLE),
        (200, "xx", ccnet.UNKNOWN),
        (-1, "en", ccnet.UNKNOWN),
    ],
)
def test_buckets_of_perplexity(perplexity: float, language: str, bucket: int) -> None:
    assert ccnet.bucket(perplexity, language) == bucket
