"""Whole runs by the command line: the same curve on one process or two, after any end."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import psutil
import pytest
import torch
import yaml

from tests.train.conftest import Run
from tests.train.ranks import Ranks, train_through_kills
from train import metrics
from train.cli import main
from train.job import Record, checkpoints, read_record
from train.origin import find

# Losses of different world sizes: sums in another order, grown over 60 updates.
TOLERANCE = 1e-5
MEASURED = ("time", "tokens_per_second", "mfu", "data_wait", "memory", "joules")
PATIENCE = 240  # seconds, on a machine that does much else


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Any:
    """As in each of two processes."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def command(run: Run, small_yaml: Path, output: Path, *more: str) -> list[str]:
    return [str(run.path), "--output", str(output), "--preset", str(small_yaml), *more]


def launched(arguments: list[str]) -> subprocess.Popen[str]:
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        [sys.executable, "-m", "train", *arguments, "--processes", "2"],
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
    )


def ended(process: subprocess.Popen[str]) -> tuple[int, str]:
    _, errors = process.communicate(timeout=PATIENCE)
    return process.returncode, errors


def latest(output: Path) -> Record | None:
    """What the newest checkpoint says of itself."""
    pointer = output / "checkpoints" / "latest"
    return read_record(pointer.parent / pointer.read_text().strip()) if pointer.exists() else None


def saved_after(output: Path, step: int) -> None:
    """Wait until a checkpoint after `step` is there."""
    until = time.monotonic() + PATIENCE
    while (record.step if (record := latest(output)) else 0) <= step:
        assert time.monotonic() < until, "no checkpoint was written"
        time.sleep(0.01)


def steps(output: Path) -> list[dict[str, Any]]:
    """What was computed at each step; not how fast."""
    lines = [line for line in metrics.read(output / "steps.jsonl") if line["kind"] == "step"]
    return [{key: value for key, value in line.items() if key not in MEASURED} for line in lines]


def assert_same_curve(one: Path, other: Path) -> None:
    """The same batches at each step, and losses that agree to the tolerance."""
    left, right = steps(one), steps(other)
    assert len(left) == len(right) == 60
    for a, b in zip(left, right, strict=True):
        for key in ("step", "epoch", "first_row", "rows", "lr", "tokens", "labels", "skipped"):
            assert a[key] == b[key]
        assert a["loss"] == pytest.approx(b["loss"], rel=TOLERANCE)
        # The norm shows the scale of the gradient, to which AdamW is blind.
        assert a["grad_norm"] == pytest.approx(b["grad_norm"], rel=1e-3)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("models")


@pytest.fixture(scope="module")
def one(run: Run, small_yaml: Path, folder: Path) -> Path:
    """An uninterrupted run of one process."""
    assert main(command(run, small_yaml, folder / "one")) == 0
    return folder / "one"


@pytest.fixture(scope="module")
def two(run: Run, small_yaml: Path, folder: Path) -> Path:
    """An uninterrupted run of two processes, which accumulate over twice as many passes."""
    arguments = command(run, small_yaml, folder / "two", "--set", "micro_rows=2")
    said = folder / "two.said"
    assert Ranks(2, arguments, said).wait() == [0, 0], said.read_text()
    return folder / "two"


def test_it_learns_and_leaves_what_was_promised(one: Path, run: Run) -> None:
    lines = metrics.read(one / "steps.jsonl")
    losses = [line["loss"] for line in lines if line["kind"] == "step"]
    # A uniform guess among 1024 tokens costs 6.93 nats.
    assert losses[0] == pytest.approx(6.93, abs=0.1)
    assert sum(losses[-5:]) / 5 < 5.3
    start = lines[0]
    assert start["kind"] == "start"
    assert start["rows"] == run.manifest.splits["train"].rows
    assert start["rows_unused"] == start["rows"] - start["rows_per_epoch"]
    validations = [line for line in lines if line["kind"] == "validation"]
    assert [line["step"] for line in validations] == [30, 60]
    assert validations[1]["loss"] < validations[0]["loss"] < 6.5
    assert 0 < validations[1]["bits_per_byte"] < validations[0]["bits_per_byte"] < 8
    assert set(validations[0]["sources"]) == {"code", "docs", "paragraphs"}
    last = [line for line in lines if line["kind"] == "step"][-1]
    assert (last["mfu"], last["joules"]) == (None, None)  # of a CPU nothing is known
    assert 0 <= last["data_wait"] < 0.5
    assert last["memory"] > 1e8
    assert (one / "loss.png").stat().st_size > 10_000
    assert yaml.safe_load((one / "config.yaml").read_text())["lanes"] == 4
    kept = sorted(path.name for path in (one / "checkpoints").iterdir())
    assert kept == ["latest", "step-00000050", "step-00000060"]


def test_two_processes_train_as_one(
    one: Path, two: Path, run: Run, small_yaml: Path, tmp_path: Path
) -> None:
    assert_same_curve(one, two)
    # What two have saved after a validation, one loads whole.
    shutil.copytree(two, tmp_path / "two")
    (tmp_path / "two" / "checkpoints" / "step-00000050" / "checkpoint.json").unlink()
    assert main(command(run, small_yaml, tmp_path / "two")) == 0
    left, right = (
        [line for line in metrics.read(path / "steps.jsonl") if line["kind"] == "validation"]
        for path in (one, two)
    )
    for a, b in zip(left, right, strict=True):
        assert (a["labels"], a["bytes"]) == (b["labels"], b["bytes"])
        assert a["loss"] == pytest.approx(b["loss"], rel=TOLERANCE)


def test_a_killed_rank_ends_the_run_and_the_same_command_goes_on(
    run: Run, small_yaml: Path, folder: Path, one: Path, two: Path
) -> None:
    output = folder / "killed"
    arguments = command(run, small_yaml, output, "--set", "micro_rows=2")
    process = launched(arguments)
    saved_after(output, 0)
    workers = psutil.Process(process.pid).children(recursive=True)
    (second,) = (worker for worker in workers if worker.environ().get("RANK") == "1")
    second.kill()
    code, errors = ended(process)
    assert code == 2
    assert "rank 1 was killed by SIGKILL" in errors
    assert "Traceback" not in errors
    assert not any(worker.is_running() for worker in workers)
    reached = latest(output)
    assert reached is not None
    assert 10 <= reached.step < 60
    shutil.copytree(output, folder / "killed-then-one")

    # On as many processes: bit for bit the run that was never killed.
    code, errors = ended(launched(arguments))
    assert code == 0, errors
    assert f"resumed after step {reached.step}" in errors
    assert steps(output) == steps(two)
    # On fewer: the same batches, and losses to the tolerance.
    assert main(command(run, small_yaml, folder / "killed-then-one")) == 0
    assert_same_curve(folder / "killed-then-one", one)


def test_ten_kills_at_random_points_lose_and_double_no_step(
    run: Run, small_yaml: Path, folder: Path, one: Path
) -> None:
    output = folder / "ten-kills"
    often = ("--set", "checkpoint.every=2", "--set", "log_every=1")
    killed = train_through_kills(
        command(run, small_yaml, output, *often), output, 10, random.Random(18)
    )
    assert len(killed) == 10
    assert [line["step"] for line in steps(output)] == list(range(1, 61))
    assert_same_curve(output, one)
    left = {path.name for path in (output / "checkpoints").iterdir()}
    assert left == {"latest", "step-00000058", "step-00000060"}


def test_sigterm_saves_and_any_number_of_processes_goes_on(
    run: Run, small_yaml: Path, folder: Path, one: Path
) -> None:
    output = folder / "stopped"

    def interrupt() -> None:
        saved_after(output, 0)
        os.kill(os.getpid(), signal.SIGTERM)

    thread = threading.Thread(target=interrupt)
    thread.start()
    assert main(command(run, small_yaml, output)) == 143
    thread.join()
    reached = latest(output)
    assert reached is not None
    assert 10 <= reached.step < 60
    assert (reached.step, reached.position) == (len(steps(output)), reached.step * 8)
    shutil.copytree(output, folder / "stopped-then-two")
    assert main(command(run, small_yaml, output)) == 0
    assert steps(output) == steps(one)

    # From one process to two, which are stopped in turn, and back to one.
    output = folder / "stopped-then-two"
    process = launched(command(run, small_yaml, output))
    saved_after(output, reached.step)
    process.send_signal(signal.SIGTERM)
    code, errors = ended(process)
    assert code == 143, errors
    assert "stopped by SIGTERM" in errors
    again = latest(output)
    assert again is not None
    assert reached.step < again.step < 60
    assert len(steps(output)) == again.step
    assert main(command(run, small_yaml, output)) == 0
    assert_same_curve(output, one)


def names(output: Path) -> list[str]:
    return sorted(path.name for path in (output / "checkpoints").glob("step-*"))


def test_a_checkpoint_by_signal_and_by_time(run: Run, small_yaml: Path, tmp_path: Path) -> None:
    rarely = ("--set", "checkpoint.every=1000", "--set", "checkpoint.keep=99")
    short = ("--steps", "30", "--set", "log_every=1", "--set", "evaluation.rows=8")

    def ask() -> None:
        until = time.monotonic() + PATIENCE
        while not steps(tmp_path / "signal"):
            assert time.monotonic() < until
            time.sleep(0.01)
        os.kill(os.getpid(), signal.SIGUSR1)

    thread = threading.Thread(target=ask)
    thread.start()
    assert main(command(run, small_yaml, tmp_path / "signal", *short, *rarely)) == 0
    thread.join()
    first, last = names(tmp_path / "signal")
    assert "step-00000000" < first < last == "step-00000030"

    often = ("--set", "checkpoint.minutes=0.0005")
    assert main(command(run, small_yaml, tmp_path / "time", *short, *rarely, *often)) == 0
    assert len(names(tmp_path / "time")) > 3


def test_a_run_is_extended_where_the_rate_goes_on(
    run: Run, small_yaml: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    kept = ("--set", "checkpoint.keep=99", "--set", "evaluation.rows=8")
    words = command(run, small_yaml, tmp_path, "--set", "optimizer.schedule=wsd", *kept)
    assert main([*words, "--steps", "20"]) == 0
    capsys.readouterr()
    message = refusal([*words, "--steps", "40"], capsys)
    assert "steps was 20, is 40, with which the learning rate would go from 0.0005 to 0.005" in (
        message
    )
    assert "20 steps are done, more than 10" in refusal([*words, "--steps", "10"], capsys)
    # Before it fell, the rate is the same for more steps.
    (tmp_path / "checkpoints" / "latest").write_text("step-00000010\n")
    assert main([*words, "--steps", "24"]) == 0
    rates = [line["lr"] for line in steps(tmp_path)]
    assert len(rates) == 24
    assert rates[17] == 0.005 > rates[23]
    # Or the jump is meant.
    assert main([*words, "--steps", "26", "--extend"]) == 0
    assert len(steps(tmp_path)) == 26


def refusal(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    assert main(arguments) == 2
    message = capsys.readouterr().err
    assert message.startswith("gristmill train: ")
    assert message.count("\n") == 1
    return message


def test_another_run_is_refused_with_what_differs(
    run: Run, small_yaml: Path, one: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = command(run, small_yaml, one, "--steps", "70", "--set", "optimizer.lr=0.1")
    message = refusal(other, capsys)
    assert "optimizer.lr was 0.005, is 0.1" in message
    assert "steps was 60, is 70" in message
    assert "--extend allows it" in message
    assert "lanes was 4, is 8" in refusal(command(run, small_yaml, one, "--set", "lanes=8"), capsys)

    copy = Run(tmp_path / "run", run.held_out, run.manifest)
    shutil.copytree(run.path, copy.path)
    raw = json.loads((copy.shards / "manifest.json").read_text())
    raw["layout_digest"] = "0" * 32
    (copy.shards / "manifest.json").write_text(json.dumps(raw))
    message = refusal(command(copy, small_yaml, one), capsys)
    assert f"layout_digest of the shards was {run.manifest.layout_digest}" in message


def test_a_finished_run_is_left_as_it_is(
    run: Run, small_yaml: Path, one: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = [line for line in metrics.read(one / "steps.jsonl") if line["kind"] != "start"]
    assert main(command(run, small_yaml, one)) == 0
    after = [line for line in metrics.read(one / "steps.jsonl") if line["kind"] != "start"]
    assert before == after
    assert "step 60/60" not in capsys.readouterr().err


def test_text_may_be_taken_down_between_two_parts_of_a_run(
    run: Run, small_yaml: Path, one: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    copy = Run(tmp_path / "run", run.held_out, run.manifest)
    shutil.copytree(run.path, copy.path)
    shutil.copytree(one, tmp_path / "model")
    (tmp_path / "model" / "checkpoints" / "latest").write_text("step-00000050\n")
    raw = json.loads((copy.shards / "manifest.json").read_text())
    raw["content_revision"] = 1
    (copy.shards / "manifest.json").write_text(json.dumps(raw))
    assert main(command(copy, small_yaml, tmp_path / "model")) == 0
    assert "content_revision of the shards was 0, is 1" in capsys.readouterr().err
    starts = [
        line for line in metrics.read(tmp_path / "model" / "steps.jsonl") if line["kind"] == "start"
    ]
    assert [line["content_revision"] for line in starts] == [0, 1]


def test_damaged_checkpoint_and_shard_are_named(
    run: Run, small_yaml: Path, one: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "model"
    shutil.copytree(one, output)
    (tensors,) = (output / "checkpoints" / "step-00000060" / "state").glob("*.distcp")
    tensors.write_bytes(tensors.read_bytes()[:1000])
    assert main(command(run, small_yaml, output)) == 0
    errors = capsys.readouterr().err
    assert f"step-00000060: damaged: {tensors.name}: the one before it is taken" in errors
    assert "resumed after step 50" in errors
    assert steps(output) == steps(one)
    for checkpoint in (output / "checkpoints").glob("step-*"):
        (checkpoint / "checkpoint.json").write_text("{}")
    assert main(command(run, small_yaml, output)) == 2
    assert "no checkpoint is whole" in capsys.readouterr().err.splitlines()[-1]

    copy = Run(tmp_path / "run", run.held_out, run.manifest)
    shutil.copytree(run.path, copy.path)
    path = copy.shards / run.manifest.splits["train"].files[2].path
    content = path.read_bytes()
    path.write_bytes(bytes(len(content) // 2) + content[len(content) // 2 :])
    assert main(command(copy, small_yaml, tmp_path / "other", "--check")) == 2
    message = capsys.readouterr().err.splitlines()[-1]
    assert message.startswith(f"gristmill train: {path}: its SHA-256 is not the manifest's")
    assert main(command(run, small_yaml, tmp_path / "whole", "--check", "--steps", "1")) == 0
    assert "all files of the shards are as the manifest says" in capsys.readouterr().err
    assert main(command(copy, small_yaml, tmp_path / "other")) == 2
    message = capsys.readouterr().err.splitlines()[-1]
    assert message.startswith(f"gristmill train: {path}, row group ")
    assert "cannot be read" in message


def test_training_ends_early_where_validation_does_not_improve(
    run: Run, small_yaml: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    # At no rate to speak of the loss of every validation is that of the first.
    sets = ("optimizer.lr=1e-30", "evaluation.every=5", "checkpoint.keep=1", "log_every=5")
    words = [word for key in sets for word in ("--set", key)]
    arguments = command(run, small_yaml, tmp_path, *words, "--set", "evaluation.rows=8")
    patient = [*arguments, "--set", "evaluation.patience=2"]
    assert main(patient) == 0
    assert steps(tmp_path)[-1]["step"] == 15
    assert "2 validations did not improve on the loss" in capsys.readouterr().err
    # The best stays, and is what other commands take; the last is gone on from.
    assert checkpoints(tmp_path / "checkpoints") == ["step-00000005", "step-00000015"]
    assert find(tmp_path).name == "step-00000005"
    assert main(patient) == 0  # nothing is left to do
    assert steps(tmp_path)[-1]["step"] == 15
    assert main([*arguments, "--set", "evaluation.patience=3"]) == 0
    assert steps(tmp_path)[-1]["step"] == 20
    assert main([*arguments, "--steps", "60"]) == 0
    assert steps(tmp_path)[-1]["step"] == 60
    assert find(tmp_path).name == "step-00000060"


def test_refusals_before_anything_is_made(
    run: Run, small_yaml: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "none"

    def refused(*more: str) -> str:
        return refusal(command(run, small_yaml, output, *more), capsys)

    assert "3 processes cannot share 4 lanes" in refused("--processes", "3")
    assert "too few for one batch of 8000" in refused("--batch-rows", "8000")
    assert "--processes 0: must be 1 or more" in refused("--processes", "0")
    missing = ["nowhere", "--output", str(output)]
    assert "no shards/manifest.json here" in refusal(missing, capsys)
    assert not output.exists()
    (tmp_path / "file").write_text("")
    taken = command(run, small_yaml, tmp_path / "file")
    assert main(taken) == 2
    assert "cannot be made" in capsys.readouterr().err


def test_help_is_quick_and_shows_an_example() -> None:
    code = "import sys, train.cli; train.cli.main(['--help'])"
    finished = subprocess.run(
        [sys.executable, "-X", "importtime", "-c", code], capture_output=True, text=True, timeout=60
    )
    assert finished.returncode == 0
    assert "usage: gristmill train" in finished.stdout
    assert "gristmill train runs/demo --output runs/demo-model" in finished.stdout
    # What takes seconds is not loaded for it.
    for slow in ("torch", "pyarrow", "pydantic", "numpy"):
        assert f" {slow}\n" not in finished.stderr
