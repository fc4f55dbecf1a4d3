"""How the model is spread over the processes, in the one order that works."""

from typing import cast

import torch
from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.fsdp import FSDPModule, MixedPrecisionPolicy, fully_shard

from schemas.problems import Problem
from train import tensor
from train.config import Config
from train.mesh import World
from train.model import Attention, Block, Context, Decoder, FeedForward, Linear
from train.objective import Objective
from train.pipeline import Pipeline

DTYPES = {"fp16": torch.float16, "fp32": torch.float32}  # others are bf16


def build(config: Config, vocabulary: int, world: World) -> Decoder:
    """The model, or this process's stage of it, on its device with its first weights.

    vocabulary: of the shards. The order is: stages, float8, tensor parallelism, recomputation
    inside a block, compilation of the block, and sharding around it. A single process keeps
    plain tensors, which are faster.
    """
    _check(config, world)
    objective = Objective(config.objective, vocabulary, padding=-1)
    stage, stages = world.rank_in("pipe"), world.size_of("pipe")
    with torch.device("meta"):
        model = Decoder(config.model, vocabulary + objective.extra_ids, stage, stages)
    _configure(model, config, objective, world)
    if config.precision == "float8":
        _use_float8(model)
    if world.mesh and world.size_of("tensor") > 1:
        tensor.shard(model, world.mesh["tensor"])
    for block in model.blocks.values():
        cast(Block, block).recompute = config.recompute
        if model.compiled:
            block.compile(dynamic=False)
    if world.mesh and world.size > stages * world.size_of("tensor"):
        _fully_shard(model, config, _data_mesh(world, world.mesh))
    model.to_empty(device=world.device)
    if group := world.group("pipe"):
        model.pipeline = Pipeline(model, group)
    model.initialize(config.seed)
    if model.dtype == torch.float16:
        model.loss_scale = torch.tensor([2.0**16, 0.0], device=world.device)
    return model


def _check(config: Config, world: World) -> None:
    """Raise Problem if the model cannot be cut as asked."""
    model, cut, stages = config.model, world.size_of("tensor"), world.size_of("pipe")
    for key in ("kv_heads", "hidden", "vocabulary_multiple"):
        if getattr(model, key) % cut:
            raise Problem(f"parallel.tensor={cut} must divide model.{key} ({getattr(model, key)})")
    if stages > model.layers:
        raise Problem(f"parallel.pipe={stages}: the model has {model.layers} layers")
    if stages > 1 and model.tied:
        raise Problem("parallel.pipe: a tied head would be on two stages: set model.tied=false")
    wrong = ("flex", "varlen") if world.device.type == "cpu" else ("documents",)
    if config.attention in wrong:
        raise Problem(f"attention={config.attention} does not train on this device: use auto")


def _configure(model: Decoder, config: Config, objective: Objective, world: World) -> None:
    on_gpu = world.device.type == "cuda"
    if on_gpu:
        torch.set_float32_matmul_precision("high" if config.tf32 else "highest")
    auto = "bf16" if on_gpu else "fp32"
    precision = auto if config.precision == "auto" else config.precision
    model.dtype = DTYPES.get(precision, torch.bfloat16)
    model.compiled = on_gpu if config.compile == "auto" else config.compile
    model.loss_chunk = config.loss_chunk or (4096 if on_gpu else 256)
    model.bidirectional = objective.bidirectional
    context = world.group("context")
    if config.attention != "auto":
        model.backend = config.attention
    elif not on_gpu:
        model.backend = "dense" if context else "documents"
    elif model.compiled:
        fits = not (objective.has_prefix or context or model.dtype == torch.float32)
        model.backend = "varlen" if fits else "flex"
    for module in model.modules():
        if isinstance(module, Decoder | Attention):
            module.context = Context(context) if context else None
        if isinstance(module, Decoder | Attention | FeedForward):
            module.tensor_group = world.group("tensor")


def _use_float8(model: Decoder) -> None:
    """Blocks only, as the head wants high precision; sizes that the kernels cannot are left."""
    for module in model.blocks.modules():
        if isinstance(module, Linear):
            module.float8 = module.in_features % 16 == module.out_features % 16 == 0


def _data_mesh(world: World, mesh: DeviceMesh) -> DeviceMesh:
    """The mesh that weights are sharded over: (replicate,) shard x context."""
    names = ("replicate", "shard") if world.size_of("replicate") > 1 else ("shard",)
    if world.size_of("context") == 1:
        return mesh[names]
    flat = mesh["shard", "context"]._flatten("shard_context")
    return mesh["replicate", "shard_context"] if len(names) == 2 else flat


def _fully_shard(model: Decoder, config: Config, mesh: DeviceMesh) -> None:
    # The model itself casts what it is given; angles stay fp32.
    policy = MixedPrecisionPolicy(
        param_dtype=model.dtype, reduce_dtype=torch.float32, cast_forward_inputs=False
    )
    for block in model.blocks.values():
        again = config.parallel.zero == 3
        fully_shard(block, mesh=mesh, mp_policy=policy, reshard_after_forward=again)
    # Head and embedding are used at both ends of a pass: they stay gathered in between.
    fully_shard(model, mesh=mesh, mp_policy=policy, reshard_after_forward=False)
    for module in model.modules():
        if isinstance(module, FSDPModule):
            # Gradients are summed, as losses are divided by the labels of all processes; gloo
            # knows no other factor than one.
            module.set_gradient_divide_factor(1.0)
            module.set_force_sum_reduction_for_comms(True)
