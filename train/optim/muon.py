"""Muon (Jordan et al., 2024): momentum whose singular values are all brought near 1.

The update is scaled to the root mean square of AdamW's, .2 sqrt(max(rows, columns)), so that
one learning rate and one decay serve all parameters (Liu et al., 2025, arXiv:2502.16982).
"""

import math
from typing import Any

import torch
from torch import Tensor
from torch.distributed.tensor import DTensor, Shard

from train.local import cut_dim, finite, local
from train.optim.rules import State, descend

# Of the quintic iteration, from Jordan's reference implementation.
COEFFICIENTS = (3.4445, -4.7750, 2.0315)
ITERATIONS = 5


def muon(params: list[Tensor], states: list[State], group: dict[str, Any], skip: Tensor) -> None:
    """m = momentum m + (1 - momentum) g; w = w - lr (scale orthogonal(nesterov) + decay w)."""
    take = 1 - skip
    updates = []
    for parameter, state in zip(params, states, strict=True):
        gradient, momentum = finite(parameter.grad, skip), local(state["momentum"])
        momentum.lerp_(gradient, (1 - group["momentum"]) * take)
        updates.append(torch.lerp(gradient, momentum, group["momentum"]))
    alike: dict[Any, list[int]] = {}
    for index, parameter in enumerate(params):
        placements = parameter.placements if isinstance(parameter, DTensor) else ()
        alike.setdefault((parameter.shape, placements), []).append(index)
    for indices in alike.values():
        first = params[indices[0]]
        stack = orthogonal(torch.stack([updates[index] for index in indices]), first)
        factor = 0.2 * max(first.shape) ** 0.5
        for index, update in zip(indices, stack, strict=True):
            descend(params[index], update * factor, group, take)


def orthogonal(stack: Tensor, like: Tensor) -> Tensor:
    """The nearest orthogonal matrices to a stack of matrices that are sharded as `like` is.

    stack: [n, ...], this process's shards. Between processes the matrices are dealt out whole
    (an all-to-all), so that each iterates on its share of them and on none twice.
    """
    if not isinstance(like, DTensor):
        return iterate(stack)
    mesh, moves = like.device_mesh, []
    for index, dim in enumerate(map(cut_dim, like.placements)):
        if dim is None:
            continue
        # An inner dimension of the mesh cut a parameter before an outer one did.
        inner = range(index + 1, mesh.ndim)
        before = math.prod(mesh.size(i) for i in inner if cut_dim(like.placements[i]) == dim)
        whole = list(stack.shape)
        whole[dim + 1] = like.shape[dim] // before
        part = mesh[mesh.mesh_dim_names[index]] if mesh.mesh_dim_names else mesh
        moves.append((part, dim + 1, whole))
        stack = _redistribute(stack, part, dim + 1, 0, whole)
    stack = iterate(stack) if len(stack) else stack
    for part, cut, whole in reversed(moves):
        stack = _redistribute(stack, part, 0, cut, whole)
    return stack


def _redistribute(stack: Tensor, mesh: Any, before: int, after: int, whole: list[int]) -> Tensor:
    size, stride = torch.Size(whole), (whole[1] * whole[2], whole[2], 1)
    spread = DTensor.from_local(
        stack.contiguous(), mesh, [Shard(before)], run_check=False, shape=size, stride=stride
    )
    return spread.redistribute(placements=[Shard(after)]).to_local()


def iterate(stack: Tensor) -> Tensor:
    """Five quintic Newton-Schulz steps on each matrix of [n, rows, columns]."""
    x = stack.to(torch.bfloat16) if stack.is_cuda else stack
    tall = x.shape[-2] > x.shape[-1]
    x = x.mT if tall else x
    x = x / (x.norm(dim=(-2, -1), keepdim=True) + 1e-7)
    a, b, c = COEFFICIENTS
    for _ in range(ITERATIONS):
        gram = x @ x.mT
        x = a * x + (b * gram + c * gram @ gram) @ x
    return (x.mT if tall else x).to(stack.dtype)
