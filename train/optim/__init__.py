"""Optimizers whose updates can be skipped exactly, on plain and on sharded parameters.

An update is skipped by a factor that is 0 or 1 on the device, so that the host need not wait to
know. A zero gradient would not do: moments and decay move the weights by it too. Every rule
works on the tensors this process holds; only Muon and Adafactor send anything.
"""

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn
from torch.distributed.tensor import DTensor

from train import config
from train.local import cut_dim, local
from train.mesh import World
from train.model import Decoder
from train.optim import adafactor, muon, rules

# By name: the state at the beginning, and the rule.
RULES = {
    "adamw": (rules.start_moments, rules.adamw),
    "adam": (rules.start_moments, rules.adam),
    "muon": (rules.start_momentum, muon.muon),
    "sgd": (rules.start_momentum, rules.sgd),
    "lion": (rules.start_momentum, rules.lion),
    "adafactor": (adafactor.start, adafactor.adafactor),
}


class Optimizer(torch.optim.Optimizer):
    """Groups of parameters, each with its rule and its share (`lr_factor`) of the rate.

    All state is there from the beginning, and is sharded as the parameter is.
    """

    def __init__(self, groups: Iterable[dict[str, Any]], settings: config.Optimizer) -> None:
        """Each group has `params`, `rule`, `weight_decay` and `lr_factor`."""
        names = ("lr", "beta1", "beta2", "eps", "momentum")
        super().__init__(groups, {name: getattr(settings, name) for name in names})
        self.restart()

    def restart(self) -> None:
        """Make all state what it is at the beginning."""
        for group in self.param_groups:
            for parameter in group["params"]:
                self.state[parameter] = RULES[group["rule"]][0](parameter)

    @torch.no_grad()
    def update(self, rate: float, skip: Tensor) -> None:
        """Take one step at learning rate `rate` and clear the gradient.

        skip: fp32 scalar on the device; where it is 1, weights and state keep every bit.
        """
        for group in self.param_groups:
            group["lr"] = rate * group["lr_factor"]
            params = [p for p in group["params"] if p.grad is not None]
            if params:
                states = [self.state[parameter] for parameter in params]
                RULES[group["rule"]][1](params, states, group, skip)
        self.zero_grad()


def build(model: Decoder, settings: config.Optimizer) -> Optimizer:
    """The optimizer of a model. Only matrices decay, and the embedding is none of them.

    Muon is for the matrices of the blocks; AdamW takes the rest.
    """
    rest = "adamw" if settings.name == "muon" else settings.name
    shape = model.shape
    groups: dict[Any, dict[str, Any]] = {}
    for name, parameter in model.named_parameters():
        rule, decay, factor = str(rest), 0.0, 1.0
        if name == "embedding.weight":
            factor = settings.embedding_lr or shape.first_embedding_std / shape.init_std
        elif parameter.ndim == 2 and name != "position.weight":
            rule = settings.name if name.startswith("blocks.") else rest
            decay = settings.weight_decay
        key = {"rule": rule, "weight_decay": decay, "lr_factor": factor}
        groups.setdefault(tuple(key.values()), {**key, "params": []})["params"].append(parameter)
    return Optimizer(groups.values(), settings)


@torch.no_grad()
def norm(model: nn.Module, world: World) -> Tensor:
    """Norm of the gradient, fp32 scalar, over all shards and stages of the model.

    One sum over all processes, so that all have the same bits; what several hold alike is
    divided among them.
    """
    total = torch.zeros((), device=world.device)
    alike: dict[int, list[Tensor]] = {}
    for parameter in model.parameters():
        if parameter.grad is not None:
            alike.setdefault(_holders(parameter, world), []).append(local(parameter.grad))
    for holders, grads in alike.items():
        total += torch.stack(torch._foreach_norm(grads)).float().square().sum() / holders
    return world.all_reduce(total).sqrt()


def _holders(parameter: Tensor, world: World) -> int:
    """How many processes hold each part of a parameter."""
    count = world.size // world.size_of("pipe")
    if isinstance(parameter, DTensor):
        for index, placement in enumerate(parameter.placements):
            count //= parameter.device_mesh.size(index) if cut_dim(placement) is not None else 1
    return count


@torch.no_grad()
def scale(model: nn.Module, factor: Tensor) -> None:
    """Multiply the gradient by a scalar on the device."""
    torch._foreach_mul_([local(p.grad) for p in model.parameters() if p.grad is not None], factor)
