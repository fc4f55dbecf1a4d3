from __future__ import annotations

import io
import json
import time
from pathlib import Path

import pytest

from train import metrics


def write(path: Path, steps: int) -> None:
    log = metrics.Log(path, resumed_step=0)
    log.write("start", step=0)
    for step in range(1, steps + 1):
        log.write("step", step=step, tokens_seen=step * 100, loss=5 / step, skipped=step == 2)
        if step % 2 == 0:
            log.write("validation", step=step, tokens_seen=step * 100, loss=5 / step)
    log.close()


def test_a_resumed_log_tells_each_step_once(tmp_path: Path) -> None:
    path = tmp_path / "steps.jsonl"
    write(path, 5)
    with path.open("a", encoding="utf-8") as file:
        file.write('{"kind": "step", "step": 6, "lo')  # the process was killed here
    log = metrics.Log(path, resumed_step=4)
    assert log.skipped == 1
    log.write("start", step=4)
    log.write("step", step=5, loss=1.0, skipped=True)
    assert log.skipped == 2
    log.close()
    found = [(line["kind"], line["step"]) for line in metrics.read(path)]
    assert found == [
        ("start", 0),
        ("step", 1),
        ("step", 2),
        ("validation", 2),
        ("step", 3),
        ("step", 4),
        ("validation", 4),
        ("start", 4),
        ("step", 5),
    ]


def test_a_run_that_begins_again_begins_its_log_again(tmp_path: Path) -> None:
    write(tmp_path / "steps.jsonl", 3)
    metrics.Log(tmp_path / "steps.jsonl", resumed_step=0).close()
    assert metrics.read(tmp_path / "steps.jsonl") == []


def test_the_log_is_json_also_where_numbers_are_not_finite(tmp_path: Path) -> None:
    log = metrics.Log(tmp_path / "steps.jsonl", resumed_step=0)
    log.write("step", step=1, loss=metrics.finite(float("nan")), grad_norm=metrics.finite(2.0))
    with pytest.raises(ValueError, match="JSON"):
        log.write("step", step=2, loss=float("inf"))
    log.close()
    text = (tmp_path / "steps.jsonl").read_text()
    line = json.loads(text)
    assert time.time() - 60 < line.pop("time") <= time.time() + 1
    assert line == {"kind": "step", "step": 1, "loss": None, "grad_norm": 2.0}


def test_utilisation_is_null_where_the_peak_is_not_known() -> None:
    # GPT-2 small at 486,000 tokens a second on an H200: 42 % of 989.4 TFLOP/s.
    peak = metrics.peak_flops("NVIDIA H200")
    assert metrics.mfu(486_000, 855_000_000, peak) == pytest.approx(0.42, abs=0.001)
    assert metrics.mfu(486_000, 855_000_000, metrics.peak_flops("NVIDIA H100 NVL")) is None


def test_progress_overwrites_its_line_on_a_terminal_only() -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    plain, terminal = io.StringIO(), Terminal()
    for to in (plain, terminal):
        metrics.show_progress("step 1", to=to)
        metrics.show_progress("step 2", last=True, to=to)
    assert plain.getvalue() == "step 1\nstep 2\n"
    assert terminal.getvalue() == "\r\x1b[Kstep 1\r\x1b[Kstep 2\n"
    assert metrics.clock(3725.4) == "1:02:05"
