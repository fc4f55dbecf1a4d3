"""Rules by which a parameter follows its gradient: Adam, AdamW, SGD and Lion.

A rule is given parameters, their states, the settings of their group, and `skip`, an fp32 scalar:
where it is 1, weights and state must keep every bit.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor

from train.local import finite, local

State = dict[str, Tensor]
Group = dict[str, Any]
Rule = Callable[[list[Tensor], list[State], Group, Tensor], None]


def descend(parameter: Tensor, update: Tensor, group: Group, take: Tensor) -> None:
    """w = w - lr (update + weight_decay w), where `take` is 1."""
    weight = local(parameter)
    weight.mul_(1 - group["lr"] * group["weight_decay"] * take)
    weight.sub_(update * (group["lr"] * take))


class Given(NamedTuple):
    """What an update of one parameter follows from; of tensors this process's part."""

    parameter: Tensor  # whole
    gradient: Tensor  # zero where the step is skipped
    state: State
    group: Group
    take: Tensor  # 1, or 0 where the step is skipped


def each(update: Callable[[Given], Tensor]) -> Rule:
    """The rule by which each parameter descends along its `update`."""

    def rule(params: list[Tensor], states: list[State], group: Group, skip: Tensor) -> None:
        for parameter, state in zip(params, states, strict=True):
            given = Given(parameter, finite(parameter.grad, skip), state, group, 1 - skip)
            descend(parameter, update(given), group, given.take)

    return rule


def start_momentum(parameter: Tensor) -> State:
    """A zero momentum."""
    return {"momentum": torch.zeros_like(parameter)}


@each
def sgd(given: Given) -> Tensor:
    """Momentum (Sutskever et al., 2013): m = momentum m + g."""
    kept = 1 - (1 - given.group["momentum"]) * given.take
    return local(given.state["momentum"]).mul_(kept).add_(given.gradient)


@each
def lion(given: Given) -> Tensor:
    """Chen et al. (2023): sign(beta1 m + (1 - beta1) g), then m = beta2 m + (1 - beta2) g."""
    momentum = local(given.state["momentum"])
    direction = torch.lerp(given.gradient, momentum, given.group["beta1"]).sign_()
    momentum.lerp_(given.gradient, (1 - given.group["beta2"]) * given.take)
    return direction


def start_moments(parameter: Tensor) -> State:
    """Zero moments and a zero count."""
    moments = {name: torch.zeros_like(parameter) for name in ("exp_avg", "exp_avg_sq")}
    return {"step": torch.zeros((), device=parameter.device), **moments}


def fused(kernel: Any) -> Rule:
    """Adam by a kernel of PyTorch's, which reads `found_inf` itself and then writes nothing."""

    def rule(params: list[Tensor], states: list[State], group: Group, skip: Tensor) -> None:
        # Shards rather than DTensors: those cost the host a third of the step of a small model.
        grads = [local(p.grad) for p in params if p.grad is not None]
        moments = ([local(s[name]) for s in states] for name in ("exp_avg", "exp_avg_sq"))
        steps = [state["step"] for state in states]
        torch._foreach_add_(steps, 1)
        given = ("lr", "beta1", "beta2", "weight_decay", "eps")
        kernel(
            *([local(p) for p in params], grads, *moments, [], steps),
            **{name: group[name] for name in given},
            amsgrad=False,
            maximize=False,
            found_inf=skip,
        )
        torch._foreach_sub_(steps, [skip] * len(steps))

    return rule


# Loshchilov and Hutter (2019): weights decay apart from the gradient. Kingma and Ba (2015): in it.
adamw, adam = fused(torch._fused_adamw_), fused(torch._fused_adam_)
