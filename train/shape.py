"""The shape of a decoder, and what follows from it without torch: parameters and FLOPs."""

from typing import Literal, Self

from pydantic import Field, model_validator

from schemas.base import Contract


class Model(Contract):
    """Shape of the decoder; the vocabulary and the sequence length come from the shards.

    The defaults are Llama's. GPT-2 is `norm: layer, positions: learned, activation: gelu,
    bias: true, tied: true`.
    """

    dim: int = Field(ge=1, description="Width of the residual stream.")
    layers: int = Field(ge=1)
    heads: int = Field(ge=1, description="Query heads; each has dim / heads channels.")
    kv_heads: int = Field(ge=1, description="Key and value heads, each shared by some queries.")
    hidden: int = Field(ge=1, description="Width of the feed-forward layer.")
    norm: Literal["rms", "layer"] = Field("rms", description="RMSNorm, or LayerNorm.")
    positions: Literal["rotary", "learned"] = "rotary"
    context: int | None = Field(
        None, ge=1, description="Positions that are learned: the longest row; not for rotary."
    )
    activation: Literal["swiglu", "gelu"] = Field(
        "swiglu", description="Of the feed-forward layer; gelu is the tanh approximation."
    )
    bias: bool = Field(False, description="Linear layers other than the head add a bias.")
    qk_norm: bool = Field(False, description="Queries and keys pass an RMSNorm, head by head.")
    dropout: float = Field(0.0, ge=0, lt=1, description="Of the embedding and residual writes.")
    tied: bool = Field(True, description="The output head is the embedding.")
    rope_theta: float = Field(10_000.0, gt=0)
    norm_eps: float = Field(1e-5, gt=0)
    init_std: float = Field(0.02, gt=0, description="Of first weights; GPT-2's.")
    embedding_std: float | None = Field(
        None, gt=0, description="Of the first embedding; null is 1 if untied, init_std if tied."
    )
    vocabulary_multiple: int = Field(
        64, ge=1, description="The vocabulary is filled up to a multiple of this, for speed."
    )

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.dim % (2 * self.heads):
            raise ValueError(f"dim ({self.dim}) must be an even multiple of heads ({self.heads})")
        if self.heads % self.kv_heads:
            raise ValueError(f"kv_heads ({self.kv_heads}) must divide heads ({self.heads})")
        if (self.positions == "learned") != (self.context is not None):
            raise ValueError("context is needed with positions=learned, and only there")
        return self

    @property
    def channels(self) -> int:
        """Channels of a head."""
        return self.dim // self.heads

    def rows(self, vocabulary: int) -> int:
        """Rows of the embedding for ids below `vocabulary`."""
        return -(-vocabulary // self.vocabulary_multiple) * self.vocabulary_multiple

    @property
    def first_embedding_std(self) -> float:
        """Standard deviation of the first embedding."""
        return self.embedding_std or (self.init_std if self.tied else 1.0)

    @property
    def matrices(self) -> int:
        """Parameters of one block that are in matrix products."""
        attention = self.dim * self.channels * (2 * self.heads + 2 * self.kv_heads)
        return attention + (3 if self.activation == "swiglu" else 2) * self.dim * self.hidden

    @property
    def vectors(self) -> int:
        """Parameters of one block that are norms and biases."""
        norms = 2 * self.dim * (2 if self.norm == "layer" else 1)
        bias = self.channels * (self.heads + 2 * self.kv_heads) + self.dim  # of attention
        bias += self.hidden * (2 if self.activation == "swiglu" else 1) + self.dim
        return norms + (bias if self.bias else 0) + (2 * self.channels if self.qk_norm else 0)

    def num_params(self, vocabulary: int) -> int:
        """Number of parameters, a tied head counted once."""
        embedding = self.rows(vocabulary) * self.dim * (1 if self.tied else 2)
        ends = self.dim * ((self.context or 0) + (2 if self.norm == "layer" else 1))
        return self.layers * (self.matrices + self.vectors) + embedding + ends

    def flops_per_token(self, vocabulary: int, length: int) -> int:
        """Floating-point operations to train on one token of rows `length` tokens long.

        6 N + 12 layers dim T: N is the parameters of matrix products (the head counted once, the
        embedding lookup not), T the row length; causal and document masks give no discount and
        recomputation is not counted. The convention of PaLM (Chowdhery et al., 2022, appendix B).
        """
        products = self.layers * self.matrices + self.rows(vocabulary) * self.dim
        return 6 * products + 12 * self.layers * self.dim * length
