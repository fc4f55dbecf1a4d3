"""AdamW with its parameter groups, the learning rate, and updates that can be skipped."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.distributed.tensor import DTensor

from train import config
from train.model import Decoder


def build(model: Decoder, settings: config.Optimizer) -> torch.optim.AdamW:
    """AdamW (Loshchilov and Hutter, 2019): matrices decay; norms and the embedding do not."""
    decayed: list[nn.Parameter] = []
    others: list[nn.Parameter] = []
    for name, parameter in model.named_parameters():
        is_matrix = parameter.ndim == 2 and name != "embedding.weight"
        (decayed if is_matrix else others).append(parameter)
    groups = [
        {"params": decayed, "weight_decay": settings.weight_decay},
        {"params": others, "weight_decay": 0.0},
    ]
    betas = (settings.beta1, settings.beta2)
    return torch.optim.AdamW(groups, lr=settings.lr, betas=betas, eps=settings.eps, fused=True)


def learning_rate(step: int, steps: int, settings: config.Optimizer) -> float:
    """The rate of update `step` (0 is the first) of `steps`.

    Linear from 1 / warmup steps of the peak to the peak, then a half cosine (Loshchilov and
    Hutter, 2017) that reaches `final_lr` of the peak at the last update.
    """
    warmup = round(settings.warmup * steps)
    if step < warmup:
        return settings.lr * (step + 1) / warmup
    progress = (step - warmup) / max(1, steps - 1 - warmup)
    cosine = (1 + math.cos(math.pi * min(1.0, progress))) / 2
    return settings.lr * (settings.final_lr + (1 - settings.final_lr) * cosine)


def clip(model: nn.Module, largest: float) -> Tensor:
    """Scale the gradient down to norm `largest`; returns its norm before, over all processes."""
    norm = nn.utils.clip_grad_norm_(model.parameters(), largest)
    return norm.full_tensor() if isinstance(norm, DTensor) else norm


def update(optimizer: torch.optim.AdamW, rate: float, skip: Tensor) -> None:
    """Take one step at learning rate `rate` and clear the gradient.

    skip: fp32 scalar on the device; where it is 1, weights and optimizer state stay untouched.
    The fused kernels read it themselves (`found_inf`, as GradScaler sets it), so that the host
    need not wait to know. A zero gradient would not do: AdamW moves and decays by it too.
    """
    for group in optimizer.param_groups:
        group["lr"] = rate
    optimizer.found_inf = skip  # type: ignore[attr-defined]
    optimizer.step()
    optimizer.zero_grad()
