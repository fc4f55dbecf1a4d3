from __future__ import annotations

from pathlib import Path

import torch

from tests.train.conftest import ALONE, Run, feed_of
from train import checkpoint, optim, parallel
from train.config import Config
from train.data import ShardReader
from train.job import Job, latest, prepare
from train.model import Decoder
from train.step import train_step


def fresh(job: Job, config: Config) -> tuple[Decoder, optim.Optimizer]:
    model = parallel.build(config, job.manifest.tokenizer.vocabulary, ALONE)
    return model, optim.build(model, config.optimizer)


def trained(run: Run, job: Job, config: Config) -> tuple[Decoder, optim.Optimizer]:
    model, optimizer = fresh(job, config)
    rows = ShardReader(job.shards, job.manifest, "train").read(0, 4)
    batch = feed_of(run, config).batch(rows, 0)
    for _ in range(2):
        train_step(
            model,
            optimizer,
            batch,
            num_labels=batch.num_labels,
            micro=4,
            rate=1e-3,
            clip=1.0,
            world=ALONE,
        )
    return model, optimizer


def test_what_is_restored_is_what_was_saved(run: Run, small: Config, tmp_path: Path) -> None:
    job = prepare(run.path, tmp_path, small, 1)
    model, optimizer = trained(run, job, small)
    record = job.record(2, 16, 2000)
    checkpoint.save(job, record, model, optimizer, ALONE)
    assert latest(tmp_path) == record
    other, other_optimizer = fresh(job, small.model_copy(update={"seed": 5}))
    checkpoint.restore(job, record, other, other_optimizer, ALONE)
    for one, two in zip(model.parameters(), other.parameters(), strict=True):
        assert torch.equal(one, two)
        for key in ("step", "exp_avg", "exp_avg_sq"):
            assert torch.equal(optimizer.state[one][key], other_optimizer.state[two][key])


def test_only_the_newest_stay_and_a_broken_off_save_is_not_seen(
    run: Run, small: Config, tmp_path: Path
) -> None:
    job = prepare(run.path, tmp_path, small, 1)  # keeps two
    model, optimizer = trained(run, job, small)

    def names() -> list[str]:
        return sorted(path.name for path in job.checkpoints.iterdir())

    for step in (3, 6, 9):
        checkpoint.save(job, job.record(step, step * 8, 0), model, optimizer, ALONE)
    assert names() == ["latest", "step-00000006", "step-00000009"]
    # Killed while it wrote the next: the one before stands, and the next try starts afresh.
    (job.checkpoints / ".step-00000012.tmp" / "state").mkdir(parents=True)
    record = latest(tmp_path)
    assert record is not None
    assert record.step == 9
    # Gone back to step 6: what came after it is dropped with the next checkpoint.
    (job.checkpoints / "latest").write_text("step-00000006\n")
    checkpoint.save(job, job.record(7, 56, 0), model, optimizer, ALONE)
    checkpoint.save(job, job.record(12, 96, 0), model, optimizer, ALONE)
    assert names() == ["latest", "step-00000007", "step-00000012"]
