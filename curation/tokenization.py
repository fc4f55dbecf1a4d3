"""Text to token ids, and the bytes of text that every token stands for.

Each id of a byte-level BPE stands for the same bytes everywhere. Other tokenizers normalise, drop
blanks, or have one id for all that they do not know: the bytes of their tokens are those of the
text between a token's begin and the next one's, by the offsets of the encoding.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import tokenizers
from tokenizers import pre_tokenizers

from curation.ranks import Ranks, ranks_of
from schemas.problems import Problem
from schemas.shard import TokenType, token_type

PADDING = "<|padding|>"
# The names under which published tokenizers have a token for padding.
PADDING_NAMES = (PADDING, "<|pad|>", "<pad>", "[PAD]", "<|PAD|>", "<|finetune_right_pad_id|>")

# SentencePiece's tokens for single bytes.
BYTES = tuple(f"<0x{byte:02X}>" for byte in range(256))

# A deprecated control character, at which graphemes end: it keeps characters apart for the
# normalizer `Precompiled`, which is safe with characters only (`curation.sentencepiece`).
APART = "\U000e0001"

# Characters encoded at a time: bounds memory (some 100 bytes a character), and what one word takes
# in tokenizers that do not bound words: n log n time, and the stack of tiktoken's expressions.
PIECE_CHARACTERS = 1 << 18
# Pre-tokenizers that only cut; `Split` and `Punctuation` must also keep what they cut at.
_CUTTERS = {"ByteLevel", "Digits", "Punctuation", "Split", "UnicodeScripts"}

Ids = npt.NDArray[np.uint16] | npt.NDArray[np.uint32]


class Encoded(NamedTuple):
    """Token ids of n documents, one after the other."""

    tokens: Ids
    """All ids, of the tokenizer's token type; begin and end of text included."""
    offsets: npt.NDArray[np.int64]
    """[n + 1]: document i is `tokens[offsets[i]:offsets[i + 1]]`."""
    bytes: npt.NDArray[np.int64]
    """[n]: UTF-8 bytes that the tokens of each document stand for."""
    widths: npt.NDArray[np.uint32] | None
    """UTF-8 bytes that each token stands for; None where its id tells."""


class _Piece(NamedTuple):
    """A piece of a text, encoded."""

    document: int
    ids: Ids
    text: str
    starts: npt.NDArray[np.int64]
    """First character of each token; empty where ids tell the bytes."""


def pieces(text: str) -> Iterator[str]:
    """Cut a long text, after a line end where there is one in the second half of a piece."""
    start = 0
    while len(text) - start > PIECE_CHARACTERS:
        end = start + PIECE_CHARACTERS
        line = text.rfind("\n", start + PIECE_CHARACTERS // 2, end) + 1
        yield text[start : line or end]
        start = line or end
    yield text[start:]


@dataclass(frozen=True, eq=False)
class Tokens:
    """A tokenizer for the mill: text to arrays of ids, each with its exact bytes."""

    tokenizer: tokenizers.Tokenizer
    name: str
    vocabulary: int
    """Size of the embedding: above every id, a multiple of 128."""
    end_of_text: int
    begin_of_text: int | None
    padding: int
    byte_lengths: npt.NDArray[np.int32] | None
    """[vocabulary]: UTF-8 bytes an id decodes to; 0 for special and unused ids. None if an id may
    stand for other bytes elsewhere."""

    @property
    def token_type(self) -> TokenType:
        """The narrowest type that holds every id."""
        return token_type(self.vocabulary)

    def encode(self, texts: Sequence[str]) -> Encoded:
        """Encode documents; each is closed by end of text and opened by begin of text, if any.

        The names of special tokens in a text are plain text here. Texts of more than
        `PIECE_CHARACTERS` are encoded in pieces; at the cuts the ids may differ from those of the
        whole, the bytes never do. Raises Problem if the ids do not hold the bytes of a text,
        which a byte-level BPE cannot do (one that normalises to NFC holds the normalised bytes).
        """
        around = 1 + (self.begin_of_text is not None)
        parts = list(self._encoded_pieces(texts))
        offsets = np.zeros(len(texts) + 1, np.int64)
        for part in parts:
            offsets[part.document + 1] += len(part.ids)
        offsets[1:] += around
        np.cumsum(offsets, out=offsets)
        tokens = np.empty(offsets[-1], self.token_type)
        inner = np.ones(offsets[-1], bool)
        tokens[offsets[1:] - 1] = self.end_of_text
        inner[offsets[1:] - 1] = False
        if self.begin_of_text is not None:
            tokens[offsets[:-1]] = self.begin_of_text
            inner[offsets[:-1]] = False
        if parts:
            tokens[inner] = np.concatenate([part.ids for part in parts])
        if self.byte_lengths is None:
            sizes = np.array([len(text.encode()) for text in texts], np.int64)
            return Encoded(tokens, offsets, sizes, _widths(parts, sizes, offsets, inner))
        held = np.zeros(len(texts), np.int64)
        if texts:
            np.add.reduceat(self.byte_lengths[tokens], offsets[:-1], dtype=np.int64, out=held)
        if self.tokenizer.normalizer is None:
            for text, count in zip(texts, held.tolist(), strict=True):
                if len(text.encode()) != count:
                    raise Problem(
                        f"{self.name}: the tokens of a text hold {count} bytes, the text has "
                        f"{len(text.encode())}: use a byte-level BPE, which keeps every byte"
                    )
        return Encoded(tokens, offsets, held, None)

    def _encoded_pieces(self, texts: Sequence[str]) -> Iterator[_Piece]:
        """The pieces of texts, in order."""
        numbers: list[int] = []
        batch: list[str] = []
        size = 0
        for number, text in enumerate(texts):
            for piece in pieces(text):
                numbers.append(number)
                batch.append(piece)
                size += len(piece)
                if size >= PIECE_CHARACTERS:
                    yield from self._encoded(numbers, batch)
                    numbers, batch, size = [], [], 0
        yield from self._encoded(numbers, batch)

    def _encoded(self, numbers: list[int], batch: list[str]) -> Iterator[_Piece]:
        if self.byte_lengths is not None:
            for number, text, ids in zip(numbers, batch, self._ids(batch), strict=True):
                yield _Piece(number, ids, text, np.empty(0, np.int64))
            return
        found = self.tokenizer.encode_batch(batch, add_special_tokens=False)
        for number, text, encoding in zip(numbers, batch, found, strict=True):
            starts = np.array([start for start, _ in encoding.offsets], np.int64)
            yield _Piece(number, np.array(encoding.ids, self.token_type), text, starts)

    @cached_property
    def _ranks(self) -> Ranks | None:
        return ranks_of(self.tokenizer.to_str())

    def _ids(self, batch: list[str]) -> Iterator[Ids]:
        found = [self._ranks.encode(text) for text in batch] if self._ranks else [None] * len(batch)
        others = [text for text, ids in zip(batch, found, strict=True) if ids is None]
        slow = iter(self.tokenizer.encode_batch_fast(others, add_special_tokens=False))
        for ids in found:
            yield np.array(next(slow).ids if ids is None else ids, self.token_type)


def _widths(
    parts: Sequence[_Piece],
    sizes: npt.NDArray[np.int64],
    offsets: npt.NDArray[np.int64],
    inner: npt.NDArray[np.bool_],
) -> npt.NDArray[np.uint32]:
    """Bytes from the first of each token to that of the next, uint32[tokens]. What a tokenizer
    drops before its first token counts to that, and a text without tokens to the end of text.

    `sizes`: bytes of each document; `inner`: which tokens are no begin or end of text.
    """
    ends = np.cumsum(sizes)
    begins = ends - sizes
    counts = np.diff(offsets)
    starts = np.repeat(begins, counts)
    places, done = [], begins.copy()
    for part in parts:
        letters = np.frombuffer(part.text.encode("utf-32-le"), "<u4")
        wide = 1 + (letters >= 0x80) + (letters >= 0x800) + (letters >= 0x10000)
        before = np.concatenate([[0], np.cumsum(wide)])
        places.append(done[part.document] + before[part.starts])
        done[part.document] += before[-1]
    if places:
        starts[inner] = np.concatenate(places)
    heads = np.flatnonzero(inner & ~np.concatenate([[False], inner[:-1]]))
    documents = np.searchsorted(offsets, heads, side="right") - 1
    starts[heads] = begins[documents]
    starts[offsets[documents + 1] - 1] = ends[documents]
    starts = np.maximum.accumulate(starts)
    return np.diff(starts, append=ends[-1:]).astype(np.uint32)


@lru_cache(4)
def load_tokenizer(data: bytes, name: str, end_of_text: str, begin_of_text: str | None) -> Tokens:
    """Load the bytes of a `tokenizer.json`; `name` is what errors call it.

    Padding is the file's own padding token; one without gets the id after its last, which no text
    has. Raises Problem if it drops what it does not know, without a token for it, or at random,
    or if `end_of_text` or `begin_of_text` is not one of its special tokens.
    """
    try:
        tokenizer = tokenizers.Tokenizer.from_str(data.decode())
    except Exception as error:  # the library raises bare Exceptions
        raise Problem(f"{name}: not a tokenizer.json: {error}") from None
    # Written anew, with the types and defaults that older files leave out.
    config: dict[str, Any] = json.loads(tokenizer.to_str())
    exact = _ids_tell_bytes(config)
    if fault := None if exact else _fault(config):
        raise Problem(f"{name}: {fault}")
    special = {
        token.content: number
        for number, token in tokenizer.get_added_tokens_decoder().items()
        if token.special
    }
    for key, wanted in (("end_of_text", end_of_text), ("begin_of_text", begin_of_text)):
        if wanted is not None and wanted not in special:
            known = sorted(special, key=special.__getitem__)
            shown = ", ".join(known[:20]) + (", ..." if len(known) > 20 else "")
            raise Problem(
                f"{name}: tokenizer.{key} is {wanted}, which is none of its special tokens: "
                f"{shown or 'it has none'}"
            )
    configured = (config.get("padding") or {}).get("pad_token")
    ids = max(tokenizer.get_vocab(with_added_tokens=True).values()) + 1
    # Padding must not be end of text: what is masked is known by its id. A file without a token
    # for it gets the first id after its own.
    padding = next(
        (
            special[pad]
            for pad in (configured, *PADDING_NAMES)
            if pad in special and pad != end_of_text
        ),
        ids,
    )
    size = max(ids, padding + 1)
    vocabulary = size + -size % 128
    lengths = _byte_lengths(tokenizer, vocabulary) if exact else None
    if not exact:
        _keep_plain(tokenizer, [*special, *BYTES])
    tokenizer.no_padding()
    tokenizer.no_truncation()
    # A page that shows the name of a control token must not be able to write the token.
    tokenizer.encode_special_tokens = True
    return Tokens(
        tokenizer=tokenizer,
        name=name,
        vocabulary=vocabulary,
        end_of_text=special[end_of_text],
        begin_of_text=None if begin_of_text is None else special[begin_of_text],
        padding=padding,
        byte_lengths=lengths,
    )


def _ids_tell_bytes(config: dict[str, Any]) -> bool:
    """Whether this is a byte-level BPE that keeps every byte, or those of the NFC: no other
    normalizer, words cut without loss, and a token for each of the 256 bytes."""
    model = config["model"]
    options = ("byte_fallback", "continuing_subword_prefix", "end_of_word_suffix", "dropout")
    if model["type"] != "BPE" or any(model.get(option) for option in options):
        return False
    outer = config["pre_tokenizer"] or {"type": "none"}
    steps = outer["pretokenizers"] if outer["type"] == "Sequence" else [outer]
    return (
        _has_bytes(config)
        and (config["normalizer"] or {"type": "NFC"})["type"] == "NFC"
        and all(step["type"] in _CUTTERS for step in steps)
        and not any(step.get("behavior") == "Removed" for step in steps)
        and not any(step.get("add_prefix_space") for step in steps)
        and not any(
            not token["special"] and (token["lstrip"] or token["rstrip"])
            for token in config["added_tokens"]
        )
    )


def _has_bytes(config: dict[str, Any]) -> bool:
    """Whether text comes to the model as bytes, each of which is a token."""
    outer = config["pre_tokenizer"] or {"type": "none"}
    steps = outer["pretokenizers"] if outer["type"] == "Sequence" else [outer]
    alphabet = set(pre_tokenizers.ByteLevel.alphabet())
    return [step["type"] for step in steps].count("ByteLevel") == 1 and alphabet <= set(
        config["model"]["vocab"]
    )


def _fault(config: dict[str, Any]) -> str | None:
    """Why this can encode no crawl, whose texts hold every character; None if it can."""
    model = config["model"]
    if model.get("dropout"):
        return "its BPE has the option `dropout`, which encodes at random"
    steps = json.dumps(config["normalizer"], ensure_ascii=False)
    if "Precompiled" in steps and APART not in steps:
        return (
            "its normalizer `Precompiled` loses characters and fails on some texts: load the "
            "SentencePiece model that it comes from, a `.model` file, which is read safely"
        )
    entries = model["vocab"]
    names = {name for name, _ in entries} if model["type"] == "Unigram" else set(entries)
    if model.get("byte_fallback") and names.issuperset(BYTES):
        return None
    if model["type"] == "Unigram":
        knows = model["unk_id"] is not None
    else:
        knows = model["unk_token"] in names or (model["type"] == "BPE" and _has_bytes(config))
    if not knows:
        return (
            "it has no token for what it does not know: give it one, or bytes, as byte-level BPE "
            "(GPT-2, Llama 3, Qwen) and SentencePiece's byte fallback have"
        )
    return None


def unknown_token(tokenizer: tokenizers.Tokenizer) -> str | None:
    """The token for what a tokenizer does not know; None if it has none."""
    model = json.loads(tokenizer.to_str())["model"]
    if model["type"] != "Unigram":
        return model["unk_token"]
    return None if model["unk_id"] is None else model["vocab"][model["unk_id"]][0]


def _keep_plain(tokenizer: tokenizers.Tokenizer, names: Iterable[str]) -> None:
    """Cut words within the names of control tokens and bytes that a text shows, if the model's
    vocabulary holds these: some models look up words, or any part of a word, in it."""
    rests: dict[str, list[str]] = {}
    vocabulary = tokenizer.get_vocab(with_added_tokens=False)
    for name in sorted(vocabulary.keys() & set(names)):
        rests.setdefault(name[0], []).append(re.escape(name[1:]))
    if rests:
        cuts = (rf"(?<={re.escape(one)})(?={'|'.join(all_)})" for one, all_ in rests.items())
        cut = pre_tokenizers.Split(tokenizers.Regex("|".join(cuts)), "isolated")
        own = tokenizer.pre_tokenizer
        tokenizer.pre_tokenizer = pre_tokenizers.Sequence([own, cut]) if own else cut


def _byte_lengths(tokenizer: tokenizers.Tokenizer, size: int) -> npt.NDArray[np.int32]:
    """Bytes of every id, int32[`size`]; a character of a learned token is one byte."""
    alphabet = set(pre_tokenizers.ByteLevel.alphabet())
    added = tokenizer.get_added_tokens_decoder()
    entries = tokenizer.get_vocab(with_added_tokens=True)
    lengths = np.zeros(size, np.int32)
    for content, number in entries.items():
        if number in added:
            lengths[number] = 0 if added[number].special else len(content.encode())
        elif alphabet.issuperset(content):
            lengths[number] = len(content)
    return lengths
