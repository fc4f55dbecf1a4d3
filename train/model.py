"""The decoder: RMSNorm, rotary positions, grouped queries, SwiGLU. It returns its own loss."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import NamedTuple

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn
from torch.distributed.tensor import DTensor, distribute_tensor
from torch.utils.checkpoint import checkpoint

from train import config
from train.attention import Backend, Mask, attend, document_mask
from train.data import IGNORED


class Rotation(NamedTuple):
    """Cosines and sines of the rotary angles, each [batch, 1, T, channels / 2]."""

    cos: Tensor
    sin: Tensor


class Linear(nn.Linear):
    """A matrix kept in its own precision and used in that of the input; no bias."""

    def __init__(self, inputs: int, outputs: int) -> None:
        """Weight [outputs, inputs]."""
        super().__init__(inputs, outputs, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """[..., inputs] to [..., outputs]."""
        return F.linear(x, self.weight.to(x.dtype))


class RMSNorm(nn.Module):
    """Root mean square normalisation (Zhang and Sennrich, 2019), computed in fp32."""

    def __init__(self, dim: int, eps: float) -> None:
        """Weight [dim]; `eps` is added to the mean square."""
        super().__init__()
        self.eps = eps
        self.weight = nn.Parameter(torch.empty(dim))

    def forward(self, x: Tensor) -> Tensor:
        """Shape and type of the input are kept."""
        return F.rms_norm(x.float(), x.shape[-1:], self.weight.float(), self.eps).to(x.dtype)


class Attention(nn.Module):
    """Grouped-query attention (Ainslie et al., 2023) with rotary positions (Su et al., 2021)."""

    def __init__(self, shape: config.Model) -> None:
        """Parameters of the shape, not yet initialized."""
        super().__init__()
        self.channels = shape.dim // shape.heads
        self.q = Linear(shape.dim, shape.dim)
        self.k = Linear(shape.dim, shape.kv_heads * self.channels)
        self.v = Linear(shape.dim, shape.kv_heads * self.channels)
        self.output = Linear(shape.dim, shape.dim)

    def forward(self, x: Tensor, rotation: Rotation, mask: Mask) -> Tensor:
        """[batch, T, dim] to the same."""
        q, k, v = (
            project(x).unflatten(-1, (-1, self.channels)).transpose(1, 2)
            for project in (self.q, self.k, self.v)
        )
        attended = attend(rotate(q, rotation), rotate(k, rotation), v, mask)
        return self.output(attended.transpose(1, 2).flatten(2))


class FeedForward(nn.Module):
    """SwiGLU (Shazeer, 2020)."""

    def __init__(self, shape: config.Model) -> None:
        """Parameters of the shape, not yet initialized."""
        super().__init__()
        self.gate = Linear(shape.dim, shape.hidden)
        self.up = Linear(shape.dim, shape.hidden)
        self.output = Linear(shape.hidden, shape.dim)

    def forward(self, x: Tensor) -> Tensor:
        """[batch, T, dim] to the same."""
        return self.output(F.silu(self.gate(x)) * self.up(x))


class Block(nn.Module):
    """One pre-norm layer: attention, then feed-forward."""

    def __init__(self, shape: config.Model) -> None:
        """Parameters of the shape, not yet initialized."""
        super().__init__()
        self.attention_norm = RMSNorm(shape.dim, shape.norm_eps)
        self.attention = Attention(shape)
        self.feed_forward_norm = RMSNorm(shape.dim, shape.norm_eps)
        self.feed_forward = FeedForward(shape)
        self.recompute = False  # set by train.parallel

    def forward(self, x: Tensor, rotation: Rotation, mask: Mask) -> Tensor:
        """[batch, T, dim] to the same."""
        if self.recompute and torch.is_grad_enabled():
            return checkpoint(self._layer, x, rotation, mask, use_reentrant=False)
        return self._layer(x, rotation, mask)

    def _layer(self, x: Tensor, rotation: Rotation, mask: Mask) -> Tensor:
        x = x + self.attention(self.attention_norm(x), rotation, mask)
        return x + self.feed_forward(self.feed_forward_norm(x))


class Decoder(nn.Module):
    """A causal language model over packed documents."""

    def __init__(self, shape: config.Model, vocabulary: int) -> None:
        """Parameters of the shape, not yet initialized; ids are below `vocabulary`."""
        super().__init__()
        self.shape = shape
        self.embedding = nn.Embedding(vocabulary, shape.dim)
        self.blocks = nn.ModuleList(Block(shape) for _ in range(shape.layers))
        self.norm = RMSNorm(shape.dim, shape.norm_eps)
        self.head = None if shape.tied else Linear(shape.dim, vocabulary)
        # How it runs, set by train.parallel.
        self.dtype = torch.float32
        self.backend: Backend = "sdpa"
        self.compiled = False
        self.loss_chunk = 1 << 15
        self.token_loss: Callable[[Tensor, Tensor, Tensor], Tensor] = token_loss

    def forward(
        self, tokens: Tensor, positions: Tensor, segments: Tensor, labels: Tensor | None = None
    ) -> Tensor:
        """Loss of every token in nats, fp32 [batch, T], zero where the label is IGNORED.

        All arguments are [batch, T]. Without labels: the logits, [batch, T, vocabulary]. The loss
        is computed here, where a sharded head is gathered, and in chunks of `loss_chunk` tokens,
        whose logits are made again in the backward pass.
        """
        # Without the norm, small first embeddings let the residual stream pass near zero and turn
        # round: losses jump for a step. An untied embedding can be stored normalised instead.
        x = self.embedding(tokens).float()
        x = F.rms_norm(x, x.shape[-1:], eps=self.shape.norm_eps).to(self.dtype)
        rotation = rotary(positions, self.shape)
        mask = document_mask(segments, self.backend, compiled=self.compiled)
        for block in self.blocks:
            x = block(x, rotation, mask)
        x = self.norm(x)
        weight = (self.embedding if self.head is None else self.head).weight.to(x.dtype)
        if labels is None:
            return F.linear(x, weight)
        rows = max(1, self.loss_chunk // tokens.shape[1])
        if rows >= len(tokens):
            return self.token_loss(x, weight, labels)
        chunks = zip(torch.split(x, rows), torch.split(labels, rows), strict=True)
        losses = [
            checkpoint(self.token_loss, hidden, weight, label, use_reentrant=False)
            for hidden, label in chunks
        ]
        return torch.cat(losses)

    @torch.no_grad()
    def initialize(self, seed: int) -> None:
        """Fill all parameters: normal of `init_std`, what writes to the residual stream less.

        Each value depends on the seed and the parameter's name alone, not on how the model is
        sharded. The factor 1 / sqrt(2 layers) of residual writes is GPT-2's.
        """
        for name, parameter in self.named_parameters():
            if name.endswith("norm.weight"):
                parameter.fill_(1.0)
                continue
            std = self.shape.init_std
            if name.endswith("output.weight"):
                std /= (2 * self.shape.layers) ** 0.5
            digest = hashlib.blake2b(f"{seed}/{name}".encode(), digest_size=7).digest()
            generator = torch.Generator().manual_seed(int.from_bytes(digest, "big"))
            value = torch.randn(parameter.shape, generator=generator) * std
            if isinstance(parameter, DTensor):
                mesh, placements = parameter.device_mesh, parameter.placements
                # Every rank has the same values and keeps its share: nothing is sent.
                value = distribute_tensor(value, mesh, placements, src_data_rank=None)
            parameter.copy_(value)

    def num_params(self) -> int:
        """Number of parameters, a tied head counted once."""
        return sum(parameter.numel() for parameter in self.parameters())

    def flops_per_token(self, length: int) -> int:
        """Floating-point operations to train on one token of rows `length` tokens long.

        6 N + 12 layers dim T: N is the parameters of matrix products (the head counted once, the
        embedding lookup not), T the row length; causal and document masks give no discount and
        recomputation is not counted. The convention of PaLM (Chowdhery et al., 2022, appendix B).
        """
        matrices = sum(p.numel() for p in self.blocks.parameters() if p.ndim == 2)
        head = self.embedding.weight.numel()
        return 6 * (matrices + head) + 12 * self.shape.layers * self.shape.dim * length


def token_loss(hidden: Tensor, weight: Tensor, labels: Tensor) -> Tensor:
    """Nats of labels [rows, T] given hidden [rows, T, dim] and a head [vocabulary, dim]: fp32."""
    logits = F.linear(hidden, weight).float().flatten(0, 1)
    losses = F.cross_entropy(logits, labels.flatten(), reduction="none", ignore_index=IGNORED)
    # No view: sharding would have to guess whether it is written to.
    return losses.view(labels.shape).clone()


def rotary(positions: Tensor, shape: config.Model) -> Rotation:
    """Rotary angles of positions [batch, T]: position / theta^(2 i / channels), in fp32."""
    channels = shape.dim // shape.heads
    powers = torch.arange(0, channels, 2, device=positions.device).float() / channels
    angles = positions[:, None, :, None].float() * shape.rope_theta**-powers
    return Rotation(angles.cos(), angles.sin())


def rotate(x: Tensor, rotation: Rotation) -> Tensor:
    """Turn channels i and i + channels / 2 of x [batch, heads, T, channels] by the angles."""
    first, second = x.float().chunk(2, dim=-1)
    cos, sin = rotation
    return torch.cat((first * cos - second * sin, second * cos + first * sin), -1).to(x.dtype)
