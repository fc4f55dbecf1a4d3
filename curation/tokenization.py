"""Byte-level BPE: text to token ids; the bytes that every id stands for."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
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
    """[n]: UTF-8 bytes that the ids of each document decode to."""


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
    byte_lengths: npt.NDArray[np.int32]
    """[vocabulary]: UTF-8 bytes an id decodes to; 0 for special and unused ids."""

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
        parts: list[Ids] = []
        offsets = np.zeros(len(texts) + 1, np.int64)
        for number, ids in self._encoded_pieces(texts):
            offsets[number + 1] += len(ids)
            parts.append(ids)
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
            tokens[inner] = np.concatenate(parts)
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
        return Encoded(tokens, offsets, held)

    def _encoded_pieces(self, texts: Sequence[str]) -> Iterator[tuple[int, Ids]]:
        """The ids of each piece, in order, with the number of its document."""
        numbers: list[int] = []
        batch: list[str] = []
        size = 0
        for number, text in enumerate(texts):
            for piece in pieces(text):
                numbers.append(number)
                batch.append(piece)
                size += len(piece)
                if size >= PIECE_CHARACTERS:
                    yield from zip(numbers, self._ids(batch), strict=True)
                    numbers, batch, size = [], [], 0
        yield from zip(numbers, self._ids(batch), strict=True)

    @cached_property
    def _ranks(self) -> Ranks | None:
        return ranks_of(self.tokenizer.to_str())

    def _ids(self, batch: list[str]) -> Iterator[Ids]:
        found = [self._ranks.encode(text) for text in batch] if self._ranks else [None] * len(batch)
        others = [text for text, ids in zip(batch, found, strict=True) if ids is None]
        slow = iter(self.tokenizer.encode_batch_fast(others, add_special_tokens=False))
        for ids in found:
            yield np.array(next(slow).ids if ids is None else ids, self.token_type)


def load_tokenizer(data: bytes, name: str, end_of_text: str, begin_of_text: str | None) -> Tokens:
    """Load the bytes of a `tokenizer.json`; `name` is what errors call it.

    It must be a byte-level BPE: no normalizer but NFC, words cut without loss, and a token for
    each of the 256 bytes, so that the bytes of every id are known. Padding is the file's own
    padding token; one without gets the id after its last, which no text has. Raises Problem
    otherwise, or if `end_of_text` or `begin_of_text` is not one of its special tokens.
    """
    try:
        tokenizer = tokenizers.Tokenizer.from_str(data.decode())
    except Exception as error:  # the library raises bare Exceptions
        raise Problem(f"{name}: not a tokenizer.json: {error}") from None
    # Written anew, with the types and defaults that older files leave out.
    config: dict[str, Any] = json.loads(tokenizer.to_str())
    if fault := _fault(config):
        raise Problem(
            f"{name}: {fault}. Use a byte-level BPE (such as those of GPT-2, Llama 3 or Qwen): "
            "the bytes of its tokens are exact"
        )
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
    lengths = _byte_lengths(tokenizer, max(ids, padding + 1))
    tokenizer.no_padding()
    tokenizer.no_truncation()
    # A page that shows the name of a control token must not be able to write the token.
    tokenizer.encode_special_tokens = True
    return Tokens(
        tokenizer=tokenizer,
        name=name,
        vocabulary=len(lengths),
        end_of_text=special[end_of_text],
        begin_of_text=None if begin_of_text is None else special[begin_of_text],
        padding=padding,
        byte_lengths=lengths,
    )


def _fault(config: dict[str, Any]) -> str | None:
    """Why this is not a byte-level BPE whose tokens have exact bytes; None if it is one."""
    model = config["model"]
    if model.get("type") != "BPE":
        return f"its model is {model.get('type')}"
    for option in ("byte_fallback", "continuing_subword_prefix", "end_of_word_suffix", "dropout"):
        if model.get(option):
            return f"its BPE has the option `{option}`"
    missing = set(pre_tokenizers.ByteLevel.alphabet()) - set(model["vocab"])
    if missing:
        return f"its vocabulary lacks {len(missing)} of the 256 bytes"
    if (config.get("normalizer") or {"type": "NFC"})["type"] != "NFC":
        return f"its normalizer {config['normalizer']['type']} changes the text"
    outer = config.get("pre_tokenizer") or {"type": "none"}
    steps = outer["pretokenizers"] if outer["type"] == "Sequence" else [outer]
    kinds = [step["type"] for step in steps]
    if kinds.count("ByteLevel") != 1:
        return "its pre-tokenizer is not ByteLevel"
    for step in steps:
        if step["type"] not in _CUTTERS or step.get("behavior") == "Removed":
            return f"its pre-tokenizer {step['type']} changes the text"
        if step.get("add_prefix_space"):
            return "its pre-tokenizer adds a space to the text"
    for token in config.get("added_tokens") or []:
        if not token["special"] and (token["lstrip"] or token["rstrip"]):
            return f"its added token {token['content']!r} takes in the spaces around it"
    return None


def _byte_lengths(tokenizer: tokenizers.Tokenizer, size: int) -> npt.NDArray[np.int32]:
    """Bytes of every id, int32[`size`, up to a multiple of 128]; a character of a learned token is
    one byte."""
    alphabet = set(pre_tokenizers.ByteLevel.alphabet())
    added = tokenizer.get_added_tokens_decoder()
    entries = tokenizer.get_vocab(with_added_tokens=True)
    lengths = np.zeros(size + -size % 128, np.int32)
    for content, number in entries.items():
        if number in added:
            lengths[number] = 0 if added[number].special else len(content.encode())
        elif alphabet.issuperset(content):
            lengths[number] = len(content)
    return lengths
