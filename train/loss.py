"""Cross-entropy of a linear head, in one pass and without all of its logits.

The logits of a chunk of tokens are turned into losses and into their own gradient while they are
at hand: nothing is computed twice, and no more than a chunk's are ever held.
"""

from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.distributed import ProcessGroup, ReduceOp, all_reduce

from train import local
from train.data import IGNORED


class Losses(NamedTuple):
    """What the model says of a batch."""

    total: Tensor  # sum in nats, fp32 [1], which carries the gradient
    each: Tensor  # nats of every token, fp32 [batch, T], 0 where there is no label; no gradient


def linear_cross_entropy(
    hidden: Tensor,
    weight: Tensor,
    labels: Tensor,
    chunk: int,
    group: ProcessGroup | None = None,
    compiled: bool = False,
) -> Losses:
    """Losses of labels [batch, T] given hidden [batch, T, dim] and a head [vocabulary, dim].

    chunk: tokens whose logits are held at once. group: the processes that share the vocabulary,
    each of which has as many rows of the head, in the order of their ranks; `hidden` is whole.
    """
    return Losses(*_LinearCrossEntropy.apply(hidden, weight, labels, chunk, group, compiled))


class _LinearCrossEntropy(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, hidden: Tensor, weight: Tensor, labels: Tensor, chunk: int, *how: Any
    ) -> tuple[Tensor, Tensor]:
        group, is_compiled = how
        wanted = ctx.needs_input_grad[0] or ctx.needs_input_grad[1]
        shape, each = hidden.shape, torch.empty(labels.shape, device=hidden.device)
        hidden, labels, losses = hidden.flatten(0, 1), labels.flatten(), each.view(-1)
        first = group.rank() * len(weight) if group else 0
        grad_hidden = torch.empty_like(hidden) if wanted else None
        grad_weight = torch.zeros_like(weight, dtype=torch.float32) if wanted else None
        softmax = local.compiled(_softmax) if is_compiled else _softmax
        for start in range(0, len(hidden), chunk):
            part = slice(start, start + chunk)
            logits = hidden[part] @ weight.T
            if group is None:
                losses[part], grad = softmax(logits, labels[part], wanted)
            else:
                losses[part], grad = _shared_softmax(logits, labels[part], first, group, wanted)
            if grad_hidden is not None and grad_weight is not None:
                torch.mm(grad, weight, out=grad_hidden[part])
                if grad.dtype == torch.float32:
                    grad_weight.addmm_(grad.T, hidden[part])
                else:
                    grad_weight += grad.T @ hidden[part]
        ctx.save_for_backward(grad_hidden, grad_weight)
        ctx.shape, ctx.weight_dtype = shape, weight.dtype
        ctx.mark_non_differentiable(each)
        return losses.sum(0, keepdim=True), each

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        grad_hidden, grad_weight = ctx.saved_tensors
        factor = grads[0]
        # In fp32: a scale for fp16, or one over millions of labels, may not fit the other types.
        hidden = (grad_hidden * factor).to(grad_hidden.dtype).view(ctx.shape)
        weight = (grad_weight * factor).to(ctx.weight_dtype)
        return hidden, weight, None, None, None, None


def _softmax(logits: Tensor, labels: Tensor, wanted: bool) -> tuple[Tensor, Tensor]:
    """Losses of logits [tokens, vocabulary], and their gradient in the type of the logits."""
    labelled = (labels != IGNORED).unsqueeze(1)
    labels = labels.unsqueeze(1).where(labelled, 0)
    values = logits.float().log_softmax(1)
    losses = -values.gather(1, labels).where(labelled, 0.0).squeeze(1)
    if not wanted:
        return losses, logits
    # In place: on a CPU memory that is new costs more than what is written to it.
    grad = values.exp_().scatter_add_(1, labels, torch.full_like(losses, -1.0).unsqueeze(1))
    return losses, grad.masked_fill_(~labelled, 0.0).to(logits.dtype)


def _shared_softmax(
    logits: Tensor, labels: Tensor, first: int, group: ProcessGroup, wanted: bool
) -> tuple[Tensor, Tensor]:
    """The same where this process has the logits from id `first` on."""
    labelled = labels != IGNORED
    mine = (labels >= first) & (labels < first + logits.shape[1])
    labels = (labels - first).where(mine, 0).unsqueeze(1)
    values = logits.float()
    largest = values.amax(1)
    all_reduce(largest, ReduceOp.MAX, group)
    values = values - largest.unsqueeze(1)
    chances = values.exp()
    sums = torch.stack([chances.sum(1), values.gather(1, labels).squeeze(1) * mine])
    all_reduce(sums, ReduceOp.SUM, group)
    losses = (sums[0].log() - sums[1]).masked_fill(~labelled, 0.0)
    if not wanted:
        return losses, logits
    grad = chances / sums[0].unsqueeze(1)
    grad.scatter_add_(1, labels, -mine.unsqueeze(1).to(grad.dtype))
    return losses, (grad * labelled.unsqueeze(1)).to(logits.dtype)
