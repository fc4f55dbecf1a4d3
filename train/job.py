"""What is to be trained, checked before torch is loaded or a process is started."""

from __future__ import annotations

import hashlib
import json
import math
import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel

from schemas.problems import Problem
from schemas.shard import ShardManifest, TokenizerEntry
from train.config import Config, differences, flat
from train.data import open_shards
from train.order import Order
from train.remote import Cache, Remote, is_url, localized, place_of
from train.schedule import learning_rate


class Record(BaseModel):
    """What a checkpoint says of itself, in `checkpoint.json` beside the tensors."""

    step: int
    position: int  # rows consumed
    tokens: int  # consumed, without padding
    lanes: int
    batch_rows: int
    layout_digest: str
    content_revision: int
    tokenizer: TokenizerEntry
    sequence_length: int
    config: dict[str, Any]  # with dotted keys
    steps: int  # of the whole run
    healthy: bool = True  # the loss was on its course, and all weights finite
    flags: int = 0  # steps in a row, up to this one, that were spikes
    first_flag: int = 0  # position of the first of them
    files: dict[str, str] = {}  # SHA-256 of every file of tensors, by name
    digest: str = ""  # SHA-256 of all the rest

    @property
    def name(self) -> str:
        """The folder of the checkpoint."""
        return f"step-{self.step:08d}"

    def digest_of_rest(self) -> str:
        """What `digest` must be."""
        return hashlib.sha256(self.model_dump_json(exclude={"digest"}).encode()).hexdigest()


class Rollback(BaseModel):
    """A return to before a spike; its rows are passed over from then on."""

    start: int  # positions from .. up to
    stop: int
    step: int  # at which it was decided
    to_step: int


@dataclass(frozen=True)
class Job:
    """One training run."""

    config: Config
    shards: Path
    manifest: ShardManifest
    order: Order
    steps: int
    output: Path
    check: bool = False  # all digests of the shards before the first step
    must_resume: bool = False
    may_extend: bool = False  # more steps than before, though the rate jumps
    origin: Path | None = None  # whose weights a new run begins with
    run: str = ""  # where the shards are, if they are stored elsewhere, as its cache says
    cache: Cache | None = None
    store: Remote | None = None  # where the output is kept too

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
            tokenizer=self.manifest.tokenizer,
            sequence_length=self.manifest.sequence_length,
            config=flat(self.config),
            steps=self.steps,
        )


def prepare(
    run: str | Path,
    output: str | Path,
    config: Config,
    world_size: int,
    **options: Any,
) -> Job:
    """Check that `config` can train on the shards of `run`, in `world_size` processes.

    options: further fields of Job. Raises Problem if the shards are missing or too few, or if the
    processes cannot share the lanes. What is in `output` is looked at by `resumable`.
    """
    most = int(config.cache_gigabytes * 1e9)
    local, cache = localized(str(run), most)
    manifest, shards = open_shards(local)
    train = manifest.splits.get("train")
    rows, phases = (train.rows, train.phase_rows) if train else (0, ())
    order = Order(rows, config.batch_rows, config.lanes, phases)
    pipe, replicate, shard, context, _ = config.parallel.mesh(world_size)
    order.lanes_of(0, replicate * shard)
    _fits(config, manifest.sequence_length, context)
    if config.batch_rows // (replicate * shard) < pipe:
        raise Problem(
            f"parallel.pipe={pipe}: {replicate * shard} processes share {config.batch_rows} rows, "
            "fewer each than there are stages: give a larger --batch-rows"
        )
    limits = [config.steps] if config.steps else []
    if config.max_epochs or not limits:
        limits.append((config.max_epochs or 1) * order.steps_per_epoch)
    place = place_of(str(output)) if is_url(str(output)) else Path(output)
    store = Remote(str(output)) if is_url(str(output)) else None
    where = str(run) if cache else str(shards.parent.resolve())
    options |= {"run": where, "cache": cache, "store": store}
    return Job(config, shards, manifest, order, min(limits), place, **options)


def _fits(config: Config, length: int, context: int) -> None:
    """Raise Problem if rows of `length` tokens do not fit the model or the mesh."""
    if config.model.context and length > config.model.context:
        raise Problem(
            f"the shards' rows have {length} tokens, the model {config.model.context} positions: "
            f"give model.context={length}"
        )
    if context > 1 and length % (2 * context):
        raise Problem(f"parallel.context={context}: twice that must divide rows of {length}")


def resumable(job: Job) -> list[str]:
    """Names of the checkpoints in the output to go on from: the newest, then those before it.

    Raises Problem if the newest is of another run, or if there is none but must be.
    """
    if job.store:
        job.store.pull(job.output)
    pointer = job.checkpoints / "latest"
    if not pointer.is_file():
        if job.must_resume:
            raise Problem(f"{job.output}: no checkpoint to resume: leave out --resume to begin")
        return []
    newest = pointer.read_text("utf-8").strip()
    names = [name for name in checkpoints(job.checkpoints) if name <= newest]
    if newest not in names:
        names.append(newest)  # to be told that it is not there
    record = read_record(job.checkpoints / newest)
    if record:
        check_same(job, record)
    return names[::-1]


def checkpoints(folder: Path) -> list[str]:
    """Names of the finished checkpoints in a folder, oldest first."""
    return sorted(path.name for path in folder.glob("step-*"))


def read_record(checkpoint: Path) -> Record | None:
    """The record of a checkpoint; None if it is missing or damaged."""
    try:
        text = (checkpoint / "checkpoint.json").read_text("utf-8")
        record = Record.model_validate(json.loads(text))
    except (OSError, ValueError):
        return None
    return record if record.digest == record.digest_of_rest() else None


def rollbacks(folder: Path) -> list[Rollback]:
    """The rollbacks of a run, from its folder of checkpoints. Raises Problem if damaged."""
    path = folder / "rollbacks.json"
    if not path.is_file():
        return []
    try:
        return [Rollback.model_validate(entry) for entry in json.loads(path.read_text("utf-8"))]
    except ValueError:
        raise Problem(f"{path}: not a list of rollbacks: restore it, or begin again") from None


def check_same(job: Job, record: Record) -> None:
    """Raise Problem if the checkpoint is of another run."""
    mistakes = differences(record.config, flat(job.config))
    if job.steps != record.steps:
        last = max(0, record.step - 1)
        before, now = (
            learning_rate(last, steps, job.config.optimizer) for steps in (record.steps, job.steps)
        )
        if job.steps < record.step:
            mistakes.append(f"{record.step} steps are done, more than {job.steps}")
        elif not (job.may_extend or math.isclose(before, now)):
            mistakes.append(
                f"steps was {record.steps}, is {job.steps}, with which the learning rate would go "
                f"from {before:.3g} to {now:.3g} (--extend allows it)"
            )
    if record.layout_digest != job.manifest.layout_digest:
        mistakes.append(
            f"layout_digest of the shards was {record.layout_digest}, is "
            f"{job.manifest.layout_digest}"
        )
    if mistakes:
        raise Problem(
            f"{job.output} holds a checkpoint of another run: {'; '.join(mistakes)}. Train with "
            "what it was, or give another --output"
        )


def begin(job: Job) -> None:
    """Make the output folder and write the resolved configuration into it. Raises Problem."""
    try:
        job.checkpoints.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise Problem(f"{job.output}: cannot be made ({error}): give another --output") from None
    shutil.copyfile(job.shards / job.manifest.tokenizer.path, job.output / "tokenizer.json")
    write_text(
        job.output / "config.yaml",
        yaml.safe_dump(job.config.model_dump(mode="json"), sort_keys=False),
    )


def digest_of(path: Path) -> str:
    """SHA-256 of a file in hexadecimal; empty if it cannot be read."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError:
        return ""


def write_text(path: Path, text: str) -> None:
    """Write a file that is either there whole or not at all."""
    temporary = path.with_name(f".{path.name}.tmp")
    with temporary.open("w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)
