"""`tokenizer`: one that is trained on the curated text, or one that is loaded."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from schemas.base import Contract, ModelFile, Name


class TrainTokenizer(Contract):
    """One trained on a keyed sample of the curated text."""

    model: Literal["bpe", "unigram", "wordpiece"] = Field(
        "bpe",
        description="`bpe`: byte-level, the same on every machine. `unigram`: as SentencePiece, "
        "with bytes for what it does not know. `wordpiece`: as BERT; it loses blanks and what it "
        "does not know. Two trainings of the last two may differ: a run trains them once.",
    )
    vocabulary: int = Field(
        32_768, ge=384, description="Ids in all, a multiple of 128, of which 128 are special ids."
    )
    digits: Literal[1, 3] = Field(
        3, description="Digits that a token may hold: 1 makes each a token of its own."
    )
    nfc: bool = Field(False, description="Compose characters first (Unicode's NFC).")
    special: tuple[str, ...] = Field(
        (),
        max_length=100,
        description="Further special tokens, such as those of a chat; each takes a reserved id.",
    )
    sample_bytes: int = Field(
        1 << 30, ge=1, description="UTF-8 bytes of text, divided over sources by `weights`."
    )
    weights: dict[Name, Annotated[float, Field(ge=0, allow_inf_nan=False)]] | None = Field(
        None,
        description="Share of each source in the sample, 0 for those that are not named; null "
        "means as much text as they have. They are apart from those of `mix`, so that another "
        "mixture keeps the tokenizer.",
    )

    @model_validator(mode="after")
    def _multiple_of_128(self) -> Self:
        if self.vocabulary % 128:
            low = self.vocabulary // 128 * 128
            raise ValueError(
                f"`vocabulary` must be a multiple of 128, such as {max(low, 384)} or {low + 128}"
            )
        if self.model == "unigram" and self.vocabulary < 768:
            raise ValueError("`vocabulary` must be at least 768: 384 ids are bytes and special")
        return self


class Tokenizer(Contract):
    """Trained here, or loaded from a `tokenizer.json` or a SentencePiece model."""

    train: TrainTokenizer | None = Field(None, description="Train one.")
    load: ModelFile | None = Field(None, description="Load one, a `tokenizer.json` or a `.model`.")
    end_of_text: str = Field("<|end_of_text|>", description="Token that closes every document.")
    begin_of_text: str | None = Field(
        None, description="Token that opens every document; null for none."
    )

    @model_validator(mode="after")
    def _one_of_two(self) -> Self:
        if (self.train is None) == (self.load is None):
            raise ValueError("give either `train` or `load`")
        return self
