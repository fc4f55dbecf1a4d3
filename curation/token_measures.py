"""What a tokenizer makes of texts: bytes a token, fertility, unknown tokens, round trips."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import tokenizers

from curation.tokenization import unknown_token


@dataclass
class Measures:
    """Sums over documents."""

    documents: int = 0
    bytes: int = 0
    words: int = 0
    tokens: int = 0
    unknown: int = 0
    round_trips: int = 0

    @property
    def bytes_per_token(self) -> float:
        """UTF-8 bytes of text a token."""
        return self.bytes / max(1, self.tokens)

    @property
    def fertility(self) -> float:
        """Tokens a word; a word is what stands between blanks (Rust et al. 2021,
        arXiv:2012.15613). It says little of scripts that write none."""
        return self.tokens / max(1, self.words)

    @property
    def unknown_rate(self) -> float:
        """Share of the tokens that stand for what the tokenizer does not know."""
        return self.unknown / max(1, self.tokens)

    @property
    def round_trip(self) -> float:
        """Share of the documents that decoding gives back as they were."""
        return self.round_trips / max(1, self.documents)

    def add(self, other: Measures) -> None:
        """Add the sums of another."""
        for name, value in vars(other).items():
            setattr(self, name, getattr(self, name) + value)


def measure(tokenizer: tokenizers.Tokenizer, texts: Sequence[str]) -> list[Measures]:
    """The measures of each text, by any tokenizer of `tokenizers`."""
    name = unknown_token(tokenizer)
    unknown = None if name is None else tokenizer.token_to_id(name)
    found = []
    for text, encoding in zip(texts, tokenizer.encode_batch(texts, False), strict=True):
        ids = encoding.ids
        found.append(
            Measures(
                1,
                len(text.encode()),
                len(text.split()),
                len(ids),
                sum(number == unknown for number in ids),
                tokenizer.decode(ids, skip_special_tokens=False) == text,
            )
        )
    return found
