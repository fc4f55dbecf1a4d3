"""What of a tensor this process holds; functions that are compiled."""

import functools
from collections.abc import Callable
from typing import Any, cast

import torch
from torch import Tensor
from torch.distributed.tensor import DTensor, distribute_tensor


@functools.cache
def compiled(function: Callable[..., Any]) -> Callable[..., Any]:
    """A function compiled once, for shapes that do not change."""
    return torch.compile(function, dynamic=False)


def local(tensor: Tensor) -> Tensor:
    """The shard of a sharded tensor, or the tensor itself; writing to it writes to the tensor."""
    return tensor.to_local() if isinstance(tensor, DTensor) else tensor


def finite(gradient: Tensor | None, skip: Tensor) -> Tensor:
    """This process's part of a gradient, zero where the step is skipped: NaN * 0 is NaN."""
    return local(cast(Tensor, gradient)).masked_fill(skip.bool(), 0.0)


def cut_dim(placement: Any) -> int | None:
    """The dimension of a tensor that a placement cuts: FSDP's strided shards cut one too."""
    return getattr(placement, "dim", None)


@torch.no_grad()
def fill(parameter: Tensor, value: Tensor) -> None:
    """Write a whole value into a parameter, of which this process may hold a share."""
    if isinstance(parameter, DTensor):
        mesh, placements = parameter.device_mesh, parameter.placements
        value = distribute_tensor(value, mesh, placements, src_data_rank=None).to_local()
        parameter = parameter.to_local()
    parameter.copy_(value)
