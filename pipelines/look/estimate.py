"""What a recipe will make of its inputs, by a sample that goes through every stage.

The sample is of splits, by a keyed hash: small pieces of the files, so that it reads no more than
it must and has enough of them to tell how much they differ. What a split gives in proportion to
its bytes is scaled with a ratio estimator (Cochran 1977, ch. 6), whose error comes from other draws
of the same splits. Deduplication does not scale: `curation.estimation`.
"""

from __future__ import annotations

import posixpath
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from curation.estimation import kept_share, share_draws
from curation.keys import key64
from pipelines.engines.runners import Engine
from pipelines.run import Run
from pipelines.runs.events import Listener, ignore
from pipelines.runs.ids import flat, to_text
from pipelines.runs.parts import read_table
from pipelines.runs.receipts import Receipt, Task
from pipelines.runs.splits import plan_splits
from pipelines.runs.steps import Context
from schemas.expect import Expect
from schemas.mix import Mix
from schemas.problems import Problem
from schemas.recipe import Recipe

_SPLITS = 64  # of each source, if its files can be cut so small
_LEAST_BYTES = 1 << 12  # of a split
_DRAWS = 200
_INTERVAL = (5, 95)  # percentiles
_NESTED = (1 / 8, 1 / 4, 1 / 2, 1.0)

Counts = npt.NDArray[np.float64]
Draws = npt.NDArray[np.float64]
"""[1 + draws]: the estimate, then those of other draws."""


@dataclass(frozen=True)
class Figure:
    """An estimate and the interval in which the truth is with a chance of 90%."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class SourceEstimate:
    """What will become of a source."""

    source: str
    bytes: int
    sampled_bytes: int
    sampled_splits: int
    documents: dict[str, Figure]
    """Documents after each stage."""
    text_bytes: Figure
    """Of the curated text."""
    tokens: Figure
    """To choose from: before the mixture."""
    kept: list[tuple[float, float]]
    """Share that deduplication keeps: at rates of the sample, and at the rate 1 as predicted."""


@dataclass(frozen=True)
class StageEstimate:
    """What a stage will take."""

    stage: str
    cpu_seconds: Figure
    wall_seconds: Figure
    """Of tasks, one after the other."""
    disk_bytes: Figure


@dataclass(frozen=True)
class Estimate:
    """What a run will make and take."""

    fraction: float
    """Of the input bytes that were sampled."""
    sources: list[SourceEstimate]
    stages: list[StageEstimate]
    tokens: Figure
    disk_bytes: Figure
    workers: int
    wall_seconds: Figure
    """With so many workers."""


@dataclass
class _Sample:
    """What each split of a source gave, float64[splits], and what repeats across them."""

    bytes: Counts
    sums: dict[str, Counts] = field(default_factory=dict)
    seen: Counts = field(default_factory=lambda: np.zeros(1))
    """How many clusters have documents in 1, 2, ... splits."""


def estimate(
    recipe: Recipe,
    fraction: float,
    folder: str,
    *,
    workers: int = 1,
    engine: Engine | None = None,
    listener: Listener = ignore,
) -> Estimate:
    """Run a sample of this fraction of the input bytes in a new folder, and scale what it gave.

    `workers`: those of the run that is estimated. Raises Problem as `Run` does, for a fraction
    that is none, and for inputs that are runs.
    """
    if not 0 < fraction <= 1:
        raise Problem("must be above 0 and at most 1", f"sample {fraction:g}")
    if any(item.run is not None for item in recipe.inputs):
        raise Problem("a run is no input to estimate from", "inputs", "name the files themselves")
    chosen, every, recipe = _choose(recipe, fraction)
    run = Run.create(recipe, folder, splits=chosen)
    run.go(engine, listener)
    samples = _samples(run, chosen)
    sizes = {name: sum(t.size for t in every if t.spec["source"] == name) for name in samples}
    chance = np.random.default_rng(key64(recipe.seed, "estimate"))
    scaled = {name: _scaled(samples[name], sizes[name], chance) for name in sorted(samples)}
    sources = [_source(name, samples[name], sizes[name], scaled[name]) for name in scaled]
    stages = _stages(run.context, recipe, samples, scaled)
    total = np.sum([each["tokens"] for each in scaled.values()], axis=0)
    _, wall, disk = np.sum(list(stages.values()), axis=0)
    return Estimate(
        sum(float(each.bytes.sum()) for each in samples.values()) / sum(sizes.values()),
        sources,
        [StageEstimate(name, *map(_figure, each)) for name, each in stages.items()],
        _figure(total),
        _figure(disk),
        workers,
        _figure(wall / workers),
    )


def _choose(recipe: Recipe, fraction: float) -> tuple[list[Task], list[Task], Recipe]:
    """The splits of the sample, all splits, and the recipe that cuts the inputs into them."""
    # all tokens once: what a mixture takes of them is its budget
    names = ("groups", "sequence_length", "packing", "validation")
    mix = Mix.model_validate({name: getattr(recipe.mix, name) for name in names})
    plain = {"parent": None, "limit": None, "expect": Expect(), "mix": mix}
    recipe = recipe.model_copy(update=plain)
    total = min(
        sum(task.size for task in plan_splits(recipe) if task.spec["source"] == item.source)
        for item in recipe.inputs
    )
    size = min(recipe.splits.bytes, max(_LEAST_BYTES, int(total * fraction / _SPLITS)))
    cut = {"splits": recipe.splits.model_copy(update={"bytes": size})}
    recipe = recipe.model_copy(update=cut)
    every = sorted(plan_splits(recipe), key=lambda task: task.key)
    chosen = []
    for source in sorted({task.spec["source"] for task in every}):
        own = [task for task in every if task.spec["source"] == source]
        own.sort(key=lambda task: key64(recipe.seed, "estimate", task.key))
        sizes = np.cumsum([task.size for task in own])
        chosen += own[: max(2, int(np.searchsorted(sizes, fraction * sizes[-1])) + 1)]
    return sorted(chosen, key=lambda task: task.key), every, recipe


def _samples(run: Run, chosen: Sequence[Task]) -> dict[str, _Sample]:
    """By source what each split gave."""
    context = run.context
    places = {task.key: at for at, task in enumerate(chosen)}
    receipts = context.receipts("extract")
    parts = [
        flat(read_table(context.home("extract"), each.file("documents").path, ["id"])["id"])
        for each in receipts
    ]
    ids = pa.concat_arrays([pa.array([], pa.string()), *parts])
    splits = np.repeat([places[each.task] for each in receipts], list(map(len, parts)))
    filtered, curated = (_among(ids, run, stage) for stage in ("filter", "curate"))
    cluster, dropped = _clusters(ids, run)
    filtered &= cluster >= 0
    sums = {
        "extract": np.ones(len(ids)),
        "filter": filtered.astype(float),
        "deduplicate": (filtered & ~dropped).astype(float),
        "curate": curated.astype(float),
        "text": np.zeros(len(ids)),
        "tokens": np.zeros(len(ids)),
    }
    for batch in run.documents("curate", ("id", "bytes")):
        sums["text"][_at(batch["id"], ids)] = batch["bytes"].to_numpy()
    for receipt in context.receipts("tokenize"):
        path = receipt.file("tokens").path
        table = read_table(context.home("tokenize"), path, ["id", "tokens"])
        sizes = pc.list_value_length(flat(table["tokens"])).to_numpy()
        sums["tokens"][_at(to_text(flat(table["id"])), ids)] = sizes
    # documents of a cluster in one split are there together, or not at all
    pairs = np.unique(np.stack([cluster, splits])[:, filtered], axis=1)
    found: dict[str, _Sample] = {}
    cpu = np.zeros(len(chosen))
    cpu[[places[each.task] for each in receipts]] = [each.usage.cpu_seconds for each in receipts]
    for source in {str(task.spec["source"]) for task in chosen}:
        own = np.array([task.spec["source"] == source for task in chosen])
        each = _Sample(np.array([task.size for task in chosen], float)[own])
        for name, values in sums.items():
            each.sums[name] = np.bincount(splits, values, len(chosen))[own]
        each.sums["cpu"] = cpu[own]
        mine = pairs[:, own[pairs[1]]]
        each.sums["units"] = np.bincount(mine[1], minlength=len(chosen))[own].astype(float)
        counts = np.bincount(np.unique(mine[0], return_counts=True)[1])[1:]
        each.seen = counts.astype(float) if len(counts) else np.zeros(1)
        found[source] = each
    return found


def _at(some: pa.Array, ids: pa.Array) -> npt.NDArray[np.int64]:
    return np.asarray(pc.index_in(some, ids).to_numpy(), np.int64)


def _among(ids: pa.Array, run: Run, stage: str) -> npt.NDArray[np.bool_]:
    """Which documents a stage kept."""
    there = [batch["id"] for batch in run.documents(stage, ("id",))]
    known = pa.concat_arrays([pa.array([], pa.string()), *there])
    return np.asarray(pc.is_in(ids, known).to_numpy(zero_copy_only=False), bool)


def _clusters(ids: pa.Array, run: Run) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.bool_]]:
    """The cluster of each document, -1 if it repeats one of another run; and which were dropped."""
    cluster = np.arange(len(ids))
    dropped = np.zeros(len(ids), bool)
    for batch in run.rejections("deduplicate", columns=("id", "representative")):
        own = _at(batch["id"], ids)
        others = pc.fill_null(pc.index_in(batch["representative"], ids), -1)
        cluster[own], dropped[own] = np.asarray(others.to_numpy(), np.int64), True
    while np.any((further := np.where(cluster < 0, -1, cluster[cluster])) != cluster):
        cluster = further
    return cluster, dropped


def _scaled(sample: _Sample, size: int, chance: np.random.Generator) -> dict[str, Draws]:
    """The documents after each stage, bytes and tokens of a whole source."""
    rate = min(1.0, float(sample.bytes.sum()) / size)
    number = len(sample.bytes)
    draws = chance.multinomial(number, np.full(number, 1 / number), _DRAWS)
    weights = np.vstack([np.ones((1, number)), draws])
    sums = {name: weights @ values for name, values in sample.sums.items()}
    whole = size / (weights @ sample.bytes)
    shares = share_draws(sample.seen, rate, _DRAWS, chance)

    def of(name: str, other: str) -> Draws:
        return np.asarray(sums[name] / np.maximum(sums[other], 1e-9))

    found = {"cpu": sums["cpu"] * whole, "extract": sums["extract"] * whole}
    found["filter"] = sums["filter"] * whole
    found["deduplicate"] = found["filter"] * of("units", "filter") * shares
    for name in ("curate", "text", "tokens"):
        found[name] = found["deduplicate"] * of(name, "deduplicate")
    # what is read already is certain
    unread = np.sqrt(1 - rate)
    return {name: each[0] + (each - each[0]) * unread for name, each in found.items()}


def _figure(draws: Draws) -> Figure:
    low, high = np.percentile(draws[1:], _INTERVAL)
    value = float(draws[0])
    return Figure(value, max(0.0, min(value, float(low))), max(value, float(high)))


def _source(name: str, sample: _Sample, size: int, scaled: dict[str, Draws]) -> SourceEstimate:
    rate = min(1.0, float(sample.bytes.sum()) / size)
    within = sample.sums["units"].sum() / max(1.0, sample.sums["filter"].sum())
    curve = [rate * part for part in _NESTED] + [1.0]
    return SourceEstimate(
        name,
        size,
        int(sample.bytes.sum()),
        len(sample.bytes),
        {each: _figure(scaled[each]) for each in ("extract", "filter", "deduplicate", "curate")},
        _figure(scaled["text"]),
        _figure(scaled["tokens"]),
        [(of, float(within) * kept_share(sample.seen, rate, of)) for of in curve],
    )


def _stages(
    context: Context,
    recipe: Recipe,
    samples: dict[str, _Sample],
    scaled: dict[str, dict[str, Draws]],
) -> dict[str, tuple[Draws, Draws, Draws]]:
    """By stage its CPU seconds, seconds by the clock and bytes on disk: in proportion to what it
    reads."""
    read = {
        "extract": "cpu",
        "filter": "extract",
        "deduplicate": "filter",
        "curate": "deduplicate",
        "tokenizer": "text",
        "tokenize": "text",
        "mix": "tokens",
        "index": "extract",
    }
    found = {}
    for stage, name in read.items():
        there = sum(float(sample.sums[name].sum()) for sample in samples.values())
        whole = np.sum([each[name] for each in scaled.values()], axis=0)
        factor = np.asarray(whole / there if there else np.ones(_DRAWS + 1))
        receipts = _receipts(context, stage)
        disk = factor * sum(file.size for each in receipts for file in each.files)
        if stage == "tokenizer":
            train = recipe.tokenizer.train
            most = train.sample_bytes / max(there, 1.0) if train else 1.0
            factor, disk = np.minimum(factor, max(1.0, most)), disk / factor
        cpu, wall = (
            factor * sum(getattr(each.usage, kind) for each in receipts)
            for kind in ("cpu_seconds", "wall_seconds")
        )
        found[stage] = (cpu, wall, disk)
    return found


def _receipts(context: Context, stage: str) -> list[Receipt]:
    paths = context.home(stage).glob(f"{stage}/**/receipts.parquet")
    return [each for path, _ in paths for each in context.receipts(posixpath.dirname(path))]
