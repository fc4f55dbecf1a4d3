"""Checkpoints that any number of processes can continue from.

The tensors are written by `torch.distributed.checkpoint` into a temporary folder, which is
renamed when all processes are done; then `latest` names it. A crash at any moment leaves the
checkpoint before. The folder must be one that all processes see.
"""

from __future__ import annotations

import os
import shutil
import warnings
from pathlib import Path

import torch
from torch.distributed.checkpoint.api import CheckpointException
from torch.distributed.checkpoint.state_dict import get_state_dict, set_state_dict
from torch.distributed.checkpoint.state_dict_loader import load
from torch.distributed.checkpoint.state_dict_saver import save as write

from schemas.errors import UserError
from train.job import Job, Record, write_text
from train.mesh import World
from train.model import Decoder

# A single process saves without a process group, and means to.
warnings.filterwarnings("ignore", message="torch.distributed is disabled", category=UserWarning)


def save(
    job: Job, record: Record, model: Decoder, optimizer: torch.optim.Optimizer, world: World
) -> None:
    """Write a checkpoint of all processes, then remove all but the newest `checkpoint.keep`."""
    name = f"step-{record.step:08d}"
    final, temporary = job.checkpoints / name, job.checkpoints / f".{name}.tmp"
    if world.rank == 0:
        shutil.rmtree(temporary, ignore_errors=True)
        temporary.mkdir(parents=True)
    world.barrier()
    weights, state = get_state_dict(model, optimizer)
    # Each process writes what it holds.
    write(
        {"model": weights, "optimizer": state},
        checkpoint_id=temporary / "state",
        no_dist=world.size == 1,
    )
    if world.rank == 0:
        write_text(temporary / "checkpoint.json", record.model_dump_json(indent=2) + "\n")
        shutil.rmtree(final, ignore_errors=True)
        temporary.rename(final)
        _sync(job.checkpoints)
        write_text(job.checkpoints / "latest", name + "\n")
        _prune(job.checkpoints, name, job.config.checkpoint.keep)
    world.barrier()


def restore(
    job: Job, record: Record, model: Decoder, optimizer: torch.optim.Optimizer, world: World
) -> None:
    """Load weights and optimizer state, whatever the number of processes that saved them.

    Raises UserError if the files are damaged.
    """
    folder = job.checkpoints / f"step-{record.step:08d}" / "state"
    weights, state = get_state_dict(model, optimizer)
    try:
        # Both are filled in place.
        load(
            {"model": weights, "optimizer": state},
            checkpoint_id=folder,
            no_dist=world.size == 1,
        )
    except CheckpointException as error:
        causes = [cause for cause, _ in error.failures.values()]
        raise UserError(
            f"{folder}: cannot be loaded ({causes[0]!r}): put the name of another checkpoint into "
            f"{job.checkpoints / 'latest'}"
        ) from None
    set_state_dict(model, optimizer, model_state_dict=weights, optim_state_dict=state)


def _prune(folder: Path, newest: str, keep: int) -> None:
    """Leave `keep` checkpoints up to `newest`; what lies after it is of a future given up."""
    names = sorted(path.name for path in folder.glob("step-*"))
    kept = [name for name in names if name <= newest][-keep:]
    for name in names:
        if name not in kept:
            shutil.rmtree(folder / name)


def _sync(folder: Path) -> None:
    """Make a rename in `folder` outlast a loss of power."""
    descriptor = os.open(folder, os.O_RDONLY)
    os.fsync(descriptor)
    os.close(descriptor)
