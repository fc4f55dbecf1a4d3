"""Words by the definitions of the references; each trap has a test with its name."""

import itertools
import random

import pytest

from curation.measures import View, tokens, words
from curation.measures.tokens import CUTS
from curation.measures.words import unicode_words


def cut(name: str, text: str) -> list[str]:
    """The words of a cut that leaves nothing out."""
    view = View(text)
    offsets = view.offsets(name).tolist()
    return [view.solid[start:end] for start, end in itertools.pairwise(offsets)]


@pytest.mark.parametrize(
    ("chunk", "expected"),
    [
        ("can't", ["can't"]),
        ("can’t", ["can’t"]),
        ("3,000.50", ["3,000.50"]),
        ("a.b", ["a.b"]),
        ("a,b", ["a", "b"]),
        ("end.", ["end"]),
        ("snake_case_", ["snake_case_"]),
        ("_private", []),  # starts with a connector
        ("well-known", ["well", "known"]),
        ("1a2b", ["1a2b"]),
        ("a:b", ["a:b"]),  # uniseg 0.10.1 takes it for a mark inside words
        ("https://a.org/x?y=1", ["https", "a.org", "x", "y", "1"]),
        ("e\u0301te\u0301", ["e\u0301te\u0301"]),  # marks extend a letter
        ("100\u202fkm", ["100\u202fkm"]),  # so does the narrow no-break space, as a connector
        ("天地", ["天", "地"]),
        ("カタカナ", ["カタカナ"]),
        ("กข", ["ก", "ข"]),
        ('צה"ל', ['צה"ל']),
        ("…—!", []),
        ("", []),
    ],
)
def test_words_between_the_boundaries_of_uax29(chunk: str, expected: list[str]) -> None:
    assert unicode_words(chunk) == expected


def test_ascii_has_the_same_words_by_both_expressions() -> None:
    rng = random.Random(4)
    for _ in range(3000):
        chunk = "".join(rng.choices("abZ019_.,:;'\"-!@", k=rng.randint(1, 12)))
        general = [word for word in words._WORD.findall(chunk) if word[0].isalnum()]
        assert unicode_words(chunk) == general, chunk


def test_trap_the_narrow_no_break_space_is_white_space_but_joins_words_of_uax29() -> None:
    view = View("about 100\u202fkm away")
    assert len(view.chunks) == 4
    assert len(view.cut("unicode")) == 3


def test_redpajamas_words() -> None:
    assert cut("marks", "Don't stop...now!") == ["Don", "'", "t", "stop", "...", "now", "!"]
    view = View("Don't — STOP; İx ---")
    assert view.cut("bare").lengths.tolist() == [4, 1, 4, 3]  # dont, the dash, stop, i x and a dot
    assert view.cut("bare").distinct(["dont", "stop"]) == 2


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("我爱北京天安门。", ["我", "爱", "北京", "天安门", "。"]),
        ("今日は天気がいいです。", ["今日", "は", "天気", "が", "いい", "です", "。"]),
        ("ผมรักประเทศไทย", ["ผม", "รัก", "ประเทศไทย"]),
        ("ខ្ញុំស្រឡាញ់ប្រទេសកម្ពុជា", ["ខ្ញុំ", "ស្រឡាញ់", "ប្រទេស", "កម្ពុជា"]),
        ("ຂ້ອຍຮັກປະເທດລາວ", ["ຂ້ອຍ", "ຮັກ", "ປະເທດ", "ລາວ"]),
        ("ကျွန်တော်မြန်မာနိုင်ငံကိုချစ်တယ်။", ["ကျွန်တော်", "မြန်မာနိုင်ငံ", "ကို", "ချစ်", "တယ်", "။"]),
        ("Mr. Smith's 3.5 km!", ["Mr", ".", "Smith's", "3.5", "km", "!"]),
    ],
)
def test_words_of_scripts_without_spaces(text: str, expected: list[str]) -> None:
    assert cut("icu", text) == expected


@pytest.mark.parametrize(
    ("language", "text", "sentences"),
    [
        ("en", "Mr. Smith of the U.S. Army left. He saw Dr. No.", 2),
        ("de", "Das gilt z.B. für Dr. Müller. Er kam am 3. Mai.", 2),
        ("de", "Er mag Frau Müller. Sie kam im Jahr 1990. Das war alles.", 3),
        ("es", "El Sr. Pérez llegó a las tres. La Dra. López también.", 2),
        ("pt", "O Sr. Silva chegou. O Dr. Lima saiu, etc.", 2),
        ("fr", "M. Dupont est arrivé. J. Martin aussi.", 2),
        ("ru", "Он жил на ул. Ленина. А. С. Пушкин тоже.", 2),
        ("nl", "Dr. Jansen kwam o.a. met de trein. Hij ging.", 2),
        ("hi", "यह एक वाक्य है। यह दूसरा वाक्य है।", 2),
        ("ar", "هذه جملة. وهذه جملة أخرى؟ نعم.", 3),
        ("xx", "One. Two.", 2),
        ("zh", "我爱北京。今天天气很好！你好吗？", 3),
        ("ja", "今日は天気がいい。出かけよう！", 2),
        ("my", "ကျွန်တော်သွားတယ်။ သူလာတယ်။", 2),
        ("km", "ខ្ញុំទៅ។ គាត់មក។", 2),
        ("", "One. Two.", 2),
    ],
)
def test_sentences_by_language(language: str, text: str, sentences: int) -> None:
    view = View(text, language)
    found = view.sentences_by_language
    assert "".join(found) == text
    assert len(found) == sentences, found


@pytest.mark.parametrize("name", sorted(CUTS))
def test_hostile_chunks_are_cut_and_what_was_seen_before_decides_nothing(name: str) -> None:
    rng = random.Random(8)
    marks = "aZ0.,:;'\"-_!@#…—’ßİſ天ก\u200d\u0301\u00ad😀\ud800\x00ー\u202f"
    texts = ["".join(rng.choices(marks + " ", k=rng.choice([1, 5, 50, 400]))) for _ in range(100)]
    texts += [mark * 20_000 for mark in marks]
    first = [View(text).cut(name).lengths.tolist() for text in texts]
    tokens.forget()
    assert [View(text).cut(name).lengths.tolist() for text in reversed(texts)] == first[::-1]
