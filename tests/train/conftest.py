"""What the trainer's tests share: shards of real text, and a small configuration."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

# Before torch is loaded: see train.cli.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import pytest
import torch
import yaml

from schemas.shard import ShardManifest, read_manifest
from tests.train.shards import write_run
from train.config import Config, load
from train.mesh import World
from train.model import Decoder
from train.objective import Objective
from train.step import Batch, Feed, Trainer

ALONE = World(0, 1, torch.device("cpu"))

SMALL = {
    "model": {"dim": 64, "layers": 2, "heads": 4, "kv_heads": 2, "hidden": 128, "tied": False},
    "optimizer": {"lr": 5e-3, "warmup": 0.05},
    "batch_rows": 8,
    "lanes": 4,
    "micro_rows": 4,
    "steps": 60,
    "evaluation": {"every": 30, "rows": 41},
    "checkpoint": {"every": 10, "keep": 2},
}


@dataclass(frozen=True)
class Run:
    """A finished run of the mill."""

    path: Path
    held_out: dict[str, list[str]]  # validation documents by source
    manifest: ShardManifest

    @property
    def shards(self) -> Path:
        return self.path / "shards"


def feed_of(run: Run, config: Config, micro: int = 8) -> Feed:
    """Batches of a run's rows for one process."""
    tokenizer = run.manifest.tokenizer
    objective = Objective(config.objective, tokenizer.vocabulary, tokenizer.padding)
    return Feed(objective, ALONE.device, micro, len(run.manifest.splits["train"].sources))


def accumulate(model: Decoder, batch: Batch, num_labels: int, micro: int) -> torch.Tensor:
    """Nats by source of a batch in passes of `micro` rows, whose gradients are added up."""
    return Trainer(load("tiny"), model, ALONE).accumulate(batch._replace(micro=micro), num_labels)


@pytest.fixture(scope="session")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    path = tmp_path_factory.mktemp("mill") / "run"
    return Run(path, write_run(path), read_manifest(path))


@pytest.fixture(scope="session")
def small_yaml(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("config") / "small.yaml"
    path.write_text(yaml.safe_dump(SMALL), "utf-8")
    return path


@pytest.fixture(scope="session")
def small(small_yaml: Path) -> Config:
    return load(str(small_yaml))
