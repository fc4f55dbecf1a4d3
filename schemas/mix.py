"""`mix`: proportions, budget and order of the training tokens, and what is held out."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from schemas.base import MEBIBYTE, Contract, Name


class Validation(Contract):
    """Documents that training never sees."""

    tokens: int = Field(
        1_000_000, ge=0, description="Tokens of validation text a source, exact to a document."
    )
    by: Literal["text", "domain"] = Field(
        "text",
        description="What decides: a keyed hash of the normalised text, or of the registered "
        "domain, so that whole sites are held out.",
    )


class Mix(Contract):
    """From token parts to shards: proportions, budget, order."""

    tokens: int | None = Field(
        None, ge=1, description="Training tokens in all; null takes every document once."
    )
    weights: dict[Name, Annotated[float, Field(gt=0)]] | None = Field(
        None, description="Share of each source in `tokens`; null means as available."
    )
    max_epochs: float = Field(
        4, ge=1, description="How often, at most, a document may be repeated to reach its share."
    )
    sequence_length: int = Field(2048, ge=2, description="Tokens a row.")
    bucket_tokens: int = Field(
        64 * MEBIBYTE, ge=1, description="Planned tokens a bucket; a bucket is one shard file."
    )
    validation: Validation = Field(Validation(), description="What is held out.")

    @model_validator(mode="after")
    def _weights_need_a_budget(self) -> Self:
        if self.weights is not None and self.tokens is None:
            raise ValueError("`weights` share out `tokens`: give the number of tokens too")
        return self
