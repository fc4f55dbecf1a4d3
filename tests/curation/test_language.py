import gzip
import json
from pathlib import Path

import pytest

import curation
from curation.language import Languages
from schemas.errors import UserError

MODEL = Path(curation.__file__).parent / "models" / "lid.176.ftz"


@pytest.fixture(scope="module")
def languages():
    return Languages(MODEL)


def test_identify(languages):
    texts = [
        "Grain in, flour out, and nothing lost on the floor.",
        "",
        "O moinho gira devagar\ne o grão torna-se farinha.",
        " \n\t ",
        "Das Korn wird langsam zu Mehl.\r\nDie Mühle steht am Bach.",
        "すべての人間は、生まれながらにして自由である。",
    ]
    found = languages.identify(texts)
    assert [code for code, _ in found] == ["en", "und", "pt", "und", "de", "ja"]
    assert found[1] == found[3] == ("und", 0.0)
    assert all(0.5 < score <= 1 for code, score in found if code != "und")
    assert languages.identify(texts[::-1]) == found[::-1]
    assert languages.identify([]) == []


def test_line_breaks_are_spaces(languages):
    one = "The mill turns slowly and the grain becomes flour."
    assert languages.identify([one.replace(" ", "\n")]) == languages.identify([one])


def test_odd_text(languages):
    odd = ["\0", "a\0b", "\u2028", "x" * 1_000_000, "a " * 300_000, "__label__en", "</s>", "\ufffd"]
    found = languages.identify(odd)
    assert len(found) == len(odd)
    assert all(0 <= score <= 1 for _, score in found)


def test_nothing_on_standard_error(capfd):
    Languages(MODEL).identify(["text"])
    out, err = capfd.readouterr()
    assert (out, err) == ("", "")


@pytest.mark.parametrize("content", [b"", b"not a model at all" * 100])
def test_a_file_that_is_no_model(tmp_path, content):
    path = tmp_path / "model.bin"
    path.write_bytes(content)
    with pytest.raises(UserError, match=r"model\.bin: not a fastText model"):
        Languages(path)


def test_a_missing_file(tmp_path):
    with pytest.raises(UserError, match=r"none\.bin"):
        Languages(tmp_path / "none.bin")


@pytest.mark.corpus
def test_same_as_the_reference(languages, corpus):
    with gzip.open(corpus / "golden/texts.jsonl.gz", "rt", encoding="utf-8") as lines:
        texts = {row["id"]: row["text"] for row in map(json.loads, lines)}
    with gzip.open(corpus / "golden/datatrove.jsonl.gz", "rt", encoding="utf-8") as lines:
        golden = {row["id"]: row["lid"] for row in map(json.loads, lines)}
    found = dict(zip(golden, languages.identify([texts[name] for name in golden]), strict=True))
    assert len(found) == 1543
    for name, lid in golden.items():
        if not texts[name].strip():
            assert found[name] == ("und", 0.0)
            continue
        code, score = found[name]
        assert code == lid["label"]
        assert score == pytest.approx(min(1.0, lid["score"]), abs=1e-5)
