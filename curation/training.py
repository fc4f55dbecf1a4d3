"""Training of tokenizers, and the folder as which Hugging Face's libraries load one."""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
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

from curation.ranks import LONGEST_WORD, words
from curation.tokenization import BYTES, PADDING, pieces, unknown_token
from schemas.problems import Problem
from schemas.shard import RESERVED_SPECIAL_IDS
from schemas.tokenizer import TrainTokenizer

BEGIN_OF_TEXT = "<|begin_of_text|>"
UNKNOWN = "<|unknown|>"
# SentencePiece's sign for a space.
_SPACE = "▁"
_LEAST_SCORE = -100.0  # of a byte: every learned token is better
# Letters that make up so much of the texts get a token, in at most this part of the vocabulary;
# the share is SentencePiece's default.
_COVERAGE = 0.9995
_LARGEST_ALPHABET = 8


def train_tokenizer(
    texts: Iterable[str],
    spec: TrainTokenizer,
    end_of_text: str = "<|end_of_text|>",
    begin_of_text: str | None = None,
) -> bytes:
    """Train a tokenizer and return its `tokenizer.json`; `texts` are read twice for a Unigram.

    Of a byte-level BPE ids are the 256 bytes, then merges of pairs seen at least twice, then
    special ids: end of text, begin of text, padding, `spec.special` and `<|reserved_k|>`, 128 in
    all. Where the texts give fewer merges than `spec.vocabulary` has room for, the vocabulary is
    smaller: reserved ids fill it up to the next multiple of 128. The result depends on neither the
    order of the texts nor the number of threads.

    A Unigram cuts as SentencePiece does and spells rare letters by bytes; WordPiece cuts as BERT
    does, and has no token for them. Two trainings of these may differ. Raises Problem if two
    special tokens have one name.
    """
    named = [end_of_text, begin_of_text or BEGIN_OF_TEXT, PADDING, *spec.special]
    if len({*named, UNKNOWN}) <= len(named) or any(name.startswith("<|res") for name in named):
        raise Problem(
            f"tokenizer.end_of_text, tokenizer.begin_of_text and tokenizer.train.special "
            f"({', '.join(named)}): choose different names, other than {PADDING}, {UNKNOWN} and "
            "<|reserved_...|>"
        )
    tokenizer, trainer = _MAKE[spec.model](spec)
    if spec.nfc:
        tokenizer.normalizer = normalizers.NFC()
    if spec.model == "unigram":
        texts = _without_rare(texts, spec)
    tokenizer.train_from_iterator((piece for text in texts for piece in pieces(text)), trainer)
    if spec.model == "unigram":
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
        vocab_size=spec.vocabulary - RESERVED_SPECIAL_IDS - len(BYTES),
        unk_token=UNKNOWN,
        special_tokens=[UNKNOWN],
        show_progress=False,
    )
    return tokenizer, trainer


def _wordpiece(spec: TrainTokenizer) -> tuple[tokenizers.Tokenizer, trainers.Trainer]:
    # A word is a sign and LONGEST_WORD letters at most.
    model = models.WordPiece({}, unk_token=UNKNOWN, max_input_chars_per_word=LONGEST_WORD + 1)
    tokenizer = tokenizers.Tokenizer(model)
    steps = [
        pre_tokenizers.Split(Regex(words(spec.digits)), "isolated"),
        pre_tokenizers.BertPreTokenizer(),
    ]
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(steps)
    tokenizer.decoder = decoders.WordPiece()
    trainer = trainers.WordPieceTrainer(
        vocab_size=spec.vocabulary - RESERVED_SPECIAL_IDS,
        min_frequency=2,
        limit_alphabet=spec.vocabulary // _LARGEST_ALPHABET,
        special_tokens=[UNKNOWN],
        show_progress=False,
    )
    return tokenizer, trainer


_MAKE = {"bpe": _bpe, "unigram": _unigram, "wordpiece": _wordpiece}


def _without_rare(texts: Iterable[str], spec: TrainTokenizer) -> Iterator[str]:
    """Texts with a line end in place of each rare letter: the trainer gives every letter a token,
    and a crawl has more of them than a vocabulary."""
    counts = np.zeros(0x110000, np.int64)
    for text in texts:
        found = np.bincount(_letters(text, spec.nfc))
        counts[: len(found)] += found
    order = np.argsort(-counts, kind="stable")
    covered = np.cumsum(counts[order]) < _COVERAGE * counts.sum()
    rare = np.ones(len(counts), bool)
    rare[order[: min(covered.sum() + 1, spec.vocabulary // _LARGEST_ALPHABET)]] = False
    for text in texts:
        letters = _letters(text, spec.nfc)
        yield (
            np.where(rare[letters], ord("\n"), letters).astype("<u4").tobytes().decode("utf-32-le")
        )


def _letters(text: str, nfc: bool) -> npt.NDArray[np.uint32]:
    """The code points of a text."""
    composed = unicodedata.normalize("NFC", text) if nfc else text
    return np.frombuffer(composed.encode("utf-32-le"), "<u4")


def _with_bytes(tokenizer: tokenizers.Tokenizer) -> tokenizers.Tokenizer:
    """A Unigram with a token for every byte, by which it spells what it has no token for."""
    config: dict[str, Any] = json.loads(tokenizer.to_str())
    config["model"]["vocab"] += [[token, _LEAST_SCORE] for token in BYTES]
    config["model"]["byte_fallback"] = True
    return tokenizers.Tokenizer.from_str(json.dumps(config))


def hugging_face(data: bytes, end_of_text: str, begin_of_text: str | None) -> dict[str, bytes]:
    """The files of a folder that `AutoTokenizer.from_pretrained` loads, of a `tokenizer.json`."""
    tokenizer = tokenizers.Tokenizer.from_str(data.decode())
    named = {
        "eos_token": end_of_text,
        "pad_token": PADDING if PADDING in tokenizer.get_vocab() else None,
        "unk_token": unknown_token(tokenizer),
        "bos_token": begin_of_text,
    }
    special = {key: name for key, name in named.items() if name is not None}
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
