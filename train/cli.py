"""The command line: `gristmill train`, which is `python -m train`."""

from __future__ import annotations

import argparse
import os
import signal
import sys
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

from train.options import parser

if TYPE_CHECKING:
    from train.job import Job


def main(arguments: Sequence[str] | None = None) -> int:
    """Train by the command line; returns the exit status."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    options = parser("train").parse_args(words)
    # Threads that spin while they wait train ten times slower where another process wants the
    # core, and only a quarter faster where none does. Must be set before torch is loaded.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    # This takes seconds to import; --help does not wait for it.
    from train.mesh import MENDABLE, ToldByFirst, leave, status_of

    under_torchrun = "RANK" in os.environ and "WORLD_SIZE" in os.environ
    try:
        status = _work(options) if under_torchrun else _start(options, words)
    except ToldByFirst as told:
        time.sleep(3)  # the first tells of it, before torchrun ends it as we exit
        status = told.status
    except MENDABLE as error:
        print(f"gristmill train: {error}", file=sys.stderr)
        status = status_of(error)
    except KeyboardInterrupt:
        status = 128 + signal.SIGINT
    return leave(status) if under_torchrun else status


def _prepare(options: argparse.Namespace, processes: int) -> Job:
    from train import config, origin
    from train.job import prepare

    overrides = config.settings(options.set)
    for key in ("steps", "batch_rows"):
        if getattr(options, key) is not None:
            overrides[key] = getattr(options, key)
    weights = origin.find(options.origin) if options.origin else None
    if weights:
        shape = {f"model.{key}": value for key, value in origin.shape_of(weights).items()}
        overrides = shape | overrides
    settings = config.load(options.preset, overrides)
    asked = {"check": options.check, "may_extend": options.extend, "origin": weights}
    job = prepare(options.run, options.output, settings, processes, **asked)
    if weights:
        tokenizer = job.shards / job.manifest.tokenizer.path
        origin.check_tokenizer(weights, job.manifest, tokenizer)
    return job


def _start(options: argparse.Namespace, words: Sequence[str]) -> int:
    """Train in this process, or start several."""
    import torch

    from schemas.problems import Problem
    from train.job import resumable
    from train.launch import launch

    if options.processes is not None and options.processes < 1:
        raise Problem(f"--processes {options.processes}: must be 1 or more")
    processes = options.processes or torch.cuda.device_count() or 1
    job = _prepare(options, processes)
    if processes == 1:
        return _train(job)
    resumable(job)  # a mistake is told before the processes start
    return launch(words, processes)


def _work(options: argparse.Namespace) -> int:
    """Be one of the processes of torchrun."""
    from schemas.problems import Problem
    from train.mesh import ToldByFirst

    try:
        job = _prepare(options, int(os.environ["WORLD_SIZE"]))
    except Problem:
        if os.environ["RANK"] == "0":
            raise
        raise ToldByFirst from None
    return _train(job)


def _train(job: Job) -> int:
    import torch.distributed as dist

    from train.loop import train
    from train.mesh import start

    world = start(job.config.parallel)
    try:
        number = train(job, world)
    except RuntimeError as error:
        if "gloo/transport" not in str(error) and not isinstance(error, dist.DistError):
            raise
        reason = " ".join(str(error).split())[:200]
        print(f"rank {world.rank} lost contact with another: {reason}", file=sys.stderr)
        return 1
    if world.size > 1:
        dist.destroy_process_group()
    if number and world.rank == 0:
        name = signal.Signals(number).name
        print(f"stopped by {name}: the same command goes on from here", file=sys.stderr)
    return 128 + number if number else 0
