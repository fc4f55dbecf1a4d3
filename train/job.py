"""What is to be trained, checked before torch is loaded or a process is started."""

import hashlib
import json
import math
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
from train.files import write_text
from train.order import Order
from train.remote import Cache, Remote, is_url, localized, place_of
from train.schedule import learning_rate


class Progress(BaseModel):
    """How far a run is."""

    step: int = 0
    position: int = 0  # rows consumed
    tokens: int = 0  # consumed, without padding
    flags: int = 0  # steps in a row, up to this one, that were spikes or not finite
    first_flag: int = 0  # position of the first of them
    best: float | None = None  # lowest loss of a validation
    best_step: int = 0
    worse: int = 0  # validations since then


class Record(Progress):
    """What a checkpoint says of itself, in `checkpoint.json` beside the tensors."""

    layout_digest: str
    content_revision: int
    tokenizer: TokenizerEntry
    sequence_length: int
    config: dict[str, Any]  # with dotted keys
    steps: int  # of the whole run
    files: dict[str, str] = {}  # SHA-256 of every file of tensors, by name
    digest: str = ""  # SHA-256 of all the rest

    @property
    def healthy(self) -> bool:
        """Whether the loss was on its course, and all weights finite."""
        return self.flags == 0

    @property
    def name(self) -> str:
        """The folder of the checkpoint."""
        return folder_of(self.step)

    def digest_of_rest(self) -> str:
        """What `digest` must be."""
        return hashlib.sha256(self.model_dump_json(exclude={"digest"}).encode()).hexdigest()


def folder_of(step: int) -> str:
    """Name of the checkpoint of a step."""
    return f"step-{step:08d}"


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
    may_extend: bool = False  # more steps than before, though the rate jumps
    origin: Path | None = None  # whose weights a new run begins with
    run: str = ""  # where the shards are, if they are stored elsewhere, as its cache says
    cache: Cache | None = None
    store: Remote | None = None  # where the output is kept too

    @property
    def checkpoints(self) -> Path:
        """Folder of the checkpoints."""
        return self.output / "checkpoints"

    @property
    def has_validation(self) -> bool:
        """Whether there are rows to validate on."""
        split = self.manifest.splits.get("validation")
        return split is not None and split.rows > 0

    def record(self, at: Progress) -> Record:
        """The description of a checkpoint of this run."""
        shards = self.manifest.model_dump(include={*Record.model_fields})
        return Record(**at.model_dump(), **shards, config=flat(self.config), steps=self.steps)

    def check_same(self, record: Record) -> None:
        """Raise Problem if the checkpoint is of another run."""
        mistakes = differences(record.config, flat(self.config))
        if self.steps != record.steps:
            last = max(0, record.step - 1)
            before, now = (
                learning_rate(last, steps, self.config.optimizer)
                for steps in (record.steps, self.steps)
            )
            if self.steps < record.step:
                mistakes.append(f"{record.step} steps are done, more than {self.steps}")
            elif not (self.may_extend or math.isclose(before, now)):
                mistakes.append(
                    f"steps was {record.steps}, is {self.steps}, with which the learning rate "
                    f"would go from {before:.3g} to {now:.3g} (--extend allows it)"
                )
        is_now = self.manifest.layout_digest
        if record.layout_digest != is_now:
            mistakes.append(f"layout_digest of the shards was {record.layout_digest}, is {is_now}")
        if mistakes:
            raise Problem(
                f"{self.output} holds a checkpoint of another run: {'; '.join(mistakes)}. Train "
                "with what it was, or give another --output"
            )


def prepare(
    run: str | Path, output: str | Path, config: Config, world_size: int, **options: Any
) -> Job:
    """Check that `config` can train on the shards of `run`, in `world_size` processes.

    options: further fields of Job. Raises Problem if the shards are missing or too few, or if the
    processes cannot share the lanes. What is in `output` is looked at by `resumable`.
    """
    local, cache = localized(str(run), int(config.cache_gigabytes * 1e9))
    manifest, shards = open_shards(local)
    train = manifest.splits.get("train")
    rows, phases = (train.rows, train.phase_rows) if train else (0, ())
    order = Order(rows, config.batch_rows, config.lanes, phases)
    limits = [config.steps] if config.steps else []
    if config.max_epochs or not limits:
        limits.append((config.max_epochs or 1) * order.steps_per_epoch)
    place, store = Path(output), None
    if is_url(str(output)):
        place, store = place_of(str(output)), Remote(str(output))
    where = str(run) if cache else str(shards.parent.resolve())
    options |= {"run": where, "cache": cache, "store": store}
    job = Job(config, shards, manifest, order, min(limits), place, **options)
    _check(job, config.parallel.mesh(world_size))
    return job


def _check(job: Job, mesh: tuple[int, ...]) -> None:
    """Raise Problem if the rows do not fit the mesh, the model, or what is asked of them."""
    pipe, replicate, shard, context, _ = mesh
    rows, parts = job.config.batch_rows, replicate * shard
    length, most = job.manifest.sequence_length, job.config.model.context
    job.order.lanes_of(0, parts)
    if most and length > most:
        raise Problem(
            f"the shards' rows have {length} tokens, the model {most} positions: "
            f"give model.context={length}"
        )
    if context > 1 and length % (2 * context):
        raise Problem(f"parallel.context={context}: twice that must divide rows of {length}")
    if rows // parts < pipe:
        raise Problem(
            f"parallel.pipe={pipe}: {parts} processes share {rows} rows, fewer each than there are "
            "stages: give a larger --batch-rows"
        )
    if job.config.evaluation.patience and not job.has_validation:
        raise Problem(
            "evaluation.patience: the shards have no validation rows to stop by: give the recipe "
            "mix.validation.tokens"
        )


def resumable(job: Job) -> list[str]:
    """Names of the checkpoints in the output to go on from: the newest, then those before it.

    Raises Problem if the newest is of another run.
    """
    if job.store:
        job.store.pull(job.output)
    pointer = job.checkpoints / "latest"
    if not pointer.is_file():
        return []
    newest = pointer.read_text("utf-8").strip()
    names = [name for name in checkpoints(job.checkpoints) if name <= newest]
    if newest not in names:
        names.append(newest)  # to be told that it is not there
    record = read_record(job.checkpoints / newest)
    if record:
        job.check_same(record)
    return names[::-1]


def checkpoints(folder: Path) -> list[str]:
    """Names of the finished checkpoints in a folder, oldest first."""
    return sorted(path.name for path in folder.glob("step-*"))


def read_record(checkpoint: Path) -> Record | None:
    """The record of a checkpoint; None if it is missing or damaged."""
    try:
        record = Record.model_validate_json((checkpoint / "checkpoint.json").read_bytes())
    except (OSError, ValueError):
        return None
    return record if record.digest == record.digest_of_rest() else None


def healthy(folder: Path) -> list[Record]:
    """Records of the healthy checkpoints in a folder, oldest first."""
    records = (read_record(folder / name) for name in checkpoints(folder))
    return [record for record in records if record and record.healthy]


def rollbacks(folder: Path) -> list[Rollback]:
    """The rollbacks of a run, from its folder of checkpoints. Raises Problem if damaged."""
    path = folder / "rollbacks.json"
    if not path.is_file():
        return []
    try:
        return [Rollback.model_validate(entry) for entry in json.loads(path.read_text("utf-8"))]
    except ValueError:
        raise Problem(f"{path}: not a list of rollbacks: restore it, or begin again") from None


def begin(job: Job) -> None:
    """Make the output folder and write the resolved configuration into it. Raises Problem."""
    try:
        job.checkpoints.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise Problem(f"{job.output}: cannot be made ({error}): give another --output") from None
    shutil.copyfile(job.shards / job.manifest.tokenizer.path, job.output / "tokenizer.json")
    resolved = yaml.safe_dump(job.config.model_dump(mode="json"), sort_keys=False)
    write_text(job.output / "config.yaml", resolved)
