from __future__ import annotations

import json
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from train import metrics
from train.report import predicted, running_mean, write_report


@pytest.fixture
def output(tmp_path: Path) -> Path:
    log = metrics.Log(tmp_path / "steps.jsonl", resumed_step=0)
    start: dict[str, Any] = {"steps": 60, "parameters": 1000, "world_size": 1, "device": "cpu"}
    log.write("start", step=0, precision="float32", flops_per_token=6000, peak_flops=6e7, **start)
    for step in range(1, 61):
        log.write(
            "step",
            step=step,
            tokens=100,
            tokens_seen=step * 100,
            loss=5 / step,
            lr=0.1,
            grad_norm=None if step == 7 else 1.0,
            skipped=step == 7,
            spike=step in (7, 9),
            sources={"web": 5 / step} | ({"<b>code": 4 / step} if step % 2 else {}),
            tokens_per_second=1000.0,
            data_wait=0.01,
            memory=2**30,
            joules=None,
        )
        if step % 20 == 0:
            scores = {"loss": 5 / step, "perplexity": 2.0, "bits_per_byte": 1.0, "labels": 9}
            log.write(
                "validation", step=step, tokens_seen=step * 100, **scores, sources={"web": scores}
            )
    log.close()
    (tmp_path / "checkpoints").mkdir()
    rollback = {"start": 80, "stop": 96, "step": 14, "to_step": 10}
    (tmp_path / "checkpoints" / "rollbacks.json").write_text(json.dumps([rollback]))
    (tmp_path / "passed-over.jsonl").write_text(
        "".join(
            json.dumps({"rollback": 1, "row": n, "source": "web", "document": f"{n:032x}"}) + "\n"
            for n in range(25)
        )
    )
    return tmp_path


class Text(HTMLParser):
    """The text of a page, and how many pictures it has."""

    def __init__(self) -> None:
        super().__init__()
        self.pictures, self.text = 0, ""

    def handle_starttag(self, tag: str, attrs: object) -> None:
        self.pictures += tag == "svg"

    def handle_data(self, data: str) -> None:
        self.text += f" {data}"


def test_the_page_tells_the_run(output: Path) -> None:
    path = write_report(output)
    assert path == output / "report.html"
    assert (output / "loss.png").read_bytes().startswith(b"\x89PNG\r\n")
    page = Text()
    page.feed(path.read_text("utf-8"))
    assert page.pictures == 5  # loss, by source in training and validation, gradient, rate
    for told in (
        "60 of 60 steps, 6,000 tokens",
        "1 steps left the weights as they were (7); 1 more were spikes (9)",
        "at step 14 back to 10; rows 80 to 96 are passed over, with parts of 25 documents",
        f"web/{3:032x}",
        "and others, in passed-over.jsonl",
        "10.0%",  # 1,000 tokens a second x 6,000 FLOPs of 6e7
        "36,000,000",  # FLOPs by 6 N D
    ):
        assert told in page.text, told
    assert "<b>code" not in path.read_text("utf-8")
    first = path.read_bytes()
    write_report(output)
    assert path.read_bytes() == first


def test_a_known_gpu_is_predicted_by_the_planner() -> None:
    start = {"parameters": 10**9, "world_size": 8, "device": "NVIDIA H100 PCIe"}
    found = predicted(start, 20 * 10**9)
    # 6 N D at 756 TFLOP/s, 8 GPUs, 40 % and 5 % lost.
    hours = 6e9 * 20e9 / (756e12 * 8 * 0.4) / 0.95 / 3600
    assert found["hours of training"] == pytest.approx(hours)
    assert "hours of training" not in predicted({**start, "device": "cpu"}, 10)


def test_no_steps_no_page(tmp_path: Path) -> None:
    assert write_report(tmp_path) is None


def test_a_running_mean_looks_back_only() -> None:
    assert running_mean([1.0, 3.0, 5.0, 7.0], 2) == [1.0, 2.0, 4.0, 6.0]
