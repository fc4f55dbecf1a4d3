"""Training that is killed again and again, at random points, and goes on in another mesh each time.

    python tests/benchmarks/trainer_kills.py --kills 100

Compares it with a run that was never killed: the same batches at every step, each step once, and
losses to 1e-5. Prints the kills, the steps that had to be done again, and how far losses differ.
"""

from __future__ import annotations

import argparse
import os
import random
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
os.environ.setdefault("OMP_NUM_THREADS", "1")
sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import yaml

from tests.train.conftest import SMALL
from tests.train.ranks import WORLDS, Ranks, train_through_kills
from tests.train.shards import write_run
from train import metrics

SAME = ("step", "epoch", "first_row", "rows", "lr", "tokens", "labels", "skipped", "spike")


def steps(output: Path) -> list[dict[str, Any]]:
    """The steps of a log."""
    return [line for line in metrics.read(output / "steps.jsonl") if line["kind"] == "step"]


def main() -> None:
    """Kill, go on, compare."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_run(folder / "run")
        count = 6 * options.kills
        config = {
            **SMALL,
            "steps": count,
            "log_every": 1,
            "evaluation": {"every": 3, "rows": 8},
            "checkpoint": {"every": 2, "keep": 2},
        }
        (folder / "config.yaml").write_text(yaml.safe_dump(config))

        def words(output: str) -> list[str]:
            place = ["--output", str(folder / output), "--preset", str(folder / "config.yaml")]
            return [str(folder / "run"), *place]

        said = folder / "said"
        assert Ranks(1, words("whole"), said).wait(3600) == [0], said.read_text()
        start = time.monotonic()
        killed = train_through_kills(
            words("killed"),
            folder / "killed",
            options.kills,
            random.Random(options.seed),
            told=lambda text: print(text, flush=True),
        )
        seconds = time.monotonic() - start
        whole, other = steps(folder / "whole"), steps(folder / "killed")
        assert [line["step"] for line in other] == list(range(1, count + 1)), "steps are lost"
        for one, two in zip(whole, other, strict=True):
            assert all(one[key] == two[key] for key in SAME), f"step {one['step']} differs"
        far = max(
            abs(one["loss"] - two["loss"]) / one["loss"]
            for one, two in zip(whole, other, strict=True)
        )
        resumed = [
            line["step"]
            for line in metrics.read(folder / "killed" / "steps.jsonl")
            if line["kind"] == "start"
        ]
    print(f"worlds    {'; '.join(WORLDS)}")
    print(f"kills     {len(killed)} in {seconds:,.0f} s; {len(resumed)} starts that reached a step")
    print(f"steps     {count}, each once, with the same batches")
    print(f"losses    differ by {far:.1e} at most, relative")
    assert far < 1e-5


if __name__ == "__main__":
    main()
