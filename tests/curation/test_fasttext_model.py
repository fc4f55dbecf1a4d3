import random
import struct

import pytest
from fasttext_pybind import fasttext

from curation.classifiers.fitting import Settings, fit_lines
from curation.fasttext_model import labels, load, predict
from curation.language import FIRST, SECOND, bundled
from curation.quantised import Quantised
from schemas.problems import Problem

LINES = [("a", f"one {at} two") for at in range(40)] + [("b", f"six {at} ten") for at in range(40)]
# where the head has the sizes that C++ code counts on: dim, wordNgrams, loss, model, bucket, minn,
# maxn; then the dictionary's: entries, words, labels, kept parts of words
SIZES = (8, 28, 32, 36, 40, 44, 48, 64, 68, 72, 84)


@pytest.fixture(scope="module", params=["quantised", "whole"])
def model(request, tmp_path_factory):
    """The bytes of a small model."""
    path = tmp_path_factory.mktemp("model") / "model.bin"
    kept = 300 if request.param == "quantised" else 0
    fit_lines(LINES, path, Settings(dim=4, bucket=1000, epoch=2, kept=kept))
    return path.read_bytes()


def test_models_that_are_whole(model, tmp_path):
    path = tmp_path / "model.bin"
    path.write_bytes(model)
    assert labels(load(path)) == {"a", "b"}
    assert len(labels(load(bundled(FIRST)))) == 176
    assert len(labels(load(bundled(SECOND)))) == 75


def test_a_model_cut_short(model, tmp_path):
    path = tmp_path / "model.bin"
    rng = random.Random(1)
    for size in [0, 3, 4, 8, 91, *(rng.randrange(len(model)) for _ in range(40)), len(model) - 1]:
        path.write_bytes(model[:size])
        with pytest.raises(Problem, match=r"model\.bin: not a fastText model"):
            load(path)
    path.write_bytes(model + b"\0")
    with pytest.raises(Problem, match="1 bytes more than it should have"):
        load(path)


def test_sizes_that_are_not_so(model, tmp_path):
    """Without the check these allocate without bound, divide by zero, or read beyond the end."""
    path = tmp_path / "model.bin"
    refused = 0
    for at in SIZES:
        for value in (-1, 0, 1, 1 << 20, (1 << 31) - 1):
            forged = bytearray(model)
            struct.pack_into("<i", forged, at, value)
            path.write_bytes(forged)
            try:
                predict(load(path), ["one two six"], 2)
            except Problem:
                refused += 1
    assert refused >= 3 * len(SIZES)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({0: b"PK\3\4"}, "begins as no model does"),
        ({4: struct.pack("<i", 13)}, "version 13"),
        ({36: struct.pack("<i", 2)}, "gives vectors, no labels"),
    ],
)
def test_another_kind_of_file(model, tmp_path, change, message):
    path = tmp_path / "model.bin"
    forged = bytearray(model)
    for at, value in change.items():
        forged[at : at + len(value)] = value
    path.write_bytes(forged)
    with pytest.raises(Problem, match=message):
        load(path)


def test_labels_that_are_no_text(model, tmp_path):
    path = tmp_path / "model.bin"
    path.write_bytes(model.replace(b"__label__a\0", b"__label__\xff\0"))
    with pytest.raises(Problem, match="not a fastText model"):
        load(path)


def test_marks_of_fasttext_in_a_text_change_no_score(model, tmp_path):
    path = tmp_path / "model.bin"
    path.write_bytes(model)
    loaded = load(path)
    plain = predict(loaded, ["six 3 ten", "", "one 3 two"], 2)
    marked = predict(loaded, ["__label__a six 3 </s> ten", "</s>", "</s> one 3 __label__b two"], 2)
    assert marked == plain
    assert plain[0][0][0] == "b"
    assert plain[1] == []


def test_marks_of_fasttext_in_what_a_model_is_fitted_on(model, tmp_path):
    marked = [(label, f"</s> {line} __label__c") for label, line in LINES]
    plain = [(label, f"  {line}  ") for label, line in LINES]
    for name, lines in (("marked", marked), ("plain", plain)):
        fit_lines(lines, tmp_path / name, Settings(dim=4, bucket=1000, epoch=2, kept=0))
    assert labels(load(tmp_path / "marked")) == {"a", "b"}
    texts = [line for _, line in LINES]
    assert [names[0][0] for names in predict(load(tmp_path / "marked"), texts, 1)] == [
        names[0][0] for names in predict(load(tmp_path / "plain"), texts, 1)
    ]


def test_a_quantised_tree_is_read_as_fasttext_reads_it(tmp_path):
    own, quick = fasttext(), load(bundled(FIRST))
    own.loadModel(str(bundled(FIRST)))
    assert isinstance(quick, Quantised)
    assert labels(quick) == labels(own)
    rng = random.Random(1)
    said = "Die Mühle mahlt, the mill turns; мельница мелет. 水車が回る。 तेल चक्की — naïve 12.5% 🌾"
    spaces = [" ", "\t", "\0", "\r", "\v", "  ", "\xa0", "\u3000", "\x1c"]
    lines = [said, said * 300, "x" * 9000, "", " ", "\0\v", "a", "é", "\udfff of the mill"]
    for _ in range(300):
        words = [
            "".join(rng.choices(said, k=rng.randrange(9)))
            + "".join(chr(rng.randrange(1, 0xD800)) for _ in range(rng.randrange(3)))
            for _ in range(rng.randrange(1, 30))
        ]
        line = "".join(word + rng.choice(spaces) for word in words).replace("\n", " ")
        lines.append(line)
    for count in (1, 3):
        assert predict(quick, lines, count) == predict(own, lines, count)
    for ours, theirs in zip(predict(quick, lines, 500), predict(own, lines, 500), strict=True):
        assert sorted(ours) == sorted(theirs)  # of equal scores either may come first


def test_a_quantised_tree_with_forged_sizes(tmp_path):
    path = tmp_path / "model.ftz"
    model = bundled(FIRST).read_bytes()
    for at in SIZES:
        for value in (-1, 0, 1, 1 << 20, (1 << 31) - 1):
            forged = bytearray(model)
            struct.pack_into("<i", forged, at, value)
            path.write_bytes(forged)
            try:
                predict(load(path), ["one two six"], 2)
            except Problem:
                continue
