"""One decoder with options, Llama's by default and GPT-2's by choice. It returns its own loss."""

import hashlib
from collections.abc import Sequence
from typing import NamedTuple, cast

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn
from torch.distributed import ProcessGroup

from train import float8
from train.attention import Backend, Mask, attend, document_mask
from train.local import fill, local
from train.loss import Losses, linear_cross_entropy
from train.pipeline import Pipeline
from train.recompute import Recompute, recomputed
from train.shape import Model
from train.tensor import enter, gather, leave

# Cosines and sines of the rotary angles, each [batch, 1, T, channels / 2].
Rotation = tuple[Tensor, Tensor]


class Inputs(NamedTuple):
    """What the model is given; each [rows, T] but for `bounds`."""

    tokens: Tensor
    positions: Tensor
    segments: Tensor
    labels: Tensor | None = None
    prefix: Tensor | None = None  # true where a token is seen by all of its segment
    bounds: Tensor | None = None  # [passes, documents + 1], see attention.Varlen


class Cache:
    """Keys and values of what was read, of one block, for rows that all grow alike."""

    def __init__(self, rows: int, length: int, shape: Model, like: Tensor) -> None:
        """Room for `length` tokens of `rows` rows, with the type and device of `like`."""
        size = (rows, shape.kv_heads, length, shape.channels)
        self.keys, self.values = (like.new_empty(size) for _ in range(2))
        self.length = 0

    def append(self, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
        """Add the keys and values of the next tokens; returns all so far."""
        stop = self.length + k.shape[2]
        self.keys[:, :, self.length : stop] = k
        self.values[:, :, self.length : stop] = v
        self.length = stop
        return self.keys[:, :, :stop], self.values[:, :, :stop]


class Linear(nn.Linear):
    """A matrix kept in its own precision and used in that of the input."""

    float8 = False  # set by train.parallel

    def forward(self, x: Tensor) -> Tensor:
        """[..., inputs] to [..., outputs]."""
        return project(x, [self])


def project(x: Tensor, layers: Sequence[Linear], *, bias: bool = True) -> Tensor:
    """Products of x with several matrices, one after the other along the last dimension.

    Matrices of one input are multiplied as one, while each is a parameter of its own.
    """
    weights = [local(layer.weight) for layer in layers]
    weight = (weights[0] if len(weights) == 1 else torch.cat(weights)).to(x.dtype)
    biases = [local(layer.bias) for layer in layers if bias and layer.bias is not None]
    added = torch.cat(biases).to(x.dtype) if biases else None
    if not layers[0].float8:
        return F.linear(x, weight, added)
    product = float8.linear(x, weight)
    return product if added is None else product + added


class Norm(nn.Module):
    """RMSNorm (Zhang and Sennrich, 2019), or LayerNorm with a bias; computed in fp32."""

    def __init__(self, dim: int, shape: Model, *, rms: bool = False) -> None:
        """Weight [dim]; `rms` whatever the shape says."""
        super().__init__()
        self.eps = shape.norm_eps
        self.weight = nn.Parameter(torch.empty(dim))
        layer = shape.norm == "layer" and not rms
        self.bias = nn.Parameter(torch.empty(dim)) if layer else None

    def forward(self, x: Tensor, group: ProcessGroup | None = None) -> Tensor:
        """Shape and type of the input are kept. group: whose processes have other parts of x."""
        weight = enter(local(self.weight), group).float()
        if self.bias is None:
            return F.rms_norm(x.float(), x.shape[-1:], weight, self.eps).to(x.dtype)
        bias = local(self.bias).float()
        return F.layer_norm(x.float(), x.shape[-1:], weight, bias, self.eps).to(x.dtype)


class Attention(nn.Module):
    """Grouped-query attention (Ainslie et al., 2023), with rotary positions (Su et al., 2021)."""

    def __init__(self, shape: Model) -> None:
        """Parameters of the shape, not yet initialized."""
        super().__init__()
        self.channels = shape.channels
        narrow = shape.kv_heads * self.channels
        self.q = Linear(shape.dim, shape.dim, shape.bias)
        self.k = Linear(shape.dim, narrow, shape.bias)
        self.v = Linear(shape.dim, narrow, shape.bias)
        self.output = Linear(shape.dim, shape.dim, shape.bias)
        self.q_norm, self.k_norm = (
            Norm(self.channels, shape, rms=True) if shape.qk_norm else None for _ in range(2)
        )
        self.tensor_group: ProcessGroup | None = None
        self.context: Context | None = None

    def forward(
        self, x: Tensor, rotation: Rotation | None, mask: Mask, cache: Cache | None = None
    ) -> Tensor:
        """[batch, T, dim] to the same."""
        layers = [self.q, self.k, self.v]
        widths = [len(local(layer.weight)) for layer in layers]
        q, k, v = (
            torch.unflatten(part, -1, (-1, self.channels)).transpose(1, 2)
            for part in torch.split(project(enter(x, self.tensor_group), layers), widths, -1)
        )
        if self.q_norm is not None and self.k_norm is not None:
            q, k = self.q_norm(q, self.tensor_group), self.k_norm(k, self.tensor_group)
        if rotation is not None:
            q, k = rotate(q, rotation), rotate(k, rotation)
        if self.context is not None:
            k, v = self.context.all_tokens(k), self.context.all_tokens(v)
        if cache is not None:
            k, v = cache.append(k, v)
        return written(attend(q, k, v, mask).transpose(1, 2).flatten(2), self)


class FeedForward(nn.Module):
    """SwiGLU (Shazeer, 2020), or GPT-2's two matrices with GELU."""

    def __init__(self, shape: Model) -> None:
        """Parameters of the shape, not yet initialized."""
        super().__init__()
        gated = shape.activation == "swiglu"
        self.gate = Linear(shape.dim, shape.hidden, shape.bias) if gated else None
        self.up = Linear(shape.dim, shape.hidden, shape.bias)
        self.output = Linear(shape.hidden, shape.dim, shape.bias)
        self.tensor_group: ProcessGroup | None = None

    def forward(self, x: Tensor) -> Tensor:
        """[batch, T, dim] to the same."""
        x = enter(x, self.tensor_group)
        if self.gate is None:
            hidden = F.gelu(project(x, [self.up]), approximate="tanh")
        else:
            gate, up = project(x, [self.gate, self.up]).chunk(2, -1)
            hidden = F.silu(gate) * up
        return written(hidden, self)


def written(x: Tensor, layer: Attention | FeedForward) -> Tensor:
    """What a layer writes to the residual stream: its output, summed over a tensor group."""
    written = leave(project(x, [layer.output], bias=False), layer.tensor_group)
    bias = layer.output.bias
    return written if bias is None else written + local(bias).to(x.dtype)


class Block(nn.Module):
    """One pre-norm layer: attention, then feed-forward."""

    def __init__(self, shape: Model) -> None:
        """Parameters of the shape, not yet initialized."""
        super().__init__()
        self.attention_norm = Norm(shape.dim, shape)
        self.attention = Attention(shape)
        self.feed_forward_norm = Norm(shape.dim, shape)
        self.feed_forward = FeedForward(shape)
        self.dropout = nn.Dropout(shape.dropout)
        self.recompute: Recompute = "none"  # set by train.parallel

    def forward(
        self, x: Tensor, rotation: Rotation | None, mask: Mask, cache: Cache | None = None
    ) -> Tensor:
        """[batch, T, dim] to the same."""
        if self.recompute != "none" and torch.is_grad_enabled():
            return recomputed(self.recompute, self._layer, x, rotation, mask)
        return self._layer(x, rotation, mask, cache)

    def _layer(
        self, x: Tensor, rotation: Rotation | None, mask: Mask, cache: Cache | None = None
    ) -> Tensor:
        x = x + self.dropout(self.attention(self.attention_norm(x), rotation, mask, cache))
        return x + self.dropout(self.feed_forward(self.feed_forward_norm(x)))


class Context:
    """Context parallelism: each process of a group has some tokens of every row.

    A row is cut into twice as many chunks as processes; each takes one from the front and one from
    the back, so that causal attention is as much work for all. Keys and values are gathered, as
    for Llama 3 (2024, section 3.3.2); masks of documents stay exact.
    """

    def __init__(self, group: ProcessGroup) -> None:
        """The processes that share rows."""
        self.group = group

    def places(self, length: int, rank: int) -> Tensor:
        """Positions in a row of the tokens of one process."""
        chunk = length // (2 * self.group.size())
        front = torch.arange(chunk) + rank * chunk
        return torch.cat([front, torch.arange(chunk) + length - (rank + 1) * chunk])

    def all_tokens(self, x: Tensor) -> Tensor:
        """All keys or values [batch, heads, T, channels] from those of each process."""
        gathered = gather(x, 2, self.group)
        length, size = gathered.shape[2], self.group.size()
        order = torch.cat([self.places(length, rank) for rank in range(size)]).argsort()
        return gathered[:, :, order.to(x.device)]


class Decoder(nn.Module):
    """A language model over packed documents, or a stage of one: a range of its blocks."""

    def __init__(self, shape: Model, vocabulary: int, stage: int = 0, stages: int = 1) -> None:
        """Parameters of the shape, not yet initialized; ids are below `vocabulary`."""
        super().__init__()
        self.shape, self.vocabulary = shape, vocabulary
        rows, first, last = shape.rows(vocabulary), stage == 0, stage == stages - 1
        self.embedding = nn.Embedding(rows, shape.dim) if first else None
        learned = first and shape.context is not None
        self.position = nn.Embedding(shape.context or 0, shape.dim) if learned else None
        self.dropout = nn.Dropout(shape.dropout)
        numbers = range(stage * shape.layers // stages, (stage + 1) * shape.layers // stages)
        self.blocks = nn.ModuleDict({str(number): Block(shape) for number in numbers})
        self.norm = Norm(shape.dim, shape) if last else None
        self.head = Linear(shape.dim, rows, bias=False) if last and not shape.tied else None
        # How it runs, set by train.parallel.
        self.dtype = torch.float32
        self.backend: Backend = "dense"
        self.compiled = False
        self.bidirectional = False
        self.loss_chunk = 1 << 12
        self.tensor_group: ProcessGroup | None = None
        self.context: Context | None = None
        self.pipeline: Pipeline | None = None
        self.register_buffer("loss_scale", None)  # of fp16: the scale, and good steps with it
        self.loss_scale: Tensor | None

    def forward(
        self,
        x: Tensor,
        positions: Tensor,
        segments: Tensor,
        labels: Tensor | None = None,
        prefix: Tensor | None = None,
        bounds: Tensor | None = None,
        caches: Sequence[Cache] | None = None,
    ) -> Tensor | Losses:
        """Losses of the labels; without labels the logits, [batch, T, rows of the vocabulary].

        x: tokens, or of a later stage what the one before returned. Others: see Inputs. Under
        context parallelism all is given whole and each process returns its own tokens', losses with
        zeros for the others'. The loss is computed here, where a sharded head is gathered.
        """
        places, group = None, self.tensor_group
        if self.context is not None:
            length = segments.shape[1]
            places = self.context.places(length, self.context.group.rank()).to(segments.device)
            positions = positions[:, places]
            labels = None if labels is None else labels[:, places]
            x = x if self.embedding is None else x[:, places]
        if self.embedding is not None:
            x = self._embed(self.embedding, x, positions)
        rotation = rotary(positions, self.shape) if self.shape.positions == "rotary" else None
        if caches is not None:
            seen = torch.arange(caches[0].length + x.shape[1], device=x.device)
            mask: Mask = seen <= positions[:, None, :, None]
        else:
            how = {"bidirectional": self.bidirectional, "compiled": self.compiled}
            bounds = None if bounds is None else bounds.flatten()
            mask = document_mask(segments, self.backend, prefix, bounds, places, **how)
        for index, block in enumerate(self.blocks.values()):
            x = block(x, rotation, mask, caches[index] if caches else None)
        if self.norm is None:
            return x
        x = enter(self.norm(x), group)
        head = cast(nn.Linear, self.embedding if self.head is None else self.head)
        weight = local(head.weight).to(x.dtype)
        if labels is None:
            return F.linear(x, weight)
        losses = linear_cross_entropy(x, weight, labels, self.loss_chunk, group, self.compiled)
        if places is None:
            return losses
        whole = torch.zeros(segments.shape, device=x.device)
        return Losses(losses.total, whole.index_copy(1, places, losses.each))

    def _embed(self, embedding: nn.Embedding, tokens: Tensor, positions: Tensor) -> Tensor:
        """Vectors of tokens [batch, T], of which a tensor group has some each."""
        weight, group = local(embedding.weight), self.tensor_group
        if group is None:
            x = F.embedding(tokens, weight)
        else:
            ids = tokens - group.rank() * len(weight)
            mine = (ids >= 0) & (ids < len(weight))
            x = leave(F.embedding(ids.where(mine, 0), weight) * mine.unsqueeze(-1), group)
        if self.position is not None:
            x = x + F.embedding(positions, local(self.position.weight))
        return self.dropout(x.to(self.dtype))

    @torch.no_grad()
    def initialize(self, seed: int) -> None:
        """Fill all parameters: normal of `init_std`, what writes to the residual stream less.

        Each value depends on the seed and the parameter's name alone, not on how the model is
        sharded. The factor 1 / sqrt(2 layers) of residual writes is GPT-2's.
        """
        shape = self.shape
        for name, parameter in self.named_parameters():
            if parameter.ndim == 1:
                fill(parameter, torch.full(parameter.shape, float(name.endswith("norm.weight"))))
                continue
            std = shape.init_std
            if name == "embedding.weight":
                std = shape.first_embedding_std
            if name.endswith("output.weight"):
                std /= (2 * shape.layers) ** 0.5
            digest = hashlib.blake2b(f"{seed}/{name}".encode(), digest_size=7).digest()
            generator = torch.Generator().manual_seed(int.from_bytes(digest, "big"))
            fill(parameter, torch.randn(parameter.shape, generator=generator) * std)


def rotary(positions: Tensor, shape: Model) -> Rotation:
    """Rotary angles of positions [batch, T]: position / theta^(2 i / channels), in fp32."""
    channels = shape.channels
    powers = torch.arange(0, channels, 2, device=positions.device).float() / channels
    angles = positions[:, None, :, None].float() * shape.rope_theta**-powers
    return angles.cos(), angles.sin()


def rotate(x: Tensor, rotation: Rotation) -> Tensor:
    """Turn channels i and i + channels / 2 of x [batch, heads, T, channels] by the angles."""
    first, second = x.float().chunk(2, dim=-1)
    cos, sin = rotation
    return torch.cat((first * cos - second * sin, second * cos + first * sin), -1).to(x.dtype)
