"""Validation: loss, perplexity and bits per byte, overall and of each source."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import cast

import numpy as np
import torch
from torch import Tensor

from train.data import IGNORED, Rows, ShardReader
from train.mesh import World
from train.metrics import finite
from train.model import Decoder
from train.step import Feed, losses_of, passes


@dataclass(frozen=True)
class Score:
    """Sums over some text, from which the measures follow."""

    nats: float  # of all labels
    labels: int
    bytes: int  # of UTF-8 text that the labels spell

    @property
    def loss(self) -> float:
        """Nats a label."""
        return self.nats / self.labels if self.labels else math.nan

    @property
    def perplexity(self) -> float:
        """e to the loss."""
        return math.exp(min(self.loss, 700.0))

    @property
    def bits_per_byte(self) -> float:
        """Bits to code a byte of the text: nats / ln 2 / bytes. Comparable across tokenizers."""
        return self.nats / math.log(2) / self.bytes if self.bytes else math.nan

    def measures(self) -> dict[str, float | int | None]:
        """For the log; None where there is nothing to measure."""
        return {
            "loss": finite(self.loss),
            "perplexity": finite(self.perplexity),
            "bits_per_byte": finite(self.bits_per_byte),
            "labels": self.labels,
            "bytes": self.bytes,
        }


@torch.no_grad()
def evaluate(
    model: Decoder, reader: ShardReader, world: World, feed: Feed, *, limit: int | None
) -> dict[str, Score]:
    """Scores by source over the first `limit` rows (None: all), with the total under "".

    Every process takes part, with as many forward passes of `feed.micro` rows as any other.
    """
    rows, micro = min(reader.rows, limit or reader.rows), feed.micro
    sums = torch.zeros(3, len(reader.source_names), dtype=torch.float64, device=world.device)
    model.eval()
    first = world.data_rank * micro
    for start in range(first, rows + first, world.data_size * micro):
        part = _filled(reader, min(start, rows), min(start + micro, rows), micro)
        [(inputs, sources)] = passes(feed.batch(part, start), micro, world.device)
        losses = losses_of(model, inputs).double().sum(1)
        labels = (cast(Tensor, inputs.labels) != IGNORED).sum(1)
        spelled = part.text_bytes * feed.objective.predicts_all
        text_bytes = torch.from_numpy(spelled).to(world.device)
        values = torch.stack([losses, labels.double(), text_bytes.double()])
        sums.index_add_(1, sources, values)
    model.train()
    sums[0] = world.sum_losses(sums[0])
    sums[1:] = world.sum_rows(sums[1:].long())
    columns = torch.cat([sums.sum(1, keepdim=True), sums], dim=1).T.tolist()
    return {
        name: Score(nats, int(labels), int(text_bytes))
        for name, (nats, labels, text_bytes) in zip(
            ["", *reader.source_names], columns, strict=True
        )
    }


def _filled(reader: ShardReader, start: int, stop: int, count: int) -> Rows:
    """Rows start..stop, filled up to `count` with rows of padding, so that shapes never change."""
    missing = count - (stop - start)
    ids_type = np.dtype(reader.manifest.token_type)
    shape = (missing, reader.manifest.sequence_length)
    empty = Rows(
        np.full(shape, reader.manifest.tokenizer.padding, ids_type),
        np.zeros(shape, np.bool_),
        np.zeros(missing, np.int64),
        np.zeros(missing, np.int64),
    )
    return Rows.concatenate([reader.read(start, stop), empty]) if start < stop else empty
