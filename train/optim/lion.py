"""Lion (Chen et al., 2023): the sign of an interpolated momentum."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from train.local import finite, local


def start(parameter: Tensor) -> dict[str, Tensor]:
    """A zero momentum."""
    return {"exp_avg": torch.zeros_like(parameter)}


def lion(
    params: list[Tensor], states: list[dict[str, Tensor]], group: dict[str, Any], skip: Tensor
) -> None:
    """w = w - lr (sign(beta1 m + (1 - beta1) g) + weight_decay w); m = beta2 m + (1 - beta2) g."""
    take = 1 - skip
    for parameter, state in zip(params, states, strict=True):
        weight, momentum = local(parameter), local(state["exp_avg"])
        gradient = finite(parameter.grad, skip)
        direction = torch.lerp(gradient, momentum, group["beta1"]).sign_()
        weight.mul_(1 - group["lr"] * group["weight_decay"] * take)
        weight.sub_(direction * (group["lr"] * take))
        momentum.lerp_(gradient, (1 - group["beta2"]) * take)
