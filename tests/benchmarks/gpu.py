"""Everything that is to be known of the trainer on one GPU, in one call of at most 9 minutes.

    python tests/benchmarks/gpu.py

1. Parity: each kernel beside its reference (attention, float8, the loss).
2. Speed: tokens a second, MFU and memory of the presets, with what makes a difference switched.
3. Where the time of a step goes: the kernels that take most of it.
4. A run of the trainer itself: waiting for rows, and what a checkpoint stops.

What fails is told in its row and the rest goes on; what there is no time for is left out and named.
On a CPU, `--preset tiny --length 128 --steps 2` tries the script, and its figures say nothing.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
sys.path.insert(0, str(Path(__file__).parents[2]))

import torch

from tests.benchmarks.trainer import processor, random_rows
from train import float8, loss, mesh, metrics, parallel
from train.attention import Backend, attend, document_mask
from train.config import load
from train.objective import Objective
from train.step import Feed, Trainer, document_bounds, micro_rows

BEGUN = time.monotonic()
SECONDS = 9 * 60 - 40  # the last rows must have time to end


@dataclass(frozen=True)
class Case:
    """One row of the table of speeds."""

    preset: str
    length: int
    rows: int  # of one pass
    changes: dict[str, Any]
    document: int = 500  # mean tokens of a document


# The first of each preset is what it does by itself.
CASES = [
    Case("124m", 1024, 64, {}),
    Case("124m", 1024, 64, {"attention": "flex"}),
    Case("124m", 1024, 64, {}, document=10**9),
    Case("124m", 1024, 64, {"recompute": "selective"}),
    Case("1b", 2048, 16, {}),
    Case("1b", 2048, 16, {"precision": "float8"}),
    Case("1b", 2048, 32, {"recompute": "selective"}),
    Case("350m", 1024, 48, {}),
    Case("350m", 1024, 48, {"precision": "float8"}),
    Case("gpt2-124m", 1024, 64, {}),
    Case("124m", 1024, 64, {"optimizer.name": "muon"}),
    Case("124m", 1024, 32, {}),
    Case("1b", 2048, 16, {"attention": "flex"}),
]


def tried(what: str, function: Callable[[], Iterator[str]]) -> None:
    """Print what a function yields; of a failure, its first line."""
    if time.monotonic() - BEGUN > SECONDS:
        print(f"{what:44} left out: no time", flush=True)
        return
    try:
        for line in function():
            print(line, flush=True)
    except Exception as error:
        reason = next(iter(str(error).splitlines()), "")
        print(f"{what:44} FAILED {type(error).__name__}: {reason[:160]}", flush=True)


def parity(device: torch.device) -> None:
    """Largest relative errors (of norms) of kernels beside their references in fp32."""
    generator = torch.Generator().manual_seed(0)
    on_gpu = device.type == "cuda"
    half = torch.bfloat16 if on_gpu else torch.float32

    def error(found: torch.Tensor, exact: torch.Tensor) -> float:
        return float(
            (found.float().cpu() - exact.float().cpu()).norm() / exact.float().norm().cpu()
        )

    def told(name: str, worst: float, most: float) -> str:
        verdict = "ok" if worst < most else "WRONG"
        return f"parity  {name:36} {worst:.2e} (below {most:g})  {verdict}"

    segments = (torch.rand(2, 256, generator=generator) < 0.02).cumsum(1).int()
    bounds = torch.from_numpy(document_bounds(segments.numpy(), 2))[0].to(device)
    prefix = torch.rand(2, 256, generator=generator) < 0.3
    made = [torch.randn(2, n, 256, 64, generator=generator) for n in (8, 2, 2, 8)]

    def attended(backend: Backend, where: torch.device, dtype: torch.dtype, kind: str) -> Any:
        q, k, v = (x.to(where, dtype).requires_grad_() for x in made[:3])
        seen = {"causal": None, "prefix": prefix, "both": torch.ones_like(prefix)}[kind]
        mask = document_mask(
            segments.to(where),
            backend,
            prefix=None if seen is None else seen.to(where),
            bounds=bounds if backend == "varlen" else None,
            bidirectional=kind == "both",
            compiled=backend == "flex",
        )
        function = torch.compile(attend) if backend == "flex" else attend
        out = function(q, k, v, mask)
        return [out.detach(), *torch.autograd.grad(out, (q, k, v), made[3].to(where, dtype))]

    backends: list[tuple[Backend, str]] = [("dense", "causal"), ("documents", "causal")]
    if on_gpu:
        backends += [("flex", kind) for kind in ("causal", "prefix", "both")]
        backends += [("varlen", kind) for kind in ("causal", "both")]
    for backend, kind in backends:

        def attention(backend: Backend = backend, kind: str = kind) -> Iterator[str]:
            exact = attended("dense", torch.device("cpu"), torch.float32, kind)
            found = attended(backend, device, half, kind)
            worst = max(map(error, found, exact))
            yield told(f"attention {backend}, {kind}", worst, 0.02)

        tried(f"attention {backend}, {kind}", attention)

    def multiply() -> Iterator[str]:
        a, b = (torch.randn(n, 128, generator=generator) for n in (64, 96))
        for kinds in ((float8.INPUT, float8.INPUT), (float8.GRADIENT, float8.INPUT)):
            exact = float8.multiply(a.to(half), b.to(half).T, *kinds)
            found = float8.multiply(a.to(device, half), b.to(device, half).T, *kinds)
            yield told(f"float8 {str(kinds[0])[6:]}", error(found, exact), 0.01)

    def cross_entropy() -> Iterator[str]:
        hidden, weight = (
            torch.randn(*s, generator=generator) / 8 for s in ((2, 64, 128), (1000, 128))
        )
        labels = torch.randint(0, 1000, (2, 64), generator=generator)
        results = []
        for where, dtype in ((torch.device("cpu"), torch.float32), (device, half)):
            h, w = (x.to(where, dtype).requires_grad_() for x in (hidden, weight))
            compiled = where.type == "cuda"
            losses = loss.linear_cross_entropy(h, w, labels.to(where), chunk=32, compiled=compiled)
            grads = torch.autograd.grad(losses.total.sum(), (h, w))
            results.append([losses.each, *grads])
        yield told("cross-entropy", max(map(error, results[1], results[0])), 0.02)

    tried("float8", multiply)
    tried("cross-entropy", cross_entropy)


def stepper(case: Case) -> tuple[Callable[[], Any], int, Any]:
    """A function that takes a step, the tokens of one, and the model."""
    config = load(case.preset, {**case.changes, "batch_rows": 2 * case.rows, "lanes": 1,
                                "micro_rows": case.rows})  # fmt: skip
    vocabulary = 50257 if case.preset != "tiny" else 1024
    world = mesh.start()
    trainer = Trainer(config, parallel.build(config, vocabulary, world), world)
    micro = micro_rows(config.batch_rows, config.micro_rows)
    objective = Objective(config.objective, vocabulary, padding=0)
    feed = Feed(objective, world.device, micro, varlen=trainer.model.backend == "varlen")
    rows = random_rows(config.batch_rows, case.length, vocabulary, case.document)
    batch = feed.batch(rows, 0)
    step = lambda: trainer.step(batch, int(batch.labels.sum()), 1e-4)  # noqa: E731
    return step, batch.num_tokens, trainer.model


def speed(case: Case, steps: int) -> Iterator[str]:
    """One row: warm steps, then timed ones."""
    on_gpu = torch.cuda.is_available()
    if on_gpu:
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
        torch._dynamo.reset()
    step, tokens, model = stepper(case)
    for _ in range(3):
        step()
    float(step().loss)  # waits
    start = time.perf_counter()
    for _ in range(steps):
        outcome = step()
    float(outcome.loss)
    rate = steps * tokens / (time.perf_counter() - start)
    flops = model.shape.flops_per_token(model.vocabulary, case.length)
    peak = metrics.peak_flops(torch.cuda.get_device_name()) if on_gpu else None
    used = torch.cuda.max_memory_allocated() / 2**30 if on_gpu else 0.0
    share = f"{rate * flops / peak:6.1%}" if peak else "unknown"
    changes = ", ".join(f"{key}={value}" for key, value in case.changes.items())
    whole = "" if case.document < 10**6 else "one document a row"
    yield (
        f"speed   {case.preset:10} T={case.length} {case.rows:3} rows  {model.backend:9} "
        f"{rate:11,.0f} tokens/s  MFU {share} of bf16  {used:6.1f} GiB  {changes}{whole}"
    )


def profile(case: Case) -> Iterator[str]:
    """The operations that take most of a step."""
    from torch.profiler import ProfilerActivity

    step, _, _ = stepper(case)
    for _ in range(4):
        step()
    activities = [ProfilerActivity.CPU]
    if torch.cuda.is_available():
        activities.append(ProfilerActivity.CUDA)
    with torch.profiler.profile(activities=activities) as found:
        float(step().loss)
    on_gpu = torch.cuda.is_available()

    def spent(event: Any) -> float:
        return float(event.self_device_time_total if on_gpu else event.self_cpu_time_total)

    events = sorted(found.key_averages(), key=spent, reverse=True)
    total = sum(map(spent, events))
    for event in events[:16]:
        yield f"profile {spent(event) / total:6.1%} {event.count:6} x {event.key[:90]}"


def whole_run(preset: str, steps: int) -> Iterator[str]:
    """What the loop itself adds: waiting for rows, and the stop of a checkpoint."""
    from tests.train.shards import write_run

    with tempfile.TemporaryDirectory() as folder:
        run, output = Path(folder) / "run", Path(folder) / "model"
        write_run(run)
        words = [str(run), "--output", str(output), "--preset", preset, "--steps", str(steps)]
        words += ["--processes", "1", "--batch-rows", "256" if preset != "tiny" else "8"]
        for pair in ("micro_rows=128", f"checkpoint.every={steps // 2}", "max_epochs=100"):
            words += ["--set", pair]
        subprocess.run([sys.executable, "-m", "train", *words], check=True, capture_output=True)
        lines = [json.loads(line) for line in (output / "steps.jsonl").read_text().splitlines()]
    last = [line for line in lines if line["kind"] == "step"][-1]
    stops = [line["stalled"] for line in lines if line["kind"] == "checkpoint"]
    yield (
        f"run     {preset}, rows of 128: {last['tokens_per_second']:,.0f} tokens/s, "
        f"{last['data_wait']:.2%} of the time waiting for rows, checkpoints stop "
        f"{max(stops):.2f} s at most, {last['joules'] or 0:.0f} J"
    )


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--preset", help="this one only")
    parser.add_argument("--length", type=int, default=1024, help="with --preset")
    parser.add_argument("--steps", type=int, default=12, help="timed steps of a row")
    options = parser.parse_args()
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    name = torch.cuda.get_device_name() if device.type == "cuda" else processor()
    print(f"machine {name}; torch {torch.__version__}", flush=True)
    cases = CASES
    if options.preset:
        cases = [Case(options.preset, options.length, 4, {})]
        cases += [Case(options.preset, options.length, 4, {"precision": "float8"})]
    parity(device)
    for case in cases[:6]:
        tried(f"{case.preset} {case.changes}", lambda case=case: speed(case, options.steps))
    tried("profile", lambda: profile(cases[0]))
    tried("run", lambda: whole_run(cases[0].preset, 40))
    for case in cases[6:]:
        tried(f"{case.preset} {case.changes}", lambda case=case: speed(case, options.steps))
    print(f"took    {time.monotonic() - BEGUN:.0f} s")


if __name__ == "__main__":
    main()
