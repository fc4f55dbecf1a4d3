"""One update: forward and backward over micro-batches, clip, and step or skip."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from train import optim
from train.data import IGNORED, Rows
from train.guard import Monitor
from train.loss import Losses
from train.mesh import World
from train.model import Decoder, Inputs
from train.objective import Objective
from train.parallel import set_gradient_sync

# The scale of fp16 doubles after so many good steps, as in torch.amp.GradScaler.
GOOD_STEPS = 2000


class Batch(NamedTuple):
    """Arguments of the model, and what is counted on the host."""

    inputs: Inputs
    sources: Tensor  # [rows], numbers of sources
    num_tokens: int  # that are not padding
    num_labels: int
    labels: NDArray[np.int64]  # of each source
    first: int  # number of the first row among all that are ever used


@dataclass(frozen=True)
class Feed:
    """How rows become batches: made by the thread that reads ahead."""

    objective: Objective
    device: torch.device
    micro: int  # rows of one forward pass
    num_sources: int
    varlen: bool = False  # whether attention wants bounds of documents

    def batch(self, rows: Rows, first: int) -> Batch:
        """Tensors of some rows; for a GPU in pinned memory, from which copies do not block.

        first: number of the first row among all that are ever used.
        """
        given = self.objective.prepare(rows.ids, rows.begins, first)
        tensors = [None if array is None else torch.from_numpy(array) for array in given]
        if self.varlen:
            tensors.append(torch.from_numpy(document_bounds(given.segments, self.micro)))
        if self.device.type == "cuda":
            tensors = [None if tensor is None else tensor.pin_memory() for tensor in tensors]
        labels = (given.labels != IGNORED).sum(1)
        return Batch(
            Inputs(*tensors),  # type: ignore[arg-type]
            torch.from_numpy(rows.sources),
            int((rows.ids != self.objective.padding).sum()),
            int(labels.sum()),
            np.bincount(rows.sources, labels, self.num_sources).astype(np.int64),
            first,
        )


def document_bounds(segments: NDArray[np.int32], micro: int) -> NDArray[np.int32]:
    """Where the segments of each pass of `micro` rows begin, and its end, repeated: [passes, N].

    N is a power of two and one, so that few shapes occur and compiled code is kept.
    """
    passes = segments.reshape(-1, micro * segments.shape[1])
    begins = np.diff(segments, axis=1, prepend=segments[:, :1] - 1).reshape(passes.shape) != 0
    most = max(256, 1 << int(begins.sum(1).max() - 1).bit_length())
    bounds = np.full((len(passes), most + 1), passes.shape[1], np.int32)
    for row, begin in zip(bounds, begins, strict=True):
        places = np.flatnonzero(begin)
        row[: len(places)] = places
    return bounds


def micro_rows(rows: int, most: int) -> int:
    """Largest divisor of `rows` that is at most `most`, so that all shapes are equal."""
    return next(n for n in range(min(rows, most), 0, -1) if rows % n == 0)


def passes(batch: Batch, micro: int, device: torch.device) -> list[tuple[Inputs, Tensor]]:
    """The batch in parts of `micro` rows, on the device, with the sources of their rows."""
    count = len(batch.sources) // micro
    split = [
        [None] * count if tensor is None else torch.split(tensor, len(tensor) // count)
        for tensor in (*batch.inputs, batch.sources)
    ]
    moved = (
        [None if tensor is None else tensor.to(device, non_blocking=True) for tensor in part]
        for part in zip(*split, strict=True)
    )
    return [(Inputs(*inputs), sources) for *inputs, sources in moved]  # type: ignore[arg-type, misc]


def accumulate(
    model: Decoder,
    batch: Batch,
    num_labels: int,
    micro: int,
    world: World,
    *,
    every_pass: bool = False,
) -> Tensor:
    """Add the gradient of the batch's mean loss to the parameters.

    num_labels: of the global batch, which every loss is divided by, so that the sum over
    micro-batches and processes is the mean over all labels however they are spread.
    micro: rows of one forward pass. every_pass: reduce the gradient after each.
    Returns the nats of each source, fp32 [sources], that this process has seen.
    """
    if model.shape.dropout:
        # By the rows, so that a run that is resumed goes on as if it had not ended.
        torch.manual_seed(batch.first << 16 | world.rank_in("context"))
    nats = torch.zeros(len(batch.labels), device=world.device)
    factor = scale(model) / max(1, num_labels)
    if model.pipeline is not None:
        [(inputs, sources)] = passes(batch, len(batch.sources), world.device)
        each = model.pipeline.run(inputs, len(batch.sources) // micro, factor)
        return nats.index_add_(0, sources, each.sum(1))
    parts = passes(batch, micro, world.device)
    for index, (inputs, sources) in enumerate(parts):
        set_gradient_sync(model, every_pass or index == len(parts) - 1)
        losses = model(*inputs)
        (losses.total * factor).sum().backward()
        nats.index_add_(0, sources, losses.each.sum(1))
    return nats


def losses_of(model: Decoder, inputs: Inputs) -> Tensor:
    """Nats of every token, [rows, T], without a gradient; a part of them, see World.sum_losses."""
    if model.pipeline is not None:
        return model.pipeline.run(inputs, 1, None)
    losses: Losses = model(*inputs)
    return losses.each


def scale(model: Decoder) -> Tensor | float:
    """What losses are multiplied by, so that fp16 gradients do not vanish."""
    return model.loss_scale[0] if model.loss_scale is not None else 1.0


class Outcome(NamedTuple):
    """What an update did, still on the device."""

    loss: Tensor  # nats a label, over the global batch; fp32 scalar, as the next three
    grad_norm: Tensor
    skipped: Tensor  # 1 if the weights were left as they were
    spike: Tensor  # 1 if the loss left the course of those before
    nats: Tensor  # of each source over the global batch, fp32 [sources]


def train_step(
    model: Decoder,
    optimizer: optim.Optimizer,
    batch: Batch,
    *,
    num_labels: int,
    micro: int,
    rate: float,
    clip: float,
    monitor: Monitor,
    world: World,
    every_pass: bool = False,
) -> Outcome:
    """Train on one global batch, of which `batch` is this process's share.

    The update is skipped if the loss or the gradient is not finite, if the batch has no labels, or
    at a spike if the monitor skips those. All processes decide the same, as both numbers are sums
    over all of them.
    """
    seen = accumulate(model, batch, num_labels, micro, world, every_pass=every_pass)
    nats = world.sum_losses(seen)
    loss = nats.sum() / max(1, num_labels)
    norm = clip_gradient(model, clip, world)
    ruined = (~(torch.isfinite(loss) & torch.isfinite(norm))).float()
    if num_labels == 0:
        skipped, spike = torch.ones_like(loss), ruined
    else:
        spike = torch.maximum(monitor.is_spike(loss), ruined)
        skipped = spike if monitor.skips else ruined
    optimizer.update(rate, skipped)
    adapt_scale(model, skipped)
    return Outcome(loss, norm, skipped, spike, nats)


def clip_gradient(model: Decoder, largest: float, world: World) -> Tensor:
    """Scale the gradient down to norm `largest`; returns its norm before, over all processes."""
    norm = optim.norm(model, world) / scale(model)
    optim.scale(model, (largest / (norm + 1e-6)).clamp(max=1.0) / scale(model))
    return norm


def adapt_scale(model: Decoder, skipped: Tensor) -> None:
    """Halve the scale of fp16 after a skipped step; double it after GOOD_STEPS good ones."""
    if model.loss_scale is None:
        return
    value, good = model.loss_scale
    good = (good + 1) * (1 - skipped)
    grown = (good >= GOOD_STEPS).float()
    model.loss_scale.copy_(torch.stack([value * 2**grown * 0.5**skipped, good * (1 - grown)]))
