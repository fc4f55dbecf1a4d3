"""What several processes must do together; started by torchrun in test_parallel.py.

Every case is a mesh and an optimizer: the same first weights, loss, gradient and weights after
some updates as one process has, and updates that are skipped by all without a trace.
"""

from __future__ import annotations

import math
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist

from schemas.problems import Problem
from tests.train.conftest import ALONE
from train import mesh, parallel
from train.config import Config, load
from train.data import Rows, ShardReader, open_shards
from train.local import fill, local
from train.loss import Losses
from train.mesh import ToldByFirst, World
from train.objective import Objective
from train.step import Feed, Outcome, Trainer

ROWS = 8


def close(one: Any, other: Any, *, rtol: float = 1e-4, atol: float = 1e-6) -> None:
    torch.testing.assert_close(one, other, rtol=rtol, atol=atol)


def agrees(
    whole: torch.Tensor, part: torch.Tensor | None, *, odd: float = 0.0, **tolerance: float
) -> None:
    """This process's share of a parameter, or of its gradient, is that of the whole one.

    odd: fraction that may differ, as the sign of what is next to nothing does.
    """
    assert part is not None
    expected = part.detach().clone()
    fill(expected, whole)
    one, other = local(expected), local(part.detach())
    if odd:
        assert ((one - other).abs() > tolerance["atol"]).float().mean() <= odd
    else:
        close(one, other, **tolerance)


class Case:
    """One model on all processes, and the same on this one alone."""

    def __init__(self, run: Path, config: Config) -> None:
        manifest, shards = open_shards(run)
        vocabulary, padding = manifest.tokenizer.vocabulary, manifest.tokenizer.padding
        objective = Objective(config.objective, vocabulary, padding)
        reader = ShardReader(shards, manifest, "train")
        self.config, self.world = config, mesh.start(config.parallel)
        share = ROWS // self.world.data_size
        self.micro = max(1, share // 2)
        rows = reader.read(0, ROWS)
        mine = Rows(*(field[self.world.data_rank * share :][:share] for field in rows))
        names = len(reader.source_names)
        feed = Feed(objective, ALONE.device, self.micro, names)
        self.whole = Feed(objective, ALONE.device, ROWS, names).batch(rows, 0)
        self.share = feed.batch(mine, self.world.data_rank * share)
        # Masked labels are spread unevenly: the later rows lose most of theirs.
        for batch, first in ((self.whole, 0), (self.share, self.world.data_rank * share)):
            labels = batch.inputs.labels
            assert labels is not None
            labels[max(0, 4 - first) :, 9:] = -100
        assert self.whole.inputs.labels is not None
        self.num_labels = int((self.whole.inputs.labels != -100).sum())
        alone = config.model_copy(update={"parallel": load("tiny").parallel})
        self.alone = parallel.build(alone, vocabulary, ALONE)
        self.spread = parallel.build(config, vocabulary, self.world)
        self.one = Trainer(alone, self.alone, ALONE)
        self.several = Trainer(config, self.spread, self.world)

    def step(self, labels: int | None = None) -> Outcome:
        return self.several.step(self.share, self.num_labels if labels is None else labels, 1e-3)

    def compare(self, **tolerance: float) -> None:
        whole = dict(self.alone.named_parameters())
        for name, parameter in self.spread.named_parameters():
            agrees(whole[name].detach(), parameter, **tolerance)

    def everything(self) -> list[torch.Tensor]:
        state = self.several.optimizer.state
        kept = [state[p][key] for p in self.spread.parameters() for key in state[p]]
        tensors = [*self.spread.parameters(), *kept]
        return [local(tensor).detach().clone() for tensor in tensors]

    def run(self) -> None:
        self.compare(rtol=0, atol=0)
        self.gradients()
        for model in (self.alone, self.spread):
            model.zero_grad()
        for _ in range(3):
            one, several = self.one.step(self.whole, self.num_labels, 1e-3), self.step()
            close(one.loss, several.loss, rtol=1e-5)
            close(one.grad_norm, several.grad_norm)
            close(one.nats, several.nats, rtol=1e-5)
        self.compare(rtol=1e-3, atol=2e-4, odd=0.01)
        self.skips()

    def gradients(self) -> None:
        seen = self.one.accumulate(self.whole, self.num_labels)
        found = self.several.accumulate(self.share, self.num_labels)
        close(self.world.sum_losses(found), seen, rtol=1e-5)
        whole = dict(self.alone.named_parameters())
        for name, parameter in self.spread.named_parameters():
            grad = whole[name].grad
            assert grad is not None
            agrees(grad, parameter.grad)
        norms = [one.clip_gradient(1e9).item() for one in (self.one, self.several)]
        assert math.isclose(*norms, rel_tol=1e-5), norms

    def skips(self) -> None:
        before = self.everything()
        for trouble in ((math.nan, 0.0), (1.0, math.inf)):
            hook = None
            if self.world.rank == self.world.size - 1:  # alone
                hook = self.spread.register_forward_hook(
                    lambda module, given, losses, more=trouble: (
                        type(losses)(*[losses[0] * more[0], losses[1] + more[1]])
                        if isinstance(losses, Losses)
                        else (losses[0] * more[0], losses[1] + more[1])
                    )
                )
            outcome = self.step()
            assert outcome.skipped.item() == 1, "the ranks do not agree to skip"
            if hook:
                hook.remove()
            after = self.everything()
            assert all(map(torch.equal, before, after)), "a skipped update left a trace"
        assert self.step().skipped.item() == 0
        assert not torch.equal(before[0], self.everything()[0])


def decisions(world: World) -> None:
    """Each sees something else, as on a shared disk that lags behind: the first's is all's."""
    assert world.agreed(lambda: ["step-00000020", "step-00000010"][world.rank :]) == [
        "step-00000020",
        "step-00000010",
    ]

    def refuse() -> None:
        raise Problem("mistaken")

    with pytest.raises(Problem if world.rank == 0 else ToldByFirst):
        world.agreed(refuse)


def main(run: Path, config_file: str, cases: list[str]) -> None:
    torch.set_num_threads(1)
    for case in cases:
        overrides: dict[str, Any] = {}
        for pair in case.split(","):
            key, _, value = pair.partition("=")
            overrides[key] = int(value) if value.isdigit() else {"true": True}.get(value, value)
        try:
            Case(run, load(config_file, overrides)).run()
        except BaseException:
            print(f"rank {dist.get_rank()}, case {case}", file=sys.stderr, flush=True)
            raise
    decisions(mesh.start())
    dist.barrier()
    dist.destroy_process_group()
    mesh.leave(0)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], sys.argv[3:])
