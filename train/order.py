"""Which rows are trained on, and in which order: a pure function of one integer.

The position is the number of rows consumed. The R rows of the train split are cut into C lanes
of n = R // C consecutive rows; the batch at a position takes the next B / C rows of every lane.
C is frozen with the run and does not depend on the number of processes: each process reads a
contiguous share of the lanes, so every world size that divides C sees the same batches. From the
second epoch on, each lane begins at another of its rows and all lanes at another row of the split,
so that an epoch has other batches, and other rows at the ends that fill none. The phases of a
curriculum are read like this one after the other, each by itself.
"""

import functools
import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from schemas.problems import Problem

Window = tuple[int, int]  # positions from .. up to, multiples of the batch


class Phase(NamedTuple):
    """Consecutive rows of the split, and consecutive batches of an epoch."""

    first: int
    rows: int
    begin: int  # position within the epoch
    steps: int


@dataclass(frozen=True)
class Order:
    """Order of `rows` rows in batches of `batch_rows`, read in `lanes` lanes."""

    rows: int
    batch_rows: int
    lanes: int
    phase_rows: tuple[int, ...] = ()  # of a curriculum: they make `rows` together

    def __post_init__(self) -> None:
        """Raise Problem if the rows do not fill one batch of every phase."""
        for phase in self._phases:
            if phase.steps == 0:
                where = "a phase of the train split" if self.phase_rows else "the train split"
                raise Problem(
                    f"{where} has {phase.rows} rows, too few for one batch of "
                    f"{self.batch_rows}: give a smaller --batch-rows, or make more shards"
                )

    @functools.cached_property
    def _phases(self) -> list[Phase]:
        found: list[Phase] = []
        first = begin = 0
        for rows in self.phase_rows or (self.rows,):
            steps = rows // self.lanes // (self.batch_rows // self.lanes)
            found.append(Phase(first, rows, begin, steps))
            first, begin = first + rows, begin + steps * self.batch_rows
        return found

    @property
    def steps_per_epoch(self) -> int:
        """Full batches in the rows."""
        return sum(phase.steps for phase in self._phases)

    @property
    def rows_per_epoch(self) -> int:
        """Rows used before an epoch ends."""
        return self.steps_per_epoch * self.batch_rows

    @property
    def leftover(self) -> int:
        """Rows at the ends of the lanes and of the split that fill no batch of an epoch."""
        return self.rows - self.rows_per_epoch

    def epoch(self, position: int) -> int:
        """Whole epochs before `position`."""
        return position // self.rows_per_epoch

    def batch(self, position: int) -> NDArray[np.int64]:
        """Row numbers of the batch at `position` (a multiple of the batch), [lanes, B / lanes]."""
        per_lane = self.batch_rows // self.lanes
        epoch, place = divmod(position, self.rows_per_epoch)
        phase = [phase for phase in self._phases if phase.begin <= place][-1]
        shift, turns = _rotation(epoch, phase.rows, self.lanes)
        step = (place - phase.begin) // self.batch_rows
        within = step * per_lane + np.arange(per_lane, dtype=np.int64)
        size = phase.rows // self.lanes
        starts = np.arange(self.lanes, dtype=np.int64) * size
        rows: NDArray[np.int64] = starts[:, None] + (turns[:, None] + within) % size
        return phase.first + (rows + shift) % phase.rows

    def positions(self, row: int, before: int) -> Iterator[int]:
        """The positions below `before` whose batches hold `row`, in order."""
        per_lane = self.batch_rows // self.lanes
        phase = [phase for phase in self._phases if phase.first <= row][-1]
        size = phase.rows // self.lanes
        for epoch in range(-(-before // self.rows_per_epoch)):
            shift, turns = _rotation(epoch, phase.rows, self.lanes)
            lane, place = divmod((row - phase.first - shift) % phase.rows, size)
            if lane >= self.lanes:
                continue
            step = (place - int(turns[lane])) % size // per_lane
            position = epoch * self.rows_per_epoch + phase.begin + step * self.batch_rows
            if step < phase.steps and position < before:
                yield position

    def ahead(self, position: int, windows: Sequence[Window]) -> Iterator[int]:
        """Positions of the batches from `position` on, without end; `windows` are passed over."""
        while True:
            stops = [stop for start, stop in windows if start <= position < stop]
            if stops:
                position = max(stops)
                continue
            yield position
            position += self.batch_rows

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


@functools.lru_cache(4)
def _rotation(epoch: int, rows: int, lanes: int) -> tuple[int, NDArray[np.int64]]:
    """By how much an epoch shifts the split, and turns each lane, [lanes]; the first by nothing."""

    def below(bound: int, name: str) -> int:
        digest = hashlib.blake2b(name.encode(), digest_size=8).digest()
        return int.from_bytes(digest, "big") % bound if epoch else 0

    turns = [below(rows // lanes, f"{epoch}/{lane}") for lane in range(lanes)]
    return below(rows, str(epoch)), np.array(turns, np.int64)
