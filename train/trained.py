"""A trained model that can be asked: for text, or for answers."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from tokenizers import Tokenizer

from train import config, parallel
from train.job import Record
from train.mesh import World
from train.model import Decoder
from train.origin import find, record_of, tokenizer_of, weights_of
from train.tasks import Accuracy, Question, answer


@dataclass(frozen=True)
class Trained:
    """A model in one process."""

    model: Decoder
    config: config.Config
    tokenizer: Tokenizer
    record: Record

    def answer(self, questions: list[Question]) -> Accuracy:
        """How many questions the model answers as it should."""
        return answer(
            self.model,
            questions,
            self.tokenizer,
            World(0, 1, next(self.model.parameters()).device),
            settings=self.record.tokenizer,
            length=self.record.sequence_length,
            micro=self.config.micro_rows,
        )


def open_trained(folder: Path) -> Trained:
    """Load what `gristmill train --output FOLDER` left: its newest healthy checkpoint.

    Raises Problem if there is none, or if it or the tokenizer is damaged.
    """
    checkpoint = find(folder)
    record = record_of(checkpoint)
    settings = config.load(
        str(checkpoint.parent.parent / "config.yaml"), {"parallel": {}, "recompute": "none"}
    )
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    model = parallel.build(settings, record.tokenizer.vocabulary, World(0, 1, device))
    weights = weights_of(checkpoint, record)
    model.load_state_dict(weights)
    return Trained(
        model.eval(), settings, Tokenizer.from_file(str(tokenizer_of(checkpoint, record))), record
    )
