"""The edits of C4; each trap has a test with its name."""

import pytest

from curation.edits import EDITS, Edited
from curation.measures import View
from curation.measures.punkt import punkt

LONG = "This line has enough words."


def edit(name: str, text: str) -> Edited:
    return EDITS[name](View(text))


def found(name: str, text: str) -> dict[str, float]:
    signals = edit(name, text).signals
    return {signal.partition(".")[2]: value for signal, value in signals.items() if value}


def test_lines_are_stripped_short_ones_dropped_and_blank_lines_go() -> None:
    text = f"  {LONG}  \n\nHome\n\n\nAnd here is another one\r\nBuy now\n"
    edited = edit("c4_lines", text)
    assert edited.text == f"{LONG}\nAnd here is another one"
    assert found("c4_lines", text) == {
        "lines": 7,
        "too_few_words": 5,
        "kept_lines": 2,
        "sentences": 2,
    }


def test_trap_fineweb_keeps_lines_without_end_mark_and_the_paper_does_not() -> None:
    text = "No mark at the end\nA mark at the end!\nIt trails off here ...\nHe said 'so it is'"
    assert edit("c4_lines", text).text == text
    assert edit("c4_lines_paper", text).text == "A mark at the end!\nHe said 'so it is'"
    assert found("c4_lines_paper", text)["no_terminal_punctuation"] == 2


def test_trap_datatrove_takes_an_apostrophe_for_an_end_mark() -> None:
    """The code that made C4 has `. ? ! "` only."""
    assert edit("c4_lines_paper", "It ends in 'quotes'").text == "It ends in 'quotes'"


def test_trap_words_are_counted_before_citations_are_removed() -> None:
    """The code that made C4 counts after."""
    edited = edit("c4_lines", "Wheat [1] [23]\nRye[4]\nOats and barley[citation needed].[edit]")
    assert edited.text == "Wheat  \nOats and barley.".strip()
    assert edited.signals["c4_lines.too_few_words"] == 1


def test_trap_three_words_a_line() -> None:
    """The paper's and datatrove's figure; the code that made C4 asks for five."""
    assert edit("c4_lines", "one two three\none two").text == "one two three"


def test_a_line_with_a_word_of_more_than_1000_characters_goes() -> None:
    text = f"{'x' * 1001} is a word\n{'x' * 1000} is a word"
    assert found("c4_lines", text)["too_long_word"] == 1
    assert edit("c4_lines", text).text == f"{'x' * 1000} is a word"


def test_lines_with_javascript_or_policies_go() -> None:
    text = (
        f"Please enable JavaScript now\nRead our Privacy Policy here\n{LONG}\nWe use cookies here"
    )
    assert edit("c4_lines", text).text == LONG
    assert found("c4_lines", text)["javascript"] == 1
    assert found("c4_lines", text)["policy"] == 2


def test_trap_a_term_that_only_shows_when_citations_are_gone() -> None:
    assert found("c4_lines", "Enable java[1]script in settings")["javascript"] == 1
    assert found("c4_lines", "Lorem[2] ipsum dolor sit amet")["lorem_ipsum"] == 1


def test_trap_a_brace_in_a_dropped_line_does_no_harm() -> None:
    """Too short, or about javascript: dropped before the brace is looked at."""
    assert "curly_bracket" not in found("c4_lines", f"{{ x\njavascript {{ has braces\n{LONG}")
    assert found("c4_lines", "a line with { in it")["curly_bracket"] == 1
    assert "curly_bracket" not in found("c4_lines_paper", "a line with { in it")
    assert "curly_bracket" not in found("c4_lines", "a line with } in it")


def test_trap_a_brace_in_a_line_about_policies_counts() -> None:
    """It is looked at before the policies."""
    assert found("c4_lines", "function() { use cookies now")["curly_bracket"] == 1


def test_trap_lorem_ipsum_in_a_line_about_javascript_counts() -> None:
    assert found("c4_lines", "javascript lorem ipsum dolor")["lorem_ipsum"] == 1


def test_trap_sentences_are_counted_line_by_line() -> None:
    """As one text the first two lines would be one sentence."""
    text = "no mark ends this line\nnor is there one here\nOne here. Two here."
    assert found("c4_lines", text)["sentences"] == 4
    assert len(View(text).sentences) == 2


@pytest.mark.parametrize(
    ("line", "sentences"),
    [
        ("This is it. And that.", 2),
        ("This is it.  And that.", 2),
        ("This is it.\xa0And that.", 2),
        ("This is it. [1] And that.", 2),
        ("This ends here. [1] [2]", 2),  # white space that is left is a sentence for spaCy
        ("This ends here. [1]", 1),
        ("This is it.  - And that.", 2),
        ("This is it.  . And that.", 3),
        ("This is it. . And that.", 2),
        ("Mr. Smith said no.", 1),
        ("[1] [2] [3]", 1),
    ],
)
def test_trap_white_space_makes_sentences(line: str, sentences: int) -> None:
    assert found("c4_lines", line)["sentences"] == sentences
    assert found("c4_lines", f"{LONG}\n{line}\n{LONG}")["sentences"] == sentences + 2


def test_the_edited_view_has_the_words_of_its_text() -> None:
    """They are taken over from the lines, not cut again."""
    for text in (
        f"Menu\n{LONG}\n\nDon't (ever) stop...\nend",
        f"{LONG} [1] again\n[2] start of a line [3]\n[4] [5] [6]",
        "",
        "nothing left",
    ):
        view = edit("c4_lines", text).view
        fresh = View(view.text)
        assert view.words == fresh.words
        assert view.tokens.kinds.tolist() == fresh.tokens.kinds.tolist()
        assert len(view.tokens) == len(fresh.tokens)


def test_nothing_kept() -> None:
    edited = edit("c4_lines", "Home\nMenu")
    assert edited.text == ""
    assert edited.signals["c4_lines.sentences"] == 0


def test_trap_five_words_a_line_without_citations_in_the_code() -> None:
    """The paper's figure of sentences, and the other way round."""
    text = "One two three four five.\nOne two three four.\nOne two three [1] four."
    assert edit("c4_lines_code", text).text == "One two three four five."
    assert edit("c4_lines_paper", text).text.count("\n") == 2


def test_trap_an_apostrophe_is_no_end_mark_in_the_code() -> None:
    assert edit("c4_lines_code", "And so it ends in 'quotes'").text == ""
    assert edit("c4_lines_code", 'And so it ends in "quotes"').text != ""


@pytest.mark.parametrize(
    ("line", "sentences"),
    [
        ("Mr. Smith of the U.S. Army left. He saw Dr. No.", 2),
        ("It cost $3.50 in Jan. 1999. That was (too!) much.", 3),
        ('He said "Stop!" and went. "No." She stayed.', 4),
        ("J. Bach, e.g. his works, and so on... And more.", 2),
        ("Is it No. 5? Yes!! It is.", 4),
        ("no full stop at all", 1),
        ("Ends so.) Then this.", 2),
        ("Ends so.\u201d Then this.", 2),
        ("", 0),
    ],
)
def test_sentences_of_the_code_are_punkts(line: str, sentences: int) -> None:
    assert punkt().count(line) == sentences


@pytest.mark.parametrize("name", sorted(EDITS))
def test_an_edit_gives_its_signals_and_is_done_when_done(name: str) -> None:
    text = f"Menu\n{LONG}\nA line without mark\n\n{LONG}[edit]"
    edited = edit(name, text)
    assert tuple(edited.signals) == EDITS[name].signals
    assert edit(name, edited.text).text == edited.text
