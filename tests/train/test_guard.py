from __future__ import annotations

import math

import pytest
import torch

from train import guard
from train.config import Guard as Settings
from train.guard import Monitor
from train.job import Progress

CPU = torch.device("cpu")


def spikes(losses: list[float], **settings: object) -> list[int]:
    monitor = Monitor(Settings.model_validate(settings), CPU)
    return [
        index for index, loss in enumerate(losses) if monitor.is_spike(torch.tensor(loss)).item()
    ]


def test_a_loss_far_above_those_before_is_a_spike() -> None:
    generator = torch.Generator().manual_seed(0)
    noise = (torch.randn(400, generator=generator) * 0.1).tolist()
    # It falls, as losses do, with noise: nothing is seen.
    falling = [2.0 + 5.0 * math.exp(-index / 40) + noise[index] for index in range(400)]
    assert spikes(falling) == []
    for index in (200, 250, 251, 252, 253):
        falling[index] += 2.5
    falling[300] = math.nan
    falling[310] = math.inf
    assert spikes(falling) == [200, 250, 251, 252, 253, 300, 310]
    assert spikes(falling, spikes="ignore") == [300, 310]


def test_spikes_do_not_become_the_course() -> None:
    assert spikes([3.0] * 20 + [6.0] * 50 + [3.0] * 5, window=16) == list(range(20, 70))
    # 12 % above losses that are all alike is the least that is one.
    assert spikes([3.0] * 20 + [3.3, 3.4]) == [21]


def test_the_losses_seen_are_saved_and_loaded() -> None:
    one = Monitor(Settings(window=4), CPU)
    for loss in (9.0, 3.0, 3.0, 3.0, 3.0):
        one.is_spike(torch.tensor(loss))
    other = Monitor(Settings(window=4), CPU)
    for mine, theirs in zip(other.state_dict().values(), one.state_dict().values(), strict=True):
        mine.copy_(theirs)
    assert other.is_spike(torch.tensor(4.0)).item() == 1
    other.reset()
    assert other.is_spike(torch.tensor(4.0)).item() == 0


def judge(at: Progress, start: int, flags: str, **more: bool) -> tuple[int, int] | None:
    given = {"last": False, "finite": True, **more}
    settings = Settings.model_validate({"patience": 3})
    at.position = start + 8 * len(flags)
    return guard.judge(at, flagged(start, flags), settings, **given)


def flagged(start: int, flags: str) -> list[tuple[int, bool]]:
    return [(start + 8 * index, flag == "x") for index, flag in enumerate(flags)]


@pytest.mark.parametrize(
    ("windows", "expected"),
    [
        ([".x.x..xx."], None),  # never three in a row
        (["..xxx.."], None),  # it came back by itself
        (["..xxx"], (16, 40)),
        (["..x", "x", "x"], (16, 40)),  # counted over windows
        (["..xxxxx."], None),
        (["....x", "xxxx"], (32, 72)),
    ],
)
def test_so_many_in_a_row_call_for_going_back(
    windows: list[str], expected: tuple[int, int] | None
) -> None:
    at, start = Progress(), 0
    for number, flags in enumerate(windows):
        found = judge(at, start, flags)
        start += 8 * len(flags)
        assert found == (expected if number == len(windows) - 1 else None)
    assert (at.flags == 0) == windows[-1].endswith(".")


def test_at_the_end_two_in_a_row_are_enough_and_ruined_weights_always() -> None:
    assert judge(Progress(), 0, "...x", last=True) is None
    assert judge(Progress(), 0, "..xx", last=True) == (16, 32)
    assert judge(Progress(), 0, "....", finite=False) == (24, 32)
