"""Causal attention within documents, by two back-ends behind one call.

`sdpa` takes a dense mask and runs anywhere; `flex` skips blocks that are masked whole and is
for a GPU with `torch.compile` (PyTorch has no backward pass of it on the CPU).
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Literal

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor
from torch.nn.attention.flex_attention import BlockMask, create_block_mask, flex_attention

Backend = Literal["sdpa", "flex"]
Mask = Tensor | BlockMask


def document_mask(segments: Tensor, backend: Backend, *, compiled: bool = False) -> Mask:
    """What each position may see: itself and what precedes it in its segment.

    segments: [batch, T] numbers of segments. Built once for a batch, outside compiled blocks.
    """
    batch, length = segments.shape
    if backend == "sdpa":
        same = segments[:, None, :, None] == segments[:, None, None, :]
        return same & torch.ones(length, length, dtype=torch.bool, device=segments.device).tril()

    def visible(b: Tensor, h: Tensor, q: Tensor, k: Tensor) -> Tensor:  # noqa: ARG001
        return (segments[b, q] == segments[b, k]) & (q >= k)

    create = _compiled_create_block_mask() if compiled else create_block_mask
    return create(visible, batch, None, length, length, device=segments.device)


def attend(q: Tensor, k: Tensor, v: Tensor, mask: Mask) -> Tensor:
    """Attention of q [batch, heads, T, channels] over k and v [batch, kv_heads, T, channels]."""
    grouped = q.shape[1] != k.shape[1]
    if isinstance(mask, Tensor):
        return F.scaled_dot_product_attention(q, k, v, attn_mask=mask, enable_gqa=grouped)
    attended = flex_attention(q, k, v, block_mask=mask, enable_gqa=grouped)
    return attended if isinstance(attended, Tensor) else attended[0]


@functools.cache
def _compiled_create_block_mask() -> Callable[..., BlockMask]:
    # Uncompiled it writes the dense mask before it is reduced to blocks.
    return torch.compile(create_block_mask)
