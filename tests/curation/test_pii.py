import gzip
import json
import socket
import time
from collections import Counter
from itertools import pairwise
from pathlib import Path

import pytest

from curation.pii import KINDS, STAND_INS, find, replace

DEFAULT = ("EMAIL_ADDRESS", "IP_ADDRESS")


def test_replace():
    text = (
        "Write to Ada.Miller+flour@mill-house.co.uk, or log in at 41.176.181.243 as «x@mühle.de»."
    )
    assert replace(text, DEFAULT) == (
        "Write to email@example.com, or log in at 192.0.2.1 as «email@example.com».",
        {"EMAIL_ADDRESS": 2, "IP_ADDRESS": 1},
    )
    assert replace(text, ("IP_ADDRESS",))[1] == {"IP_ADDRESS": 1}
    assert replace(text, ()) == (text, {})


@pytest.mark.parametrize(
    ("text", "kind", "found"),
    [
        ("call +1 650 253 0000 now", "PHONE_NUMBER", "+1 650 253 0000"),
        ("card 4111 1111 1111 1111.", "CREDIT_CARD", "4111 1111 1111 1111"),
        ("to DE89 3704 0044 0532 0130 00 please", "IBAN_CODE", "DE89 3704 0044 0532 0130 00"),
        ("ssn 474-49-7577", "US_SSN", "474-49-7577"),
        ("from 2a00:1450:4001:81b::200e at noon", "IP_ADDRESS", "2a00:1450:4001:81b::200e"),
        ("mail flour@mill.com.The next day", "EMAIL_ADDRESS", "flour@mill.com"),
    ],
)
def test_every_kind(text, kind, found):
    (finding,) = find(text, (kind,))
    assert text[finding.start : finding.end] == found
    after, counts = replace(text, (kind,))
    assert counts == {kind: 1}
    assert found not in after
    # the stand-in is nobody's, and is not found again
    assert replace(after, KINDS) == (after, {})


def test_stand_ins_stay():
    for kind, stand_in in STAND_INS.items():
        text = f"This {stand_in} is no one's."
        assert replace(text, KINDS) == (text, {}), kind


@pytest.mark.parametrize(
    "text",
    [
        "from 10.0.0.1, 127.0.0.1, 192.168.1.1, 192.0.2.7, ::1, fe80::1 and 2001:db8::7",
        "std::vector, a::b, dead::beef, 12:30:45, version 1.2.3.4.5",
        "@miller, gatsby@2.32.13, logo@2x.png, a@b, user@example.com, x@mill.test, x@localhost",
        "1. FC Köln 2:1, ISBN 978-3-16-148410-0, 3.14159, 1,234,567",
    ],
)
def test_what_is_nobodys(text):
    assert replace(text, DEFAULT) == (text, {})


def test_overlaps_are_resolved():
    text = "pay 4111-1111-1111-1111 or 41.176.181.243@mill.com"
    found = find(text, KINDS)
    assert [one.kind for one in found] == ["CREDIT_CARD", "EMAIL_ADDRESS"]
    assert all(a.end <= b.start for a, b in pairwise(found))


def test_long_lines_are_searched_whole():
    words = "The mill turns slowly and grain becomes flour. " * 3
    text = "".join(f"{words}Write to user{number}@mill.com soon. " for number in range(300))
    after, counts = replace(text, DEFAULT)
    assert counts == {"EMAIL_ADDRESS": 300}
    assert "mill.com" not in after


def test_order_of_kinds_does_not_matter():
    text = "a@mill.com 8.8.8.8 +1 650 253 0000 474-49-7577"
    assert replace(text, sorted(KINDS)) == replace(text, sorted(KINDS, reverse=True))


def test_an_unknown_kind_is_an_error():
    with pytest.raises(KeyError):
        replace("text", ("SHOE_SIZE",))


def test_no_network(monkeypatch):
    def refuse(*_):
        raise AssertionError("the network was used")

    monkeypatch.setattr(socket, "socket", refuse)
    assert replace("a@new-mill.com", DEFAULT)[1] == {"EMAIL_ADDRESS": 1}


@pytest.mark.parametrize(
    "piece", ["a@", "1234567890", "1.1.", "a.", "a-", "a:", "AB12", "4 ", "a@b.com ", "@", "1\n"]
)
def test_hostile_text_takes_linear_time(piece):
    replace("warm up: a@mill.com 8.8.8.8", DEFAULT)
    text = piece * (200_000 // len(piece)) + "@"
    began = time.process_time()
    replace(text, DEFAULT)
    assert time.process_time() - began < 10


def test_personal_data_of_the_sample(sample: Path):
    with gzip.open(sample / "sample.gold.jsonl.gz", "rt", encoding="utf-8") as lines:
        (row,) = [row for row in map(json.loads, lines) if row["id"] == "personal-data"]
    after, counts = replace(row["main_text"], KINDS)
    wanted = Counter(span["type"] for span in row["pii"])
    for kind in ("EMAIL_ADDRESS", "IP_ADDRESS", "CREDIT_CARD", "US_SSN"):
        assert counts[kind] == wanted[kind]
        assert not any(span["text"] in after for span in row["pii"] if span["type"] == kind)


@pytest.mark.corpus
def test_recall_on_labelled_text(corpus):
    with (corpus / "pii/labelled.jsonl").open(encoding="utf-8") as lines:
        rows = [json.loads(line) for line in lines]
    wanted: Counter[str] = Counter()
    hits: Counter[str] = Counter()
    for row in rows:
        found = find(row["text"], KINDS)
        for span in row["spans"]:
            if span["type"] in KINDS:
                wanted[span["type"]] += 1
                hits[span["type"]] += any(
                    one.start <= span["start"] and span["end"] <= one.end for one in found
                )
    # the one IP address of 21 that is missed is private: 10.218.6.131
    floors = {
        "EMAIL_ADDRESS": 76,
        "IP_ADDRESS": 20,
        "US_SSN": 30,
        "CREDIT_CARD": 190,
        "IBAN_CODE": 27,
        "PHONE_NUMBER": 15,
    }
    assert wanted == {
        "EMAIL_ADDRESS": 76,
        "IP_ADDRESS": 21,
        "US_SSN": 30,
        "CREDIT_CARD": 211,
        "IBAN_CODE": 31,
        "PHONE_NUMBER": 22,
    }
    assert all(hits[kind] >= floor for kind, floor in floors.items())


@pytest.mark.corpus
def test_no_false_alarm_on_text_full_of_digits(corpus):
    with (corpus / "pii/negatives.jsonl").open(encoding="utf-8") as lines:
        texts = [json.loads(line)["text"] for line in lines]
    assert len(texts) == 500
    kinds = KINDS - {"PHONE_NUMBER"}
    assert [text for text in texts if replace(text, kinds) != (text, {})] == []
