"""Processes, devices, and how the model is spread over them."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from typing import NoReturn, cast

import torch
import torch.distributed as dist
from torch.distributed.fsdp import FSDPModule, MixedPrecisionPolicy, fully_shard

from schemas.problems import Problem
from train.config import Config
from train.model import Block, Decoder, token_loss


@dataclass(frozen=True)
class World:
    """This process among all."""

    rank: int
    size: int
    device: torch.device

    def all_reduce(self, value: torch.Tensor) -> torch.Tensor:
        """Sum of `value` over all processes, in place."""
        if self.size > 1:
            dist.all_reduce(value)
        return value

    def barrier(self) -> None:
        """Wait for all processes."""
        # The sum of a CPU tensor goes over gloo: a barrier under NCCL would occupy the GPU.
        self.all_reduce(torch.zeros(1))


def start() -> World:
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
    if size > 1:
        # Gloo also carries what the host alone needs: counts, and the wish to stop.
        backend = "cpu:gloo,cuda:nccl" if device.type == "cuda" else "gloo"
        dist.init_process_group(backend)
    return World(rank, size, device)


def leave(status: int) -> NoReturn:
    """End this process, one of several, at once.

    Gloo's threads may still hold tensors. One that gives them back while the interpreter goes down
    ends the process by SIGABRT (pytorch/pytorch#179291), so it does not go down in steps.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)


def compute_dtype(config: Config, device: torch.device) -> torch.dtype:
    """The type of matrix products."""
    if config.precision == "auto":
        return torch.bfloat16 if device.type == "cuda" else torch.float32
    return {"bf16": torch.bfloat16, "fp32": torch.float32}[config.precision]


def build(config: Config, vocabulary: int, world: World) -> Decoder:
    """The model on its device with its first weights, sharded if there are several processes.

    The order is: recomputation inside a block, then compilation of the block, then sharding
    around it. A single process keeps plain tensors, which are faster.
    """
    if world.device.type == "cuda":
        torch.set_float32_matmul_precision("high" if config.tf32 else "highest")
    with torch.device("meta"):
        model = Decoder(config.model, vocabulary)
    model.dtype = compute_dtype(config, world.device)
    model.compiled = world.device.type == "cuda" if config.compile == "auto" else config.compile
    model.loss_chunk = config.loss_chunk
    if config.attention == "auto":
        model.backend = "flex" if model.compiled and world.device.type == "cuda" else "sdpa"
    else:
        model.backend = config.attention
    if model.backend == "flex" and world.device.type == "cpu":
        raise Problem("attention=flex does not train on a CPU: use sdpa, or auto")

    for block in model.blocks:
        cast(Block, block).recompute = config.activation_checkpointing
        if model.compiled:
            block.compile(dynamic=False)
    if model.compiled:
        model.token_loss = torch.compile(token_loss, dynamic=False)
    if world.size > 1:
        # The model itself casts what it is given; angles stay fp32.
        policy = MixedPrecisionPolicy(
            param_dtype=model.dtype, reduce_dtype=torch.float32, cast_forward_inputs=False
        )
        for block in model.blocks:
            fully_shard(block, mp_policy=policy)
        # Head and embedding are used at both ends of a pass: they stay gathered in between.
        fully_shard(model, mp_policy=policy, reshard_after_forward=False)
    model.to_empty(device=world.device)
    model.initialize(config.seed)
    return model


def set_gradient_sync(model: Decoder, sync: bool) -> None:
    """Whether the next backward pass reduces gradients over processes, or only adds them up."""
    if isinstance(model, FSDPModule):
        model.set_requires_gradient_sync(sync)
