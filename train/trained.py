"""A trained model: its newest whole checkpoint, its configuration and its tokenizer."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from tokenizers import Tokenizer
from torch.distributed.checkpoint.state_dict_loader import load as read_tensors

from schemas.problems import Problem
from schemas.shard import ShardManifest
from train import config, metrics, parallel
from train.checkpoint import digest_of
from train.data import open_shards
from train.job import Record, checkpoints, read_record
from train.mesh import World
from train.model import Decoder
from train.tasks import Accuracy, Question, answer


@dataclass(frozen=True)
class Trained:
    """A model in one process, ready to be asked."""

    model: Decoder
    config: config.Config
    tokenizer: Tokenizer
    manifest: ShardManifest
    record: Record

    def answer(self, questions: list[Question]) -> Accuracy:
        """How many questions the model answers as it should."""
        device = next(self.model.parameters()).device
        return answer(
            self.model,
            questions,
            self.tokenizer,
            World(0, 1, device),
            settings=self.manifest.tokenizer,
            length=self.manifest.sequence_length,
            micro=self.config.micro_rows,
        )


def open_trained(folder: Path, run: Path | None = None) -> Trained:
    """Load what `gristmill train --output FOLDER` left.

    run: where the shards are now, if they were moved. Raises Problem if there is no whole
    checkpoint, or if the tokenizer is another than it was trained with.
    """
    starts = [line for line in metrics.read(folder / "steps.jsonl") if line["kind"] == "start"]
    if not starts:
        raise Problem(f"{folder}: no steps.jsonl of a training run here")
    manifest, shards = open_shards(run or Path(starts[-1]["run"]))
    settings = config.load(str(folder / "config.yaml"), {"parallel": {}, "recompute": "none"})
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    model = parallel.build(settings, manifest.tokenizer.vocabulary, World(0, 1, device))
    record = _whole(folder / "checkpoints")
    if record.tokenizer != manifest.tokenizer.sha256:
        raise Problem(f"{shards}: another tokenizer than the model was trained with")
    state = {"model": model.state_dict()}
    read_tensors(state, checkpoint_id=folder / "checkpoints" / record.name / "state", no_dist=True)
    tokenizer = Tokenizer.from_file(str(shards / manifest.tokenizer.path))
    return Trained(model.eval(), settings, tokenizer, manifest, record)


def _whole(folder: Path) -> Record:
    """The newest checkpoint whose files are what was written."""
    for name in reversed(checkpoints(folder)):
        record = read_record(folder / name)
        files = record.files.items() if record else ()
        if record and all(digest_of(folder / name / "state" / n) == d for n, d in files):
            return record
    raise Problem(f"{folder}: no whole checkpoint here")
