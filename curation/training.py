"""Training of tokenizers, and the folder as which Hugging Face's libraries load one."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any, Literal, get_args

import tokenizers
from tokenizers import (
    AddedToken,
    Regex,
    decoders,
    models,
    normalizers,
    pre_tokenizers,
    trainers,
)

from curation.ranks import words
from curation.tokenization import PADDING, pieces
from schemas.problems import Problem
from schemas.shard import RESERVED_SPECIAL_IDS
from schemas.tokenizer import TrainTokenizer

Model = Literal["bpe", "wordpiece", "unigram"]
MODELS: tuple[Model, ...] = get_args(Model)

BEGIN_OF_TEXT = "<|begin_of_text|>"
UNKNOWN = "<|unknown|>"
# SentencePiece's sign for a space, and its tokens for single bytes.
_SPACE = "▁"
_BYTES = [f"<0x{byte:02X}>" for byte in range(256)]
_LEAST_SCORE = -100.0  # of a byte: every learned token is better


def train_tokenizer(
    texts: Iterable[str],
    spec: TrainTokenizer,
    end_of_text: str = "<|end_of_text|>",
    begin_of_text: str | None = None,
    model: Model = "bpe",
) -> bytes:
    """Train a tokenizer and return its `tokenizer.json`.

    Of a byte-level BPE ids are the 256 bytes, then merges of pairs seen at least twice, then
    special ids: end of text, begin of text, padding, `spec.special` and `<|reserved_k|>`, 128 in
    all. Where the texts give fewer merges than `spec.vocabulary` has room for, the vocabulary is
    smaller: reserved ids fill it up to the next multiple of 128. The result depends on neither the
    order of the texts nor the number of threads.

    `unigram` cuts as SentencePiece does, and spells what it has no token for by bytes;
    `wordpiece` as BERT does. Two trainings of these may differ. Raises Problem if two special
    tokens have one name.
    """
    named = [end_of_text, begin_of_text or BEGIN_OF_TEXT, PADDING, *spec.special]
    if len({*named, UNKNOWN}) <= len(named) or any(name.startswith("<|res") for name in named):
        raise Problem(
            f"tokenizer.end_of_text, tokenizer.begin_of_text and tokenizer.train.special "
            f"({', '.join(named)}): choose different names, other than {PADDING}, {UNKNOWN} and "
            "<|reserved_...|>"
        )
    tokenizer, trainer = _MAKE[model](spec)
    if spec.nfc:
        tokenizer.normalizer = normalizers.NFC()
    tokenizer.train_from_iterator((piece for text in texts for piece in pieces(text)), trainer)
    if model == "unigram":
        tokenizer = _with_bytes(tokenizer)
    learned = tokenizer.get_vocab_size()
    special = RESERVED_SPECIAL_IDS + -learned % 128
    names = named + [f"<|reserved_{k}|>" for k in range(special - len(named))]
    tokenizer.add_special_tokens([AddedToken(name, special=True) for name in names])
    return tokenizer.to_str(pretty=True).encode()


def _bpe(spec: TrainTokenizer) -> tuple[tokenizers.Tokenizer, trainers.Trainer]:
    tokenizer = tokenizers.Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(words(spec.digits)), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=spec.vocabulary - RESERVED_SPECIAL_IDS,
        min_frequency=2,
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    return tokenizer, trainer


def _unigram(spec: TrainTokenizer) -> tuple[tokenizers.Tokenizer, trainers.Trainer]:
    tokenizer = tokenizers.Tokenizer(models.Unigram())
    steps = [
        pre_tokenizers.Split(Regex(words(spec.digits)), "isolated"),
        pre_tokenizers.Metaspace(_SPACE, prepend_scheme="never", split=False),
    ]
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(steps)
    tokenizer.decoder = decoders.Sequence(
        [decoders.ByteFallback(), decoders.Fuse(), decoders.Replace(_SPACE, " ")]
    )
    trainer = trainers.UnigramTrainer(
        vocab_size=spec.vocabulary - RESERVED_SPECIAL_IDS - len(_BYTES),
        unk_token=UNKNOWN,
        special_tokens=[UNKNOWN],
        show_progress=False,
    )
    return tokenizer, trainer


def _wordpiece(spec: TrainTokenizer) -> tuple[tokenizers.Tokenizer, trainers.Trainer]:
    tokenizer = tokenizers.Tokenizer(models.WordPiece(unk_token=UNKNOWN))
    steps: list[Any] = [pre_tokenizers.BertPreTokenizer()]
    if spec.digits == 1:
        steps.append(pre_tokenizers.Digits(individual_digits=True))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(steps)
    tokenizer.decoder = decoders.WordPiece()
    trainer = trainers.WordPieceTrainer(
        vocab_size=spec.vocabulary - RESERVED_SPECIAL_IDS,
        min_frequency=2,
        special_tokens=[UNKNOWN],
        show_progress=False,
    )
    return tokenizer, trainer


_MAKE = {"bpe": _bpe, "unigram": _unigram, "wordpiece": _wordpiece}


def _with_bytes(tokenizer: tokenizers.Tokenizer) -> tokenizers.Tokenizer:
    """A Unigram with a token for every byte, by which it spells what it has no token for."""
    config: dict[str, Any] = json.loads(tokenizer.to_str())
    config["model"]["vocab"] += [[token, _LEAST_SCORE] for token in _BYTES]
    config["model"]["byte_fallback"] = True
    return tokenizers.Tokenizer.from_str(json.dumps(config))


def hugging_face(data: bytes, end_of_text: str, begin_of_text: str | None) -> dict[str, bytes]:
    """The files of a folder that `AutoTokenizer.from_pretrained` loads, of a `tokenizer.json`."""
    names = set(tokenizers.Tokenizer.from_str(data.decode()).get_vocab())
    special = {"eos_token": end_of_text, "pad_token": PADDING, "unk_token": UNKNOWN}
    if begin_of_text is not None:
        special["bos_token"] = begin_of_text
    special = {key: name for key, name in special.items() if name in names}
    config = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "clean_up_tokenization_spaces": False,
        "model_max_length": 1 << 60,  # as Transformers writes that there is none
        **special,
    }
    return {
        "tokenizer.json": data,
        "tokenizer_config.json": (json.dumps(config, indent=1) + "\n").encode(),
        "special_tokens_map.json": (json.dumps(special, indent=1) + "\n").encode(),
    }
