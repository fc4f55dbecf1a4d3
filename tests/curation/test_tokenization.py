import gzip
import hashlib
import json
import os
import random
import re
import subprocess
import sys
import unicodedata
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tokenizers
from tokenizers import AddedToken, decoders, models, normalizers, pre_tokenizers, trainers

from curation import ranks, tokenization
from curation.tokenization import Tokens, load_tokenizer
from curation.training import train_tokenizer
from schemas.problems import Problem
from schemas.tokenizer import TrainTokenizer

SENTENCES = [
    "The miller grinds the grain; nothing is lost on the floor, isn't it so?",
    "Der Müller mahlt das Getreide, und die Straße führt über die Brücke.",
    "Le meunier moud le blé à l'été, où la forêt s'achève.",
    "El molinero muele el grano. ¿Dónde está el molino? ¡Aquí!",
    "Мельник мелет зерно, и река течёт к морю.",
    "Ο μυλωνάς αλέθει το σιτάρι κάθε πρωί.",
    "磨坊主研磨谷物,河水流向大海。",
    "粉屋は穀物を挽き、川は海へ流れる。カタカナも。",
    "방앗간 주인이 곡식을 빻는다.",
    "الطحان يطحن الحبوب، والنهر يجري إلى البحر.",
    "הטוחן טוחן את התבואה.",
    "चक्कीवाला अनाज पीसता है, नदी समुद्र की ओर बहती है।",
    "คนโม่แป้งบดเมล็ดพืชทุกเช้า",
    "Ngươi xay bột xay lúa mì mỗi buổi sáng.",
    "Değirmenci İstanbul'da buğday öğütür, ığdır.",
]
STRANGE = [
    "",
    " ",
    "\n",
    "\r\n\r\n line one\r\n\tline two \r\n",
    "emoji 👩‍👩‍👧‍👦🏳️‍🌈🇩🇪 and 𝔘𝔫𝔦𝔠𝔬𝔡𝔢",
    "nul \x00, bell \x07, escape \x1b[0m, delete \x7f, next line \x85, \u2028, bom \ufeff",
    "zero\u200bwidth\u200djoiner soft\u00adhyphen e\u0301 no\u00a0break",
    "\U0010ffff\ue000 private and no characters \ufffe",
    "1234567890 3.14159 ٣٤٥ १२३ ½ Ⅷ",
    "def f(x):\n    return {'a': [x**2 for _ in range(10)]}\n\n\n        # end",
    "a" * 1000 + " " * 1000 + "x" + "=" * 1000 + "\n" * 1000,
    "<|end_of_text|> <|padding|><|reserved_0|>[PAD] <s>",
]


@pytest.fixture(scope="module")
def trained() -> bytes:
    return train_tokenizer(SENTENCES * 20, TrainTokenizer(vocabulary=768))


@pytest.fixture(scope="module")
def tokens(trained: bytes) -> Tokens:
    return load_tokenizer(trained, "tokenizer.json", "<|end_of_text|>", "<|begin_of_text|>")


def documents(tokens: Tokens, texts: list[str]) -> list[list[int]]:
    encoded = tokens.encode(texts)
    return [
        encoded.tokens[a:b].tolist()
        for a, b in zip(encoded.offsets[:-1], encoded.offsets[1:], strict=True)
    ]


# --- training -------------------------------------------------------------------------------


def test_trained_vocabulary(trained: bytes, tokens: Tokens) -> None:
    tokenizer = tokenizers.Tokenizer.from_str(trained.decode())
    vocabulary = tokenizer.get_vocab()
    assert sorted(vocabulary.values()) == list(range(768))
    assert tokens.vocabulary == 768
    assert tokens.token_type == "uint16"
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    assert {vocabulary[letter] for letter in alphabet} == set(range(256))
    # 128 special ids, at the end
    special = tokenizer.get_added_tokens_decoder()
    assert sorted(special) == list(range(640, 768))
    assert all(token.special for token in special.values())
    assert [special[id_].content for id_ in range(640, 644)] == [
        "<|end_of_text|>", "<|begin_of_text|>", "<|padding|>", "<|reserved_0|>",
    ]  # fmt: skip
    assert special[767].content == "<|reserved_124|>"
    assert (tokens.end_of_text, tokens.begin_of_text, tokens.padding) == (640, 641, 642)
    assert (tokens.byte_lengths[640:] == 0).all()
    assert (tokens.byte_lengths[:256] == 1).all()
    # merges were learned, and what is decoded is what was encoded
    assert tokens.encode([SENTENCES[0]]).tokens.size < 40
    for text in SENTENCES + STRANGE[:-1]:
        ids = tokenizer.encode(text).ids
        assert tokenizer.decode(ids, skip_special_tokens=False) == text


@pytest.mark.parametrize("texts", [[], ["", ""], ["abc"], ["abcabc " * 9], SENTENCES])
def test_small_samples_give_small_vocabularies(texts: list[str]) -> None:
    data = train_tokenizer(texts, TrainTokenizer(vocabulary=32_768))
    tokens = load_tokenizer(data, "t", "<|end_of_text|>", None)
    vocabulary = tokens.tokenizer.get_vocab()
    assert tokens.vocabulary % 128 == 0
    assert tokens.vocabulary == len(vocabulary) == max(vocabulary.values()) + 1
    special = tokens.tokenizer.get_added_tokens_decoder()
    assert 128 <= len(special) < 256
    assert min(special) == tokens.vocabulary - len(special)
    assert tokens.vocabulary <= 1024
    assert tokens.encode(["xyz"]).bytes.tolist() == [3]


def test_smallest_vocabulary_has_no_merges() -> None:
    data = train_tokenizer(SENTENCES * 20, TrainTokenizer(vocabulary=384))
    tokens = load_tokenizer(data, "t", "<|end_of_text|>", None)
    assert tokens.vocabulary == 384
    encoded = tokens.encode(SENTENCES)
    assert (np.diff(encoded.offsets) == encoded.bytes + 1).all()


def test_special_names(trained: bytes) -> None:
    data = train_tokenizer(SENTENCES, TrainTokenizer(vocabulary=512), "</s>", "<s>")
    tokens = load_tokenizer(data, "t", "</s>", "<s>")
    assert tokens.begin_of_text == tokens.end_of_text + 1
    for end, begin in (("<s>", "<s>"), ("<|padding|>", None), ("<|reserved_3|>", None)):
        with pytest.raises(Problem, match="end_of_text"):
            train_tokenizer(SENTENCES, TrainTokenizer(vocabulary=512), end, begin)


def test_words_are_bounded() -> None:
    # The trainer's cost is quadratic in the length of a word: on the unbounded words this test
    # would take hours.
    rng = random.Random(1)
    hostile = ["".join(rng.choices("abcdefghijklmnopqrst", k=300_000)), "=" * 300_000]
    train_tokenizer(hostile, TrainTokenizer(vocabulary=1024))
    split = pre_tokenizers.Split(tokenizers.Regex(ranks.words(3)), "isolated")
    for text in SENTENCES + STRANGE + hostile:
        words = [word for word, _ in split.pre_tokenize_str(text)]
        assert "".join(words) == text
        assert max(map(len, words), default=0) <= 257
    words = [word for word, _ in split.pre_tokenize_str("It's 12345 हिन्दी (ok)...\n\n  x")]
    assert words == ["It", "'s", " ", "123", "45", " हिन्दी", " (", "ok", ")...\n\n", " ", " x"]


TRAIN = """
import json, sys
from curation.training import train_tokenizer
from schemas.tokenizer import TrainTokenizer
texts = json.load(sys.stdin)
sys.stdout.buffer.write(train_tokenizer(texts, TrainTokenizer(vocabulary=2048)))
"""


def train_elsewhere(texts: list[str], threads: str, parallel: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", TRAIN],
        input=json.dumps(texts).encode(),
        capture_output=True,
        check=True,
        env={**os.environ, "RAYON_NUM_THREADS": threads, "TOKENIZERS_PARALLELISM": parallel},
    )
    return hashlib.sha256(done.stdout).hexdigest()


def test_training_is_the_same_on_any_threads_and_order() -> None:
    # words of equal counts, so that merges are ties
    rng = random.Random(2)
    words = ["".join(rng.choices("abcdefgh", k=6)) for _ in range(3000)]
    texts = SENTENCES + [" ".join(words[n : n + 50] * 2) for n in range(0, 3000, 50)]
    one = train_elsewhere(texts, "1", "false")
    assert train_elsewhere(texts, "2", "true") == one
    assert train_elsewhere(texts, "3", "true") == one
    rng.shuffle(texts)
    assert train_elsewhere(texts, "2", "true") == one
    assert train_elsewhere(texts[::-1], "1", "true") == one


# --- encoding -------------------------------------------------------------------------------


def test_bytes_are_exact(tokens: Tokens) -> None:
    texts = SENTENCES + STRANGE
    encoded = tokens.encode(texts)
    assert encoded.tokens.dtype == np.uint16
    assert encoded.offsets[0] == 0
    assert encoded.offsets[-1] == len(encoded.tokens)
    assert encoded.bytes.tolist() == [len(text.encode()) for text in texts]
    # each id has the bytes it decodes to
    decoder = {letter: byte for byte, letter in enumerate(byte_alphabet())}
    for text, ids in zip(texts, documents(tokens, texts), strict=True):
        parts = [
            bytes(decoder[letter] for letter in tokens.tokenizer.id_to_token(number) or "")
            for number in ids[1:-1]
        ]
        assert b"".join(parts) == text.encode()
        assert [len(part) for part in parts] == tokens.byte_lengths[ids[1:-1]].tolist()


def byte_alphabet() -> list[str]:
    """The character that stands for each byte: printable ones for themselves, then from U+0100."""
    shown = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = iter(range(256, 512))
    return [chr(byte) if byte in shown else chr(next(others)) for byte in range(256)]


def test_documents_are_closed_and_opened(trained: bytes) -> None:
    texts = ["one", "", "two words"]
    plain = load_tokenizer(trained, "t", "<|end_of_text|>", None)
    both = load_tokenizer(trained, "t", "<|end_of_text|>", "<|begin_of_text|>")
    assert plain.begin_of_text is None
    inner = [plain.tokenizer.encode(text).ids for text in texts]
    assert documents(plain, texts) == [[*ids, 640] for ids in inner]
    assert documents(both, texts) == [[641, *ids, 640] for ids in inner]
    empty = both.encode([])
    assert empty.tokens.tolist() == []
    assert empty.offsets.tolist() == [0]
    assert empty.bytes.tolist() == []


def test_text_cannot_write_control_tokens(tokens: Tokens) -> None:
    special = [token.content for token in tokens.tokenizer.get_added_tokens_decoder().values()]
    texts = ["".join(special), "x".join(special), *special]
    for text, ids in zip(texts, documents(tokens, texts), strict=True):
        assert max(ids[1:-1]) < 640
        assert int(tokens.byte_lengths[ids].sum()) == len(text.encode())


def test_batches_and_pieces_change_nothing(tokens: Tokens, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = random.Random(3)
    texts = ["\n".join(rng.choices(SENTENCES, k=rng.randrange(40))) for _ in range(60)]
    whole = tokens.encode(texts)
    # pieces of a few sentences: cut at line ends, ids stay the same
    monkeypatch.setattr(tokenization, "PIECE_CHARACTERS", 400)
    assert max(map(len, texts)) > 1200
    pieces = tokens.encode(texts)
    assert pieces.tokens.tolist() == whole.tokens.tolist()
    assert pieces.offsets.tolist() == whole.offsets.tolist()
    assert pieces.bytes.tolist() == whole.bytes.tolist()
    # cut anywhere: bytes stay the same
    monkeypatch.setattr(tokenization, "PIECE_CHARACTERS", 5)
    tiny = tokens.encode(texts)
    assert tiny.bytes.tolist() == whole.bytes.tolist()


def test_texts_without_line_ends_are_cut(tokens: Tokens) -> None:
    rng = random.Random(4)
    texts = [
        "".join(rng.choices("abcdefghij", k=1_200_000)),
        " " * 1_200_000 + "x",
        "e" + "\u0301" * 600_000,
    ]
    assert tokens.encode(texts).bytes.tolist() == [len(text.encode()) for text in texts]


# --- loading --------------------------------------------------------------------------------


def foreign(
    normalizer: normalizers.Normalizer | None = None, special: tuple[str, ...] = ("<|endoftext|>",)
) -> tokenizers.Tokenizer:
    """A tokenizer as others publish them: special ids first, GPT-2's words."""
    tokenizer = tokenizers.Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    if normalizer is not None:
        tokenizer.normalizer = normalizer
    trainer = trainers.BpeTrainer(
        vocab_size=600,
        special_tokens=list(special),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(SENTENCES * 5, trainer)
    return tokenizer


def load(tokenizer: tokenizers.Tokenizer, end: str = "<|endoftext|>") -> Tokens:
    return load_tokenizer(tokenizer.to_str().encode(), "theirs.json", end, None)


def test_foreign_tokenizer() -> None:
    tokenizer = foreign()
    tokenizer.add_tokens([AddedToken("    ", normalized=False), AddedToken("→→", normalized=False)])
    tokenizer.enable_padding(pad_token="<|endoftext|>", length=64)
    tokenizer.enable_truncation(5)
    tokens = load(tokenizer)
    assert tokens.vocabulary == 640
    assert tokens.end_of_text == 0
    assert tokens.padding == 602  # it pads with end of text, which is no padding here
    texts = [*SENTENCES, *STRANGE, "    four    eight        →→→", "<|endoftext|>"]
    encoded = tokens.encode(texts)
    assert encoded.bytes.tolist() == [len(text.encode()) for text in texts]
    assert (encoded.tokens == 0).sum() == len(texts)
    assert 600 in encoded.tokens
    assert 601 in encoded.tokens


def test_older_files_leave_out_types() -> None:
    config = json.loads(foreign().to_str())
    del config["model"]["type"], config["model"]["ignore_merges"], config["model"]["byte_fallback"]
    del config["pre_tokenizer"]["use_regex"]
    config["model"]["merges"] = [" ".join(pair) for pair in config["model"]["merges"]]
    config["model"]["continuing_subword_prefix"] = ""
    old = load_tokenizer(json.dumps(config).encode(), "gpt2.json", "<|endoftext|>", None)
    new = load(foreign())
    assert old.encode(SENTENCES).tokens.tolist() == new.encode(SENTENCES).tokens.tolist()


def test_padding_token_is_found() -> None:
    assert load(foreign(special=("<|endoftext|>", "<a>", "<pad>"))).padding == 2
    odd = foreign(special=("<|endoftext|>", "<filler>"))
    own = max(odd.get_vocab().values())
    assert load(odd).padding == own + 1 < load(odd).vocabulary
    assert load(odd).byte_lengths[own + 1] == 0
    odd.enable_padding(pad_id=1, pad_token="<filler>")
    assert load(odd).padding == 1


def test_nfc_holds_the_bytes_of_the_normalised_text() -> None:
    text = "cafe\u0301 Ngươi\u0323 ㄱ\u1100\u1161"
    encoded = load(foreign(normalizers.NFC())).encode([text, "plain"])
    assert encoded.bytes.tolist() == [len(unicodedata.normalize("NFC", text).encode()), 5]
    assert encoded.bytes[0] != len(text.encode())


def test_large_vocabularies_need_wide_ids() -> None:
    tokenizer = foreign()
    tokenizer.add_tokens([f"word{n}" for n in range(65_000)])
    tokens = load(tokenizer)
    assert tokens.vocabulary == 65_664
    assert tokens.token_type == "uint32"
    encoded = tokens.encode(["word64999 word1"])
    assert encoded.tokens.dtype == np.uint32
    assert encoded.tokens[0] == 600 + 64_999
    assert encoded.bytes.tolist() == [15]


def test_unknown_special_tokens_are_named() -> None:
    data = foreign(special=("<|endoftext|>", "<a>")).to_str().encode()
    with pytest.raises(Problem, match=r"theirs\.json.*end_of_text.*</s>.*<\|endoftext\|>, <a>"):
        load_tokenizer(data, "theirs.json", "</s>", None)
    with pytest.raises(Problem, match="begin_of_text is <s>"):
        load_tokenizer(data, "theirs.json", "<a>", "<s>")
    # a learned token is none
    with pytest.raises(Problem, match="none of its special tokens"):
        load_tokenizer(data, "theirs.json", "a", None)


@pytest.mark.parametrize(
    "data",
    [b"", b"{}", b"[]", b"null", b"\xff\xfe", b"\x1f\x8b\x08", b'{"version": "1.0"}', b"<html>"],
)
def test_what_is_no_tokenizer_is_refused(data: bytes) -> None:
    with pytest.raises(Problem, match=r"^data/broken\.json: not a tokenizer\.json"):
        load_tokenizer(data, "data/broken.json", "<|endoftext|>", None)


def edited(**changes: Any) -> bytes:
    config = json.loads(foreign().to_str())
    for key, value in changes.items():
        if key in config["model"]:
            config["model"][key] = value
        else:
            config[key] = value
    return json.dumps(config).encode()


def sequence(*steps: dict[str, Any]) -> dict[str, Any]:
    return {"type": "Sequence", "pretokenizers": list(steps)}


BYTES = {
    "type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": False,
}  # fmt: skip
CUT = {"type": "Split", "pattern": {"Regex": r"\s+"}, "behavior": "Isolated", "invert": False}
STRIPPING = {
    "id": 600, "content": "<tag>", "single_word": False, "lstrip": True, "rstrip": False,
    "normalized": False, "special": False,
}  # fmt: skip
END = {**STRIPPING, "id": 0, "content": "<|endoftext|>", "lstrip": False, "special": True}


@pytest.mark.parametrize(
    "changes",
    [
        {"pre_tokenizer": {**BYTES, "add_prefix_space": True}},
        {"pre_tokenizer": sequence({"type": "WhitespaceSplit"}, BYTES)},
        {"pre_tokenizer": sequence({**CUT, "behavior": "Removed"}, BYTES)},
        {"normalizer": {"type": "Lowercase"}},
        {"normalizer": {"type": "Sequence", "normalizers": []}},
        {"byte_fallback": True},
        {"end_of_word_suffix": "</w>"},
        {"added_tokens": [END, STRIPPING]},
    ],
)
def test_what_changes_the_text_has_the_bytes_of_the_text(changes: dict[str, Any]) -> None:
    tokens = load_tokenizer(edited(**changes), "theirs.json", "<|endoftext|>", None)
    assert tokens.byte_lengths is None
    check_widths(tokens, SENTENCES + STRANGE)


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        ({"pre_tokenizer": None}, "no token for what it does not know"),
        ({"pre_tokenizer": {"type": "Whitespace"}}, "no token for what it does not know"),
        ({"dropout": 0.1}, "at random"),
        ({"vocab": {"a": 0, "b": 1}, "merges": []}, "no token for what it does not know"),
    ],
)
def test_what_cannot_encode_all_is_refused(changes: dict[str, Any], fault: str) -> None:
    with pytest.raises(Problem, match=fault) as caught:
        load_tokenizer(edited(**changes), "theirs.json", "<|endoftext|>", None)
    assert str(caught.value).startswith("theirs.json: ")


def test_other_models_need_a_token_for_what_they_do_not_know() -> None:
    for model in (
        models.WordPiece(),
        models.Unigram([("a", 0.0)], None, False),
        models.WordLevel(),
    ):
        data = tokenizers.Tokenizer(model).to_str().encode()
        with pytest.raises(Problem, match="no token for what it does not know"):
            load_tokenizer(data, "theirs.json", "<|endoftext|>", None)


# --- bytes by offsets -----------------------------------------------------------------------


def check_widths(tokens: Tokens, texts: list[str]) -> None:
    """The bytes of tokens are those of the text from the begin of each to that of the next."""
    encoded = tokens.encode(texts)
    assert encoded.widths is not None
    assert encoded.bytes.tolist() == [len(text.encode()) for text in texts]
    around = 1 + (tokens.begin_of_text is not None)
    for number, text in enumerate(texts):
        own = slice(encoded.offsets[number], encoded.offsets[number + 1])
        widths = encoded.widths[own].tolist()
        offsets = tokens.tokenizer.encode(text, add_special_tokens=False).offsets
        assert len(widths) == len(offsets) + around
        if not offsets:
            assert widths == [0] * (around - 1) + [len(text.encode())]
            continue
        borders = [0, *(start for start, _ in offsets[1:]), len(text)]
        expected = [len(text[one:other].encode()) for one, other in pairwise(borders)]
        assert widths == [*[0] * (around - 1), *expected, 0]


@pytest.fixture(scope="module", params=["unigram", "wordpiece"])
def by_offsets(request: pytest.FixtureRequest) -> tuple[TrainTokenizer, Tokens]:
    spec = TrainTokenizer(model=request.param, vocabulary=1024, digits=1, nfc=True)
    data = train_tokenizer(SENTENCES * 20, spec)
    return spec, load_tokenizer(data, "t.json", "<|end_of_text|>", "<|begin_of_text|>")


def test_bytes_by_offsets(by_offsets: tuple[TrainTokenizer, Tokens]) -> None:
    _, tokens = by_offsets
    check_widths(
        tokens, [*SENTENCES, *STRANGE, "  ", "\n", "x", "", "ψ▁ 漢字", "  e\u0301  e\u0301 "]
    )
    assert tokens.encode([]).widths is not None


def test_pieces_keep_bytes_by_offsets(
    by_offsets: tuple[TrainTokenizer, Tokens], monkeypatch: pytest.MonkeyPatch
) -> None:
    _, tokens = by_offsets
    monkeypatch.setattr(tokenization, "PIECE_CHARACTERS", 7)
    texts = [*SENTENCES, *STRANGE, " " * 30, " " * 20 + "x" + " " * 20]
    encoded = tokens.encode(texts)
    assert encoded.widths is not None
    sums = np.add.reduceat(encoded.widths, encoded.offsets[:-1])
    assert sums.tolist() == encoded.bytes.tolist() == [len(text.encode()) for text in texts]


def test_options_hold_for_all_models(by_offsets: tuple[TrainTokenizer, Tokens]) -> None:
    spec, tokens = by_offsets
    assert tokens.vocabulary % 128 == 0
    assert tokens.vocabulary <= spec.vocabulary
    special = [t.content for t in tokens.tokenizer.get_added_tokens_decoder().values() if t.special]
    assert len(special) >= 128
    digits = [token for token in tokens.tokenizer.get_vocab() if re.search(r"\d", token)]
    assert all(re.fullmatch(r"(##)?\d|<.*>", token) for token in digits), digits
    assert len(tokens.encode(["123456"]).tokens) == 2 + 6
    composed, other = tokens.encode(["naïve é"]), tokens.encode(["nai\u0308ve e\u0301"])
    assert composed.tokens.tolist() == other.tokens.tolist()
    assert (composed.bytes.tolist(), other.bytes.tolist()) == ([9], [11])


def test_no_text_writes_special_tokens_or_bytes(by_offsets: tuple[TrainTokenizer, Tokens]) -> None:
    spec, tokens = by_offsets
    special = tokens.tokenizer.get_added_tokens_decoder()
    names = [*(token.content for token in special.values()), *tokenization.BYTES]
    texts = ["".join(names), "x".join(names), *names]
    encoded = tokens.encode(texts)
    check_widths(tokens, texts)
    found = {tokens.tokenizer.id_to_token(number) for number in encoded.tokens.tolist()}
    unknown = {"<|unknown|>"} if spec.model == "wordpiece" else set()
    assert found & set(names[:-256]) <= {"<|begin_of_text|>", "<|end_of_text|>"} | unknown
    if spec.model == "unigram":
        for text in texts:
            ids = tokens.tokenizer.encode(text, add_special_tokens=False).ids
            assert tokens.tokenizer.decode(ids, skip_special_tokens=False) == text


def test_special_tokens_in_a_vocabulary_are_not_written_by_text() -> None:
    pieces = [("<unk>", 0.0), ("<s>", 0.0), ("</s>", 0.0)]
    pieces += [(letter, -3.0 - number / 9) for number, letter in enumerate("abs<>/unk▁")]
    tokenizer = tokenizers.Tokenizer(models.Unigram(pieces, 0, False))
    tokenizer.add_special_tokens(["<unk>", "<s>", "</s>"])
    tokens = load_tokenizer(tokenizer.to_str().encode(), "spm", "</s>", "<s>")
    ids = tokens.encode(["a<s>b</s>", "<unk>", "<s>"])
    assert (ids.tokens == 1).sum() == 3
    assert (ids.tokens == 2).sum() == 3
    assert (ids.tokens == 0).sum() == 0


def test_rare_letters_do_not_fill_a_vocabulary() -> None:
    """A crawl holds more letters than a vocabulary has ids."""
    letters = "".join(map(chr, range(0x4E00, 0x9000)))
    texts = [letters, *SENTENCES * 400]
    for model in ("unigram", "wordpiece"):
        data = train_tokenizer(texts, TrainTokenizer(model=model, vocabulary=1024))
        tokens = load_tokenizer(data, "t", "<|end_of_text|>", None)
        assert tokens.vocabulary <= 1024
        assert len(tokens.encode([SENTENCES[0]]).tokens) < 60


def test_long_words_are_trained_in_time() -> None:
    rng = random.Random(1)
    hostile = ["".join(rng.choices("abcdefghijklmnopqrst", k=40_000)), "=" * 300_000]
    for model in ("unigram", "wordpiece"):
        train_tokenizer(hostile, TrainTokenizer(model=model, vocabulary=1024))


@pytest.mark.parametrize("bytes_first", [False, True])
def test_words_may_be_cut_otherwise(bytes_first: bool) -> None:
    digits = {"type": "Digits", "individual_digits": True}
    signs = {"type": "Punctuation", "behavior": "Contiguous"}
    steps = [BYTES, digits] if bytes_first else [signs, CUT, digits, BYTES]
    data = edited(pre_tokenizer=sequence(*steps), normalizer=None)
    tokens = load_tokenizer(data, "theirs.json", "<|endoftext|>", None)
    texts = SENTENCES + STRANGE
    assert tokens.encode(texts).bytes.tolist() == [len(text.encode()) for text in texts]


def test_lost_bytes_are_an_error() -> None:
    tokens = load(foreign())
    tokens.byte_lengths[:] = 1
    with pytest.raises(Problem, match=r"theirs\.json: .* hold 2 bytes, the text has 1"):
        tokens.encode(["a", SENTENCES[0]])


# --- real text ------------------------------------------------------------------------------


@pytest.mark.corpus
def test_bytes_are_exact_on_the_corpus(corpus: Path) -> None:
    texts = []
    for path in ("langid/sentences.jsonl.gz", "golden/texts.jsonl.gz"):
        with gzip.open(corpus / path, "rt", encoding="utf-8") as lines:
            texts += [json.loads(line)["text"] for line in lines]
    chosen = random.Random(5).sample(texts, 3000)
    data = train_tokenizer(chosen[:1500], TrainTokenizer(vocabulary=8192))
    tokens = load_tokenizer(data, "tokenizer.json", "<|end_of_text|>", None)
    assert tokens.vocabulary == 8192
    encoded = tokens.encode(chosen)
    assert encoded.bytes.tolist() == [len(text.encode()) for text in chosen]
    assert 2.5 < encoded.bytes.sum() / len(encoded.tokens) < 6
