import gzip
import json

import numpy as np
import pytest

from curation.decontamination import Detector, Item, build
from curation.decontamination.words import hashes, places
from tests.timing import within

ITEMS = [
    Item(
        "sums",
        "bakery",
        "A bakery sells 48 loaves before noon and a third as many after it. Each loaf costs 3 "
        "dollars, and on Fridays every tenth loaf is given to the shelter next door. How many "
        "dollars does the bakery take on a Friday?",
        answer="It sells 48 + 16 = 64 loaves. Of these 6 go to the shelter, so that 58 are paid "
        "for, and the bakery takes 58 * 3 = 174 dollars on a Friday, which is 18 dollars less than "
        "it takes on any other day of the same week.",
    ),
    Item(
        "sums",
        "ferry",
        "The ferry to the northern island carries 24 cars and leaves every 40 minutes from seven "
        "in the morning. How many cars can reach the island before noon if the last two crossings "
        "are half empty because of the fog?",
    ),
    Item(
        "quiz",
        "moss",
        "Why does moss grow mostly on the shaded side of old stone walls?",
        ("It needs moisture", "It fears birds", "It eats lime", "It follows the wind"),
        "0",
    ),
    Item(
        "quiz",
        "short",
        "What is true?",
        (
            "Tides follow the moon around",
            "Bees hibernate in pairs of two",
            "Glass is a metal",
            "Salt burns blue",
        ),
        "0",
    ),
    Item("quiz", "tiny", "Why?", ("a", "b"), "0"),
    Item(
        "stories",
        "miller",
        "The miller had promised his daughter that the wheel would stand still on the night of the "
        "wedding, but the river had risen since the morning, and when the fiddlers began to play "
        "he heard it turn, slowly at first, and then as if it meant to grind the whole valley",
    ),
]
AROUND = (
    "The market opens at nine and closes when the last stall is empty. People come from both "
    "sides of the river.\n\n",
    "\n\nOn Sundays there is music, and the children of the village sell apples from a cart.",
)


@pytest.fixture(scope="module")
def detector():
    return Detector(build(ITEMS))


def found(detector, text):
    (hits,) = detector.find([text])
    return [hit.item for hit in hits]


def item(name):
    return next(each for each in ITEMS if each.id == name)


def changed(text, every):
    words = text.split(" ")
    words[every - 1 :: every] = ["other" for _ in words[every - 1 :: every]]
    return " ".join(words)


COPIES = {
    "verbatim": lambda text: text,
    "capitals and blanks": lambda text: text.upper().replace(" ", "\n   "),
    "no punctuation": lambda text: "".join(c for c in text if c.isalnum() or c == " "),
    "more punctuation": lambda text: text.replace(" ", " - "),
    "typographic": lambda text: text.replace(" ", "\u00a0").replace("'", "’"),
    "Cyrillic look-alikes": lambda text: text.translate(str.maketrans("aeocp", "аеоср")),
    "fullwidth": lambda text: "".join(chr(ord(c) + 0xFEE0) if c.isalnum() else c for c in text),
    "accents": lambda text: text.replace("a", "á").replace("o", "o\u0308"),
    "a quoting frame": lambda text: f"A reader asks: “{text}” Can you help her?",
}


@pytest.mark.parametrize("copy", COPIES)
@pytest.mark.parametrize("name", ["bakery", "ferry", "moss", "miller"])
def test_a_copy_is_found_whatever_its_writing(detector, copy, name):
    text = COPIES[copy](item(name).text)
    assert found(detector, text.join(AROUND)) == [name]
    assert found(detector, text) == [name]


@pytest.mark.parametrize("name", ["bakery", "ferry", "miller"])
def test_a_long_item_is_found_by_a_part_and_with_other_words(detector, name):
    text = item(name).text
    assert found(detector, changed(text, 17).join(AROUND)) == [name]
    assert found(detector, changed(text, 9).join(AROUND)) == [name]
    words = text.split(" ")
    assert found(detector, " ".join(words[: len(words) // 2]).join(AROUND)) == [name]
    assert found(detector, " ".join(words[len(words) // 3 :]).join(AROUND)) == [name]
    assert found(detector, " ".join(words[: len(words) // 6]).join(AROUND)) == []


def test_a_long_answer_is_found_by_itself(detector):
    assert found(detector, item("bakery").answer.join(AROUND)) == ["bakery"]


def test_a_short_item_must_be_there_whole(detector):
    moss = item("moss").text
    assert found(detector, moss.replace("on the shaded", "near any").join(AROUND)) == []
    assert found(detector, "Moss grow mostly on the shaded side".join(AROUND)) == []
    # a copy that breaks off begins as the item does, and where a sentence begins
    assert found(detector, "Why does moss grow mostly on the shaded".join(AROUND)) == ["moss"]
    assert found(detector, "I wonder why does moss grow mostly on the shaded".join(AROUND)) == []


def test_what_says_too_little_needs_its_choices_in_any_order(detector):
    short = item("short")
    assert found(detector, short.text.join(AROUND)) == []
    assert found(detector, "Tides follow the moon around".join(AROUND)) == []
    for choices in (short.choices, short.choices[::-1], short.choices[2:] + short.choices[:2]):
        listed = "".join(
            f"\n({letter}) {choice}" for letter, choice in zip("ABCD", choices, strict=True)
        )
        assert found(detector, f"{short.text}{listed}".join(AROUND)) == ["short"]


def test_which_items_can_be_told(detector):
    assert detector.index.told().tolist() == [True, True, True, True, False, True]


def test_the_place_is_that_of_the_item(detector):
    for name in ("bakery", "ferry", "moss", "miller"):
        text = f"“Ünï 汉字 ﬁn: {item(name).text}”".join(AROUND)
        (hits,) = detector.find([text])
        (hit,) = hits
        assert text[hit.start : hit.end] == item(name).text.rstrip("?")
        assert (hit.score, hit.share) == (1, 1)


def test_two_items_in_a_text_and_texts_that_know_nothing_of_each_other(detector):
    both = f"{item('ferry').text}\n\n{item('moss').text}"
    half = item("miller").text[: len(item("miller").text) // 2]
    hits = detector.find(["", both, half, "".join(AROUND), half, both])
    assert [sorted(hit.item for hit in own) for own in hits] == [
        [],
        ["ferry", "moss"],
        ["miller"],
        [],
        ["miller"],
        ["ferry", "moss"],
    ]


def test_a_lower_score_finds_more(detector):
    text = changed(item("moss").text, 6).join(AROUND)
    assert found(detector, text) == []
    (hits,) = Detector(detector.index, 0.5).find([text])
    assert [hit.item for hit in hits] == ["moss"]
    assert 0.5 <= hits[0].score < 1


def test_an_index_of_nothing():
    assert Detector(build([])).find(["text", ""]) == [[], []]


def test_repeats_in_an_item_must_be_in_the_text(detector):
    chant = Item("songs", "chant", "row row row your boat " * 12)
    repeating = Detector(build([*ITEMS, chant]))
    assert found(repeating, "They sang row row row your boat and left.".join(AROUND)) == []
    assert found(repeating, chant.text.join(AROUND)) == ["chant"]


@pytest.mark.parametrize("copies", [1, 3000])
def test_a_hostile_text_takes_linear_time(copies):
    chant = Item("songs", "chant", "row row row your boat " * 200)
    repeating = Detector(build([*ITEMS, chant]))
    with within(10):
        repeating.find(["row row row your boat " * 20 * copies, f"{item('moss').text} " * copies])


def test_words_are_where_their_hashes_say():
    text = "It’s “the”\u00a0Mill—2-legged ﬁsh Ａ１² don't 汉字 e\u0301nd \ud800"
    starts, ends = places(text)
    words = [text[a:b] for a, b in zip(starts, ends, strict=True)]
    assert words == [
        "It’s",
        "the",
        "Mill",
        "2",
        "legged",
        "ﬁsh",
        "Ａ１²",
        "don't",
        "汉",
        "字",
        "e\u0301nd",
    ]
    plain = "its the mill 2 legged fish a12 dont 汉 字 end"
    (one, other), counts = np.split(hashes([text, plain])[0], 2), hashes([text, plain])[1]
    assert counts.tolist() == [11, 11]
    assert one.tolist() == other.tolist()


@pytest.mark.corpus
def test_planted_documents(corpus):
    folder = corpus / "decontamination"
    items = []
    for path in sorted(folder.glob("*.jsonl.gz")):
        with gzip.open(path, "rt", encoding="utf-8") as lines:
            rows = [json.loads(line) for line in lines]
        if path.name == "planted.jsonl.gz":
            planted = rows
        else:
            items += [
                Item(
                    row["benchmark"],
                    row["id"],
                    row["text"],
                    tuple(row.get("choices") or ()),
                    row.get("answer") or "",
                )
                for row in rows
            ]
    hits = Detector(build(items)).find([row["text"] for row in planted])
    right = sum(
        row["item"] in {hit.item for hit in own}
        for row, own in zip(planted, hits, strict=True)
        if row["contaminated"]
    )
    false = sum(
        bool(own) for row, own in zip(planted, hits, strict=True) if not row["contaminated"]
    )
    assert (right, false) == (398, 0)
