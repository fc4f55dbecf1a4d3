"""SentencePiece's model files, as the `tokenizer.json` that gives the same ids.

Google's `sentencepiece_model.proto` says what a file holds; its `normalizer.cc`, `unigram_model.cc`
and `bpe_model.cc` what is made of it.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from functools import cache
from typing import Any, NamedTuple

from google.protobuf import descriptor_pb2, descriptor_pool, message, message_factory, text_format
from tokenizers import (
    AddedToken,
    Regex,
    Tokenizer,
    decoders,
    models,
    normalizers,
    pre_tokenizers,
)

from curation.tokenization import APART, BYTES
from schemas.problems import Problem

SPACE = "▁"

# What we read of the protocol; enumerations are numbers.
_PROTOCOL = """
name: "model.proto" package: "gristmill"
message_type { name: "Piece"
  field { name: "piece" number: 1 type: TYPE_STRING }
  field { name: "score" number: 2 type: TYPE_FLOAT }
  field { name: "type" number: 3 type: TYPE_INT32 default_value: "1" } }
message_type { name: "Trainer"
  field { name: "model_type" number: 3 type: TYPE_INT32 default_value: "1" }
  field { name: "treat_whitespace_as_suffix" number: 24 type: TYPE_BOOL }
  field { name: "byte_fallback" number: 35 type: TYPE_BOOL } }
message_type { name: "Normalizer"
  field { name: "precompiled_charsmap" number: 2 type: TYPE_BYTES }
  field { name: "add_dummy_prefix" number: 3 type: TYPE_BOOL default_value: "true" }
  field { name: "remove_extra_whitespaces" number: 4 type: TYPE_BOOL default_value: "true" }
  field { name: "escape_whitespaces" number: 5 type: TYPE_BOOL default_value: "true" } }
message_type { name: "Model"
  field { name: "pieces" number: 1 label: LABEL_REPEATED type: TYPE_MESSAGE type_name: "Piece" }
  field { name: "trainer" number: 2 type: TYPE_MESSAGE type_name: "Trainer" }
  field { name: "normalizer" number: 3 type: TYPE_MESSAGE type_name: "Normalizer" } }
"""
# Where graphemes have several characters: marks, joiners, modifiers, letters of Hangul, flags,
# line ends. Not where a text begins, at which the library's `Replace` can put nothing.
_WITHIN_GRAPHEMES = (
    r"(?!\A)(?:(?=[\p{M}\p{Cf}\p{Lm}\p{Sk}\x{1160}-\x{11ff}\x{d7b0}-\x{d7ff}\x{1f1e6}-\x{1f1ff}])"
    r"|(?<=[\p{Cf}\x{1100}-\x{115f}\x{a960}-\x{a97c}])|(?<=\r)(?=\n))"
)
_NORMAL, _UNKNOWN, _CONTROL, _USER, _UNUSED, _BYTE = range(1, 7)
_UNIGRAM, _BPE = 1, 2


class _Piece(NamedTuple):
    piece: str
    score: float
    kind: int


def as_json(data: bytes, name: str) -> bytes:
    """A tokenizer's file as `tokenizer.json`: as it is, or of a SentencePiece model; see `convert`.

    A model begins with a piece, which no JSON does.
    """
    is_model = data[:1] == b"\x0a" and not data.lstrip().startswith(b"{")
    return convert(data, name) if is_model else data


def convert(data: bytes, name: str) -> bytes:
    """The `tokenizer.json` of a SentencePiece model, of the type unigram or bpe.

    Control symbols and the unknown are special tokens. Where two paths of a Unigram are nearly as
    good, SentencePiece may take the lesser one in a text of thousands of characters, as it adds up
    scores in 32 bits; in the names of control symbols, words are cut here. Raises Problem, which
    calls the file `name`, if it is damaged or uses what a `tokenizer.json` has no means for.
    """
    try:
        model = _protocol().FromString(data)
        pieces = [_Piece(item.piece, item.score, item.type) for item in model.pieces]
    except (message.DecodeError, UnicodeDecodeError, RuntimeError) as error:
        raise Problem(f"{name}: not a SentencePiece model, or damaged: {error}") from None
    if fault := _fault(pieces, model):
        raise Problem(f"{name}: {fault}")
    make = _unigram if model.trainer.model_type == _UNIGRAM else _bpe
    try:
        tokenizer = make(pieces, model.trainer.byte_fallback)
        changes = _charsmap(model.normalizer.precompiled_charsmap)
        tokenizer.normalizer = normalizers.Sequence(_with_spaces(changes, model.normalizer))
        replaced = normalizers.Sequence(changes).normalize_str
        changed = [p.piece for p in pieces if p.kind == _USER and replaced(p.piece) != p.piece]
    except BaseException as error:  # as the library, which panics, raises
        if not isinstance(error, Exception) and type(error).__name__ != "PanicException":
            raise
        raise Problem(f"{name}: damaged: {error}") from None
    if changed:
        raise Problem(
            f"{name}: its normalizer changes its user-defined symbol {changed[0]!r}, from which "
            "SentencePiece exempts it and a tokenizer.json cannot: train it with the normalizer "
            "`identity`"
        )
    end = [decoders.Strip(" ", 1, 0)] if model.normalizer.add_dummy_prefix else []
    tokenizer.decoder = decoders.Sequence(
        [decoders.Replace(SPACE, " "), decoders.ByteFallback(), decoders.Fuse(), *end]
    )
    special = [item.piece for item in pieces if item.kind in (_UNKNOWN, _CONTROL)]
    tokenizer.add_special_tokens([AddedToken(each, special=True) for each in special])
    return tokenizer.to_str(pretty=True).encode()


@cache
def _protocol() -> Any:
    pool = descriptor_pool.DescriptorPool()
    pool.Add(text_format.Parse(_PROTOCOL, descriptor_pb2.FileDescriptorProto()))
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("gristmill.Model"))


def _fault(pieces: Sequence[_Piece], model: Any) -> str | None:
    """What is wrong with a model, or what no `tokenizer.json` does; None if it is sound."""
    names = {item.piece for item in pieces}
    kinds = [item.kind for item in pieces]
    if not pieces or "" in names or not all(math.isfinite(item.score) for item in pieces):
        return "damaged: it has no pieces, or an empty one, or one without a score"
    if len(names) < len(pieces) or not set(kinds) <= set(range(1, 7)):
        return "damaged: a piece stands there twice, or has no known type"
    if kinds.count(_UNKNOWN) != 1:
        return "damaged: it has not one piece for what is unknown"
    if model.trainer.model_type not in (_UNIGRAM, _BPE):
        return "its type is `word` or `char`: the types `unigram` and `bpe` are read"
    if model.trainer.byte_fallback and not names.issuperset(BYTES):
        return "damaged: it falls back to bytes, and lacks some of them"
    if model.trainer.treat_whitespace_as_suffix or not model.normalizer.escape_whitespaces:
        return (
            "it has `treat_whitespace_as_suffix`, or no `escape_whitespaces`: train it without them"
        )
    if model.trainer.model_type == _BPE and _UNUSED in kinds:
        return "it is a BPE with unused pieces, as of a restricted vocabulary: take the whole one"
    return None


def _unigram(pieces: Sequence[_Piece], byte_fallback: bool) -> Tokenizer:
    best = max((item.score for item in pieces if item.kind == _NORMAL), default=0.0)
    vocabulary = []
    for piece, score, kind in pieces:
        if kind == _USER:  # as `unigram_model.cc` scores it
            score = len(piece.encode()) * best - 0.1
        # no normalised text holds a space: what is unused is never found
        vocabulary.append((f"{piece} " if kind == _UNUSED else piece, score))
    unknown = [item.kind for item in pieces].index(_UNKNOWN)
    return Tokenizer(models.Unigram(vocabulary, unknown, byte_fallback))


def _bpe(pieces: Sequence[_Piece], byte_fallback: bool) -> Tokenizer:
    scores = {item.piece: item.score for item in pieces if item.kind == _NORMAL}
    merges = [
        (-score, len(left), left, right)
        for piece, score in scores.items()
        for left, right in ((piece[:at], piece[at:]) for at in range(1, len(piece)))
        if left in scores and right in scores
    ]
    symbols = sorted((item.piece for item in pieces if item.kind == _USER), key=len, reverse=True)
    tokenizer = Tokenizer(
        models.BPE(
            {item.piece: number for number, item in enumerate(pieces)},
            [(left, right) for _, _, left, right in sorted(merges)],
            unk_token=next(item.piece for item in pieces if item.kind == _UNKNOWN),
            fuse_unk=True,
            byte_fallback=byte_fallback,
            # a symbol is a word of its own, which has no merges
            ignore_merges=bool(symbols),
        )
    )
    if symbols:
        anyone = Regex("|".join(map(re.escape, symbols)))
        tokenizer.pre_tokenizer = pre_tokenizers.Split(anyone, "isolated")
    return tokenizer


def _with_spaces(changes: list[normalizers.Normalizer], spec: Any) -> list[normalizers.Normalizer]:
    """The steps that change characters, and those that change spaces."""
    prefix = [normalizers.Prepend(SPACE)] if spec.add_dummy_prefix else []
    escape = normalizers.Replace(" ", SPACE)
    if not spec.remove_extra_whitespaces:
        return [*prefix, *changes, escape]
    before = [normalizers.Replace(Regex(r"\A +"), ""), normalizers.Replace(Regex(" {2,}"), " ")]
    return [*changes, *before, *prefix, escape, normalizers.Replace(Regex(rf"{SPACE}+\z"), "")]


def _charsmap(data: bytes) -> list[normalizers.Normalizer]:
    """The steps that replace characters.

    `Precompiled` looks up graphemes, drops what follows a prefix that it finds, and fails where a
    character is dropped after one that grows. Here it is given characters only, composed ones if
    it composes, and none to drop. So rules over several characters are those of Unicode's NFC.
    """
    if not data:
        return []
    own = normalizers.Precompiled(data)
    valid = (chr(code) for code in range(0x110000) if not 0xD800 <= code < 0xE000)
    dropped = "".join(f"\\x{{{ord(each):x}}}" for each in valid if not own.normalize_str(each))
    composes = own.normalize_str("e\u0301") == "é"
    return [
        *([normalizers.Replace(Regex(f"[{dropped}]"), "")] if dropped else []),
        *([normalizers.NFC()] if composes else []),
        normalizers.Replace(Regex(_WITHIN_GRAPHEMES), APART),
        own,
        normalizers.Replace(APART, ""),
    ]
