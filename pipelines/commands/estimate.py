"""`gristmill estimate`: what a recipe will make and take, by a sample."""

from __future__ import annotations

import argparse
import json
import tempfile
from typing import TYPE_CHECKING

from pipelines.commands.parsing import Add, bytes_of
from schemas.problems import Problem

if TYPE_CHECKING:
    from collections.abc import Callable

    from pipelines.look.estimate import Estimate, Figure


def add_estimate(add: Add) -> None:
    """Add `estimate`."""
    estimate = add(
        "estimate",
        "Predict what a recipe makes of its inputs and takes for it, by a sample that goes through "
        "every stage: survival, tokens by source, time, disk, each with an interval in which nine "
        "of ten runs end.",
        "gristmill estimate fineweb --input web=crawl --sample 0.1% --workers 64 --price 0.05",
        _estimate,
    )
    estimate.add_argument("recipe", help="a bundled recipe's name, or a YAML file")
    estimate.add_argument(
        "--input", action="append", default=[], metavar="SOURCE[:KIND]=PATH", help="as of `run`"
    )
    estimate.add_argument(
        "--sample", default="1%", metavar="SHARE", help="of the bytes, such as 0.1%% (default 1%%)"
    )
    estimate.add_argument(
        "--workers", type=int, default=1, help="of the run that is estimated (default 1)"
    )
    estimate.add_argument(
        "--processes", type=int, default=1, help="that work on the sample here (default 1)"
    )
    estimate.add_argument(
        "--memory", type=bytes_of, default=2 << 30, help="for shuffles, such as 4G (default 2G)"
    )
    estimate.add_argument("--price", type=float, metavar="P", help="of an hour of a worker")
    estimate.add_argument("--output", metavar="RUN", help="keep the run of the sample here")
    estimate.add_argument("--quiet", action="store_true", help="no progress, only warnings")
    estimate.add_argument("--json", action="store_true", help="one object")


def _estimate(options: argparse.Namespace) -> int:
    from dataclasses import asdict

    from pipelines.commands.progress import listener
    from pipelines.commands.run import inputs_of
    from pipelines.engines.runners import Engine
    from pipelines.look.estimate import estimate
    from pipelines.recipes.loading import load

    recipe = load(options.recipe, inputs_of(options.input), files=True)
    with tempfile.TemporaryDirectory(prefix="gristmill-") as scratch:
        found = estimate(
            recipe,
            _share(options.sample),
            options.output or f"{scratch}/run",
            workers=options.workers,
            engine=Engine(workers=options.processes, memory=options.memory),
            listener=listener("auto", quiet=options.quiet),
        )
    if options.json:
        print(json.dumps(asdict(found), ensure_ascii=False))
    else:
        print(_table(found, options.price))
    return 0


def _share(text: str) -> float:
    """A share of one, or per cent."""
    try:
        return float(text.removesuffix("%")) / (100 if text.endswith("%") else 1)
    except ValueError:
        raise Problem("write a share, such as 0.1%", f"--sample {text}") from None


def _table(found: Estimate, price: float | None) -> str:
    """An estimate as text."""
    from pipelines.report.formats import duration, size

    def line(name: str, figure: Figure, told: Callable[[float], str] = "{:,.0f}".format) -> str:
        low, value, high = map(told, (figure.low, figure.value, figure.high))
        return f"  {name:<28}{value:>18}   {low} to {high}"

    def cost(seconds: float) -> str:
        return f"{seconds / 3600 * found.workers * (price or 0):,.2f}"

    rows = [f"{found.fraction:.3%} of the input bytes went through every stage"]
    for each in found.sources:
        rows.append(f"{each.source}: {each.sampled_splits} splits in the sample")
        rows += [line(f"documents, {stage}", each.documents[stage]) for stage in each.documents]
        rows.append(line("tokens", each.tokens))
        shares = ", ".join(f"{share:.1%} of {rate:.3%}" for rate, share in each.kept)
        rows.append(f"  deduplication keeps {shares}")
    rows.append("all")
    rows.append(line("tokens", found.tokens))
    rows.append(line("disk", found.disk_bytes, lambda number: size(round(number))))
    for stage in found.stages:
        rows.append(line(f"CPU time, {stage.stage}", stage.cpu_seconds, duration))
    workers = "1 worker" if found.workers == 1 else f"{found.workers} workers"
    rows.append(line(f"time, {workers}", found.wall_seconds, duration))
    if price is not None:
        rows.append(line(f"cost, {price:g} an hour a worker", found.wall_seconds, cost))
    return "\n".join(rows)
