"""Measures that go by languages: segments, and the languages of lines."""

from pathlib import Path

import pytest

from curation.chain import Chain
from curation.measures import MEASURES, View
from curation.rules import load_chain
from tests.curation.judging import judge

ENGLISH = "The miller opens the sluice before dawn and lets the water run over the wheel."
GERMAN = "Der Müller öffnet das Wehr vor dem Morgengrauen und lässt das Wasser über das Rad laufen."
ZULU = "Bonke abantu bazalwa bekhululekile belingana ngesithunzi nangamalungelo."


@pytest.mark.parametrize(
    ("language", "text", "words", "sentences"),
    [
        ("en", "Dr. No met Mr. Smith at 3.5 p.m. today. He left!", 11, 2),
        ("de", "Das gilt z.B. für Dr. Müller. Er kam.", 8, 2),
        ("zh", "我爱北京。今天天气很好！\n你好吗？", 8, 3),
        ("ja", "今日は天気がいい。\n\n出かけよう！", 8, 2),
        ("th", "ผมรักประเทศไทย", 3, 1),
        ("lo", "ຂ້ອຍຮັກປະເທດລາວ", 4, 1),
        ("km", "ខ្ញុំស្រឡាញ់ប្រទេសកម្ពុជា។ ខ្ញុំទៅ។", 6, 2),
        ("my", "ကျွန်တော်မြန်မာနိုင်ငံကိုချစ်တယ်။ သူလာတယ်။", 8, 2),
        ("", "", 0, 0),
        ("", " \n\n ", 0, 0),
        ("", "--- !!!", 0, 1),
    ],
)
def test_segments(language: str, text: str, words: int, sentences: int) -> None:
    found = MEASURES["segments"](View(text, language))
    assert (found["segments.words"], found["segments.sentences"]) == (words, sentences)
    expected = words / sentences if sentences else 0
    assert found["segments.sentence_words"] == pytest.approx(expected)


@pytest.mark.parametrize(
    ("language", "lines", "other", "languages"),
    [
        ("en", [ENGLISH] * 3, 0, 1),
        ("de", [ENGLISH] * 3, 1, 1),
        ("en", [ENGLISH, GERMAN], len(GERMAN) / len(ENGLISH + GERMAN), 2),
        (
            "en",
            [ENGLISH, "", "  " + GERMAN, "Home", "12:30"],
            len(GERMAN) / len(ENGLISH + GERMAN),
            2,
        ),
        ("zu", [ZULU, ZULU], 0, 1),
        ("en", [*[ENGLISH] * 12, GERMAN], len(GERMAN) / len(ENGLISH * 12 + GERMAN), 1),
        ("en", ["Startseite", "Über uns"], 0, 0),
        ("en", [], 0, 0),
    ],
)
def test_languages_of_lines(language: str, lines: list[str], other: float, languages: int) -> None:
    found = MEASURES["line_languages"](View("\n".join(lines), language))
    assert found["line_languages.other"] == pytest.approx(other)
    assert found["line_languages.languages"] == languages


def test_a_chain_rejects_mixed_pages(tmp_path: Path) -> None:
    (tmp_path / "chain.yaml").write_text(
        "chain:\n- rules:\n    name: one_language\n    rules:\n"
        "    - {signal: line_languages.other, operator: '<=', threshold: 0.2, reason: mixed}\n"
    )
    chain = Chain(load_chain("chain.yaml", tmp_path))
    assert chain.needs == {"language"}
    mixed = "\n".join([ENGLISH, GERMAN, ENGLISH])
    assert judge(chain, mixed, "en", 1.0).reasons == ["mixed"]
    assert judge(chain, mixed.replace(GERMAN, ENGLISH), "eng_Latn", 1.0).kept
