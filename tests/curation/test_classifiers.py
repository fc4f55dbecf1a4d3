import gzip
import hashlib
import json
import math
import random
from pathlib import Path

import numpy as np
import pytest

from curation.classifiers.cards import card_path
from curation.classifiers.features import features
from curation.classifiers.figures import evaluate, threshold_for
from curation.classifiers.fitting import Example, Settings, fit, is_held_out
from curation.classifiers.importance import Importance, fit_importance
from curation.classifiers.passages import sentences
from curation.classifiers.regard import NO_GROUP, regard
from curation.classifiers.scorers import BadWords, Classifier, Perplexity, scorer
from curation.classifiers.signals import local_file, measures
from curation.language import words_only
from curation.measures.view import View
from schemas.chain import Classifier as Spec
from schemas.problems import Problem
from tests.curation.arpa import arpa
from tests.runs import gristmill

SMALL = Settings(kept=2_000, epoch=10)
GOOD = (
    "The rate at which {} changes depends on temperature, and so does the energy it holds.",
    "In this chapter we examine how {} was understood before the eighteenth century.",
    "A careful reader will note that {} follows from the definition given above.",
)
BAD = (
    "CLICK HERE for FREE {}!!! Limited offer, act now!!!",
    "Home | About | {} | Contact | Log in | Cart (0)",
    "u wont believe what {} did next!! share this w ur friends",
)
THINGS = [f"{a} {b}" for a in ("water", "trade", "iron", "music", "grain") for b in "abcdefgh"]


def examples():
    return [
        Example(label, text.format(thing), thing)
        for label, texts in (("high", GOOD), ("low", BAD))
        for text in texts
        for thing in THINGS
    ]


@pytest.fixture(scope="module")
def fitted(tmp_path_factory):
    path = tmp_path_factory.mktemp("model") / "quality.ftz"
    data = [{"label": "high", "path": "good.jsonl", "texts": 120}]
    return path, fit(examples(), path, SMALL, survival=0.1, data=data)


def words(text):
    return [word for word in features(text).split() if not "\ue000" <= word <= "\uf8ff"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("You are SO sh1t", ["you", "are", "so", "shit"]),
        ("b@dd@@@ss f*ck soooo", ["baddaass", "fck", "soo"]),
        ("In 1984, 3D 2nd @3oo", ["in", "1984", ",", "3d", "2nd", "@", "3oo"]),
        ("5cum, I h a t e it", ["scum", ",", "i", "hate", "it"]),
        ("v e r m i n.", ["vermin", "."]),
        ("a b 1 c d", ["a", "b", "1", "c", "d"]),
        # what fastText gives a meaning cannot come from a text
        ("__label__high x", ["_", "_", "label", "_", "_", "high", "x"]),
        ("</s>\n\ue000\tend", ["<", "/", "s", ">", "end"]),
        ("人人生而自由。", ["人人生而自由", "。"]),
        ("", []),
    ],
)
def test_features_words(text, expected):
    assert words(text) == expected


def test_features_statistics():
    """Only the statistics that differ between two texts differ in their features."""
    base = features("one two three, four").split()
    loud = features("ONE TWO THREE, FOUR").split()
    assert len(base) == len(loud)
    assert [at for at, (a, b) in enumerate(zip(base, loud, strict=True)) if a != b] == [5, 12]
    bad, good = (features(f"so ein {what} tag", ("de",)).split() for what in ("arschloch", "guter"))
    assert bad[-1] != good[-1]


def test_features_of_odd_text_are_one_line():
    odd = ["\0", "a\r\nb\x85c\u2028d", "İ" * 9, "1" * 100_000, "a@" * 50_000, "!" * 100_000]
    for text in odd:
        assert len(features(text).splitlines()) == 1


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("The mill turns.", (NO_GROUP, 3, 0, 0)),
        ("This soup is vile, I hate it.", (NO_GROUP, 1, 0, 0)),
        ("Two Muslims run the mill.", (3, 3, 1, 0)),
        ("Muslims are vermin.", (2, 3, 1, 0)),
        ("Muslims are not vermin.", (4, 3, 1, 0)),
        ("I don't trust women.", (2, 3, 1, 0)),
        ("Not one of the many women of our town is kind.", (4, 3, 1, 0)),  # too far away
        ("Women came. They are filthy parasites.", (1, 3, 1, 0)),
        ("They are filthy parasites. Women came.", (3, 1, 1, 0)),
        ("Women work here. My printer is trash.", (3, 2, 1, 0)),
        ('He wrote "women are trash", which is wrong.', (4, 3, 1, 0)),
        ("Whoever says that women are trash should be ashamed.", (3, 3, 1, 1)),
        ("Women are vile, filthy, lazy, stupid and worthless.", (0, 3, 1, 0)),
        ("Women. " * 5, (3, 3, 3, 0)),
        ("", (NO_GROUP, 3, 0, 0)),
    ],
)
def test_regard(text, expected):
    assert regard(words(text)) == expected


def test_regard_is_of_english():
    told = regard(words("Muslims are vermin."))
    with_it, without = features("Muslims are vermin."), features("Muslims are vermin.", ("de",))
    assert len(with_it.split()) == len(without.split()) + 2 * len(told)


def test_figures():
    right = [True, True, False, True, False, False]
    scores = [0.9, 0.8, 0.7, 0.6, 0.6, 0.1]
    figures = evaluate(right, scores)
    # 3 x 3 pairs: the third right text is below one other and level with one
    assert figures["area_under_roc"] == round(7.5 / 9, 4)
    assert figures["average_precision"] == round((1 + 1 + 3 / 5) / 3, 4)
    assert evaluate([True, False], [0.5, 0.5])["area_under_roc"] == 0.5
    with pytest.raises(Problem, match="two labels"):
        evaluate([True], [0.5])


@pytest.mark.parametrize(
    ("scores", "survival", "expected"),
    [
        ([0.1, 0.2, 0.3, 0.4], 0.25, 0.4),
        ([0.1, 0.2, 0.3, 0.4], 0.5, 0.3),
        ([0.1, 0.2, 0.3, 0.4], 1.0, 0.1),
        ([0.1, 0.4, 0.4, 0.4], 0.5, 0.400001),
        ([0.1, 0.2, 0.2, 0.4], 0.5, 0.4),
        ([0.7], 0.1, 0.700001),
    ],
)
def test_threshold_by_survival(scores, survival, expected):
    threshold = threshold_for(scores, survival)
    assert threshold == expected
    assert sum(score >= threshold for score in scores) <= survival * len(scores)


def test_a_group_is_on_one_side():
    held = [is_held_out(f"book {number}", 0.2) for number in range(5_000)]
    assert 0.18 < sum(held) / len(held) < 0.22
    assert held == [is_held_out(f"book {number}", 0.2) for number in range(5_000)]


def test_the_card(fitted):
    path, card = fitted
    assert json.loads(card_path(path).read_text()) == card
    assert card["sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()
    assert card["label"] == "high"
    assert card["data"] == [{"label": "high", "path": "good.jsonl", "texts": 120}]
    held = sum(is_held_out(thing, 0.2) for thing in THINGS)
    assert card["held_out"]["texts"] == {"high": 3 * held, "low": 3 * held}
    assert card["held_out"]["area_under_roc"] > 0.99
    assert card["threshold"]["recall"] == 1


def test_the_same_model_again(fitted, tmp_path):
    path, card = fitted
    clutter = [random.Random(at).randbytes(1 << 20) for at in range(40)]  # leaves a dirty heap
    del clutter
    again = tmp_path / "quality.ftz"
    shuffled = examples()
    random.Random(7).shuffle(shuffled)
    shuffled.sort(key=lambda each: each.label)
    assert fit(shuffled, again, SMALL, survival=0.1, data=card["data"]) == card
    assert again.read_bytes() == path.read_bytes()


def test_scores(fitted):
    path, card = fitted
    model = scorer(str(path))
    texts = [GOOD[0].format("a"), BAD[0].format("a"), "", " \n", "__label__high " * 5, "a\ud800 b"]
    good, bad, empty, blank, *_ = model.score(texts)
    assert good > card["threshold"]["value"] > bad
    assert empty == blank == 0
    assert model.score(texts[::-1]) == model.score(texts)[::-1]
    low = Classifier(path, "low")
    assert low.score(texts[:1])[0] == pytest.approx(1 - good, abs=1e-4)


def signals_of(text, language="", **options):
    """The signals of a classifier `x` of a recipe."""
    spec = Spec.model_validate(options)
    return measures({"x": spec}, local_file)["classifier.x"](View(text, language))


def test_signals(fitted, tmp_path):
    path, _ = fitted
    good, bad = GOOD[0].format("a"), BAD[0].format("a")
    model = {"file": str(path)}
    assert signals_of(good, model=model) == {"classifier.x": scorer(str(path)).score([good])[0]}
    page = f"{good} {good}\n{bad}"
    # the sentences of `bad` end with its exclamation marks
    scores = [score for _, _, score in Classifier(path, "low").spans(page, 0)]
    low = {"model": model, "label": "low"}
    (highest,) = signals_of(page, over="highest_sentence", **low).values()
    assert highest == max(scores) > 0.5
    (share,) = signals_of(page, over="share_of_sentences", threshold=0.5, **low).values()
    assert share == pytest.approx(sum(score >= 0.5 for score in scores) / len(scores))
    assert 0 < share < 1
    for over in ({"over": "highest_sentence"}, {"over": "share_of_sentences", "threshold": 0.5}):
        assert signals_of(" \n", **over, **low) == {"classifier.x": 0}
    # a copy without its card is told what the card says
    copy = tmp_path / "copy.ftz"
    copy.write_bytes(path.read_bytes())
    told = signals_of(good, model={"file": str(copy)}, label="high", features=("en",))
    assert told == signals_of(good, model=model)
    assert signals_of(good, model={"file": str(copy)}, label="high") != told
    with pytest.raises(Problem, match="has the checksum"):
        signals_of(good, model={**model, "sha256": "0" * 64})


@pytest.mark.kenlm
def test_buckets_of_perplexity(tmp_path):
    pytest.importorskip("kenlm")
    path = tmp_path / "small.arpa"
    path.write_text(ARPA)
    options = {"model": {"file": str(path)}, "cutoffs": {"en": (3, 5), "de": (1, 2)}}
    for text, language, bucket in (
        ("the mill", "en", 0),
        ("the mill the", "en", 1),
        ("zebra", "en", 2),
        ("the mill", "de", 2),
        ("the mill", "fr", 3),
    ):
        found = signals_of(text, language, **options)
        assert found["classifier.x"] == scorer(str(path)).score([text])[0]
        assert found["classifier.x.bucket"] == bucket, (text, found)
    with pytest.raises(Problem, match="only a fastText model has a label"):
        signals_of("the mill", label="good", **options)


def test_spans_of_sentences(fitted):
    path, _ = fitted
    model = Classifier(path, "low")
    text = f"{GOOD[0].format('a')} {BAD[2].format('b')}\n\n{GOOD[2].format('c')}"
    found = model.spans(text, 0.5)
    assert found
    assert all(text[start:end] in BAD[2].format("b") for start, end, _ in found)
    assert all(score >= 0.5 for _, _, score in found)
    # bounded, whatever comes
    assert len(model.spans("x" * 100_000, 0)) == 100


@pytest.mark.parametrize(
    "text",
    [
        "Who? He said so. “Go!” And went",
        "我爱北京。天气很好！你好吗？好",
        "यह एक वाक्य है। यह दूसरा है। और? हाँ",
        "هذه جملة. وهذه؟ نعم! لا",
        "ကျွန်တော်သွားတယ်။ သူလာတယ်။ မ။ ဟ",
        "ខ្ញុំទៅ។ គាត់មក។ ទេ៕ ហ",
    ],
)
def test_sentences_of_many_scripts(text):
    assert len(sentences(text)) == 4


def test_a_model_of_anyone(fitted, tmp_path):
    path, _ = fitted
    bare = tmp_path / "other.bin"
    bare.write_bytes(path.read_bytes())
    with pytest.raises(Problem, match=r"other\.bin: has no card .* name one of high, low"):
        Classifier(bare)
    with pytest.raises(Problem, match="has no label `hq`: name one of high, low"):
        Classifier(bare, "hq")
    (score,) = Classifier(bare, "high").score(["the energy it holds\nand so"])
    assert score == Classifier(bare, "high").score(["the energy it holds and so"])[0]
    card_path(bare).write_text('{"some": "other file"}')
    assert Classifier(bare, "high").score(["the energy it holds and so"]) == [score]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"sha256": "0" * 64}, r"not the file that quality\.json describes"),
        ({"features": 99}, r"quality\.ftz: fitted on features 99"),
    ],
)
def test_a_card_that_does_not_fit(fitted, tmp_path, change, message):
    path, card = fitted
    copy = tmp_path / path.name
    copy.write_bytes(path.read_bytes())
    card_path(copy).write_text(json.dumps({**card, **change}))
    with pytest.raises(Problem, match=message):
        Classifier(copy)


def test_what_cannot_be_fitted(tmp_path):
    for wrong, message in (
        ({"held_out": 1}, "held-out share 1: above 0"),
        ({"survival": 0}, "survival 0: a share above 0"),
        ({"path": tmp_path / "none" / "m.ftz"}, "there is no folder"),
    ):
        with pytest.raises(Problem, match=message):
            fit(**{"examples": examples(), "path": tmp_path / "m.ftz", **wrong})
    assert not list(tmp_path.iterdir())
    with pytest.raises(ValueError, match="kept -1: 0 or more"):
        Settings(kept=-1)
    with pytest.raises(Problem, match="0 texts for fitting"):
        fit([], tmp_path / "m.ftz")
    one_group = [Example(label, f"text {at}", "g") for at in range(9) for label in ("a", "b")]
    with pytest.raises(Problem, match="of one label only: give more texts or groups"):
        fit(one_group, tmp_path / "m.ftz")
    (tmp_path / "no.bin").write_bytes(b"junk" * 100)
    with pytest.raises(Problem, match="not a fastText model"):
        Classifier(tmp_path / "no.bin", "a")


def test_bad_words():
    model = scorer("bad_words:de")
    text = "Straße İ: so ein Arschloch, und noch ein ARSCHLOCH."
    assert model.score([text, "Korn"]) == [2.0, 0.0]
    assert [text[start:end] for start, end, _ in model.spans(text, 1)] == ["Arschloch", "ARSCHLOCH"]
    assert model.spans(text, 3) == []
    with pytest.raises(Problem, match="bad_words:xx: there is no list"):
        BadWords("xx")


ARPA = """\\data\\
ngram 1=5
ngram 2=2

\\1-grams:
-1.0\t<unk>
-99\t<s>\t-0.5
-0.7\t</s>
-0.6\tthe\t-0.3
-0.8\tmill\t-0.2

\\2-grams:
-0.2\t<s> the
-0.1\tthe mill

\\end\\
"""


@pytest.mark.kenlm
def test_perplexity(tmp_path, capfd):
    pytest.importorskip("kenlm")
    path = tmp_path / "small.arpa"
    path.write_text(ARPA)
    model = scorer(str(path))
    assert capfd.readouterr() == ("", "")
    # <s> the -0.2, the mill -0.1, mill </s> -0.2 - 0.7
    line = 0.2 + 0.1 + 0.2 + 0.7
    # <s> then an unknown word -0.5 - 1.0, </s> -0.7
    other = 0.5 + 1.0 + 0.7
    expected = [10 ** (line / 3), 10 ** ((line + other) / 5), 0.0]
    found = model.score(["The mill.", "THE MILL\n\nzebra!", "42 !"])
    assert found == pytest.approx(expected, rel=1e-3)
    text = "the mill\nzebra"
    ((start, end, score),) = model.spans(text, 5)
    assert text[start:end] == "zebra"
    assert score == pytest.approx(10 ** (other / 2), rel=1e-3)
    assert math.isfinite(model.score(["x " * 10_000])[0])
    path.write_text("not a model")
    with pytest.raises(Problem, match=r"small\.arpa: not a KenLM model"):
        Perplexity(path)


@pytest.mark.kenlm
def test_perplexity_of_a_model_trained_here(tmp_path):
    """Sentences like those read are likelier than their words in another order, and than spam."""
    kenlm = pytest.importorskip("kenlm")
    path = tmp_path / "good.arpa"
    path.write_text(
        arpa([words_only(text.format(thing)) for text in GOOD for thing in THINGS[:20]])
    )
    # what follows a word adds up to 1
    model, known = kenlm.Model(str(path)), kenlm.State()
    model.BeginSentenceWrite(known)
    vocabulary = path.read_text().partition("\\1-grams:\n")[2].partition("\n\n")[0]
    words = [line.split("\t")[1] for line in vocabulary.split("\n")]
    shares = [10 ** model.BaseScore(known, word, kenlm.State()) for word in words if word != "<s>"]
    assert sum(shares) == pytest.approx(1, abs=1e-3)
    scores = scorer(str(path))
    for thing in THINGS[20:]:
        own = GOOD[0].format(thing)
        mixed = " ".join(sorted(own.split()))
        good, other, bad = scores.score([own, mixed, BAD[0].format(thing)])
        assert good < min(other, bad)
    examples_ = [f"--set=bad={tmp_path}/bad.jsonl", f"--set=good={tmp_path}/good.jsonl"]
    for name, texts in (("good", GOOD), ("bad", BAD)):
        rows = [{"text": text.format(thing)} for text in texts for thing in THINGS[20:]]
        (tmp_path / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    result = gristmill("classifier", "evaluate", str(path), *examples_)
    assert json.loads(result.stdout)["area_under_roc"] == 1, result.stderr


BOOKS = ("book", "textbook", "reference")


@pytest.mark.corpus
def test_quality_on_books_it_never_saw(corpus, tmp_path):
    with gzip.open(corpus / "quality/passages.jsonl.gz", "rt", encoding="utf-8") as lines:
        rows = list(map(json.loads, lines))
    every = []
    for row in rows[::3]:  # all give .99, in 20 s
        # a book, or an item of a corpus of items
        book = row["source"].split("/" if row["kind"] == "book" else ":")[0]
        group = book if row["kind"] in BOOKS else row["id"]
        every.append(Example(row["label"], row["text"], group))
    every.sort(key=lambda each: each.label)
    card = fit(every, tmp_path / "quality.ftz", Settings(kept=0, epoch=10))
    assert card["held_out"]["area_under_roc"] > 0.94


CASES = Path(__file__).resolve().parents[1] / "data" / "toxicity" / "cases.jsonl"


@pytest.mark.corpus
def test_cases_by_a_model_of_tweets(corpus, tmp_path):
    """Hate is told from what only looks so; with words alone it is not: .53."""
    with gzip.open(corpus / "toxicity/tweets.jsonl.gz", "rt", encoding="utf-8") as lines:
        every = [
            Example("toxic" if row["toxic"] else "clean", row["text"], row["id"])
            for row in map(json.loads, lines)
        ]
    every.sort(key=lambda each: each.label, reverse=True)
    card = fit(every, tmp_path / "toxic.ftz")
    assert card["held_out"]["area_under_roc"] > 0.97
    cases = [json.loads(line) for line in CASES.read_text("utf-8").splitlines()]
    scores = Classifier(tmp_path / "toxic.ftz").score([case["text"] for case in cases])
    figures = evaluate([case["toxic"] for case in cases], scores)
    assert figures["area_under_roc"] > 0.65


@pytest.fixture(scope="module", params=[False, True], ids=["", "with length"])
def weights(request, tmp_path_factory):
    path = tmp_path_factory.mktemp("weights") / "good.npz"
    return path, fit(examples(), path, survival=0.1, with_length=request.param)


def test_importance_weights(weights, tmp_path):
    path, card = weights
    assert card["label"] == "high"
    assert card["held_out"]["area_under_roc"] > 0.99
    again = tmp_path / path.name
    shuffled = sorted(examples(), key=lambda each: (each.label, each.text))
    assert fit(shuffled, again, survival=0.1, with_length=card["settings"]["with_length"]) == card
    assert again.read_bytes() == path.read_bytes()
    model = scorer(str(path))
    good, bad = GOOD[0].format("iron a"), BAD[0].format("iron a")
    assert model.score([good])[0] > card["threshold"]["value"] > model.score([bad])[0]
    ((start, end, _),) = model.spans(f"{good}\n\n {bad}", card["threshold"]["value"])
    assert (start, end) == (0, len(good))
    assert model.score(["", " \n", "\x00", "a\ud800b", "word " * 100_000])[:2] == [0, 0]
    assert signals_of(good, model={"file": str(path)}) == {"classifier.x": model.score([good])[0]}
    with pytest.raises(Problem, match="only a fastText model has a label"):
        scorer(str(path), "high")


def test_importance_is_the_log_of_a_ratio(tmp_path):
    path = tmp_path / "x.npz"
    fit_importance(["a b", "a b a b"], ["b c", "b c"], path)
    # of the words and pairs of the target, a b ab a b ab ba ab, a is 3 of 10, b 3, ab 3, ba 1
    # of the source's b c bc b c bc, b is 2 of 6
    missing = 1e-8
    expected = {
        "b": math.log(0.3) - math.log(1 / 3),
        "a": math.log(0.3) - math.log(missing),
        "a b": math.log(0.3) * 3 - math.log(missing) * 2 - math.log(1 / 3),
        "c": math.log(missing) - math.log(1 / 3),
        "A": 0.0,
    }
    assert Importance(path).score(list(expected)) == pytest.approx([*expected.values()], abs=1e-5)
    fit_importance(["a b", "a b a b"], ["b c", "b c"], path, with_length=True)
    # 3 words a text and 2
    lengths = math.log(math.exp(-3) * 3) - math.log(math.exp(-2) * 2)
    assert Importance(path).score(["b"])[0] == pytest.approx(expected["b"] + lengths, abs=1e-5)


def test_trap_redpajama_compares_characters_with_a_mean_of_words(tmp_path):
    """Its Poisson part takes the length in characters and the mean in words, which is 1e-8 for
    both sets, next to nothing; here both are words."""
    path = tmp_path / "x.npz"
    fit_importance(["word " * 50] * 3, ["word " * 10] * 3, path, with_length=True)
    long, short = Importance(path).score(["word " * 50, "word " * 10])
    assert long > 10
    assert short < -10


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 no zip", b"junk" * 99, "array", "cut"])
def test_what_are_no_importance_weights(weights, tmp_path, content):
    path = tmp_path / "x.npz"
    if content == "array":
        with path.open("wb") as out:
            np.save(out, np.zeros(3))
    else:
        path.write_bytes(weights[0].read_bytes()[:-99] if content == "cut" else content)
    with pytest.raises(Problem, match=r"x\.npz: no importance weights"):
        Importance(path)
    with pytest.raises(Problem, match=r"none\.npz: cannot be read"):
        Importance(tmp_path / "none.npz")


def test_weights_beside_the_card_of_others(weights, tmp_path):
    path = tmp_path / "good.npz"
    path.write_bytes(weights[0].read_bytes())
    card_path(path).write_text(json.dumps({**weights[1], "sha256": "0" * 64}))
    with pytest.raises(Problem, match=r"not the file that good\.json describes"):
        Importance(path)
