"""What is to be trained, checked before torch is loaded or a process is started."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ValidationError

from schemas.errors import UserError
from schemas.shard import ShardManifest
from train.config import Config, differences, flat
from train.data import open_shards
from train.order import Order


class Record(BaseModel):
    """What a checkpoint says of itself, in `checkpoint.json` beside the tensors."""

    step: int
    position: int  # rows consumed
    tokens: int  # consumed, without padding
    lanes: int
    batch_rows: int
    layout_digest: str
    content_revision: int
    config: dict[str, Any]  # with dotted keys


@dataclass(frozen=True)
class Job:
    """One training run."""

    config: Config
    shards: Path
    manifest: ShardManifest
    order: Order
    steps: int
    output: Path
    resumed: Record | None

    @property
    def checkpoints(self) -> Path:
        """Folder of the checkpoints."""
        return self.output / "checkpoints"

    def record(self, step: int, position: int, tokens: int) -> Record:
        """The description of a checkpoint of this run."""
        return Record(
            step=step,
            position=position,
            tokens=tokens,
            lanes=self.order.lanes,
            batch_rows=self.order.batch_rows,
            layout_digest=self.manifest.layout_digest,
            content_revision=self.manifest.content_revision,
            config=flat(self.config),
        )


def prepare(
    run: Path, output: Path, config: Config, world_size: int, *, must_resume: bool = False
) -> Job:
    """Check that `config` can train on the shards of `run`, and continue what is in `output`.

    Raises UserError if the shards are missing or too few, if the processes cannot share the
    lanes, or if `output` holds a checkpoint of another run.
    """
    manifest, shards = open_shards(run)
    train = manifest.splits.get("train")
    order = Order(train.rows if train else 0, config.batch_rows, config.lanes)
    _, replicate, shard, context, _ = config.parallel.mesh(world_size)
    order.lanes_of(0, replicate * shard)
    _fits(config, manifest.sequence_length, context)
    limits = [config.steps] if config.steps else []
    if config.max_epochs or not limits:
        limits.append((config.max_epochs or 1) * order.steps_per_epoch)
    job = Job(config, shards, manifest, order, min(limits), output, latest(output))
    if job.resumed:
        _check(job, job.resumed)
    elif must_resume:
        raise UserError(f"{output}: no checkpoint to resume: leave out --resume to begin")
    return job


def _fits(config: Config, length: int, context: int) -> None:
    """Raise UserError if rows of `length` tokens do not fit the model or the mesh."""
    if config.model.context and length > config.model.context:
        raise UserError(
            f"the shards' rows have {length} tokens, the model {config.model.context} positions: "
            f"give model.context={length}"
        )
    if context > 1 and length % (2 * context):
        raise UserError(f"parallel.context={context}: twice that must divide rows of {length}")


def latest(output: Path) -> Record | None:
    """The newest complete checkpoint below `output`, if there is one."""
    pointer = output / "checkpoints" / "latest"
    if not pointer.is_file():
        return None
    path = output / "checkpoints" / pointer.read_text("utf-8").strip() / "checkpoint.json"
    try:
        return Record.model_validate(json.loads(path.read_text("utf-8")))
    except (OSError, ValueError) as error:
        reason = "not a checkpoint's" if isinstance(error, ValidationError) else str(error)
        raise UserError(
            f"{path}: {reason}: put the name of another checkpoint into {pointer}, or remove the "
            "folder to begin again"
        ) from None


def begin(job: Job) -> None:
    """Make the output folder and write the resolved configuration into it. Raises UserError."""
    try:
        job.checkpoints.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"{job.output}: cannot be made ({error}): give another --output") from None
    write_text(job.output / "config.yaml", yaml.safe_dump(job.config.model_dump(), sort_keys=False))


def write_text(path: Path, text: str) -> None:
    """Write a file that is either there whole or not at all."""
    temporary = path.with_name(f".{path.name}.tmp")
    with temporary.open("w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)


def _check(job: Job, record: Record) -> None:
    mistakes = differences(record.config, flat(job.config))
    if record.layout_digest != job.manifest.layout_digest:
        mistakes.append(
            f"layout_digest of the shards was {record.layout_digest}, is "
            f"{job.manifest.layout_digest}"
        )
    if mistakes:
        raise UserError(
            f"{job.output} holds a checkpoint of another run: {'; '.join(mistakes)}. Train with "
            "what it was, or give another --output"
        )
