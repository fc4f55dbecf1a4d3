from __future__ import annotations

import dataclasses
import random
import resource
import signal
from pathlib import Path

import pytest
import torch

from schemas.problems import Problem
from tests.train.conftest import ALONE, Run, feed_of
from train import parallel
from train.checkpoint import Checkpointer
from train.config import Config
from train.data import ShardReader
from train.job import Job, Progress, prepare, resumable
from train.step import Trainer


def fresh(job: Job, config: Config) -> Trainer:
    model = parallel.build(config, job.manifest.tokenizer.vocabulary, ALONE)
    return Trainer(config, model, ALONE)


@pytest.fixture
def trained(run: Run, job: Job) -> Trainer:
    trainer = fresh(job, job.config)
    rows = ShardReader(job.shards, job.manifest, "train").read(0, 4)
    batch = feed_of(run, job.config, 4).batch(rows, 0)
    for _ in range(2):
        trainer.step(batch, int(batch.labels.sum()), 1e-3)
    return trainer


def checkpointer(job: Job, trainer: Trainer) -> Checkpointer:
    job.checkpoints.mkdir(parents=True, exist_ok=True)
    return Checkpointer(job, trainer)


def at(step: int, **more: int) -> Progress:
    return Progress(step=step, position=8 * step, **more)


def names(job: Job) -> list[str]:
    return sorted(path.name for path in job.checkpoints.iterdir())


@pytest.fixture
def job(run: Run, small: Config, tmp_path: Path) -> Job:
    return prepare(run.path, tmp_path, small, 1)  # keeps two checkpoints


def test_what_is_restored_is_what_was_saved(job: Job, trained: Trainer) -> None:
    model, saver = trained.model, checkpointer(job, trained)
    record = job.record(at(2, tokens=2000))
    saver.save(record)
    before = [parameter.detach().clone() for parameter in model.parameters()]
    for parameter in model.parameters():  # training goes on while it is written
        parameter.data.add_(1.0)
    saver.wait()
    other = fresh(job, job.config.model_copy(update={"seed": 5}))
    assert checkpointer(job, other).restore() == record
    for one, two, was in zip(model.parameters(), other.model.parameters(), before, strict=True):
        assert torch.equal(was, two)
        for key in ("step", "exp_avg", "exp_avg_sq"):
            assert torch.equal(trained.optimizer.state[one][key], other.optimizer.state[two][key])


def test_the_newest_healthy_stay_and_those_kept_for_ever(job: Job, trained: Trainer) -> None:
    settings = job.config.checkpoint.model_copy(update={"keep_every": 4})
    config = job.config.model_copy(update={"checkpoint": settings})
    job = dataclasses.replace(job, config=config)
    saver = checkpointer(job, trained)

    def save(step: int, *, healthy: bool = True) -> None:
        saver.save(job.record(at(step, flags=not healthy)))
        saver.wait()

    for step in (3, 4, 6, 9):
        save(step)
    assert names(job) == ["latest", "step-00000004", "step-00000006", "step-00000009"]
    save(10, healthy=False)
    save(12, healthy=False)  # takes the place of 10, of no healthy one
    kept = ["latest", "step-00000004", "step-00000006", "step-00000009"]
    assert names(job) == [*kept, "step-00000012"]
    assert resumable(job)[0] == "step-00000012"
    # Gone back to step 6: what came after it is dropped with the next checkpoint.
    (job.checkpoints / "latest").write_text("step-00000006\n")
    save(7)
    assert names(job) == ["latest", "step-00000004", "step-00000006", "step-00000007"]


def test_a_broken_off_save_is_not_seen_and_goes(job: Job, trained: Trainer) -> None:
    saver = checkpointer(job, trained)
    saver.save(job.record(at(9)))
    saver.wait()
    (job.checkpoints / ".step-00000012.tmp" / "state").mkdir(parents=True)
    assert resumable(job) == ["step-00000009"]
    saver.tidy()
    assert names(job) == ["latest", "step-00000009"]


def test_any_flipped_bit_is_seen_and_the_checkpoint_before_is_taken(
    job: Job, trained: Trainer, capsys: pytest.CaptureFixture[str]
) -> None:
    saver = checkpointer(job, trained)
    for step in (3, 6):
        saver.save(job.record(at(step)))
    saver.wait()
    chance = random.Random(0)
    files = [path for path in (job.checkpoints / "step-00000006").rglob("*") if path.is_file()]
    assert len(files) == 3  # tensors, where they are, and the record
    for path in files:
        whole = path.read_bytes()
        for _ in range(3):
            place = chance.randrange(len(whole))
            damaged = bytearray(whole)
            damaged[place] ^= 1 << chance.randrange(8)
            path.write_bytes(damaged)
            record = saver.restore()
            assert record is not None
            assert record.step == 3
            assert "damaged" in capsys.readouterr().err
        path.write_bytes(whole)
    record = saver.restore()
    assert record is not None
    assert record.step == 6
    for name in ("step-00000003", "step-00000006"):
        (job.checkpoints / name / "checkpoint.json").write_text("{}")
    with pytest.raises(Problem, match="no checkpoint is whole"):
        saver.restore()


def test_a_full_disk_is_told_and_leaves_the_checkpoint_before(job: Job, trained: Trainer) -> None:
    saver = checkpointer(job, trained)
    saver.save(job.record(at(3)))
    saver.wait()
    # A limit on the size of files stands for a disk that fills up: writes fail half way.
    before, handler = resource.getrlimit(resource.RLIMIT_FSIZE), signal.getsignal(signal.SIGXFSZ)
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, before[1]))
    try:
        saver.save(job.record(at(6)))
        with pytest.raises(Problem, match="step 6 could not be saved") as raised:
            saver.wait()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)
    assert "\n" not in str(raised.value)
    assert names(job) == ["latest", "step-00000003"]
    assert resumable(job) == ["step-00000003"]
