"""Checkpoints that any number of processes can continue from, written while training goes on.

The tensors are copied to the host's memory, written by `torch.distributed.checkpoint` into a
temporary folder, and hashed; the folder is renamed when all processes are done; then `latest`
names it. A crash at any moment leaves the checkpoint before. The folder must be one that all
processes see.
"""

import os
import shutil
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any, cast

import torch
import torch.distributed as dist
from torch import Tensor
from torch.distributed.checkpoint.api import CheckpointException
from torch.distributed.checkpoint.state_dict_saver import async_save

from schemas.problems import Problem
from train import metrics
from train.files import digest_of, write_text
from train.job import Job, Record, Rollback, checkpoints, folder_of, healthy, read_record, resumable
from train.local import local
from train.origin import damaged, load_state
from train.step import Trainer


class Checkpointer:
    """Saves and restores weights, optimizer state and the monitor's losses of one run."""

    def __init__(self, job: Job, trainer: Trainer) -> None:
        """Nothing is read or written yet."""
        self._job, self._trainer, self._world = job, trainer, trainer.world
        # The thread that writes talks to those of the other processes past the training's group.
        group = dist.new_group(backend="gloo") if self._world.size > 1 else None
        self._group = cast(dist.ProcessGroup | None, group)
        self._pool = ThreadPoolExecutor(1)
        self._writing: Future[None] | None = None

    def weights_are_finite(self) -> bool:
        """Whether every weight of every process is a finite number."""
        whole = [torch.isfinite(local(p)).all() for p in self._trainer.model.parameters()]
        ruined = (~torch.stack(whole)).sum().float()
        return self._world.all_reduce(ruined).item() == 0

    def save(self, record: Record) -> None:
        """Copy the state and begin to write it; the checkpoint before is waited for.

        Raises Problem where that one could not be written.
        """
        self.wait()
        temporary = self._job.checkpoints / f".{record.name}.tmp"

        def clear() -> None:
            shutil.rmtree(temporary, ignore_errors=True)
            temporary.mkdir(parents=True)

        self._world.agreed(clear)
        state, folder, alone = self._state(), temporary / "state", self._world.size == 1
        saving = async_save(state, checkpoint_id=folder, process_group=self._group, no_dist=alone)
        copied = cast(Future[Any], saving)
        self._writing = self._pool.submit(self._finish, record, temporary, copied)

    def check(self) -> None:
        """Raise Problem if it is known by now that what is being written cannot be."""
        if self._writing is not None and self._writing.done():
            self._writing.result()

    def wait(self) -> None:
        """Wait for what is being written. Raises Problem if it cannot be."""
        if self._writing is not None:
            self._world.agreed(self._writing.result)
            self._writing = None

    def restore(self) -> Record | None:
        """Load the newest checkpoint that is whole, whatever number of processes wrote it.

        Returns what it says of itself; None if there is none. Those that are damaged are named.
        Raises Problem if none of several is whole, or if it is of another run.
        """
        names = self._world.agreed(lambda: resumable(self._job))
        record = self._load_first(names)
        if names and record is None:
            raise Problem(
                f"{self._job.checkpoints}: no checkpoint is whole: restore one from a copy, or "
                "remove the folder to begin again"
            )
        return record

    def go_back(self, rollback: Rollback, before: Sequence[Rollback]) -> Record | None:
        """Load the newest healthy checkpoint before a window, whose rows are passed over.

        What came after it is removed. Returns its record; None if there is none, and the run must
        begin anew. `before`: the rollbacks until now.
        """
        self.wait()
        folder = self._job.checkpoints
        record = self._load_first(self._world.agreed(lambda: self._healthy(rollback.start)))
        rollback.to_step = record.step if record else 0

        def forget() -> None:
            lines = ",\n".join(entry.model_dump_json() for entry in [*before, rollback])
            write_text(folder / "rollbacks.json", f"[{lines}]\n")
            self._point_to(record.name if record else None)
            for name in checkpoints(folder):
                if record is None or name > record.name:
                    shutil.rmtree(folder / name)
            self.store()

        self._world.agreed(forget)
        return record

    def give_up(self, before: int) -> None:
        """Let `latest` name the newest healthy checkpoint up to a position."""
        self.wait()
        self._world.agreed(lambda: self._point_to(next(iter(self._healthy(before)), None)))

    def store(self) -> None:
        """Bring what is stored of the output up to date, if it is. For rank 0."""
        if self._job.store:
            self._job.store.push(self._job.output)

    def tidy(self) -> None:
        """Remove what saves that were broken off have left. For rank 0."""
        for path in self._job.checkpoints.glob(".step-*.tmp"):
            shutil.rmtree(path, ignore_errors=True)

    def _healthy(self, before: int) -> list[str]:
        """Names of the healthy checkpoints up to a position, the newest first."""
        found = reversed(healthy(self._job.checkpoints))
        return [record.name for record in found if record.position <= before]

    def _point_to(self, name: str | None) -> None:
        pointer = self._job.checkpoints / "latest"
        if name:
            write_text(pointer, name + "\n")
        else:
            pointer.unlink(missing_ok=True)

    def _state(self) -> dict[str, dict[str, Tensor]]:
        """The tensors themselves by names that no mesh changes, to be copied or filled."""
        model, optimizer = self._trainer.model, self._trainer.optimizer
        # First this, which shards again what a validation has left gathered.
        weights = model.state_dict()
        moments = {
            f"{name}/{key}": value
            for name, parameter in model.named_parameters()
            for key, value in optimizer.state[parameter].items()
        }
        monitor = self._trainer.monitor.state_dict()
        return {"model": weights, "optimizer": moments, "monitor": monitor}

    def _load_first(self, names: Sequence[str]) -> Record | None:
        """Load the first of some checkpoints that is whole; returns its record."""
        for name in names:
            folder = self._job.checkpoints / name
            record = self._world.agreed(lambda: read_record(folder))  # noqa: B023
            files = ["checkpoint.json"]
            if record:
                self._world.agreed(lambda: self._job.check_same(record))  # noqa: B023
                files = damaged(folder, record, self._world)
            if record and not files:
                load_state(self._state(), folder, alone=self._world.size == 1)
                return record
            if self._world.rank == 0:
                told = f"{folder}: damaged: {', '.join(files)}: the one before it is taken"
                metrics.show_progress(told)
        return None

    def _finish(self, record: Record, temporary: Path, copied: Future[Any]) -> None:
        """Wait for the tensors to be written, hash them, and give the checkpoint its name."""
        files, failure = {}, None
        try:
            copied.result()
            own = [*temporary.glob(f"state/__{self._world.rank}_*")]
            own += temporary.glob("state/.metadata") if self._world.rank == 0 else []
            files = {path.name: digest_of(path) for path in own}
        except CheckpointException as error:
            failure = str(next(iter(error.failures.values()))[0])
        except OSError as error:
            failure = str(error)
        parts = self._world.gathered((files, failure), self._group)
        if self._world.rank > 0:
            return
        try:
            for files, failure in parts:
                if failure:
                    raise OSError(failure)
                record.files.update(files)
            self._commit(record, temporary)
        except (OSError, Problem) as error:
            shutil.rmtree(temporary, ignore_errors=True)
            raise Problem(
                f"{self._job.checkpoints}: step {record.step} could not be saved ({error}): the "
                "checkpoints before it stand"
            ) from None

    def _commit(self, record: Record, temporary: Path) -> None:
        folder = self._job.checkpoints
        record.digest = record.digest_of_rest()
        write_text(temporary / "checkpoint.json", record.model_dump_json(indent=2) + "\n")
        shutil.rmtree(folder / record.name, ignore_errors=True)
        temporary.rename(folder / record.name)
        descriptor = os.open(folder, os.O_RDONLY)  # the rename outlasts a loss of power
        os.fsync(descriptor)
        os.close(descriptor)
        self._point_to(record.name)
        self._prune(record)
        self.store()

    def _prune(self, newest: Record) -> None:
        """Leave the newest, the newest healthy ones, those to keep for ever, and the best.

        What lies after the newest is of a future given up.
        """
        folder, settings = self._job.checkpoints, self._job.config.checkpoint
        found = [record for record in healthy(folder) if record.name <= newest.name]
        kept = {newest.name, *(record.name for record in found[-settings.keep :])}
        if settings.keep_every:
            kept.update(r.name for r in found if r.step % settings.keep_every == 0)
        if self._job.config.evaluation.patience:
            kept.add(folder_of(newest.best_step))
        for name in {*checkpoints(folder)} - kept:
            shutil.rmtree(folder / name)
