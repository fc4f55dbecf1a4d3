"""A run that is killed at any moment: python -m tests.benchmarks.run_kills [KILLS] [WORKERS] [SEED]

Each trial starts the demo's run anew, kills its whole process group (SIGKILL) after a share of the
time that a whole run takes, from a seeded generator, lets it go on to its end, and compares the
checksums of the shards, the ledger, and what `verify` says with those of a run that was left alone.
A trial whose run is killed again while it goes on counts as one. Prints a line for each.
"""

import json
import multiprocessing
import os
import random
import signal
import sys
import tempfile
import time
from pathlib import Path

from pipelines.engines.runners import Engine
from pipelines.recipes.loading import load
from pipelines.run import Run
from tests.runs import DEMO, shards


def go(folder: str, workers: int) -> None:
    """A run, as the head of a process group."""
    os.setpgid(0, 0)
    Run.create(load(str(DEMO)), folder).go(Engine("local", workers))


def killed(folder: Path, workers: int, seconds: float) -> str:
    """Start a run, kill it after some seconds; the stage it was in, or `finished`."""
    process = multiprocessing.get_context("spawn").Process(target=go, args=(str(folder), workers))
    process.start()
    process.join(seconds)
    done = process.exitcode == 0
    if process.is_alive():
        os.killpg(process.pid or 0, signal.SIGKILL)
    process.join()
    begun = list(folder.glob("*/plan.jsonl"))
    last = max(begun, key=lambda path: path.stat().st_mtime_ns).parent.name if begun else "start"
    return "finished" if done else last


def main() -> None:
    """Trials."""
    kills, workers, seed = (int(word) for word in (*sys.argv[1:], "100", "1", "1")[:3])
    chance = random.Random(seed)
    with tempfile.TemporaryDirectory(prefix="gristmill-") as scratch:
        whole = Path(scratch) / "whole"
        begun = time.monotonic()
        assert killed(whole, workers, 3600) == "finished"
        taken = time.monotonic() - begun
        right, ledger = shards(whole), json.loads((whole / "ledger.json").read_text())
        wrong = 0
        for number in range(kills):
            run = Path(scratch) / f"{number:04d}"
            stages = [killed(run, workers, chance.random() * taken)]
            while chance.random() < 0.3 and stages[-1] != "finished":
                stages.append(killed(run, workers, chance.random() * taken))
            assert killed(run, workers, 3600) == "finished"
            faults = Run.open(str(run)).verify().faults
            same = shards(run) == right and json.loads((run / "ledger.json").read_text()) == ledger
            wrong += not same or bool(faults)
            said = "same" if same else "OTHER"
            print(f"{number:4} killed in {', '.join(stages):<40} {said}", *faults, flush=True)
        print(f"{kills} runs killed, {wrong} of them other than the one left alone")
    sys.exit(bool(wrong))


if __name__ == "__main__":
    main()
