"""Runs whose loss leaves its course: by the rate, by a ruined weight, by the rows."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.train.conftest import Run
from tests.train.shards import LENGTH, VOCABULARY
from train import metrics
from train.cli import main
from train.job import checkpoints
from train.order import Order
from train.step import Trainer

QUICK = ("--set", "guard.patience=3", "--set", "log_every=2", "--set", "evaluation.rows=8")


def command(run: Path, small_yaml: Path, output: Path, *more: str) -> list[str]:
    return [str(run), "--output", str(output), "--preset", str(small_yaml), *QUICK, *more]


def lines(output: Path, kind: str, file: str = "steps.jsonl") -> list[dict[str, Any]]:
    return [line for line in metrics.read(output / file) if line["kind"] == kind]


def test_a_rate_that_ruins_the_weights_ends_in_a_message_and_status_1(
    run: Run, small_yaml: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = command(run.path, small_yaml, tmp_path, "--steps", "12")
    assert main([*arguments, "--set", "optimizer.lr=1e30"]) == 1
    *_, message = capsys.readouterr().err.splitlines()
    assert message.startswith("gristmill train: the loss left its course")
    assert "training has gone back 3 times" in message
    # No ruined checkpoint is there to be taken for a model.
    assert checkpoints(tmp_path / "checkpoints") == []
    assert not (tmp_path / "checkpoints" / "latest").exists()


def test_ruined_weights_are_never_saved_and_healthy_ones_are_returned_to(
    run: Run, small_yaml: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    step, calls = Trainer.step, []

    def ruin_once(trainer: Trainer, *given: Any) -> Any:
        outcome = step(trainer, *given)
        calls.append(1)
        if len(calls) == 13:
            trainer.model.get_parameter("blocks.0.attention.q.weight").data[3, 4] = float("inf")
        return outcome

    monkeypatch.setattr(Trainer, "step", ruin_once)
    assert main(command(run.path, small_yaml, tmp_path, "--steps", "24")) == 0
    assert [line["step"] for line in lines(tmp_path, "step")] == list(range(1, 25))
    assert not any(line["skipped"] for line in lines(tmp_path, "step"))
    (rollback,) = json.loads((tmp_path / "checkpoints" / "rollbacks.json").read_text())
    # Steps 14, 15 and 16 were not finite: back to 10, and their rows are passed over.
    assert rollback == {"start": 13 * 8, "stop": 16 * 8, "step": 16, "to_step": 10}
    seen = [line["first_row"] for line in lines(tmp_path, "step")]
    assert seen == [8 * number for number in (*range(13), *range(16, 27))]
    lost = lines(tmp_path, "step", "rolled-back.jsonl")
    assert [line["step"] for line in lost] == list(range(11, 17))
    assert [line["spike"] for line in lost] == [False] * 3 + [True] * 3


@pytest.fixture(scope="module")
def poisoned(run: Run, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run with a window of rows, steps 47 to 58, each of a few tokens that no other row has."""
    path = tmp_path_factory.mktemp("poisoned") / "run"
    shutil.copytree(run.path, path)
    order = Order(run.manifest.splits["train"].rows, 8, 4)
    batches = [order.batch(8 * step).ravel() for step in range(46, 58)]
    generator = np.random.default_rng(0)
    manifest = json.loads((path / "shards" / "manifest.json").read_text())
    first = 0
    for entry in manifest["splits"]["train"]["files"]:
        file = path / "shards" / entry["path"]
        table = pq.read_table(file)
        ids = table["input_ids"].combine_chunks().flatten().to_numpy().reshape(-1, LENGTH).copy()
        for number, rows in enumerate(batches):
            own = rows[(first <= rows) & (rows < first + len(ids))] - first
            few = VOCABULARY - 128 + 8 * number
            ids[own] = generator.integers(few, few + 8, (len(own), LENGTH))
        first += len(ids)
        kind = table.schema.field("input_ids").type
        column = pa.FixedSizeListArray.from_arrays(pa.array(ids.ravel()), type=kind)
        table = table.set_column(0, table.schema.field("input_ids"), column)
        pq.write_table(table, file, row_group_size=100)
        entry["size"] = file.stat().st_size
    (path / "shards" / "manifest.json").write_text(json.dumps(manifest))
    return path


def test_a_poisoned_window_is_survived_and_ruins_the_run_without_the_guard(
    poisoned: Path, small_yaml: Path, tmp_path: Path
) -> None:
    arguments = command(
        poisoned,
        small_yaml,
        tmp_path / "with",
        "--set",
        "guard.window=16",
        "--set",
        "optimizer.final_lr=1",
    )
    assert main(arguments) == 0
    ignoring = command(
        poisoned,
        small_yaml,
        tmp_path / "without",
        "--set",
        "guard.spikes=ignore",
        "--set",
        "optimizer.final_lr=1",
    )
    assert main(ignoring) == 0
    with_guard, without = (
        lines(tmp_path / name, "validation")[-1]["loss"] for name in ("with", "without")
    )
    passed = metrics.read(tmp_path / "with" / "passed-over.jsonl")
    assert len({line["row"] for line in passed}) >= 12 * 8
    assert all(len(line["document"]) == 32 for line in passed)
    (first, *_, last) = json.loads(
        (tmp_path / "with" / "checkpoints" / "rollbacks.json").read_text()
    )
    assert first["start"] == 46 * 8
    assert last["stop"] >= 58 * 8
    assert with_guard < without - 1
    assert max(line["loss"] for line in lines(tmp_path / "without", "step")[30:]) > 8
    assert max(line["loss"] for line in lines(tmp_path / "with", "step")[30:]) < 6
