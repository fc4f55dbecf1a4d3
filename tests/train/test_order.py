from __future__ import annotations

import itertools

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


def test_an_epoch_has_other_batches_and_leaves_out_other_rows() -> None:
    order = Order(rows=102, batch_rows=8, lanes=4)
    assert order.rows_per_epoch == 96
    assert [order.epoch(position) for position in (0, 88, 96, 200)] == [0, 0, 1, 2]
    epochs = [
        [frozenset(order.batch(start + step * 8).ravel().tolist()) for step in range(12)]
        for start in (0, 96, 192)
    ]
    for batches in epochs:
        rows = frozenset.union(*batches)
        assert len(rows) == 96
        assert rows <= set(range(102))
    assert not set(epochs[0]) & set(epochs[1])
    assert not set(epochs[1]) & set(epochs[2])
    left = [set(range(102)) - frozenset.union(*batches) for batches in epochs]
    assert len(set.intersection(*left)) < 6
    # A pure function: nothing is remembered.
    assert np.array_equal(order.batch(96 + 16), Order(102, 8, 4).batch(96 + 16))


def test_phases_are_read_one_after_the_other() -> None:
    order = Order(rows=152, batch_rows=8, lanes=4, phase_rows=(50, 102))
    first, second = Order(50, 8, 4), Order(102, 8, 4)
    assert order.steps_per_epoch == first.steps_per_epoch + second.steps_per_epoch == 18
    for epoch in range(3):
        for step in range(18):
            alone = (step, first, 0) if step < 6 else (step - 6, second, 50)
            place, other, start = alone
            expected = other.batch(epoch * other.rows_per_epoch + place * 8) + start
            position = epoch * order.rows_per_epoch + step * 8
            assert np.array_equal(order.batch(position), expected)
            for row in expected.ravel().tolist():
                assert position in order.positions(row, position + 1)
    assert order.leftover == first.leftover + second.leftover
    with pytest.raises(Problem, match="a phase of the train split has 7 rows, too few"):
        Order(109, 8, 4, (102, 7))


@pytest.mark.parametrize("phases", [(), (26, 24), (7, 43)])
def test_the_steps_that_see_a_row_are_those_whose_batches_hold_it(phases: tuple[int, ...]) -> None:
    order = Order(50, 6, 3, phases)
    seen: dict[int, list[int]] = {row: [] for row in range(50)}
    for position in range(0, 6 * order.rows_per_epoch, 6):
        for row in order.batch(position).ravel():
            seen[int(row)].append(position)
    for row, positions in seen.items():
        assert list(order.positions(row, 6 * order.rows_per_epoch)) == positions
        assert list(order.positions(row, 60)) == [p for p in positions if p < 60]


def test_windows_are_passed_over() -> None:
    order = Order(rows=102, batch_rows=8, lanes=4)
    ahead = order.ahead(8, [(16, 32), (24, 40), (56, 64)])
    assert list(itertools.islice(ahead, 5)) == [8, 40, 48, 64, 72]
    assert list(itertools.islice(order.ahead(24, [(16, 32)]), 2)) == [32, 40]


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
