"""Decisions that all processes must take alike are taken by the first and told to the others."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import torch
import torch.distributed as dist

from schemas.problems import Problem
from train.guard import Diverged
from train.mesh import World

Value = TypeVar("Value")
MENDABLE = (Problem, Diverged, OSError)


class ToldByFirst(Exception):
    """The first process ended with a mistake, and tells it: this one ends too, and says nothing."""


def agreed(world: World, decide: Callable[[], Value]) -> Value:
    """What rank 0 decides, on every rank; what it raises is raised there, ToldByFirst elsewhere.

    Raises what `decide` does, of `MENDABLE`.
    """
    if world.size == 1:
        return decide()
    told: list[Any] = [None, False]
    error: Exception | None = None
    if world.rank == 0:
        try:
            told = [decide(), False]
        except MENDABLE as raised:
            error, told = raised, [None, True]
    # Over gloo: what the host decides need not wait for the device.
    dist.broadcast_object_list(told, src=0, device=torch.device("cpu"))
    if error:
        raise error
    if told[1]:
        raise ToldByFirst
    value: Value = told[0]
    return value


def gathered(world: World, value: Value, group: dist.ProcessGroup | None = None) -> Sequence[Value]:
    """The values of all ranks, on every rank."""
    if world.size == 1:
        return [value]
    values: list[Any] = [None] * world.size
    dist.all_gather_object(values, value, group=group)
    return values
