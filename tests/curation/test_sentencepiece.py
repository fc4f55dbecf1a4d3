"""SentencePiece models give the ids that SentencePiece gives."""

import io
import random
import unicodedata
from typing import Any

import pytest

from curation.sentencepiece import as_json
from curation.tokenization import Tokens, load_tokenizer
from schemas.problems import Problem
from tests.curation.test_tokenization import SENTENCES, STRANGE, check_widths

sentencepiece = pytest.importorskip("sentencepiece")

EDGES = [
    "e\u0301 cafe\u0301 o\u0308", "か\u3099き ハ\u309a", "\u1112\u1161\u11ab\u1100\u1173\u11af",
    "ﬁ\u0301 ﬁn ㈱ ① ½\x07", "a\u00a0b\u3000c\u200bd\u200d e", "▁a▁ b▁", "ABC ＡＢＣ １２３",
    "ﷺ", "👩‍👩‍👧‍👦 漢字かな交じり文", "𝕳𝖊𝖑𝖑𝖔", "a\tb\nc\r\nd", "क़ ड़", "  lead  double   trail  ",
    "<0x41>", "x <sep>y<sep> z<sep><s", "== === ====", "Ⅷ…", "\ufb1d \u05d9\u05b4", "\u093e=a①",
    "\x07", "   ",
]  # fmt: skip
NFD = [unicodedata.normalize("NFD", text) for text in SENTENCES if "İ" not in text]
OPTIONS: list[dict[str, Any]] = [
    {},
    {"byte_fallback": True},
    {"normalization_rule_name": "identity", "byte_fallback": True, "split_by_whitespace": False},
    {"normalization_rule_name": "identity", "remove_extra_whitespaces": False},
    {"normalization_rule_name": "nfkc_cf", "add_dummy_prefix": False, "byte_fallback": True},
    {"user_defined_symbols": ["<sep>", "==", "==="], "control_symbols": ["<mask>"]},
    {"split_digits": True, "remove_extra_whitespaces": False, "byte_fallback": True},
]


def model(**options: Any) -> bytes:
    written = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter([*SENTENCES * 20, "x == y", "x <sep> y"]),
        model_writer=written,
        minloglevel=2,
        **{"vocab_size": 700, "hard_vocab_limit": False, "num_threads": 1, **options},
    )
    return written.getvalue()


def imported(data: bytes) -> Tokens:
    return load_tokenizer(as_json(data, "own.model"), "own.model", "</s>", None)


def ids(tokens: Tokens, text: str) -> list[int]:
    return tokens.encode([text]).tokens.tolist()[:-1]


@pytest.mark.parametrize("options", OPTIONS)
@pytest.mark.parametrize("kind", ["unigram", "bpe"])
def test_ids_are_those_of_sentencepiece(kind: str, options: dict[str, Any]) -> None:
    data = model(model_type=kind, **options)
    theirs = sentencepiece.SentencePieceProcessor(model_proto=data)
    tokens = imported(data)
    texts = [*SENTENCES, *STRANGE[:-1], *EDGES, *NFD]
    rng, letters = random.Random(1), "".join([*SENTENCES, *STRANGE, *EDGES]).replace("\u0345", "")
    texts += ["".join(rng.choices(letters, k=rng.randrange(1, 30))) for _ in range(300)]
    assert [(text, ids(tokens, text)) for text in texts] == [
        (text, theirs.encode(text)) for text in texts
    ]
    assert (tokens.end_of_text, tokens.padding) == (2, theirs.vocab_size())
    check_widths(tokens, texts)
    decode = tokens.tokenizer.decode
    plain = "The miller grinds the grain"
    assert decode(ids(tokens, plain)).lower() == plain.lower()


@pytest.mark.parametrize("kind", ["unigram", "bpe"])
def test_no_text_writes_control_symbols(kind: str) -> None:
    tokens = imported(model(model_type=kind, byte_fallback=True, control_symbols=["<mask>"]))
    text = "a<s>b</s> <unk><mask><0x41> <s> </s>"
    found = ids(tokens, text)
    assert min(found) > 3
    assert tokens.tokenizer.decode(found, skip_special_tokens=False) == text


def test_normalizers_stand_hostile_text() -> None:
    """Of single `Precompiled` it is known that it loses marks, and fails on some."""
    rng = random.Random(2)
    kinds = [
        (0, 0x20), (0x300, 0x370), (0x1100, 0x1200), (0x200B, 0x2010), (0x2460, 0x2500),
        (0x3099, 0x30A0), (0xFE00, 0xFE10), (0xFF9E, 0xFFA0), (0x1F1E6, 0x1F200), (0xBC, 0xBF),
        (0xE0000, 0xE0080), (0x41, 0x5B), (0xAC00, 0xAC80), (0xF900, 0xFA00), (0xFDF0, 0xFE00),
    ]  # fmt: skip
    tokens = imported(model(byte_fallback=True))
    texts = [
        "".join(chr(rng.randrange(*rng.choice(kinds))) for _ in range(rng.randrange(1, 12)))
        for _ in range(4000)
    ]
    check_widths(tokens, texts)


def test_damaged_models_are_told() -> None:
    whole = model(model_type="bpe", vocab_size=400)
    rng = random.Random(3)
    told = []
    for _ in range(120):
        damaged = bytearray(whole)
        if rng.random() < 0.5:
            del damaged[rng.randrange(1, len(damaged)) :]
        else:
            for _ in range(rng.randrange(1, 40)):
                damaged[rng.randrange(1, 9000)] = rng.randrange(256)
        try:
            imported(bytes(damaged))
        except Problem as error:
            told.append(str(error))
    assert len(told) > 60
    assert all(each.startswith("own.model: ") for each in told)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"model_type": "char"}, "the types `unigram` and `bpe` are read"),
        ({"treat_whitespace_as_suffix": True}, "treat_whitespace_as_suffix"),
        ({"user_defined_symbols": ["\n"]}, r"changes its user-defined symbol '\\n'"),
    ],
)
def test_what_cannot_be_imported_is_told(options: dict[str, Any], said: str) -> None:
    with pytest.raises(Problem, match=said):
        imported(model(**options))


def test_json_stays_as_it_is() -> None:
    assert as_json(b'\n{"a": 1}', "x") == b'\n{"a": 1}'
    assert as_json(b"", "x") == b""
