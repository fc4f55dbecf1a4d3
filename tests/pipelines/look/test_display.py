import pytest

from pipelines.look.display import excerpt, line, visible


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a\0b", "a⟨U+0000⟩b"),
        ("\x1b[31mred", "⟨U+001B⟩[31mred"),
        ("abc\u202egnp.exe", "abc⟨U+202E⟩gnp.exe"),
        ("\u2066x\u2069\u200e", "⟨U+2066⟩x⟨U+2069⟩⟨U+200E⟩"),
        ("zero\u200bwidth\ufeff", "zero⟨U+200B⟩width⟨U+FEFF⟩"),
        ("private \ue000, surrogate \ud800", "private ⟨U+E000⟩, surrogate ⟨U+D800⟩"),
        ("tag \U000e0041", "tag ⟨U+E0041⟩"),
        # parts of words and of pictures
        ("می\u200cخواهم 👩\u200d💻 co\u00adop\tx\ny", "می\u200cخواهم 👩\u200d💻 co\u00adop\tx\ny"),
    ],
)
def test_hidden_characters_are_shown(text: str, shown: str) -> None:
    assert visible(text) == shown


def test_excerpt_is_cut_after_personal_data_is_replaced() -> None:
    mail = "somebody.with.a.long.name@example-of-a-domain.org"
    text = "word " * 118 + mail + " and more"
    shown, cut = excerpt(text, 600)
    assert cut
    assert len(shown) <= 600
    assert "somebody" not in shown
    assert excerpt("short", 600) == ("short", False)
    assert excerpt("", 600) == ("", False)


def test_excerpt_of_a_huge_text_shows_no_half_of_an_address() -> None:
    # the window in which personal data is looked for ends within the address
    for start in range(19_940, 20_001, 5):
        text = "x " * (start // 2) + "somebody@example-of-a-domain.org " + "y " * 20_000
        shown, cut = excerpt(text, 30_000)
        assert cut
        assert "somebody" not in shown


def test_line_is_one_line() -> None:
    assert line("a\n\n b\u2028c") == "a b c"
    assert line(None) == ""
    assert line("x" * 500, 10) == "xxxxxxxxxx…"
    assert "jane" not in line("https://a.example/?q=jane.roe@mail-of-jane.org")
