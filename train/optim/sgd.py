"""SGD with momentum (Sutskever et al., 2013) and decoupled decay."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from train.local import finite, local


def start(parameter: Tensor) -> dict[str, Tensor]:
    """A zero velocity."""
    return {"velocity": torch.zeros_like(parameter)}


def sgd(
    params: list[Tensor], states: list[dict[str, Tensor]], group: dict[str, Any], skip: Tensor
) -> None:
    """v = momentum v + g; w = w - lr (v + weight_decay w)."""
    take = 1 - skip
    for parameter, state in zip(params, states, strict=True):
        weight, velocity = local(parameter), local(state["velocity"])
        velocity.mul_(1 - (1 - group["momentum"]) * take).add_(finite(parameter.grad, skip))
        weight.mul_(1 - group["lr"] * group["weight_decay"] * take)
        weight.sub_(velocity * (group["lr"] * take))
