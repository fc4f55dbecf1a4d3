"""Activations that are computed again in the backward pass, to save memory."""

import functools
from collections.abc import Callable
from typing import Any, Literal

from torch import Tensor
from torch.utils import checkpoint

Recompute = Literal["none", "selective", "full"]
# Matrix products and attention: most of the work, and less than half of the memory.
SAVED = ("mm", "addmm", "bmm", "_scaled_mm", "flex_attention", "_varlen_attn")


def recomputed(kind: Recompute, function: Callable[..., Tensor], *inputs: Any) -> Tensor:
    """`function(*inputs)`; `full` keeps only the inputs, `selective` also the dear results."""
    if kind == "full":
        return checkpoint.checkpoint(function, *inputs, use_reentrant=False)
    contexts = functools.partial(checkpoint.create_selective_checkpoint_contexts, _policy)
    return checkpoint.checkpoint(function, *inputs, use_reentrant=False, context_fn=contexts)


def _policy(context: Any, operation: Any, *given: Any, **named: Any) -> Any:  # noqa: ARG001
    name = operation.name().split("::")[-1].split(".")[0] if hasattr(operation, "name") else ""
    dear = name in SAVED or name.startswith("_scaled_dot_product")
    policy = checkpoint.CheckpointPolicy
    return policy.MUST_SAVE if dear else policy.PREFER_RECOMPUTE
