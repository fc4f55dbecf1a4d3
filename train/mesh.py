"""Processes, and the mesh they stand in: pipe x replicate x shard x context x tensor.

Decisions that all must take alike are taken by the first and told to the others.
"""

import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NoReturn, TypeVar

import torch
import torch.distributed as dist
from torch.distributed import ProcessGroup
from torch.distributed.device_mesh import DeviceMesh, init_device_mesh

from schemas.problems import Problem
from train.config import Parallel
from train.guard import Diverged

DIMENSIONS = ("pipe", "replicate", "shard", "context", "tensor")


Value = TypeVar("Value")
MENDABLE = (Problem, Diverged, OSError)


def status_of(error: BaseException) -> int:
    """The exit status for one of `MENDABLE`."""
    return 1 if isinstance(error, Diverged) else 2


@dataclass(eq=False)
class ToldByFirst(Exception):
    """The first process ended with a mistake, and tells it: this one ends too, and says nothing."""

    status: int = 2  # with which the first ends


@dataclass(frozen=True)
class World:
    """This process among all."""

    rank: int
    size: int
    device: torch.device
    mesh: DeviceMesh | None = None  # of DIMENSIONS; none for a single process

    def size_of(self, name: str) -> int:
        """Length of a dimension of the mesh."""
        return self.mesh.size(DIMENSIONS.index(name)) if self.mesh else 1

    def rank_in(self, name: str) -> int:
        """Place of this process along a dimension of the mesh."""
        return self.mesh.get_local_rank(name) if self.mesh else 0

    def group(self, name: str) -> ProcessGroup | None:
        """The processes along a dimension of the mesh with this one; None if it is alone."""
        return self.mesh.get_group(name) if self.mesh and self.size_of(name) > 1 else None

    @property
    def data_size(self) -> int:
        """How many parts the rows of a batch are dealt into."""
        return self.size_of("replicate") * self.size_of("shard") if self.mesh else self.size

    @property
    def data_rank(self) -> int:
        """Which of the parts this process takes, as do the others of its copy of the model."""
        if self.mesh is None:
            return self.rank
        return self.rank_in("replicate") * self.size_of("shard") + self.rank_in("shard")

    def all_reduce(self, value: torch.Tensor) -> torch.Tensor:
        """Sum of `value` over all processes, in place."""
        if self.size > 1:
            dist.all_reduce(value)
        return value

    def sum_rows(self, counts: torch.Tensor) -> torch.Tensor:
        """Sum of integer `counts` of rows: what several processes share counts once."""
        return self.all_reduce(counts) // (self.size // self.data_size)

    def sum_losses(self, losses: torch.Tensor) -> torch.Tensor:
        """Sum of losses, in place. Of a tensor-parallel group each process has all of them.

        Along the context each has those of its tokens, along the pipe only the last has any.
        """
        return self.all_reduce(losses).div_(self.size_of("tensor"))

    def agreed(self, decide: Callable[[], Value]) -> Value:
        """What rank 0 decides, on every rank.

        What `decide` raises, of `MENDABLE`, is raised there, and ToldByFirst elsewhere.
        """
        if self.size == 1:
            return decide()
        told: list[Any] = [None, 0]
        error: Exception | None = None
        if self.rank == 0:
            try:
                told[0] = decide()
            except MENDABLE as raised:
                error, told[1] = raised, status_of(raised)
        # Over gloo: what the host decides need not wait for the device.
        dist.broadcast_object_list(told, src=0, device=torch.device("cpu"))
        if error:
            raise error
        if told[1]:
            raise ToldByFirst(told[1])
        value: Value = told[0]
        return value

    def gathered(self, value: Value, group: ProcessGroup | None = None) -> Sequence[Value]:
        """The values of all ranks, on every rank."""
        if self.size == 1:
            return [value]
        values: list[Any] = [None] * self.size
        dist.all_gather_object(values, value, group=group)
        return values


def start(parallel: Parallel | None = None) -> World:
    """Join the processes that torchrun started; without torchrun, this one is alone."""
    rank, size = int(os.environ.get("RANK", "0")), int(os.environ.get("WORLD_SIZE", "1"))
    device = torch.device("cpu")
    if torch.cuda.is_available():
        device = torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")))
        if device.index >= torch.cuda.device_count():
            raise Problem(
                f"this machine has {torch.cuda.device_count()} GPUs, too few for a process each: "
                "give a smaller --processes"
            )
        torch.cuda.set_device(device)
    shape = (parallel or Parallel.model_validate({})).mesh(size)
    if size == 1:
        return World(rank, size, device)
    if not dist.is_initialized():
        # Gloo also carries what the host alone needs: counts, and the wish to stop.
        backend = "cpu:gloo,cuda:nccl" if device.type == "cuda" else "gloo"
        dist.init_process_group(backend)
    mesh = init_device_mesh(device.type, shape, mesh_dim_names=DIMENSIONS)
    return World(rank, size, device, mesh)


def leave(status: int) -> NoReturn:
    """End this process, one of several, at once.

    Gloo's threads may still hold tensors. One that gives them back while the interpreter goes down
    ends the process by SIGABRT (pytorch/pytorch#179291), so it does not go down in steps.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)
