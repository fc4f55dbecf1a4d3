import unicodedata

import numpy as np
import pytest

from curation.dedup.words import BATCH, batches, hashes, normalise
from tests.timing import within

MASK = (1 << 64) - 1
FACTOR = 0x9E3779B97F4A7C15


def word_hash(word: str) -> int:
    """The documented hash of a word, one step at a time."""
    value = sum(ord(char) * pow(FACTOR, i, 1 << 64) for i, char in enumerate(word)) & MASK
    for multiplier in (0xFF51AFD7ED558CCD, 0xC4CEB9FE1A85EC53):
        value = (value ^ (value >> 33)) * multiplier & MASK
    return value ^ (value >> 33)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("  Hello,\n\tWORLD!  ", "hello world"),
        ("don't", "don t"),
        ("It costs $1,299.95 in 2023", "it costs 0 000 00 in 0000"),
        ("Crème brûlée, naïve Ångström", "creme brulee naive angstrom"),
        ("Cre\u0300me bru\u0302le\u0301e", "creme brulee"),
        ("co\u00adoperate zero\u200bwidth", "cooperate zerowidth"),
        ("ΟΔΟΣ οδός", "οδοσ οδοσ"),
        ("İstanbul ISTANBUL", "istanbul istanbul"),
        ("Straße", "straße"),
        ("ПРИВЕТ, Ёлка", "привет елка"),
        ("مُحَمَّد ٣٤", "محمد 00"),
        ("한국어 문장", "한국어 문장"),
        ("日本語、テスト", "日本語 テスト"),
        ("🙂 — ★ \x00\x7f", ""),
        ("lone \ud800 surrogate", "lone surrogate"),
        ("\U000e0041tag \U0010ffff private \ue000 use", "tag private use"),
        ("", ""),
    ],
)
def test_normalise(text, expected):
    assert normalise(text) == expected


def test_words_of_scripts_without_spaces_are_characters():
    (found,), (thai,) = (hashes(["我们去 abc"])[1], hashes(["ภาษาไทย"])[1])
    assert found == 4
    # Two of the vowel signs are marks, of which none is in this word; all 7 are letters.
    assert thai == 7
    mixed, _ = hashes(["GPU上运行"])
    assert mixed.tolist() != hashes(["GPU 上 运 行 X"])[0].tolist()
    assert mixed.tolist() == hashes(["gpu 上，运行。"])[0].tolist()


def test_hashes_are_as_documented(manual):
    texts = [" ".join(manual[start : start + 300]) for start in range(0, 60_000, 300)]
    texts[3] += " “Quoted” Ünïcödé words, to go the other way"
    texts[120] += " Ωμέγα, пример words beyond Latin-1, to go a third"
    for batch in batches(texts):
        found, counts = hashes(batch)
        words = [normalise(text).split() for text in batch]
        assert counts.tolist() == [len(text) for text in words]
        assert found.tolist() == [word_hash(word) for text in words for word in text]


def test_characters_outside_ascii_change_no_other_word(manual):
    text = " ".join(manual[:2000])
    plain, _ = hashes([text])
    wide, _ = hashes([text + " ’"])
    assert (plain == wide).all()
    accented, _ = hashes([text.replace("e", "é").replace("a", "a\u0308")])
    assert (plain == accented).all()


def test_distinct_words_have_distinct_hashes(manual):
    words = set(normalise(" ".join(manual)).split())
    words |= {f"{word}{other}" for word in sorted(words)[:300] for other in "aжx"}
    # What polynomials could confuse: repeats, reversals, and neighbours of each other.
    words |= {"a" * n for n in range(1, 400)} | {"ab" * n for n in range(1, 400)}
    words |= {chr(a) + chr(b) for a in range(97, 123) for b in range(97, 123)}
    found, _ = hashes([" ".join(sorted(words))])
    assert len(found) == len(words) == len(set(found.tolist()))


def test_batches_keep_order_and_fit(manual):
    texts = ["a" * n for n in (0, 5, BATCH - 8, 1, BATCH - 1, BATCH, 3 * BATCH, 2, 0)]
    found = list(batches(texts))
    assert [text for batch in found for text in batch] == texts
    for batch in found:
        assert sum(map(len, batch)) + len(batch) <= BATCH or len(batch) == 1
    assert list(batches([])) == []


def test_a_long_text_has_the_words_it_has_in_pieces(manual):
    text = " ".join(manual)
    assert len(text) > 3 * BATCH
    found, counts = hashes([text])
    assert counts.tolist() == [len(found)]
    parts = [" ".join(manual[start : start + 100]) for start in range(0, len(manual), 100)]
    expected = [hashes(batch)[0] for batch in batches(parts)]
    assert (found == np.concatenate(expected)).all()


def test_text_without_blanks_is_cut():
    found, _ = hashes(["x" * (3 * BATCH)])
    assert len(found) == 4
    found, _ = hashes(["字" * (3 * BATCH)])
    assert len(found) == 3 * BATCH


def test_marks_cost_linear_time():
    # Python's normalisation of these is quadratic: minutes at this length.
    marks = "\u0301" * 300_000 + "\u0323" * 300_000
    with within(5):
        assert normalise("a" + marks) == "a"
        assert hashes(["a " + marks])[1].tolist() == [1]


def test_folding_leaves_only_words_and_spaces():
    text = "".join(map(chr, [*range(0xD800), *range(0xE000, 0x3400), *range(0x10000, 0x1F000)]))
    for char in normalise(text):
        category = unicodedata.category(char)
        assert char in " 0" or (category[0] in "LMN" and category not in {"Mn", "Me", "Nd"}), char
