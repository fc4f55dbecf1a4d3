"""Walks over characters against Python's own."""

import random

import pytest

from curation.measures.chunks import Numbers, in_lines, without_space

# of one, two and four bytes; white space that ends lines, and white space that does not
SIGNS = "abc.\xe9\u4e00😀\ud800\x00 \t\n\r\x0b\x0c\x1c\x1e\x1f\x85\xa0\u2028\u2029\u202f\u3000"


def some_texts() -> list[str]:
    rng = random.Random(12)
    kinds = [SIGNS, SIGNS.encode("ascii", "ignore").decode() + "\r\n ", "\r\n a"]
    return [
        "".join(rng.choices(rng.choice(kinds), k=rng.choice([0, 1, 2, 5, 30, 500])))
        for _ in range(3000)
    ]


def test_chunks_are_what_split_gives() -> None:
    numbers = Numbers()
    for text in some_texts():
        found = numbers.of_chunks(text)
        assert [numbers.strings[number] for number in found] == text.split()
        assert without_space(text) == "".join(text.split())
    assert len(numbers) == len(set(numbers.strings)) > 2000  # the table has grown


def test_lines_are_those_of_splitlines() -> None:
    for text in some_texts():
        assert in_lines(text) == [len(line.split()) for line in text.splitlines()], repr(text)


def test_a_joined_text_is_no_wider_than_its_characters() -> None:
    """Else it would not equal, byte by byte, the same text made otherwise."""
    for text in (
        "a\u3000b",
        "\xe9\u2028\xe8",  # one such letter alone is a string that all of a process share
        "\u4e00 \xa0",
        "😀 \u3000a",
        "\u3000",
        "\U0010ffff a\uffff",
    ):
        joined = without_space(text)
        assert joined == "".join(text.split())
        assert joined.__sizeof__() == "".join(list("".join(text.split()))).__sizeof__()


def test_a_string_has_one_number_whatever_stands_beside_it() -> None:
    numbers = Numbers()
    assert numbers.of_chunks("one two one").tolist() == [0, 1, 0]
    assert numbers.of_chunks("\u4e00 one 😀 two").tolist() == [2, 0, 3, 1]
    assert numbers.of(["two", "", "a b", "one"]).tolist() == [1, 4, 5, 0]
    assert (numbers.get("two"), numbers.get(""), numbers.get("three")) == (1, 4, -1)
    assert numbers.strings == ["one", "two", "\u4e00", "😀", "", "a b"]
    assert numbers.characters == sum(map(len, numbers.strings))
    assert len(numbers) == 6


def test_many_strings_are_told_apart() -> None:
    words = [f"{number:x}" for number in range(100_000)]
    numbers = Numbers()
    assert numbers.of_chunks(" ".join(words)).tolist() == list(range(100_000))
    assert numbers.of(words[::-1]).tolist() == list(range(100_000))[::-1]


@pytest.mark.parametrize("wrong", [b"bytes", None, 3])
def test_only_strings_are_taken(wrong: object) -> None:
    with pytest.raises(TypeError):
        Numbers().of_chunks(wrong)  # type: ignore[arg-type]
    with pytest.raises(TypeError):
        Numbers().of([wrong])  # type: ignore[list-item]
