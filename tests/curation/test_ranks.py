"""tiktoken encodes what it takes to the ids of `tokenizers`, whatever the text."""

import itertools
import json
import random

import pytest
import tokenizers
from tokenizers import Regex, models, normalizers, pre_tokenizers, trainers

from curation.ranks import LONGEST_WORD, Ranks, ranks_of
from curation.tokenization import load_tokenizer
from curation.training import train_tokenizer
from schemas.tokenizer import TrainTokenizer
from tests.conftest import REPOSITORY

LLAMA = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)
CODE = [path.read_text("utf-8") for path in sorted((REPOSITORY / "curation").glob("*.py"))]
TEXTS = [
    *CODE[:8],
    "Der Müller mahlt das Korn; l'été naïf, señor, œuvre, Łódź. " * 3,
    "Быть или не быть — вот в чём вопрос. Ελληνικά κείμενα. עברית וערבית العربيّة. " * 3,
    "日本語の文章です。中文句子，没有空格。한국어 문장. ภาษาไทยไม่มีช่องว่าง हिन्दी की किताबें தமிழ் " * 3,
    "🧑🏽‍🌾👩‍👩‍👧 don't DON'T e\u0301 n\u0303 ﬁ ½ Ⅷ ² "
    "\u200b\u200d\ufeff\u00a0\u3000\u2028\u0085\x1c\x00",
]
BLANKS = [" ", "\n", "\r\n", "\t", "\u3000", "\u00a0", "\x1c", "\x01", *"=a7中", "\u0301"]


def byte_level(pattern: str | None, texts: list[str], size: int = 1200) -> tokenizers.Tokenizer:
    """A byte-level BPE that cuts words by a pattern, or as GPT-2 does."""
    tokenizer = tokenizers.Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    if pattern is not None:
        by_bytes = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
        split = pre_tokenizers.Split(Regex(pattern), "isolated")
        tokenizer.pre_tokenizer = pre_tokenizers.Sequence([split, by_bytes])
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    trainer = trainers.BpeTrainer(
        vocab_size=size, initial_alphabet=alphabet, special_tokens=["<|end|>"], show_progress=False
    )
    tokenizer.train_from_iterator(texts, trainer)
    return tokenizer


def is_equal(ranks: Ranks, tokenizer: tokenizers.Tokenizer, text: str) -> bool:
    """Whether both give the same ids."""
    found = ranks.encode(text)
    return found is not None and found.tolist() == tokenizer.encode(text).ids


def own() -> tokenizers.Tokenizer:
    data = train_tokenizer(TEXTS, TrainTokenizer(vocabulary=1280))
    return tokenizers.Tokenizer.from_str(data.decode())


def composed() -> tokenizers.Tokenizer:
    tokenizer = byte_level(LLAMA, TEXTS)
    tokenizer.normalizer = normalizers.NFC()
    return tokenizer


KINDS = {
    "own": own,
    "GPT-2": lambda: byte_level(None, TEXTS),
    "Llama 3": lambda: byte_level(LLAMA, TEXTS),
    "NFC": composed,
}


def hostile(chance: random.Random) -> str:
    """Words, characters of all planes, and long runs of one or two characters."""
    parts = []
    for _ in range(chance.randrange(1, 12)):
        kind = chance.randrange(4)
        if kind == 0:
            text = chance.choice(TEXTS)
            start = chance.randrange(len(text))
            parts.append(text[start : start + chance.randrange(200)])
        elif kind == 1:
            length = LONGEST_WORD + chance.randrange(-3, 4)
            parts.append("".join(chance.choices(chance.sample(BLANKS, 2), k=length)))
        elif kind == 2:
            planes = chance.choices([range(0xD800), range(0xE000, 0x110000)], k=9)
            parts.append("".join(chr(chance.choice(plane)) for plane in planes))
        else:
            parts.append(chance.choice(BLANKS) * chance.choice([1, 2, 127, 128, 129, 300, 2000]))
    return "".join(parts)


@pytest.mark.parametrize("kind", KINDS)
def test_ids_are_equal_over_scripts_code_and_long_runs(kind: str) -> None:
    tokenizer = KINDS[kind]()
    tokenizer.encode_special_tokens = True  # as the mill does
    ranks = ranks_of(tokenizer.to_str())
    assert ranks is not None
    assert (ranks.quick is not None) == (kind == "own")
    chance = random.Random(7)
    texts = [*TEXTS, *CODE, "", *(hostile(chance) for _ in range(400))]
    for text in texts:
        assert is_equal(ranks, tokenizer, text), repr(text[:400])


def test_every_character_is_cut_alike() -> None:
    tokenizer = own()
    ranks = ranks_of(tokenizer.to_str())
    assert ranks is not None
    planes = itertools.chain(range(0xD800), range(0xE000, 0x110000))
    for group in iter(lambda: list(itertools.islice(planes, 40_000)), []):
        text = "".join(f"a{chr(each)}1{chr(each)} " for each in group)
        assert is_equal(ranks, tokenizer, text)


def test_merges_that_ranks_alone_do_not_tell_are_left_to_tokenizers() -> None:
    """Random merges: wherever tiktoken is taken, its ids are right; both cases are there."""
    chance, taken = random.Random(3), []
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    for _ in range(120):
        tokens, merges = list("abc"), []
        while len(merges) < 6:
            pair = (chance.choice(tokens), chance.choice(tokens))
            if "".join(pair) not in tokens:
                merges.append(pair)
                tokens.append("".join(pair))
        vocabulary = {token: at for at, token in enumerate(dict.fromkeys([*alphabet, *tokens]))}
        tokenizer = tokenizers.Tokenizer(models.BPE(vocab=vocabulary, merges=merges))
        tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        ranks = ranks_of(tokenizer.to_str())
        taken.append(ranks is not None)
        for _ in range(60 if ranks else 0):
            text = "".join(chance.choices("abc", k=12))
            assert is_equal(ranks, tokenizer, text), (merges, text)
    assert 20 < sum(taken) < 100


@pytest.mark.parametrize("change", ["digits", "unmade", "removed", "backwards"])
def test_other_kinds_are_left_to_tokenizers(change: str) -> None:
    tokenizer = byte_level(LLAMA, TEXTS)
    spec = json.loads(tokenizer.to_str())
    assert ranks_of(json.dumps(spec)) is not None
    if change == "digits":
        spec["pre_tokenizer"]["pretokenizers"].insert(
            0, {"type": "Digits", "individual_digits": True}
        )
    elif change == "unmade":  # a token that only a whole word can be
        spec["model"]["ignore_merges"] = True
        spec["model"]["vocab"]["xyzzy"] = 5000
    elif change == "removed":
        spec["pre_tokenizer"]["pretokenizers"][0]["behavior"] = "Removed"
    else:
        spec["model"]["merges"].reverse()
    assert ranks_of(json.dumps(spec)) is None


def test_tokens_that_stand_in_a_text_are_left_to_tokenizers() -> None:
    tokenizer = byte_level(LLAMA, TEXTS)
    tokenizer.add_tokens(["<think>"])
    ranks = ranks_of(tokenizer.to_str())
    assert ranks is not None
    assert ranks.encode("I <think> so") is None
    assert is_equal(ranks, tokenizer, "I think so")


def test_a_text_that_is_too_much_for_it_is_encoded_all_the_same() -> None:
    tokenizer = byte_level(LLAMA, TEXTS)
    ranks = ranks_of(tokenizer.to_str())
    assert ranks is not None
    assert ranks.encode(" " * 3_000_000 + "x") is None
    tokens = load_tokenizer(tokenizer.to_str().encode(), "x", "<|end|>", None)
    # which gives it no such text: it cuts after so many characters
    assert tokens.encode([" " * 600_000 + "x"]).bytes.tolist() == [600_001]


def test_half_a_surrogate_is_no_text() -> None:
    tokens = load_tokenizer(own().to_str().encode(), "x", "<|end_of_text|>", None)
    with pytest.raises(UnicodeEncodeError):
        tokens.encode(["a\ud800b"])


@pytest.mark.parametrize("digits", [1, 3])
def test_digits_and_composition_are_as_asked(digits: int) -> None:
    spec = TrainTokenizer(vocabulary=1280, digits=digits, nfc=True, special=("<|user|>",))
    data = train_tokenizer([*TEXTS, "123456 " * 99], spec)
    tokens = load_tokenizer(data, "x", "<|end_of_text|>", None)
    assert tokens._ranks is not None
    assert tokens._ranks.quick is not None
    ids = tokens.encode(["123456", "e\u0301"])
    assert len(ids.tokens) == (6 if digits == 1 else 2) + 1 + len(tokens.encode(["é"]).tokens)
    longest = max(len(text) for text in tokens.tokenizer.get_vocab() if text.isdigit())
    assert longest == digits
