"""`gristmill plan`: what something takes or gives, before it is done."""

from __future__ import annotations

import argparse
import textwrap
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING

from pipelines.commands.dedup import add_plan_dedup
from pipelines.commands.parsing import Add, adder
from schemas.problems import Problem

if TYPE_CHECKING:
    from curation.mixture import Portion


def add_plan(add: Add) -> None:
    """Add `plan` and its actions."""
    plan = add(
        "plan",
        "Say what deduplication or training takes, or what a mixture gives.",
        "gristmill plan mixture runs/one",
        lambda _: 0,
    )
    act = adder(plan, "ACTION")
    add_plan_dedup(act)
    mixture = act(
        "mixture",
        "Show the mixture of a run whose tokens are counted; without a run, those of the "
        "literature.",
        "gristmill plan mixture runs/one --recipe other.yaml",
        _mixture,
    )
    mixture.add_argument(
        "run", metavar="RUN", nargs="?", help="a run up to its stage `tokenize`, or further"
    )
    mixture.add_argument("--recipe", help="the mixture of this recipe, instead of the run's own")
    # `main` has handed it on before anything is parsed
    act("train", "Say what a training takes.", "gristmill plan train runs/one", lambda _: 0)


def _mixture(options: argparse.Namespace) -> int:
    from pipelines.recipes.mixtures import presets

    if options.run is not None:
        print(table(_portions(options.run, options.recipe)))
        return 0
    for name, preset in presets().items():
        print(f"{name}: {', '.join(f'{k} {v:g}' for k, v in preset.weights.items())}")
        text = f"{preset.source}{f'. {preset.note}' if preset.note else ''}"
        print(textwrap.fill(text, 100, initial_indent="    ", subsequent_indent="    "))
    return 0


def _portions(folder: str, recipe: str | None) -> list[Portion]:
    """What the mix of a run would take of each source, by its own recipe or another's `mix`."""
    from dataclasses import replace

    from pipelines.recipes.loading import load
    from pipelines.run import Run
    from pipelines.stages.mix.plan import preview

    run = Run.open(folder)
    if "tokenize" not in run.stages:
        raise Problem(
            "its tokens are not counted yet",
            folder,
            "go on with `gristmill run RECIPE --output RUN --until tokenize`",
        )
    context = run.context
    if recipe is not None:
        inputs = [item.model_dump(mode="json") for item in run.recipe.inputs]
        mix = load(recipe, {"inputs": inputs}).mix
        context = replace(context, recipe=run.recipe.model_copy(update={"mix": mix}))
    return preview(context)


def table(portions: Sequence[Portion], *, achieved: bool = False) -> str:
    """A mixture as text: planned, and what is taken of it (`achieved`: was)."""
    taken = Counter[str]()
    for item in portions:
        taken[item.phase] += item.tokens
    got = "achieved" if achieved else "taken"
    rows = [["phase", "source", "available", "planned", got, "share", "epochs"]]
    for item in portions:
        share = item.tokens / taken[item.phase] if item.tokens else 0
        epochs = item.tokens / item.available if item.tokens else 0
        tokens = (f"{number:,}" for number in (item.available, item.planned, item.tokens))
        rows.append([item.phase, item.source, *tokens, f"{share:.2%}", f"{epochs:.2f}"])
    first = 0 if any(item.phase for item in portions) else 1
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        "  ".join(
            cell.ljust(width) if place < 2 else cell.rjust(width)
            for place, (cell, width) in enumerate(zip(row, widths, strict=True))
            if place >= first
        )
        for row in rows
    )
