"""What two processes must do together; started by torchrun in test_parallel.py."""

from __future__ import annotations

import math
import sys
from pathlib import Path

import torch
import torch.distributed as dist
from torch.distributed.tensor import DTensor

from train import optim, parallel
from train.config import load
from train.data import ShardReader, open_shards
from train.guard import Monitor
from train.model import token_loss
from train.parallel import World
from train.step import Batch, Outcome, accumulate, to_batch, train_step


def whole(tensor: torch.Tensor | None) -> torch.Tensor:
    assert tensor is not None
    return tensor.full_tensor() if isinstance(tensor, DTensor) else tensor


def main(run: Path, config_file: str) -> None:
    world = parallel.start()
    assert world.size == 2
    config = load(config_file)
    manifest, shards = open_shards(run)
    reader = ShardReader(shards, manifest, "train")
    padding, vocabulary = manifest.tokenizer.padding, manifest.tokenizer.vocabulary

    # Masked labels are spread unevenly: all of rank 1's rows lose most of theirs.
    batch = to_batch(reader.read(0, 8), padding, world.device)
    batch.inputs[3][4:, 9:] = -100
    num_labels = int((batch.inputs[3] != -100).sum())
    mine = slice(4 * world.rank, 4 * world.rank + 4)
    share = Batch(tuple(tensor[mine] for tensor in batch.inputs), 0, 0)

    alone = parallel.build(config, vocabulary, World(0, 1, world.device))
    sharded = parallel.build(config, vocabulary, world)
    names = [name for name, _ in alone.named_parameters()]
    assert names == [name for name, _ in sharded.named_parameters()]
    for one, other in zip(alone.parameters(), sharded.parameters(), strict=True):
        assert isinstance(other, DTensor)
        assert torch.equal(one, whole(other)), "first weights depend on the sharding"

    loss = accumulate(alone, batch, num_labels, 8, World(0, 1, world.device))
    for micro in (4, 1):
        sharded.zero_grad()
        parts = accumulate(sharded, share, num_labels, micro, world)
        torch.testing.assert_close(world.all_reduce(parts), loss)
        for one, other in zip(alone.parameters(), sharded.parameters(), strict=True):
            torch.testing.assert_close(one.grad, whole(other.grad), atol=1e-7, rtol=1e-4)
    norms = [optim.clip(model, 1e9).item() for model in (alone, sharded)]
    assert math.isclose(*norms, rel_tol=1e-5), norms

    optimizer = optim.build(sharded, config.optimizer)

    monitor = Monitor(config.guard, world.device)

    def step() -> Outcome:
        return train_step(
            sharded,
            optimizer,
            share,
            num_labels=num_labels,
            micro=4,
            rate=1e-3,
            clip=1.0,
            monitor=monitor,
            world=world,
        )

    def everything() -> list[torch.Tensor]:
        state = [optimizer.state[parameter] for parameter in sharded.parameters()]
        moments = [entry[key] for entry in state for key in ("step", "exp_avg", "exp_avg_sq")]
        return [whole(tensor).detach().clone() for tensor in (*sharded.parameters(), *moments)]

    sharded.zero_grad()
    step()
    before = everything()
    for trouble in (math.nan, math.inf):
        if world.rank == 1:  # alone; an infinite loss still has a finite gradient
            sharded.token_loss = lambda *given, more=trouble: token_loss(*given) + more
        assert step().skipped.item() == 1, "the ranks do not agree to skip"
        assert all(map(torch.equal, before, everything())), "a skipped update left a trace"
    sharded.token_loss = token_loss
    assert step().skipped.item() == 0
    assert not torch.equal(before[0], everything()[0])
    dist.destroy_process_group()
    parallel.leave(0)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
