"""Attention within documents, by several back-ends behind one call.

| back-end | runs on | masks it knows |
|---|---|---|
| `documents` | CPU | all: one call a document, so that nothing masked is computed |
| `dense` | all | all: the reference, with a mask of T x T |
| `flex` | GPU, compiled | all: blocks that are masked whole are passed over |
| `varlen` | GPU | causal or bidirectional, whole documents: cuDNN's or Flash's kernels |

A position sees those of its document up to itself, and those of its document's prefix.
"""

from typing import Literal, NamedTuple, cast

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor
from torch.nn.attention.flex_attention import BlockMask, create_block_mask, flex_attention

from train import local

Backend = Literal["documents", "dense", "flex", "varlen"]


class Documents(NamedTuple):
    """Lengths of the documents of a batch, row after row."""

    lengths: list[int]
    prefix: Tensor | None  # [batch * T], true where a token belongs to a prefix


class Varlen(NamedTuple):
    """Where documents begin in a batch, row after row."""

    bounds: Tensor  # int32 [documents + 1], the last repeated to keep the length
    longest: int
    causal: bool


Mask = Tensor | BlockMask | Documents | Varlen


def document_mask(
    segments: Tensor,
    backend: Backend,
    prefix: Tensor | None = None,
    bounds: Tensor | None = None,
    places: Tensor | None = None,
    *,
    bidirectional: bool = False,
    compiled: bool = False,
) -> Mask:
    """What each position may see. Built once for a batch, outside compiled blocks.

    segments: [batch, T] numbers of segments. prefix: [batch, T], true where a token is seen by
    all of its segment; None is causal. bounds: for varlen, as `Varlen.bounds`; with it
    `bidirectional` says that all of a segment is prefix. places: [Q] positions in the row of
    the queries; None is all.
    """
    batch, length = segments.shape
    if backend == "varlen" and bounds is not None:
        return Varlen(bounds, length, not bidirectional)
    if backend == "documents":
        ends = torch.ones_like(segments, dtype=torch.bool)
        ends[:, :-1] = segments[:, 1:] != segments[:, :-1]
        last = torch.nonzero(ends.flatten()).flatten()
        lengths = torch.diff(last, prepend=last.new_full((1,), -1)).tolist()
        return Documents(lengths, None if prefix is None else prefix.flatten())
    order = torch.arange(length, device=segments.device)
    queries = order if places is None else places
    if backend == "dense":
        seen = order <= queries.unsqueeze(1)
        if prefix is not None:
            seen = seen | prefix[:, None, None, :]
        return (segments[:, None, queries, None] == segments[:, None, None, :]) & seen

    def visible(b: Tensor, h: Tensor, q: Tensor, k: Tensor) -> Tensor:  # noqa: ARG001
        at = queries[q]
        seen = at >= k if prefix is None else (at >= k) | prefix[b, k]
        return (segments[b, at] == segments[b, k]) & seen

    # Uncompiled it writes the dense mask before it is reduced to blocks.
    create = local.compiled(create_block_mask) if compiled else create_block_mask
    return create(visible, batch, None, len(queries), length, device=segments.device)


def attend(q: Tensor, k: Tensor, v: Tensor, mask: Mask) -> Tensor:
    """Attention of q [batch, heads, Q, channels] over k and v [batch, kv_heads, T, channels]."""
    grouped = q.shape[1] != k.shape[1]
    if isinstance(mask, Tensor):
        return F.scaled_dot_product_attention(q, k, v, attn_mask=mask, enable_gqa=grouped)
    if isinstance(mask, Documents):
        return _by_document(q, k, v, mask, grouped)
    if isinstance(mask, Varlen):
        return _varlen(q, k, v, mask, grouped)
    attended = flex_attention(q, k, v, block_mask=mask, enable_gqa=grouped)
    return attended if isinstance(attended, Tensor) else attended[0]


def _by_document(q: Tensor, k: Tensor, v: Tensor, mask: Documents, grouped: bool) -> Tensor:
    # [heads, batch * T, channels]: the documents of all rows one after the other.
    parts = [torch.split(x.transpose(0, 1).flatten(1, 2), mask.lengths, 1) for x in (q, k, v)]
    seen: list[Tensor | None] = [None] * len(mask.lengths)
    if mask.prefix is not None:
        prefixes = torch.split(mask.prefix, mask.lengths)
        seen = [
            prefix | torch.ones_like(prefix).expand(len(prefix), -1).tril() for prefix in prefixes
        ]
    attended = [
        F.scaled_dot_product_attention(
            a[None], b[None], c[None], attn_mask=m, is_causal=m is None, enable_gqa=grouped
        )[0]
        for a, b, c, m in zip(*parts, seen, strict=True)
    ]
    return torch.unflatten(torch.cat(attended, 1), 1, (q.shape[0], -1)).transpose(0, 1)


def _varlen(q: Tensor, k: Tensor, v: Tensor, mask: Varlen, grouped: bool) -> Tensor:
    from torch.nn.attention.varlen import varlen_attn

    # [batch * T, heads, channels]
    queries, keys, values = (x.transpose(1, 2).flatten(0, 1) for x in (q, k, v))
    sizes = (mask.bounds, mask.bounds, mask.longest, mask.longest)  # of queries and of keys
    window = (-1, 0 if mask.causal else -1)
    attended = varlen_attn(queries, keys, values, *sizes, window_size=window, enable_gqa=grouped)
    return torch.unflatten(cast(Tensor, attended), 0, (q.shape[0], -1)).transpose(1, 2)
