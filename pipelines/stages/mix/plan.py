"""The plan of the mix: what is validation, and which stretches of each source a phase takes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from curation import mixture
from curation.histogram import EVERYTHING, Histogram, bin_range, boundary, crossing_bin
from curation.keys import below
from curation.mixture import Epoch, Portion, key_ranges
from pipelines.runs.parts import read_table
from pipelines.runs.receipts import Attempt, Receipt, Task
from pipelines.runs.steps import Context
from pipelines.stages import tokenizer
from pipelines.stages.mix import groups
from pipelines.stages.mix.tokenparts import TokenFile, read_rows, step_of, token_files
from schemas.problems import Problem
from schemas.recipe import Recipe
from schemas.tables import RESERVE


def plan_of(context: Context) -> dict[str, Any]:
    """The plan, once it is made."""
    plan: dict[str, Any] = context.receipt("mix/plan", "plan").counts
    return plan


def epochs_of(plan: dict[str, Any], source: str, phase: int) -> list[Epoch]:
    """What a phase reads of a source."""
    return [Epoch(source, *item) for item in plan["phases"][phase]["epochs"][source]]


@dataclass(frozen=True)
class Left:
    """A source without its validation: its tokens by mixing key, and what is held out."""

    histogram: Histogram
    entry: dict[str, Any]


def left_for_training(
    recipe: Recipe,
    counted: dict[str, Histogram],
    reserve: pa.Table,
    limits: dict[str, int],
) -> dict[str, Left]:
    """Choose validation, by source; also of sources that have no document left.

    `counted`: tokens of all documents by mixing key; `reserve`: RESERVE rows; `limits`: holdout
    keys below which documents are reserved.
    """
    found = {}
    for source in sorted({*recipe.mixed(), *counted}):
        histogram = counted.get(source) or Histogram.of(np.empty(0, np.uint64), np.empty(0, int))
        own = reserve.filter(pc.equal(reserve["source"], source))
        holdout, tokens = own["holdout"].to_numpy(), own["tokens"].to_numpy()
        limit = mixture.validation_threshold(holdout, tokens, recipe.mix.validation.tokens)
        limit = min(limit, limits.get(source, 0))
        held = below(holdout, limit)
        removed = Histogram.of(own["key"].to_numpy()[held], tokens[held])
        entry = {
            "available": histogram.total,
            "documents": int(histogram.documents.sum()),
            "validation_limit": limit,
            "validation_tokens": removed.total,
            "validation_documents": int(removed.documents.sum()),
            "validation_keys": own["key"].to_numpy()[held].tolist(),
        }
        rest = Histogram(
            histogram.amounts - removed.amounts, histogram.documents - removed.documents
        )
        found[source] = Left(rest, entry)
    return found


def _counted(context: Context) -> dict[str, Left]:
    """What the token parts of the mix hold."""
    step = step_of(context.recipe)
    reserve = [
        read_table(context.home(step.split("/")[0]), receipt.file("reserve").path)
        for receipt in context.receipts(step)
    ]
    return left_for_training(
        context.recipe,
        tokenizer.histograms(context, step, "histogram"),
        pa.concat_tables([RESERVE.empty_table(), *reserve]),
        groups.limits(context),
    )


def preview(context: Context) -> list[Portion]:
    """The portions that the mix of the context's recipe would have; its tokens are counted."""
    if context.recipe.mix.groups:
        left = left_for_training(context.recipe, *groups.count(context), groups.limits(context))
    else:
        left = _counted(context)
    return _portions(context.recipe, left)


def _portions(recipe: Recipe, left: dict[str, Left]) -> list[Portion]:
    """Raises Problem if something can't be met and `mix.shortfall` is `error`."""
    available = {source: item.histogram.total for source, item in left.items()}
    portions = mixture.plan(recipe.mix, available)
    short = [
        f"{f'{item.phase}: ' if item.phase else ''}{item.source}: {item.tokens:,} of "
        f"{item.planned:,} tokens"
        for item in portions
        if item.tokens < item.planned
    ]
    if short and recipe.mix.shortfall == "error":
        raise Problem(
            f"the mixture can't be met: {'; '.join(short)}",
            "mix.shortfall: error",
            "give another `mix.shortfall`, other shares, a smaller budget or larger "
            "`mix.max_epochs`, or more of these sources",
        )
    return portions


def make_plan(context: Context, step: str, task: Task) -> Receipt:
    """Decide what is validation, what each phase takes of a source, and the number of buckets."""
    recipe = context.recipe
    left = _counted(context)
    portions = _portions(recipe, left)
    files = token_files(context)
    begun: Counter[str] = Counter()
    phases = []
    for name, _ in recipe.mix.curriculum():
        epochs = {}
        own = [portion for portion in portions if portion.phase == name]
        for portion in own:
            start = begun[portion.source]
            begun[portion.source] += portion.tokens
            epochs[portion.source] = [
                _epoch(recipe.seed, portion.source, files, left[portion.source], *stretch)
                for stretch in mixture.stretches(start, start + portion.tokens, portion.available)
            ]
        total = sum(portion.tokens for portion in own)
        phases.append(
            {
                "name": name,
                "buckets": mixture.buckets(total, recipe.mix.bucket_tokens),
                "epochs": epochs,
            }
        )
    plan = {
        "sources": {source: item.entry for source, item in left.items()},
        "portions": [asdict(portion) for portion in portions],
        "phases": phases,
    }
    with Attempt(context.run, step, task.key) as attempt:
        return attempt.commit(0, 0, counts=plan)


def _epoch(
    seed: int,
    source: str,
    files: Sequence[TokenFile],
    left: Left,
    number: int,
    start: int,
    stop: int,
) -> list[int]:
    """Tokens [start, stop) of a reading of a source: an `Epoch` without its source."""
    rotation = mixture.shift(seed, source, number)

    def border(tokens: int) -> tuple[int, int]:
        """The position of the document that holds this token, and its tokens before it."""
        if tokens == 0:
            return 0, 0
        if tokens == left.histogram.total:
            return EVERYTHING, 0
        rotated = left.histogram.rotated(rotation)
        crossing = crossing_bin(rotated, tokens + 1)
        keys, sizes = [np.empty(0, np.uint64)], [np.empty(0, np.int64)]
        ranges = key_ranges(*bin_range(crossing or 0), rotation)
        for table in read_rows(files, source, ranges, ("key", "holdout", "tokens")):
            taken = ~below(table["holdout"].to_numpy(), left.entry["validation_limit"])
            keys.append(table["key"].to_numpy()[taken])
            sizes.append(pc.list_value_length(table["tokens"]).to_numpy()[taken])
        positions = np.concatenate(keys) + np.uint64(rotation)
        return boundary(rotated, tokens, positions, np.concatenate(sizes))

    return [number, rotation, *border(start), *border(stop)]
