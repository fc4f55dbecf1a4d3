"""Validation: loss, perplexity and bits per byte, overall and of each source."""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor

from train.data import IGNORED, Rows, ShardReader
from train.mesh import World
from train.metrics import finite
from train.model import Decoder, Inputs
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
        names = ("loss", "perplexity", "bits_per_byte")
        found = {name: finite(getattr(self, name)) for name in names}
        return {**found, "labels": self.labels, "bytes": self.bytes}


@torch.no_grad()
def losses(
    model: Decoder, rows: int, read: Callable[[int, int], Rows], world: World, feed: Feed
) -> Iterator[tuple[int, Rows, Inputs, Tensor]]:
    """Number of the first row, rows, inputs, and nats of every token, of one pass after another.

    read: rows from .. up to. Every process takes part, with as many passes of `feed.micro` rows as
    any other; rows of padding fill them up, so that shapes never change.
    """
    micro, first = feed.micro, world.data_rank * feed.micro
    length = read(0, 1).ids.shape[1]
    model.eval()
    for start in range(first, rows + first, world.data_size * micro):
        part = Rows.padding(micro, length, feed.objective.padding)
        if start < rows:
            for whole, some in zip(part, read(start, min(start + micro, rows)), strict=True):
                whole[: len(some)] = some
        [(inputs, _)] = passes(feed.batch(part, start), world.device)
        yield start, part, inputs, losses_of(model, inputs)
    model.train()


def evaluate(
    model: Decoder, reader: ShardReader, world: World, feed: Feed, *, limit: int | None
) -> dict[str, Score]:
    """Scores by source over the first `limit` rows (None: all), with the total under ""."""
    rows, names = min(reader.rows, limit or reader.rows), reader.source_names
    sums = torch.zeros(3, len(names), dtype=torch.float64, device=world.device)
    for _, part, inputs, each in losses(model, rows, reader.read, world, feed):
        labels = (cast(Tensor, inputs.labels) != IGNORED).sum(1)
        spelled = torch.from_numpy(part.text_bytes * feed.objective.predicts_all).to(world.device)
        values = torch.stack([each.double().sum(1), labels.double(), spelled.double()])
        sums.index_add_(1, torch.from_numpy(part.sources).to(world.device), values)
    sums[0] = world.sum_losses(sums[0])
    sums[1:] = world.sum_rows(sums[1:].long())
    columns = torch.cat([sums.sum(1, keepdim=True), sums], dim=1).T.tolist()
    return {
        name: Score(nats, int(labels), int(text_bytes))
        for name, (nats, labels, text_bytes) in zip(["", *names], columns, strict=True)
    }
