"""The processes of a run, forked from one that has loaded torch, and killed."""

from __future__ import annotations

import multiprocessing
import os
import random
import signal
import socket
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from train import metrics

_context = multiprocessing.get_context("forkserver")
_context.set_forkserver_preload(["train.loop", "tests.train.ranks"])


# Processes, and how they stand: checkpoints go from any to any.
WORLDS = ("1", "2", "4", "2 tensor=2", "4 context=2", "4 replicate=2", "2 pipe=2")


class Ranks:
    """`size` processes that train together as torchrun would start them."""

    def __init__(self, size: int, arguments: Sequence[str], said: Path) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        os.environ.setdefault("OMP_NUM_THREADS", "1")
        self._processes = [
            _context.Process(target=_work, args=(rank, size, port, list(arguments), said))
            for rank in range(size)
        ]
        for process in self._processes:
            process.start()

    def alive(self) -> bool:
        """Whether any has not ended."""
        return any(process.is_alive() for process in self._processes)

    def kill(self) -> bool:
        """End all at once, at any point; returns whether all were at work."""
        whole = all(process.is_alive() for process in self._processes)
        for process in self._processes:
            process.kill()
        self.wait()
        return whole

    def wait(self, patience: float = 240) -> list[int | None]:
        """Exit codes of all."""
        until = time.monotonic() + patience
        for process in self._processes:
            process.join(max(0.0, until - time.monotonic()))
            assert not process.is_alive(), "a process does not end"
        return [process.exitcode for process in self._processes]


def train_through_kills(
    arguments: Sequence[str],
    output: Path,
    kills: int,
    chance: random.Random,
    *,
    worlds: Sequence[str] = WORLDS,
    most_steps: int = 5,
    told: Callable[[str], None] = lambda text: None,
) -> list[int]:
    """Train to the end, killed `kills` times at random points, each time on another world.

    A life lasts up to `most_steps` steps and a random part of a second. Returns the steps at which
    it was killed, by the log.
    """
    said = output.with_name(f"{output.name}.said")
    killed: list[int] = []
    while len(killed) < kills:
        world, before = chance.choice(worlds), _last_step(output)
        ranks = Ranks(*in_world(world, arguments), said)
        goal = before + chance.randrange(most_steps + 1)
        while _last_step(output) < goal and ranks.alive():
            time.sleep(0.01)
        # Without a step to wait for, anything from the start of the processes on may be hit.
        time.sleep(chance.uniform(0, 0.3 if goal > before else 2.0))
        assert ranks.kill(), f"it ended by itself after {len(killed)} kills: {said.read_text()}"
        killed.append(_last_step(output))
        told(f"kill {len(killed)}: {world} at step {killed[-1]}")
    codes = Ranks(*in_world(chance.choice(worlds), arguments), said).wait()
    assert set(codes) == {0}, said.read_text()
    return killed


def in_world(world: str, arguments: Sequence[str]) -> tuple[int, list[str]]:
    """How many processes a world has, and the words of the command that put them so."""
    size, *mesh = world.split()
    return int(size), [*arguments, *(word for key in mesh for word in ("--set", f"parallel.{key}"))]


def _last_step(output: Path) -> int:
    lines = [line for line in metrics.read(output / "steps.jsonl") if line["kind"] == "step"]
    return int(lines[-1]["step"]) if lines else 0


def _work(rank: int, size: int, port: int, arguments: list[str], said: Path) -> None:
    place = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": size, "MASTER_PORT": port}
    os.environ.update({name: str(value) for name, value in place.items()})
    os.environ["MASTER_ADDR"] = "127.0.0.1"
    descriptor = os.open(said, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(descriptor, sys.stderr.fileno())
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    import torch

    from train.cli import main

    torch.set_num_threads(1)
    status = main(arguments)
    os._exit(status)
