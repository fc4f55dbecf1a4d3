"""Which rows are trained on, and in which order: a pure function of one integer.

The position is the number of rows consumed. The R rows of the train split are cut into C lanes
of n = R // C consecutive rows; the batch at a position takes the next B / C rows of every lane.
C is frozen with the run and does not depend on the number of processes: each process reads a
contiguous share of the lanes, so every world size that divides C sees the same batches.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from schemas.problems import Problem


@dataclass(frozen=True)
class Order:
    """Order of `rows` rows in batches of `batch_rows`, read in `lanes` lanes."""

    rows: int
    batch_rows: int
    lanes: int

    def __post_init__(self) -> None:
        """Raise Problem if the rows do not fill one batch."""
        if self.steps_per_epoch == 0:
            raise Problem(
                f"the train split has {self.rows} rows, too few for one batch of "
                f"{self.batch_rows}: give a smaller --batch-rows, or make more shards"
            )

    @property
    def steps_per_epoch(self) -> int:
        """Full batches in the rows."""
        return (self.rows // self.lanes) // (self.batch_rows // self.lanes)

    @property
    def rows_per_epoch(self) -> int:
        """Rows used before the order begins again."""
        return self.steps_per_epoch * self.batch_rows

    @property
    def leftover(self) -> int:
        """Rows at the ends of the lanes and of the split that fill no batch and are never used."""
        return self.rows - self.rows_per_epoch

    def epoch(self, position: int) -> int:
        """Times that all rows were used before `position`."""
        return position // self.rows_per_epoch

    def batch(self, position: int) -> NDArray[np.int64]:
        """Row numbers of the batch at `position` (a multiple of the batch), [lanes, B / lanes]."""
        per_lane = self.batch_rows // self.lanes
        step = position % self.rows_per_epoch // self.batch_rows
        starts = np.arange(self.lanes, dtype=np.int64) * (self.rows // self.lanes)
        return starts[:, None] + step * per_lane + np.arange(per_lane, dtype=np.int64)

    def lanes_of(self, rank: int, world_size: int) -> slice:
        """Lanes that one of `world_size` processes reads. Raises Problem if they do not share."""
        if self.lanes % world_size:
            fitting = [n for n in range(1, self.lanes + 1) if self.lanes % n == 0]
            raise Problem(
                f"{world_size} processes cannot share {self.lanes} lanes evenly: use one of "
                f"{', '.join(map(str, fitting))} processes, or start another run with --set "
                f"lanes=N, N a divisor of batch_rows ({self.batch_rows}) and a multiple of "
                f"{world_size}"
            )
        share = self.lanes // world_size
        return slice(rank * share, (rank + 1) * share)
