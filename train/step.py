"""One update: forward and backward over micro-batches, clip, and step or skip."""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.distributed.fsdp import FSDPModule

from train import optim
from train.config import Config
from train.data import IGNORED, Rows
from train.guard import Monitor
from train.loss import Losses
from train.mesh import World
from train.model import Decoder, Inputs
from train.objective import Objective

# The scale of fp16 doubles after so many good steps, as in torch.amp.GradScaler.
GOOD_STEPS = 2000


class Batch(NamedTuple):
    """Arguments of the model, and what is counted on the host."""

    inputs: Inputs
    sources: Tensor  # [rows], numbers of sources
    micro: int  # rows of one forward pass
    num_tokens: int  # that are not padding
    labels: NDArray[np.int64]  # of each source
    first: int  # number of the first row among all that are ever used


@dataclass(frozen=True)
class Feed:
    """How rows become batches: made by the thread that reads ahead."""

    objective: Objective
    device: torch.device
    micro: int  # rows of one forward pass
    num_sources: int = 1
    varlen: bool = False  # whether attention wants bounds of documents

    def batch(self, rows: Rows, first: int) -> Batch:
        """Tensors of some rows; for a GPU in pinned memory, from which copies do not block.

        first: number of the first row among all that are ever used.
        """
        given = self.objective.prepare(rows.ids, rows.begins, first)
        arrays = [*given, document_bounds(given.segments, self.micro) if self.varlen else None]
        tensors = [None if array is None else torch.from_numpy(array) for array in arrays]
        if self.device.type == "cuda":
            tensors = [None if tensor is None else tensor.pin_memory() for tensor in tensors]
        labels = np.bincount(rows.sources, (given.labels != IGNORED).sum(1), self.num_sources)
        inputs, sources = Inputs(*tensors), torch.from_numpy(rows.sources)  # type: ignore[arg-type]
        num_tokens = int((rows.ids != self.objective.padding).sum())
        return Batch(inputs, sources, self.micro, num_tokens, labels.astype(np.int64), first)


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


def passes(batch: Batch, device: torch.device) -> list[tuple[Inputs, Tensor]]:
    """The batch in parts of `micro` rows, on the device, with the sources of their rows."""
    count = len(batch.sources) // batch.micro
    split = [
        [None] * count if tensor is None else torch.split(tensor, len(tensor) // count)
        for tensor in (*batch.inputs, batch.sources)
    ]
    moved = (
        [None if tensor is None else tensor.to(device, non_blocking=True) for tensor in part]
        for part in zip(*split, strict=True)
    )
    return [(Inputs(*inputs), sources) for *inputs, sources in moved]  # type: ignore[arg-type, misc]


class Outcome(NamedTuple):
    """What an update did, still on the device."""

    loss: Tensor  # nats a label, over the global batch; fp32 scalar, as the next three
    grad_norm: Tensor
    skipped: Tensor  # 1 if the weights were left as they were
    spike: Tensor  # 1 if the loss left the course of those before
    nats: Tensor  # of each source over the global batch, fp32 [sources]


class Trainer:
    """A model, and what it takes to train it."""

    def __init__(self, config: Config, model: Decoder, world: World) -> None:
        """The optimizer's state and the monitor are what they are at the beginning."""
        self.model, self.world = model, world
        self.optimizer = optim.build(model, config.optimizer)
        self.monitor = Monitor(config.guard, world.device)
        self.clip, self.every_pass = config.optimizer.clip, config.parallel.reduce_every_pass

    def step(self, batch: Batch, num_labels: int, rate: float) -> Outcome:
        """Train on one global batch, of which `batch` is this process's share.

        num_labels: of the global batch. rate: the learning rate. The update is skipped if the loss
        or the gradient is not finite, if there are no labels, or at a spike if the monitor skips
        those. All processes decide the same, as both numbers are sums over all of them.
        """
        nats = self.world.sum_losses(self.accumulate(batch, num_labels))
        loss = nats.sum() / max(1, num_labels)
        norm = self.clip_gradient(self.clip)
        ruined = (~(torch.isfinite(loss) & torch.isfinite(norm))).float()
        if num_labels == 0:
            skipped, spike = torch.ones_like(loss), ruined
        else:
            spike = torch.maximum(self.monitor.is_spike(loss), ruined)
            skipped = spike if self.monitor.skips else ruined
        self.optimizer.update(rate, skipped)
        adapt_scale(self.model, skipped)
        return Outcome(loss, norm, skipped, spike, nats)

    def restart(self, seed: int) -> None:
        """Make all that was learned what it was at the beginning."""
        self.model.initialize(seed)
        self.optimizer.restart()
        self.monitor.reset()

    def accumulate(self, batch: Batch, num_labels: int) -> Tensor:
        """Add the gradient of the batch's mean loss to the parameters.

        num_labels: of the global batch, which every loss is divided by, so that the sum over
        micro-batches and processes is the mean over all labels however they are spread.
        Returns the nats of each source, fp32 [sources], that this process has seen.
        """
        model, device = self.model, self.world.device
        if model.shape.dropout:
            # By the rows, so that a run that is resumed goes on as if it had not ended.
            torch.manual_seed(batch.first << 16 | self.world.rank_in("context"))
        nats = torch.zeros(len(batch.labels), device=device)
        factor = scale(model) / max(1, num_labels)
        if model.pipeline is not None:
            count = len(batch.sources) // batch.micro
            [(inputs, sources)] = passes(batch._replace(micro=len(batch.sources)), device)
            each = model.pipeline.run(inputs, count, factor)
            return nats.index_add_(0, sources, each.sum(1))
        parts = passes(batch, device)
        for index, (inputs, sources) in enumerate(parts):
            if isinstance(model, FSDPModule):  # else the gradient is only added up
                model.set_requires_gradient_sync(self.every_pass or index == len(parts) - 1)
            losses = model(*inputs)
            (losses.total * factor).sum().backward()
            nats.index_add_(0, sources, losses.each.sum(1))
        return nats

    def clip_gradient(self, largest: float) -> Tensor:
        """Scale the gradient down to norm `largest`; returns its norm before, over all of it."""
        norm = optim.norm(self.model, self.world) / scale(self.model)
        optim.scale(self.model, (largest / (norm + 1e-6)).clamp(max=1.0) / scale(self.model))
        return norm


def losses_of(model: Decoder, inputs: Inputs) -> Tensor:
    """Nats of every token, [rows, T], without a gradient; a part of them, see World.sum_losses."""
    if model.pipeline is not None:
        return model.pipeline.run(inputs, 1, None)
    losses: Losses = model(*inputs)
    return losses.each


def scale(model: Decoder) -> Tensor | float:
    """What losses are multiplied by, so that fp16 gradients do not vanish."""
    return model.loss_scale[0] if model.loss_scale is not None else 1.0


def adapt_scale(model: Decoder, skipped: Tensor) -> None:
    """Halve the scale of fp16 after a skipped step; double it after GOOD_STEPS good ones."""
    if model.loss_scale is None:
        return
    value, good = model.loss_scale
    good = (good + 1) * (1 - skipped)
    grown = (good >= GOOD_STEPS).float()
    model.loss_scale.copy_(torch.stack([value * 2**grown * 0.5**skipped, good * (1 - grown)]))
