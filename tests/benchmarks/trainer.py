"""Speed of the training step: tokens a second, and MFU where the GPU's peak is known.

    python tests/benchmarks/trainer.py --preset tiny --length 512 --steps 20
    python tests/benchmarks/trainer.py --preset 124m --length 1024 --rows 512 --steps 100

One process; rows of random tokens in documents of random lengths, made before the clock starts.
What is timed is the whole update: forward, backward, clipping and AdamW.
"""

from __future__ import annotations

import argparse
import os
import platform
import shlex
import sys
import time

# Before torch is loaded: see train.cli.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import numpy as np
import torch

from train import mesh, metrics, parallel
from train.config import load, settings
from train.data import Rows
from train.objective import Objective
from train.step import Feed, Trainer, micro_rows


def random_rows(rows: int, length: int, vocabulary: int, mean_document: int) -> Rows:
    """Rows full of tokens, cut into documents of geometric lengths."""
    generator = np.random.default_rng(0)
    ids = generator.integers(1, vocabulary, (rows, length)).astype(np.uint32)
    begins = generator.random((rows, length)) < 1 / mean_document
    nothing = np.zeros(rows, np.int64)
    return Rows(ids, begins, nothing, nothing)


def processor() -> str:
    """Name of the CPU, as far as the system tells it."""
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:
            names = [line.split(":")[1].strip() for line in file if line.startswith("model name")]
    except OSError:
        names = []
    return names[0] if names else platform.processor() or platform.machine()


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--preset", default="tiny")
    parser.add_argument("--length", type=int, default=512, help="tokens of a row")
    parser.add_argument("--rows", type=int, help="rows of an update; the preset's if not given")
    parser.add_argument("--vocabulary", type=int, help="50304, or 8192 for tiny")
    parser.add_argument("--document", type=int, default=500, help="mean tokens of a document")
    parser.add_argument("--steps", type=int, default=20, help="updates timed")
    parser.add_argument("--warmup", type=int, default=5, help="updates before the clock starts")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE")
    options = parser.parse_args()

    overrides = settings(options.set)
    if options.rows:
        overrides["batch_rows"] = options.rows
    config = load(options.preset, overrides)
    vocabulary = options.vocabulary or (8192 if options.preset == "tiny" else 50304)
    world = mesh.start()
    model = parallel.build(config, vocabulary, world)
    trainer = Trainer(config, model, world)
    rows = random_rows(config.batch_rows, options.length, vocabulary, options.document)
    micro = micro_rows(config.batch_rows, config.micro_rows)
    objective = Objective(config.objective, vocabulary, padding=0)
    batch = Feed(objective, world.device, micro, varlen=model.backend == "varlen").batch(rows, 0)

    def run(steps: int) -> tuple[float, float]:
        start, start_cpu = time.perf_counter(), time.process_time()
        for _ in range(steps):
            outcome = trainer.step(batch, int(batch.labels.sum()), 1e-4)
        assert torch.isfinite(outcome.loss)  # also waits for the device
        return time.perf_counter() - start, time.process_time() - start_cpu

    run(options.warmup)
    seconds, cpu_seconds = (spent / options.steps for spent in run(options.steps))
    speed = batch.num_tokens / seconds
    flops = model.shape.flops_per_token(model.vocabulary, options.length)
    on_gpu = world.device.type == "cuda"
    device = torch.cuda.get_device_name() if on_gpu else processor()
    peak = metrics.peak_flops(device) if model.dtype == torch.bfloat16 else None
    utilisation = metrics.mfu(speed, flops, peak)
    print(f"command     {shlex.join(['python', *sys.argv])}")
    threads = "" if on_gpu else f", {torch.get_num_threads()} threads"
    print(f"machine     {device}{threads}; torch {torch.__version__}")
    print(
        f"model       {options.preset}: {model.shape.num_params(model.vocabulary):,} parameters, "
        f"{flops / 1e6:,.1f} MFLOP a token, {model.dtype}, {model.backend}, "
        f"{'compiled' if model.compiled else 'not compiled'}"
    )
    print(f"batch       {config.batch_rows} rows of {options.length}, {micro} at once")
    print(f"speed       {speed:,.0f} tokens/s, {seconds * 1e3:,.1f} ms a step")
    print(f"arithmetic  {speed * flops / 1e12:,.3f} TFLOP/s")
    print("mfu         " + (f"{utilisation:.1%} of {peak:.4g} FLOP/s" if peak else "unknown"))
    if on_gpu:
        print(f"memory      {torch.cuda.max_memory_allocated() / 2**30:.1f} GiB at most")
    else:  # what a busy machine changes least
        print(
            f"processor   {batch.num_tokens / cpu_seconds:,.0f} tokens a second of processor time"
        )


if __name__ == "__main__":
    main()
