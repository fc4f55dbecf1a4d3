"""`Run`, the one way into a run: for the command line, reports, services and notebooks."""

from __future__ import annotations

import fcntl
import importlib
import importlib.metadata
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property
from types import ModuleType
from typing import TYPE_CHECKING, Any, Self

import pyarrow as pa

from pipelines.engines.runners import Engine
from pipelines.recipes.mistakes import RecipeError
from pipelines.recipes.saving import read_saved, save
from pipelines.recipes.scopes import check_scopes, kinds_of, passed_by, unredacted
from pipelines.runs import documents, ledger, rejections
from pipelines.runs.events import (
    Listener,
    Shortfall,
    StageFinished,
    Unredacted,
    Warned,
    ignore,
)
from pipelines.runs.mill import Mill
from pipelines.runs.receipts import Task
from pipelines.runs.splits import changed_inputs, plan_splits, unreadable
from pipelines.runs.steps import Context, Manifest, fingerprint, read_manifest, read_plan
from pipelines.runs.store import Folder
from schemas.problems import Problem
from schemas.recipe import Recipe
from schemas.shard import ShardManifest

if TYPE_CHECKING:
    from curation.mixture import Portion


@dataclass(frozen=True)
class Stage:
    """A stage of a run. Its file in `pipelines.stages` has VERSION, LIBRARIES, `relevant(recipe)`
    and `run(mill, step, fingerprint)`; it is imported when it is needed."""

    name: str
    upstream: tuple[str, ...]
    file: str

    @property
    def module(self) -> ModuleType:
        """The stage's module."""
        return importlib.import_module(f"pipelines.stages.{self.file}")


STAGES = (
    Stage("extract", (), "extract"),
    Stage("filter", ("extract",), "filter"),
    Stage("deduplicate", ("filter",), "dedup.stage"),
    Stage("curate", ("extract", "filter", "deduplicate"), "curate"),
    Stage("tokenizer", ("curate",), "tokenizer"),
    Stage("tokenize", ("curate", "tokenizer"), "tokenize"),
    Stage("mix", ("tokenize", "tokenizer"), "mix.stage"),
)
# Of a run that looks for duplicates in files as they are.
DEDUPLICATION = (
    Stage("sign", (), "sign"),
    Stage("deduplicate", ("sign",), "dedup.stage"),
)


class Run:
    """A run: a recipe and what it has made of its inputs so far, in a folder."""

    def __init__(
        self,
        folder: Folder,
        recipe: Recipe,
        splits: list[Task] | None = None,
        stages: Sequence[Stage] = STAGES,
    ) -> None:
        """Use `create` or `open`."""
        self.folder, self.recipe = folder, recipe
        self._splits, self._stages = splits, stages

    @classmethod
    def create(cls, recipe: Recipe, folder: str, stages: Sequence[Stage] = STAGES) -> Self:
        """A run of a resolved recipe in a new or empty folder (a path or an fsspec URL), or the
        run of this same recipe that is there.

        `stages`: all, or DEDUPLICATION. Nothing is written if the inputs are wrong. Raises Problem:
        for inputs or models that cannot be read, a folder that holds something else, or a run of
        another recipe.
        """
        home = Folder(folder)
        home.make()
        splits = _splits(home, recipe)
        if stages == STAGES and (wrong := list(check_scopes(recipe, kinds_of(recipe, splits)))):
            raise RecipeError(recipe.name, wrong)
        if recipe.parent is not None:
            read_saved(Folder(recipe.parent))
        saved = save(recipe, home)
        # the roots of inputs may have moved; they decide nothing
        where = {"inputs": recipe.inputs, "parent": recipe.parent}
        return cls(home, saved.model_copy(update=where), splits, stages)

    @classmethod
    def open(cls, folder: str) -> Self:
        """The run in a folder, finished or not. Raises Problem if there is none."""
        home = Folder(folder)
        return cls(home, read_saved(home))

    def plan(self) -> list[Task]:
        """The splits of the inputs, a task each: frozen once the run has begun.

        Raises Problem for inputs that cannot be read.
        """
        if self._splits is None:
            self._splits = _splits(self.folder, self.recipe)
        return self._splits

    def go(
        self,
        engine: Engine | None = None,
        listener: Listener = ignore,
        *,
        until: str = "",
    ) -> dict[str, Manifest]:
        """Do what is not done yet, up to the stage `until`, the last if it is empty; returns the
        manifests of the stages.

        `engine` decides no byte; the default is one worker. `listener` is told how the work goes.
        Raises Problem for what the user can mend, JobFailed if a job fails, LedgerError if a
        record is lost. What is done stays done: `go` again goes on from there.
        """
        splits = self.plan()
        with _alone(self.folder):
            self._tell_inputs(splits, listener)
            self._tell_scopes(splits, listener)
            mill = Mill(self.context, engine or Engine(), splits, listener)
            done: dict[str, Manifest] = {}
            for stage in self._until(until):
                is_new = not self.folder.exists(f"{stage.name}/manifest.json")
                manifest = self._stage(mill, stage, done)
                done[stage.name] = manifest
                ledger.check(done)
                if is_new:
                    ledger.write(self.folder, done)
                    listener(
                        StageFinished(stage.name, manifest.records, manifest.kept, manifest.home)
                    )
                if manifest.home:
                    homes = {**mill.context.homes, stage.name: manifest.home}
                    mill.context = replace(mill.context, homes=homes)
            ledger.write(self.folder, done)
        for each in self.shortfalls() if "mix" in done else ():
            listener(each)
        return done

    @property
    def is_finished(self) -> bool:
        """Whether all stages are."""
        return len(self.stages) == len(self._stages)

    @property
    def stages(self) -> dict[str, Manifest]:
        """The manifests of the finished stages, in order."""
        return {
            stage.name: read_manifest(self.folder, stage.name)
            for stage in self._stages
            if self.folder.exists(f"{stage.name}/manifest.json")
        }

    @property
    def context(self) -> Context:
        """What reads the files of the run's stages, wherever they stand."""
        homes = {name: item.home for name, item in self.stages.items() if item.home}
        signed = "sign" if self._stages == DEDUPLICATION else "filter"
        return Context(self.folder, self.recipe, homes, signed)

    @property
    def ledger(self) -> dict[str, Any]:
        """Of each finished stage `records`, `kept` and `rejected` by reason."""
        return ledger.balance(self.stages)

    @cached_property
    def shards(self) -> ShardManifest:
        """The manifest of the shards. Raises Problem if the run has none yet."""
        try:
            data = self.folder.read("shards/manifest.json")
        except FileNotFoundError:
            raise Problem("has no shards yet: its run is not finished", self.folder.url) from None
        return ShardManifest.model_validate_json(data)

    def documents(
        self, stage: str = "curate", columns: Sequence[str] = ("id", "source", "url", "text")
    ) -> Iterator[pa.RecordBatch]:
        """Every document that a finished stage kept, as it left them; `curate` cuts and redacts
        texts, the stages before it do not. Raises Problem for a stage that is not finished."""
        if stage not in self.stages:
            raise Problem(f"the stage `{stage}` is not finished", self.folder.url)
        return documents.read(self.context, stage, columns)

    def rejections(
        self,
        *stages: str,
        reason: str | None = None,
        columns: Sequence[str] | None = None,
    ) -> Iterator[pa.RecordBatch]:
        """What the stages that are finished did not keep, and why: rows of REJECTION in
        `schemas.tables`; of these stages, or of all, and for this reason, or for any."""
        return rejections.read(self.context, stages or tuple(rejections.STEPS), reason, columns)

    def mixture(self) -> list[Portion]:
        """What each phase took of each source, beside what was planned; `mix` is finished."""
        from curation.mixture import Portion

        (receipt,) = self.context.receipts("mix")
        return [Portion(**item) for item in receipt.counts["portions"]]

    def shortfalls(self) -> list[Shortfall]:
        """The sources of which the shards hold fewer training tokens than the recipe asks for;
        also one that has no documents left."""
        return [
            Shortfall(item.source, item.planned, item.tokens, item.phase)
            for item in self.mixture()
            if item.tokens < item.planned
        ]

    def _until(self, stage: str) -> Sequence[Stage]:
        """The stages up to this one."""
        names = [each.name for each in self._stages]
        if stage and stage not in names:
            raise Problem(f"no stage is called `{stage}`; there are {', '.join(names)}", "until")
        return self._stages[: names.index(stage) + 1] if stage else self._stages

    def _tell_inputs(self, splits: Sequence[Task], listener: Listener) -> None:
        """Warn of inputs that were not read."""
        if not self.folder.exists(f"{self._stages[0].name}/manifest.json"):
            for path, why in unreadable(self.recipe, splits):
                listener(Warned(f"is not read: {why}", path, ""))
            return
        for path in changed_inputs(self.recipe, splits):
            listener(
                Warned(
                    "is new or has changed since this run read its inputs, and is no part of it",
                    path,
                    "make a new run to read it",
                )
            )

    def _tell_scopes(self, splits: Sequence[Task], listener: Listener) -> None:
        """Say before the first stage which sources steps are not for."""
        if self._stages == STAGES and not self.stages:
            kinds = kinds_of(self.recipe, splits)
            for event in passed_by(self.recipe, kinds):
                listener(event)
            if sources := unredacted(self.recipe, kinds):
                listener(Unredacted(tuple(sources)))

    def _stage(self, mill: Mill, stage: Stage, done: dict[str, Manifest]) -> Manifest:
        """The stage's manifest: there already, taken from the parent, or made now."""
        module = stage.module
        mark = fingerprint(
            stage.name,
            module.VERSION,
            [done[name].digest for name in stage.upstream],
            module.relevant(self.recipe),
            {name: importlib.metadata.version(name) for name in module.LIBRARIES},
            [] if stage.upstream else [task.to_json() for task in mill.splits],
        )
        if self.folder.exists(f"{stage.name}/manifest.json"):
            manifest = read_manifest(self.folder, stage.name)
            if manifest.fingerprint != mark:
                raise Problem(
                    "was made by other versions of gristmill or of the libraries it uses",
                    f"{self.folder.url}/{stage.name}",
                    "start a new run in another folder; with this one as its `parent` it takes "
                    "over the stages that are still equal",
                )
            return manifest
        taken = self._from_parent(stage, mark)
        if taken is not None:
            return taken
        made: Manifest = module.run(mill, stage.name, mark)
        return made

    def _from_parent(self, stage: Stage, mark: str) -> Manifest | None:
        """The parent's stage, if it is equal; its files stay where they are."""
        # the last stage is what a run is for: its shards are in its own folder
        if self.recipe.parent is None or stage.name == "mix":
            return None
        parent = Folder(self.recipe.parent)
        if not parent.exists(f"{stage.name}/manifest.json"):
            return None
        manifest = read_manifest(parent, stage.name)
        if manifest.fingerprint != mark:
            return None
        home = manifest.home or parent.url
        taken = replace(manifest, home=home)
        if stage.name == "tokenizer":
            data = Folder(home).read("tokenizer/tokenizer.json")
            self.folder.create("tokenizer/tokenizer.json", data)
        self.folder.create(f"{stage.name}/manifest.json", taken.to_json())
        return taken


def _splits(run: Folder, recipe: Recipe) -> list[Task]:
    """The frozen splits of the run's input; planned now if the run is new."""
    if run.exists("extract/plan.jsonl"):
        return read_plan(run, "extract")
    return sorted(plan_splits(recipe), key=lambda task: task.key)


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
            raise Problem("another gristmill is at work in this run", folder.url) from None
        for scratch in folder.local.glob("**/.part-*"):
            shutil.rmtree(scratch, ignore_errors=True)
        yield
