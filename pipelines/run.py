"""A run: recipe -> stages, in order, skipping what is done."""

from __future__ import annotations

import fcntl
import importlib.metadata
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from types import ModuleType

from pipelines.engines.runners import Engine
from pipelines.recipes.saving import read_saved, save
from pipelines.runs import ledger
from pipelines.runs.mill import Mill, Progress
from pipelines.runs.receipts import Task
from pipelines.runs.splits import changed_inputs, plan_splits
from pipelines.runs.steps import Context, Manifest, fingerprint, read_manifest, read_plan
from pipelines.runs.store import Folder
from pipelines.stages import curate, extract, tokenize, tokenizer
from pipelines.stages import filter as filter_stage
from pipelines.stages.dedup import stage as deduplicate
from pipelines.stages.mix import stage as mix
from schemas.problems import Problem
from schemas.recipe import Recipe


@dataclass(frozen=True)
class Stage:
    """A stage of a run. Its module has VERSION, LIBRARIES, `relevant(recipe)` and
    `run(mill, step, fingerprint)`."""

    name: str
    upstream: tuple[str, ...]
    module: ModuleType


STAGES = (
    Stage("extract", (), extract),
    Stage("filter", ("extract",), filter_stage),
    Stage("deduplicate", ("filter",), deduplicate),
    Stage("curate", ("extract", "filter", "deduplicate"), curate),
    Stage("tokenizer", ("curate",), tokenizer),
    Stage("tokenize", ("curate", "tokenizer"), tokenize),
    Stage("mix", ("tokenize", "tokenizer"), mix),
)


def run(recipe: Recipe, output: str, engine: Engine, *, quiet: bool = False) -> dict[str, Manifest]:
    """Run a resolved recipe into the folder `output`, or go on with a run that is there.

    Returns the manifests of all stages. Raises Problem for what the user can mend, JobFailed
    if a job fails, LedgerError if a record is lost.
    """
    folder = Folder(output)
    folder.make()
    with _alone(folder):
        # what is wrong with the input is told before anything is written
        splits = _splits(folder, recipe)
        if folder.exists("extract/manifest.json"):
            _tell_changed(recipe, splits)
        if recipe.parent is not None:
            read_saved(Folder(recipe.parent))
        frozen = save(recipe, folder)
        # the roots of inputs may have moved; they decide nothing
        frozen = frozen.model_copy(update={"inputs": recipe.inputs, "parent": recipe.parent})
        context = Context(folder, frozen)
        mill = Mill(context, engine, splits, Progress(quiet))
        manifests: dict[str, Manifest] = {}
        for stage in STAGES:
            is_new = not folder.exists(f"{stage.name}/manifest.json")
            manifest = _stage(mill, stage, manifests)
            manifests[stage.name] = manifest
            ledger.check(manifests)
            if is_new:
                ledger.write(folder, manifests)
            if manifest.home:
                mill.context = replace(
                    mill.context, homes={**mill.context.homes, stage.name: manifest.home}
                )
        ledger.write(folder, manifests)
        return manifests


def _stage(mill: Mill, stage: Stage, done: dict[str, Manifest]) -> Manifest:
    """The stage's manifest: there already, taken from the parent, or made now."""
    folder = mill.run
    mark = fingerprint(
        stage.name,
        stage.module.VERSION,
        [done[name].digest for name in stage.upstream],
        stage.module.relevant(mill.context.recipe),
        {name: importlib.metadata.version(name) for name in stage.module.LIBRARIES},
        [] if stage.upstream else [task.to_json() for task in mill.splits],
    )
    if folder.exists(f"{stage.name}/manifest.json"):
        manifest = read_manifest(folder, stage.name)
        if manifest.fingerprint != mark:
            raise Problem(
                f"{folder.url}/{stage.name}: was made by other versions of gristmill or of the "
                "libraries it uses. Start a new run in another folder (with `--parent "
                f"{folder.url}` it takes over the stages that are still equal)"
            )
        return manifest
    taken = _from_parent(mill, stage, mark)
    if taken is not None:
        return taken
    made: Manifest = stage.module.run(mill, stage.name, mark)
    return made


def _splits(run: Folder, recipe: Recipe) -> list[Task]:
    """The frozen splits of the run's input; planned now if the run is new."""
    if run.exists("extract/plan.jsonl"):
        return read_plan(run, "extract")
    return sorted(plan_splits(recipe), key=lambda task: task.key)


def _tell_changed(recipe: Recipe, splits: list[Task]) -> None:
    """Say which inputs are not those that the run has read."""
    if changed := changed_inputs(recipe, splits):
        others = f" and {len(changed) - 1:,} other(s)" if changed[1:] else ""
        say(
            f"{changed[0]}{others}: new or changed since this run read its inputs, and no part of "
            "it. Give another --output to read them"
        )


def _from_parent(mill: Mill, stage: Stage, mark: str) -> Manifest | None:
    """The parent's stage, if it is equal; its files stay where they are."""
    recipe = mill.context.recipe
    # the last stage is what a run is for: its shards are in its own folder
    if recipe.parent is None or stage.name == "mix":
        return None
    parent = Folder(recipe.parent)
    if not parent.exists(f"{stage.name}/manifest.json"):
        return None
    manifest = read_manifest(parent, stage.name)
    if manifest.fingerprint != mark:
        return None
    home = manifest.home or parent.url
    taken = replace(manifest, home=home)
    if stage.name == "tokenizer":
        mill.run.create("tokenizer/tokenizer.json", Folder(home).read("tokenizer/tokenizer.json"))
    mill.run.create(f"{stage.name}/manifest.json", taken.to_json())
    return taken


def finished(folder: Folder) -> bool:
    """Whether the run in the folder has all its stages."""
    return all(folder.exists(f"{stage.name}/manifest.json") for stage in STAGES)


def manifests(folder: Folder) -> dict[str, Manifest]:
    """The manifests of the finished stages of a run, in order."""
    return {
        stage.name: read_manifest(folder, stage.name)
        for stage in STAGES
        if folder.exists(f"{stage.name}/manifest.json")
    }


def context_of(folder: Folder) -> Context:
    """A context to read a run with."""
    homes = {name: item.home for name, item in manifests(folder).items() if item.home}
    return Context(folder, read_saved(folder), homes)


@contextmanager
def _alone(folder: Folder) -> Iterator[None]:
    """One driver a run, on a local disk; clears away what killed attempts left there."""
    if folder.local is None:
        yield
        return
    with (folder.local / ".lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise Problem(f"{folder.url}: another gristmill is at work in this run") from None
        for scratch in folder.local.glob("**/.part-*"):
            shutil.rmtree(scratch, ignore_errors=True)
        yield


def say(text: str) -> None:
    """A line for the user, on standard error."""
    print(text, file=sys.stderr, flush=True)
