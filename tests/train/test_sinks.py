from __future__ import annotations

import time
from pathlib import Path

import pytest

from tests.train.conftest import Run
from train import sinks
from train.config import Config
from train.job import Job, prepare


@pytest.fixture
def job(run: Run, small: Config, tmp_path: Path) -> Job:
    config = small.model_copy(update={"log_to": ("tensorboard",)})
    return prepare(run.path, tmp_path, config, 1)


def test_tensorboard_reads_the_numbers_and_nothing_of_a_lost_process(job: Job) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    def write(resumed: int, losses: dict[int, float]) -> None:
        (sink,) = sinks.open_all(job, resumed)
        for step, loss in losses.items():
            values = {"loss": loss, "lr": None, "sources": {"web": 2.0}, "step": step}
            sink.write(step, sinks.numbers("train", values))
        sink.close()

    write(0, {1: 5.0, 2: 4.0, 3: 9.0})
    write(2, {3: 3.0, 4: 2.0})
    events = EventAccumulator(str(job.output / "tensorboard"))
    events.Reload()
    assert set(events.Tags()["scalars"]) == {"train/loss", "train/sources/web"}
    found = [(event.step, event.value) for event in events.Scalars("train/loss")]
    assert found == [(1, 5.0), (2, 4.0), (3, 3.0), (4, 2.0)]


def test_weights_and_biases_gets_them_offline(job: Job, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("wandb")
    monkeypatch.delenv("WANDB_MODE", raising=False)
    sink = sinks.weights_and_biases(job, 0)
    sink.write(1, {"train/loss": 5.0})
    sink.close()
    (log,) = job.output.glob("wandb/offline-run-*/run-*.wandb")
    until = time.monotonic() + 60  # its own process writes the file
    while b"train/loss" not in log.read_bytes():
        assert time.monotonic() < until
        time.sleep(0.05)
