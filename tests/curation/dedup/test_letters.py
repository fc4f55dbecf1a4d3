"""No span that is given out cuts a letter, over scripts: combining marks, vowel signs, joiners."""

import json
import random
import unicodedata
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from curation.dedup.letters import attached, inside, loose
from tests.conftest import REPOSITORY
from tests.runs import dedup_files

FILE = REPOSITORY / "tests" / "data" / "mixture" / "spans.jsonl"
ALPHABETS = {
    "thai": "กขคงจะาำิีึืุู็่้๊์เแโ",
    "lao": "ກຂຄງະາິີຶືຸູ່້ເແໂ",
    "kana": "かきくけこしすせそ\u3099\u309a",
    "devanagari": "कखगघचजािीुूेैोौ्ंँ\u200d\u200c",
    "burmese": "ကခဂငစတထဒနပါာိီုူေဲံ့း္်ျြွှ",
    "latin": "abcdefgh \u0301\u0308\u0323",
    "hebrew": "אבגדהו \u05b0\u05b7\u05bc",
    "arabic": "ابتثجح \u064e\u0650\u0651",
    "korean": "\u1100\u1102\u1103\u1161\u1163\u1165\u11a8\u11ab ",
    "emoji": "👨👩👧\u200d👍\U0001f3fd🏽 \ufe0f❤",
    "khmer": "កខគឃងចឆាិីឹុូើែៃោំះ្់",
}


def cut_letters(text: str, start: int, end: int) -> list[int]:
    """The ends of a span that stand before a mark, by Unicode's own words."""

    def belongs(at: int) -> bool:
        char, name = text[at], unicodedata.name(text[at], "")
        is_sign = "VOWEL SIGN" in name and unicodedata.category(char) != "Lo"
        joins = char in "\u200d\u200c" or (text[at - 1] == "\u200d" and char > " ")
        return unicodedata.category(char)[0] == "M" or is_sign or joins or char in "ะาำ\U0001f3fd"

    return [at for at in (start, end) if 0 < at < len(text) and belongs(at)]


def sample(alphabet: str, rng: random.Random, count: int) -> str:
    return "".join(rng.choice(alphabet) for _ in range(count))


@pytest.mark.parametrize("script", ALPHABETS)
def test_spans_are_taken_to_whole_letters(script: str) -> None:
    rng = random.Random(script)
    for _ in range(50):
        text = sample(ALPHABETS[script], rng, 60)
        starts = np.array(sorted(rng.choices(range(61), k=20)))
        ends = np.array([rng.randrange(start, 61) for start in starts.tolist()])
        firsts, lasts = inside(text, starts, ends)
        for start, end, first, last in zip(starts, ends, firsts, lasts, strict=True):
            assert first >= start
            assert last <= end
            assert not cut_letters(text, int(first), int(last))
        whole = inside(text, np.array([0]), np.array([len(text)]))
        assert (whole[0][0], whole[1][0]) == (0, len(text))


def test_what_belongs_to_a_character_before() -> None:
    assert np.flatnonzero(attached("e\u0301a")).tolist() == [1]
    assert np.flatnonzero(attached("\u0301a")).tolist() == []  # nothing is before it
    assert np.flatnonzero(attached("👩\u200d👧b")).tolist() == [1, 2]
    assert np.flatnonzero(attached("か\u3099き")).tolist() == [1]
    assert not attached("plain 12.5 “text”").any()
    assert loose(["abc", "\u0301\u0308x", "", "é"]) == [(1, 2)]


@pytest.mark.parametrize("spans", ["substring=8", "lines", "paragraphs", "sentences=1", "bloom=3"])
def test_no_level_gives_out_a_span_that_cuts_a_letter(spans: str, tmp_path: Path) -> None:
    """Texts that share long runs, with another beginning and end each, so that borders fall
    anywhere."""
    rng = random.Random(spans)
    texts = []
    for script, alphabet in ALPHABETS.items():
        shared = [sample(alphabet, rng, 50) for _ in range(4)]
        for number in range(8):
            pieces = [
                sample(alphabet, rng, 3) + rng.choice(shared)[rng.randrange(9) :] for _ in range(3)
            ]
            texts.append(rng.choice(["\n", "\n\n", " ", ". "]).join([*pieces, *shared[:2]]))
            texts[-1] += f" {script} {number}"
    rows = [{"id": str(number), "text": text} for number, text in enumerate(texts)]
    (tmp_path / "in.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    dedup_files(
        [str(tmp_path / "in.jsonl")], str(tmp_path / "out.parquet"), near="none", spans=spans
    )
    found = 0
    for row in pq.read_table(tmp_path / "out.parquet").to_pylist():
        for span in row["cut"]:
            found += 1
            assert not cut_letters(texts[int(row["id"])], span["start"], span["end"])
    assert found


def test_reported_cuts_inside_letters(tmp_path: Path) -> None:
    dedup_files([str(FILE)], str(tmp_path / "out.parquet"), near="none", spans="substring=10")
    texts = {row["id"]: row["text"] for row in map(json.loads, FILE.read_text().splitlines())}
    cut = {}
    for row in pq.read_table(tmp_path / "out.parquet").to_pylist():
        for span in row["cut"]:
            assert not cut_letters(texts[row["id"]], span["start"], span["end"])
            cut[row["id"][:2]] = texts[row["id"]][span["start"] : span["end"]]
    assert {"th", "ja", "ru", "en"} <= set(cut)
    assert cut["ja"].startswith("この")  # the voicing mark stays with its か
    assert cut["th"][0] == "่" or not unicodedata.combining(cut["th"][0])
