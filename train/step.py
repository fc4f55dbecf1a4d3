"""One update: forward and backward over micro-batches, clip, and step or skip."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from train import optim
from train.data import IGNORED, Rows, targets
from train.guard import Monitor
from train.model import Decoder
from train.parallel import World, set_gradient_sync


class Batch(NamedTuple):
    """Arguments of the model, each [rows, T], and what is counted on the host."""

    inputs: tuple[Tensor, ...]  # tokens, positions, segments, labels
    num_tokens: int  # that are not padding
    num_labels: int


def to_batch(rows: Rows, padding: int, device: torch.device) -> Batch:
    """Tensors of some rows; for a GPU in pinned memory, from which copies do not block."""
    labels, positions, segments = targets(rows.ids, rows.begins, padding)
    tensors = [
        torch.from_numpy(array) for array in (rows.ids.astype("int64"), positions, segments, labels)
    ]
    if device.type == "cuda":
        tensors = [tensor.pin_memory() for tensor in tensors]
    num_tokens, num_labels = int((rows.ids != padding).sum()), int((labels != IGNORED).sum())
    return Batch(tuple(tensors), num_tokens, num_labels)


def micro_rows(rows: int, most: int) -> int:
    """Largest divisor of `rows` that is at most `most`, so that all shapes are equal."""
    return next(n for n in range(min(rows, most), 0, -1) if rows % n == 0)


def accumulate(model: Decoder, batch: Batch, num_labels: int, micro: int, world: World) -> Tensor:
    """Add the gradient of the batch's mean loss to the parameters; returns this process's part.

    num_labels: of the global batch, which every loss is divided by, so that the sum over
    micro-batches and processes is the mean over all labels however they are spread.
    micro: rows of one forward pass.
    """
    total = torch.zeros((), device=world.device)
    parts = list(zip(*(torch.split(tensor, micro) for tensor in batch.inputs), strict=True))
    for index, part in enumerate(parts):
        inputs = (tensor.to(world.device, non_blocking=True) for tensor in part)
        set_gradient_sync(model, index == len(parts) - 1)
        loss = model(*inputs).sum() / max(1, num_labels)
        # Sharding averages gradients over processes: multiplied here, they are summed.
        (loss * world.size).backward()
        total += loss.detach()
    return total


class Outcome(NamedTuple):
    """What an update did, as fp32 scalars still on the device."""

    loss: Tensor  # nats a label, over the global batch
    grad_norm: Tensor
    skipped: Tensor  # 1 if the weights were left as they were
    spike: Tensor  # 1 if the loss left the course of those before


def train_step(
    model: Decoder,
    optimizer: torch.optim.AdamW,
    batch: Batch,
    *,
    num_labels: int,
    micro: int,
    rate: float,
    clip: float,
    monitor: Monitor,
    world: World,
) -> Outcome:
    """Train on one global batch, of which `batch` is this process's share.

    The update is skipped if the loss or the gradient is not finite, if the batch has no labels, or
    at a spike if the monitor skips those. All processes decide the same, as both numbers are sums
    over all of them.
    """
    loss = world.all_reduce(accumulate(model, batch, num_labels, micro, world))
    norm = optim.clip(model, clip)
    ruined = (~(torch.isfinite(loss) & torch.isfinite(norm))).float()
    if num_labels == 0:
        skipped, spike = torch.ones_like(loss), ruined
    else:
        spike = torch.maximum(monitor.is_spike(loss), ruined)
        skipped = spike if monitor.skips else ruined
    optim.update(optimizer, rate, skipped)
    return Outcome(loss, norm, skipped, spike)
