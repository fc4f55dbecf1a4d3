"""Words and sentences equal spaCy's, which is asked in the same test."""

import gzip
import itertools
import json
import pydoc_data.topics
import random
import string
from collections.abc import Iterator
from pathlib import Path

import pytest
import spacy

from curation.measures import View, tokens
from curation.measures.english import LONGEST_URL, english, sentence_ends
from curation.measures.english import MARKS as KNOWN_MARKS
from curation.measures.words import kind

MARKS = [*"abcXD08.,:;()-_'’\"!?/=<>*[]{}$€°CkmG%+#@&…。，\u00ad·~^`|\\", "'s", "km", "US$", "..."]
MARKS += ["http://", "a.m.", ":)", "e.g.", "n't", "(-", "10", "Ph.D.", "😀", "我们", "ß", "١٢", "и"]
MARKS_BESIDE = KNOWN_MARKS + "…"
SPACES = [" ", " ", " ", "  ", "\n", "\n\n", "\xa0", "\t", "\u3000", " \n", "\x1f"]


@pytest.fixture(scope="module")
def pipeline() -> Iterator[spacy.Language]:
    """datatrove's pipeline: blank English with a sentencizer."""
    pipeline = spacy.blank("en")
    pipeline.add_pipe("sentencizer")
    pipeline.max_length = 10_000_000
    with pipeline.memory_zone():
        yield pipeline


def test_sentences_end_where_spacys_do(pipeline: spacy.Language) -> None:
    assert sentence_ends() == pipeline.get_pipe("sentencizer").punct_chars


def real_texts() -> list[str]:
    topics = pydoc_data.topics.topics
    return [topics[name] for name in sorted(topics)][:60]


def spacy_words(pipeline: spacy.Language, text: str) -> list[str]:
    """As datatrove's `SpaCyTokenizer.word_tokenize`: stripped, blank ones left out."""
    return list(filter(None, (word.text.strip() for word in pipeline.tokenizer(text))))


def spacy_sentences(pipeline: spacy.Language, text: str) -> list[str]:
    """As datatrove's `split_into_sentences`: each reaches to where the next one starts."""
    ends = [sentence.end_char for sentence in pipeline(text).sents][:-1]
    return [text[a:b] for a, b in itertools.pairwise([0, *ends, len(text)])]


def test_words_and_sentences_of_real_text_are_spacys(pipeline: spacy.Language) -> None:
    for text in real_texts():
        view = View(text)
        assert view.words == spacy_words(pipeline, text)
        assert view.sentences == spacy_sentences(pipeline, text)
        assert "".join(view.sentences) == text


def test_words_of_hostile_chunks_are_spacys(pipeline: spacy.Language) -> None:
    rng = random.Random(5)
    for _ in range(6000):
        chunk = "".join(rng.choices(MARKS, k=rng.choice([1, 2, 3, 4, 6, 9, 20, 50])))
        assert english().words(chunk) == spacy_words(pipeline, chunk), chunk


def test_words_of_three_marks_and_letters_are_spacys(pipeline: spacy.Language) -> None:
    """What is remembered of a mark between two others is what spaCy makes of it, for all there are;
    the letters of a class are alike."""
    beside = ["a", "Z", "7", *MARKS_BESIDE]
    for one, two, three in itertools.product(beside, repeat=3):
        chunk = one + two + three
        assert english().words(chunk) == spacy_words(pipeline, chunk), chunk


def test_words_with_any_letter_and_digit_beside_a_mark_are_spacys(pipeline: spacy.Language) -> None:
    rng = random.Random(9)
    letters = string.ascii_letters + string.digits
    for mark, one, two in itertools.product(MARKS_BESIDE, letters, "aZ7"):
        some = "".join(rng.choices(letters, k=rng.choice([0, 1, 3, 9])))
        for chunk in (some + one + mark + two, some + two + mark + one, some + one + mark):
            assert english().words(chunk) == spacy_words(pipeline, chunk), chunk


def test_words_of_any_characters_are_spacys(pipeline: spacy.Language) -> None:
    rng = random.Random(10)
    codes = itertools.chain(range(0xD800), range(0xE000, 0x30000))  # spaCy takes no surrogates
    every = [character for character in map(chr, codes) if not character.isspace()]
    near = [*MARKS, *MARKS_BESIDE, *string.ascii_letters, *string.digits]
    for _ in range(8000):
        some = rng.choices(near, k=rng.choice([1, 3, 8])) + rng.choices(every, k=2)
        rng.shuffle(some)
        chunk = "".join(some)
        assert english().words(chunk) == spacy_words(pipeline, chunk), chunk


@pytest.mark.corpus
def test_words_of_chunks_of_real_pages_are_spacys(pipeline: spacy.Language, corpus: Path) -> None:
    found: dict[str, None] = {}
    for path in sorted((corpus / "web").glob("*.gold.jsonl.gz")):
        with gzip.open(path, "rt", encoding="utf-8") as lines:
            for line in lines:
                found |= dict.fromkeys((json.loads(line)["main_text"] or "").split())
    chunks = [chunk for chunk in found if len(chunk) < LONGEST_URL]
    assert len(chunks) > 50_000
    for chunk in random.Random(11).sample(chunks, 20_000):
        assert english().words(chunk) == spacy_words(pipeline, chunk), chunk


def test_every_special_case_is_spacys_alone_and_between_marks(pipeline: spacy.Language) -> None:
    for special in sorted(pipeline.tokenizer.rules):
        if special.strip() != special or not special:
            continue
        for chunk in (special, f"({special}", f"{special},", f'"{special}"', f"x{special}."):
            assert english().words(chunk) == spacy_words(pipeline, chunk), chunk


def test_sentences_with_odd_white_space_are_spacys(pipeline: spacy.Language) -> None:
    rng = random.Random(6)
    words = ["One", "two", "end.", "what?", "-", "»", "...", "。", "!", "(x)", "e.g.", '"', "。”"]
    for _ in range(1500):
        text = "".join(
            rng.choice(words) + rng.choice(SPACES) for _ in range(rng.choice([1, 2, 5, 12]))
        )
        text = rng.choice(["", " ", "\n", "\xa0 "]) + text
        assert View(text).sentences == spacy_sentences(pipeline, text), repr(text)


def test_a_long_run_of_marks_is_cut_as_by_spacy(pipeline: spacy.Language) -> None:
    for mark in ("(", ")", ".", "…", "'s", "!?", "=", "-"):
        chunk = mark * 100 + "word" + mark * 100
        assert english().words(chunk) == spacy_words(pipeline, chunk)


def test_known_difference_special_cases_across_a_blank(pipeline: spacy.Language) -> None:
    """spaCy takes `:) )` for the special case `:))` that it then does not find, and loses `:)`."""
    text = "see(this:) )"
    assert View(text).words == ["see(this", ":)", ")"]
    assert spacy_words(pipeline, text) == ["see(this", ":", ")", ")"]


def test_known_difference_very_long_urls(pipeline: spacy.Language) -> None:
    url = "http://example.com/" + "a/" * LONGEST_URL
    assert spacy_words(pipeline, url) == [url]
    assert len(View(url).words) > 1
    short = url[:LONGEST_URL]
    assert View(short).words == [short]


def test_what_was_seen_before_decides_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Equal arrays with an empty store, a warm one, and one that overflows all the time."""
    texts = real_texts()[:20]

    def numbers() -> list[tuple[object, ...]]:
        views = [View(text) for text in texts]
        return [
            (v.words, v.tokens.kinds.tolist(), v.tokens.lengths.tolist(), v.tokens.counts.tolist())
            for v in views
        ]

    tokens.forget()
    cold = numbers()
    assert numbers() == cold
    monkeypatch.setattr(tokens, "MOST_CHUNKS", 10)
    assert numbers() == cold
    monkeypatch.setattr(tokens, "MOST_CHARACTERS", 10)
    assert numbers() == cold


def test_an_interrupted_look_up_is_mended(monkeypatch: pytest.MonkeyPatch) -> None:
    """A chunk that was numbered but not yet cut must not stay so."""
    tokens.forget()
    assert View("one two").words == ["one", "two"]

    def interrupted(chunk: str) -> list[str]:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        tokens.forget()
        patch.setitem(tokens.CUTS, "spacy", lambda: tokens._Cut(interrupted, kind))
        with pytest.raises(KeyboardInterrupt):
            _ = View("three four").tokens
    assert View("three, two four").words == ["three", ",", "two", "four"]


def test_equal_words_have_equal_ids() -> None:
    view = View("the cat, the dog, the cat")
    numbers = view.tokens.ids.tolist()
    assert view.words == ["the", "cat", ",", "the", "dog", ",", "the", "cat"]
    assert [numbers.index(n) for n in numbers] == [0, 1, 2, 0, 4, 2, 0, 1]
    assert view.tokens.distinct(["the", "cat", "mouse"]) == 2


def test_a_view_of_nothing() -> None:
    for text in ("", " \n\t"):
        view = View(text)
        assert (view.chunks, view.words, view.solid) == ([], [], "")
        assert view.sentences == [text]
        assert view.paragraphs == [""]
        assert len(view.tokens) == 0
