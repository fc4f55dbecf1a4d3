from __future__ import annotations

import numpy as np
import pytest

from schemas.problems import Problem
from train.order import Order


@pytest.mark.parametrize(("rows", "batch", "lanes"), [(100, 8, 4), (64, 8, 8), (1510, 12, 6)])
def test_an_epoch_uses_every_row_but_the_leftover_once(rows: int, batch: int, lanes: int) -> None:
    order = Order(rows, batch, lanes)
    used = np.concatenate(
        [order.batch(step * batch).ravel() for step in range(order.steps_per_epoch)]
    )
    assert len(np.unique(used)) == len(used) == order.rows_per_epoch
    assert 0 <= used.min() <= used.max() < rows
    assert order.leftover == rows - len(used)
    # No more is left than a part of a batch in each lane and the rows beyond the lanes.
    assert order.leftover < batch + lanes


def test_lanes_read_consecutive_rows_side_by_side() -> None:
    order = Order(rows=102, batch_rows=8, lanes=4)  # lanes of 25 rows
    assert order.batch(0).tolist() == [[0, 1], [25, 26], [50, 51], [75, 76]]
    assert order.batch(8).tolist() == [[2, 3], [27, 28], [52, 53], [77, 78]]
    assert (order.steps_per_epoch, order.leftover) == (12, 6)


def test_the_order_begins_again_with_each_epoch() -> None:
    order = Order(rows=102, batch_rows=8, lanes=4)
    assert order.rows_per_epoch == 96
    assert [order.epoch(position) for position in (0, 88, 96, 200)] == [0, 0, 1, 2]
    assert np.array_equal(order.batch(96 + 16), order.batch(16))


@pytest.mark.parametrize("world_size", [1, 2, 3, 6])
def test_processes_share_the_same_batch(world_size: int) -> None:
    order = Order(rows=600, batch_rows=12, lanes=6)
    whole = order.batch(24)
    parts = [whole[order.lanes_of(rank, world_size)] for rank in range(world_size)]
    assert np.array_equal(np.concatenate(parts), whole)


def test_processes_that_cannot_share_are_refused_with_the_mend() -> None:
    with pytest.raises(Problem, match=r"4 processes cannot share 6 lanes.* 1, 2, 3, 6 processes"):
        Order(rows=600, batch_rows=12, lanes=6).lanes_of(0, 4)


@pytest.mark.parametrize("rows", [0, 11, 10])
def test_too_few_rows_for_a_batch(rows: int) -> None:
    with pytest.raises(Problem, match=f"{rows} rows, too few for one batch of 12"):
        Order(rows, batch_rows=12, lanes=6)
