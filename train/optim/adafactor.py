"""Adafactor (Shazeer and Stern, 2018): second moments of a matrix as a row and a column.

No momentum; the learning rate is the schedule's, and updates are clipped to a root mean square
of 1. Decay is decoupled.
"""

from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor
from torch.distributed import tensor as sharded
from torch.distributed.tensor import DTensor, Replicate, Shard

from train.local import cut_dim, local
from train.optim.rules import Given, State, each

# Added to squares of gradients, and the exponent of 1 - step^-0.8, the decay of moments.
TINY, POWER = 1e-30, 0.8


def start(parameter: Tensor) -> State:
    """Zero moments: a row and a column of a matrix, all of a vector."""
    state = {"step": torch.zeros((), device=parameter.device)}
    if parameter.ndim < 2:
        return state | {"square": torch.zeros_like(parameter)}
    return state | {"row": _without(parameter, 1), "column": _without(parameter, 0)}


@each
def adafactor(given: Given) -> Tensor:
    """g / sqrt(moment), clipped."""
    parameter, gradient, state, _, take = given
    state["step"] += take
    change = take * (state["step"].clamp(min=1) ** -POWER)
    square = gradient.square() + TINY
    if parameter.ndim < 2:
        moment = local(state["square"]).lerp_(square, change)
    else:
        row = local(state["row"]).lerp_(_mean(square, parameter, 1), change)
        column = local(state["column"]).lerp_(_mean(square, parameter, 0), change)
        whole = _sum(row.sum(), state["row"], 0) / parameter.shape[0]
        moment = (row / whole.clamp(min=TINY)).unsqueeze(1) * column
    update = gradient * moment.clamp(min=TINY).rsqrt()
    size = update.square().sum()
    for dim in range(parameter.ndim):
        size = _sum(size, parameter, dim)
    return update / (size / parameter.numel()).sqrt().clamp(min=1.0)


def _mean(square: Tensor, like: Tensor, dim: int) -> Tensor:
    """Mean over a dimension of a matrix of which `square` is this process's part."""
    return _sum(square.sum(dim), like, dim) / like.shape[dim]


def _sum(value: Tensor, like: Tensor, dim: int) -> Tensor:
    """Add `value` over the processes that cut `like` along `dim`."""
    if isinstance(like, DTensor):
        for index, placement in enumerate(like.placements):
            if cut_dim(placement) == dim:
                dist.all_reduce(value, group=like.device_mesh.get_group(index))
    return value


def _without(parameter: Tensor, dim: int) -> Tensor:
    """Zeros of a matrix's shape without `dim`, sharded as the other dimension is."""
    kept = 1 - dim
    if not isinstance(parameter, DTensor):
        return torch.zeros(parameter.shape[kept], device=parameter.device)
    placements = [
        _first_dimension(placement) if cut_dim(placement) == kept else Replicate()
        for placement in parameter.placements
    ]
    mesh = parameter.device_mesh
    return sharded.zeros(parameter.shape[kept], device_mesh=mesh, placements=placements)


def _first_dimension(placement: Any) -> Any:
    """The same cut of a vector."""
    factor = getattr(placement, "split_factor", None)
    return type(placement)(0, split_factor=factor) if factor else Shard(0)
