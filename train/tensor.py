"""Tensor parallelism: each process of a group has some heads, channels and vocabulary.

Megatron's scheme (Shoeybi et al., 2019): q, k, v, gate and up are cut by rows, the outputs by
columns, the embedding and the head by vocabulary; a block enters twice and leaves twice.
"""

from typing import Any

import torch
import torch.distributed._functional_collectives as collectives
from torch import Tensor, nn
from torch.distributed import ProcessGroup
from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.tensor import Replicate, Shard, distribute_tensor

# torch 2.15 calls it by another name than torch 2.11.
_NAMES = ("all_gather_single_autograd", "all_gather_tensor_autograd")
_all_gather = next(getattr(collectives, name) for name in _NAMES if hasattr(collectives, name))

# Of the parameters that are cut: along which dimension. Others are the same everywhere.
ROWS = ("q", "k", "v", "gate", "up", "embedding", "head")
COLUMNS = ("output",)


def placement(name: str) -> Shard | Replicate:
    """How the parameter of a name is cut over the tensor dimension."""
    module, kind = name.split(".")[-2:]
    if module in ROWS:
        return Shard(0)
    return Shard(1) if module in COLUMNS and kind == "weight" else Replicate()


def shard(model: nn.Module, mesh: DeviceMesh) -> None:
    """Cut the parameters of a model on the meta device over a one-dimensional mesh."""
    for name, parameter in list(model.named_parameters()):
        # Without a source: each process has its part, and nothing is sent.
        part = distribute_tensor(parameter, mesh, [placement(name)], src_data_rank=None)
        module, _, kind = name.rpartition(".")
        model.get_submodule(module).register_parameter(kind, nn.Parameter(part))


def enter(x: Tensor, group: ProcessGroup | None) -> Tensor:
    """What is whole on every process of a group, before each computes a part of its own."""
    return x if group is None else _Enter.apply(x, group)


def leave(x: Tensor, group: ProcessGroup | None) -> Tensor:
    """The sum of what the processes of a group computed apart, whole on every one."""
    return x if group is None else _Leave.apply(x, group)


def gather(x: Tensor, dim: int, group: ProcessGroup) -> Tensor:
    """The parts of all processes of a group along `dim`; the gradient goes back to its part."""
    gathered: Tensor = _all_gather(x.contiguous(), dim, group)
    return gathered


class _Enter(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, group: ProcessGroup) -> Tensor:
        ctx.group = group
        return x.view_as(x)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None]:
        return collectives.all_reduce(grads[0].contiguous(), "sum", ctx.group), None


class _Leave(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, group: ProcessGroup) -> Tensor:  # noqa: ARG004
        return collectives.all_reduce(x.contiguous(), "sum", group)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None]:  # noqa: ARG004
        return grads[0], None
