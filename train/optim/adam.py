"""AdamW (Loshchilov and Hutter, 2019) and Adam (Kingma and Ba, 2015), by PyTorch's fused kernels.

The kernels read `found_inf` themselves and then write nothing.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from train.local import local


def start(parameter: Tensor) -> dict[str, Tensor]:
    """Zero moments and a zero count."""
    return {
        "step": torch.zeros((), device=parameter.device),
        "exp_avg": torch.zeros_like(parameter),
        "exp_avg_sq": torch.zeros_like(parameter),
    }


def adamw(
    params: list[Tensor], states: list[dict[str, Tensor]], group: dict[str, Any], skip: Tensor
) -> None:
    """Weights decay by lr * weight_decay, apart from the gradient."""
    _fused(torch._fused_adamw_, params, states, group, skip)


def adam(
    params: list[Tensor], states: list[dict[str, Tensor]], group: dict[str, Any], skip: Tensor
) -> None:
    """Decay is part of the gradient (L2)."""
    _fused(torch._fused_adam_, params, states, group, skip)


def _fused(
    kernel: Any,
    params: list[Tensor],
    states: list[dict[str, Tensor]],
    group: dict[str, Any],
    skip: Tensor,
) -> None:
    # Shards rather than DTensors: those cost the host a third of the step of a small model.
    grads = [local(p.grad) for p in params if p.grad is not None]
    names = ("exp_avg", "exp_avg_sq")
    moments = ([local(state[name]) for state in states] for name in names)
    steps = [state["step"] for state in states]
    torch._foreach_add_(steps, 1)
    kernel(
        [local(p) for p in params],
        grads,
        *moments,
        [],
        steps,
        lr=group["lr"],
        beta1=group["beta1"],
        beta2=group["beta2"],
        weight_decay=group["weight_decay"],
        eps=group["eps"],
        amsgrad=False,
        maximize=False,
        found_inf=skip,
    )
    torch._foreach_sub_(steps, [skip] * len(steps))
