"""Pipeline parallelism: stages of blocks, one forward and one backward pass in turn (1F1B).

The stages and their messages are PyTorch's. Every process of a pipe is given the same rows; the
first takes the tokens, the last the labels, and only the last has losses.
"""

import functools
from typing import Any

import torch
from torch import Tensor, nn
from torch.distributed import ProcessGroup
from torch.distributed.pipelining import PipelineStage, Schedule1F1B, ScheduleGPipe

from train.loss import Losses


class Pipeline:
    """Runs batches through the stages, of which this process has one."""

    def __init__(self, stage: nn.Module, group: ProcessGroup) -> None:
        """group: the processes of the pipe, in the order of the stages."""
        self._stage, self._group = stage, group
        # Stages may return no tuples but plain ones.
        stage.register_forward_hook(
            lambda *given: tuple(given[2]) if type(given[2]) is Losses else None
        )
        self._schedule = functools.cache(self._make)
        self._factor: Tensor | float = 1.0
        self._each: list[Tensor] = []

    def run(self, inputs: Any, count: int, factor: Tensor | float | None) -> Tensor:
        """Nats of every token of a batch, [rows, T]; zero on all but the last stage.

        inputs: model.Inputs with labels, of rows cut into `count` passes. factor: what losses are
        multiplied by before the backward pass; None runs no backward pass.
        """
        named = {key: value for key, value in inputs._asdict().items() if value is not None}
        tokens = named.pop("tokens")
        schedule = self._schedule(tokens.shape, count, backward=factor is not None)
        self._factor, self._each = 1.0 if factor is None else factor, []
        given = (tokens,) if self._group.rank() == 0 else ()
        run = schedule.eval if factor is None else schedule.step
        run(*given, target=named["labels"], **named)
        if self._each:
            return torch.cat(self._each[-count:])  # the first pass may be run to learn shapes
        return torch.zeros(tokens.shape, device=tokens.device)

    def _loss(self, losses: tuple[Tensor, Tensor], labels: Tensor) -> Tensor:  # noqa: ARG002
        total, each = losses
        self._each.append(each)
        return (total * self._factor).sum()

    def _make(self, shape: torch.Size, count: int, *, backward: bool) -> Any:  # noqa: ARG002
        """A schedule of `count` passes over rows of one shape, which a stage learns but once."""
        device, group = next(self._stage.parameters()).device, self._group
        stage = PipelineStage(self._stage, group.rank(), group.size(), device, group=group)
        schedule = Schedule1F1B if backward else ScheduleGPipe
        return schedule(stage, count, loss_fn=self._loss, scale_grads=False)
