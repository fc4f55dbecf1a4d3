"""Shards and outputs in a store: here fsspec's own, in memory."""

from __future__ import annotations

import shutil
import uuid
from pathlib import Path
from typing import Any

import fsspec
import pytest

from schemas.problems import Problem
from tests.train.conftest import Run
from train import metrics, remote
from train.cli import main
from train.data import ShardReader
from train.job import read_record
from train.remote import Cache, Remote, localized


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return tmp_path / "gristmill"


@pytest.fixture
def url(run: Run) -> str:
    """The run, stored."""
    place = f"memory://{uuid.uuid4().hex}/run"
    fs = fsspec.filesystem("memory")
    fs.put(str(run.path), place, recursive=True)
    return place


def steps(output: Path) -> list[Any]:
    lines = [line for line in metrics.read(output / "steps.jsonl") if line["kind"] == "step"]
    return [(line["step"], line["first_row"], line["loss"]) for line in lines]


def test_a_stored_run_is_trained_on_and_the_output_is_stored(
    run: Run, url: str, small_yaml: Path, tmp_path: Path, cache: Path
) -> None:
    more = ["--preset", str(small_yaml), "--steps", "14", "--set", "evaluation.rows=8"]
    more += ["--set", "checkpoint.every=5", "--set", "checkpoint.keep=1"]
    more += ["--set", "checkpoint.keep_every=5"]
    local = tmp_path / "local"
    assert main([str(run.path), "--output", str(local), *more]) == 0
    output = f"{url}-model"
    assert main([url, "--output", output, *more]) == 0
    place = remote.place_of(output)
    assert place.parent == cache
    assert steps(place) == steps(local)
    store = Remote(output)
    kept = ["latest", "step-00000005", "step-00000010", "step-00000014"]
    assert store.names("checkpoints") == kept
    assert {"config.yaml", "report.html", "steps.jsonl", "tokenizer.json"} <= {*store.names("")}

    # On another machine, which has nothing yet, the same command goes on.
    shutil.rmtree(cache)
    stored = fsspec.filesystem("memory")
    stored.pipe(f"{output}/checkpoints/latest", b"step-00000010\n")
    stored.pipe(f"{output}/checkpoints/step-00000014/checkpoint.json", b"of a future that was lost")
    assert main([url, "--output", output, *more]) == 0
    assert steps(place) == steps(local)
    assert store.names("checkpoints") == kept  # also what this machine never had
    assert read_record(place / "checkpoints" / "step-00000014")
    assert stored.cat(f"{output}/checkpoints/step-00000014/checkpoint.json").startswith(b"{")


def test_the_cache_is_bounded_and_reads_ahead(run: Run, url: str, cache: Path) -> None:
    files = run.manifest.splits["train"].files
    most = sum(file.size for file in files[:2])
    folder, shards = localized(url, most)
    assert shards is not None
    reader = ShardReader(folder / "shards", run.manifest, "train", cache=shards, held_groups=1)
    whole = ShardReader(run.shards, run.manifest, "train")
    for start in range(0, whole.rows, 97):
        stop = min(start + 97, whole.rows)
        for one, other in zip(reader.read(start, stop), whole.read(start, stop), strict=True):
            assert (one == other).all()
        kept = list((cache / "shards").glob("*.parquet"))
        assert sum(path.stat().st_size for path in kept) <= most
    assert (cache / "shards" / f"{files[-1].sha256}.parquet").exists()


def test_what_is_not_there_or_is_another_is_told(
    run: Run, url: str, cache: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = run.manifest.splits["train"].files[0]
    fsspec.filesystem("memory").pipe(f"{url}/shards/{file.path}", b"something else")
    with pytest.raises(Problem, match="its SHA-256 is not the manifest's"):
        Cache(Remote(f"{url}/shards"), cache, 10**9).fetch(file)
    with pytest.raises(Problem, match="cannot be opened"):
        Remote("nosuchthing://bucket/run")
    assert main(["memory://nowhere/run", "--output", str(tmp_path / "out")]) == 2
    (message,) = capsys.readouterr().err.splitlines()
    assert message.startswith("gristmill train: memory://nowhere/run: cannot be fetched")
