"""`Run`, the one way into a run: for the command line, reports, services and notebooks."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, Self

import pyarrow as pa

from pipelines.engines.runners import Engine
from pipelines.recipes.mistakes import RecipeError
from pipelines.recipes.saving import differences, read_saved, save, with_models
from pipelines.recipes.scopes import check_scopes, kinds_of, scoped
from pipelines.recipes.sizes import too_small
from pipelines.runs import documents, expectations, ledger, pruning, rejections, takedowns
from pipelines.runs.events import (
    Event,
    Limited,
    Listener,
    Shortfall,
    StageFinished,
    Warned,
    ignore,
)
from pipelines.runs.lock import alone
from pipelines.runs.mill import Mill
from pipelines.runs.pruning import RawText
from pipelines.runs.receipts import Task
from pipelines.runs.splits import changed_inputs, plan_splits, unreadable
from pipelines.runs.steps import (
    Context,
    Manifest,
    canonical,
    fingerprint,
    read_manifest,
    read_plan,
)
from pipelines.runs.store import Folder
from pipelines.runs.verify import Findings, verify
from pipelines.runs.verify import clean as remove
from pipelines.stages import curate, inherit
from pipelines.stages.order import (
    DEDUPLICATION,
    OWN,
    STAGES,
    Parts,
    Stage,
    different,
    made_of,
    read_made_of,
)
from schemas.homes import homes, way_to
from schemas.problems import Problem, full_disk
from schemas.recipe import Recipe
from schemas.shard import ShardManifest

if TYPE_CHECKING:
    from curation.mixture import Portion


class Foreseen(NamedTuple):
    """What a stage would do, and why."""

    stage: str
    does: Literal["is done", "is taken over", "goes on", "runs", "is refused"]
    why: tuple[str, ...]


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
    def create(
        cls,
        recipe: Recipe,
        folder: str,
        stages: Sequence[Stage] = STAGES,
        *,
        splits: list[Task] | None = None,
    ) -> Self:
        """A run of a resolved recipe in a new or empty folder (a path or an fsspec URL), or the
        run of this same recipe that is there.

        `stages`: all, or DEDUPLICATION; `splits`: those of the inputs that a new run reads, instead
        of all. Nothing is written if the inputs are wrong. Raises Problem:
        for inputs or models that cannot be read, a folder that holds something else, or a run of
        another recipe.
        """
        home = Folder(folder)
        home.make()
        recipe = _with_parent(recipe, home)
        if recipe.parent is not None:
            read_saved(Folder(recipe.parent))
        if splits is None or home.exists("extract/plan.jsonl"):
            splits = _splits(home, recipe)
        if stages == STAGES and (wrong := list(check_scopes(recipe, kinds_of(recipe, splits)))):
            raise RecipeError(recipe.name, wrong)
        with _room():
            saved = save(recipe, home)
        # the roots of inputs may have moved; these decide nothing
        where = {name: getattr(recipe, name) for name in ("inputs", "parent", "expect", "engine")}
        against = {"against": recipe.deduplicate.against}
        where["deduplicate"] = saved.deduplicate.model_copy(update=against)
        run = cls(home, saved.model_copy(update=where), splits, stages)
        run._find_homes()
        return run

    @classmethod
    def open(cls, folder: str) -> Self:
        """The run in a folder, finished or not. Raises Problem if there is none."""
        home = Folder(folder)
        return cls(home, _with_parent(read_saved(home), home))

    @staticmethod
    def foresee(recipe: Recipe, folder: str) -> list[Foreseen]:
        """What `create` and `go` would do with each stage, and why; nothing is written.

        Beside a run of another recipe in the folder, what a new run with that one as its `parent`
        would do. Raises Problem for inputs or models that cannot be read.
        """
        home = Folder(folder)
        begun = home.exists("recipe.yaml")
        base = home if begun else Folder(recipe.parent) if recipe.parent else None
        frozen = read_saved(base) if base else None
        with tempfile.TemporaryDirectory(prefix="gristmill-") as scratch:
            recipe = with_models(recipe, Folder(scratch))
        own = begun and not differences(read_saved(home), recipe)
        splits = _splits(home if own else Folder(f"{folder}/none"), recipe)
        done: dict[str, Manifest] = {}
        found: list[Foreseen] = []
        for stage in STAGES:
            parts = made_of(stage, recipe, splits, done)
            why, there = _why(stage, base, frozen, recipe, parts)
            waits = [name for name in stage.upstream if name not in done]
            if there and not why and not waits and (own or stage.name not in OWN):
                done[stage.name] = there
                found.append(Foreseen(stage.name, "is done" if own else "is taken over", ()))
            elif own and (there or home.exists(f"{stage.name}/plan.jsonl")):
                found.append(Foreseen(stage.name, "is refused" if why else "goes on", tuple(why)))
            else:
                why = why if there else ["nothing of it is there"] if base else []
                after = [f"`{name}` runs, and may make something else" for name in waits if base]
                if there and not why and not after:
                    why = ["shards are a run's own"]
                found.append(Foreseen(stage.name, "runs", (*why, *after)))
        return found

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
        with alone(self.folder), _room():
            splits = self.plan()
            self._sweep()
            self._tell_inputs(splits, listener)
            self._tell_scopes(splits, listener)
            with closing(Mill(self.context, engine or Engine(), splits, listener)) as mill:
                done = self._through(mill, self._until(until))
            ledger.write(self.folder, done)
        for each in self.shortfalls() if "mix" in done else ():
            listener(each)
        return done

    def _through(self, mill: Mill, stages: Sequence[Stage]) -> dict[str, Manifest]:
        """The manifests of the stages, each made if it is not there."""
        done: dict[str, Manifest] = {}
        for stage in stages:
            is_new = not self.folder.exists(f"{stage.name}/manifest.json")
            manifest = self._stage(mill, stage, done)
            done[stage.name] = manifest
            ledger.check(done)
            if is_new:
                ledger.write(self.folder, done)
                mill.listener(
                    StageFinished(stage.name, manifest.records, manifest.kept, manifest.home)
                )
            if manifest.home:
                found = {**mill.context.homes, stage.name: manifest.home}
                mill.context = replace(mill.context, homes=found)
            expectations.check(mill.context, stage.name, manifest)
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
        """What reads the files of the run's stages, wherever they stand. Raises Problem if a run
        that holds some of them is gone."""
        found = {name: item.home for name, item in self.stages.items() if item.home}
        for name, home in found.items():
            if not Folder(home).exists(f"{name}/manifest.json"):
                raise Problem(
                    f"holds the stage `{name}` of {self.folder.url}, and is gone",
                    home,
                    "put it back, or beside the run, or name it as the `parent` of the run",
                )
        signed = "sign" if self._stages == DEDUPLICATION else "filter"
        return Context(self.folder, self.recipe, found, signed)

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

    def raw_text(self) -> RawText:
        """The raw text in this run's folder. Raises Problem if it is still needed: `curate` is not
        finished."""
        if "curate" not in self.stages:
            raise Problem(
                "its raw text is still needed: `curate` is not finished",
                self.folder.url,
                "finish the run",
            )
        return pruning.raw_text(self.context)

    def prune(self) -> RawText:
        """Take the raw text in this run's folder away; returns what it was. The curated text, the
        shards, signals, rejections and the report stay. Raises Problem as `raw_text` does, and if
        another process works in the run."""
        with alone(self.folder):
            found = self.raw_text()
            pruning.prune(self.folder, found)
        return found

    def shortfalls(self) -> list[Shortfall]:
        """The sources of which the shards hold fewer training tokens than the recipe asks for;
        also one that has no documents left."""
        return [
            Shortfall(item.source, item.planned, item.tokens, item.phase)
            for item in self.mixture()
            if item.tokens < item.planned
        ]

    def verify(self, *, clean: bool = False) -> Findings:
        """Read every file of the run and look whether it is what the run says; see `Findings`.

        `clean`: remove what killed attempts left. Raises Problem if it is to and something is
        wrong, or another gristmill is at work in the run.
        """
        if not clean:
            return verify(self.folder, [stage.name for stage in self._stages])
        with alone(self.folder):
            found = self.verify()
            remove(self.folder, found)
            return found

    def _sweep(self) -> None:
        """Clear away what killed attempts left on a local disk."""
        for scratch in self.folder.local.glob("**/.part-*") if self.folder.local else ():
            shutil.rmtree(scratch, ignore_errors=True)

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
        """Say before the first stage which sources steps are not for, and which are too small."""
        if self._stages == STAGES and not self.stages:
            events: list[Event] = [*scoped(self.recipe, kinds_of(self.recipe, splits))]
            if self.recipe.limit is not None:
                events.append(Limited(self.recipe.limit))
            else:
                events += too_small(self.recipe, splits)
            for event in events:
                listener(event)

    def _stage(self, mill: Mill, stage: Stage, done: dict[str, Manifest]) -> Manifest:
        """The stage's manifest: there already, taken from the parent, or made now."""
        parts = made_of(stage, self.recipe, mill.splits, done)
        is_done = self.folder.exists(f"{stage.name}/manifest.json")
        if is_done or self.folder.exists(f"{stage.name}/plan.jsonl"):
            home = read_manifest(self.folder, stage.name).home if is_done else ""
            old = read_made_of(Folder(home or self.folder.url), stage.name)
            if differing := different(old, parts):
                raise Problem(
                    f"was begun with something else: {'; '.join(differing)}",
                    f"{self.folder.url}/{stage.name}",
                    "start a new run in another folder; with this one as its `parent` it takes "
                    "over the stages that are still equal",
                )
            if is_done:
                if stage.module is curate and not home:
                    curate.write_card(mill, stage.name)
                return read_manifest(self.folder, stage.name)
        elif taken := self._from_parent(stage, fingerprint(parts)):
            return taken
        else:
            self.folder.replace(f"{stage.name}/fingerprint.json", canonical(parts))
        if stage.name in documents.STAGES[1:]:  # those that read raw text
            documents.check_raw(mill.context)
        made: Manifest = stage.module.run(mill, stage.name, fingerprint(parts))
        return made

    def _from_parent(self, stage: Stage, mark: str) -> Manifest | None:
        """The parent's stage, if it is equal; its files stay where they are."""
        if self.recipe.parent is None or stage.name in OWN:
            return None
        parent = Folder(self.recipe.parent)
        if not parent.exists(f"{stage.name}/manifest.json"):
            return None
        manifest = read_manifest(parent, stage.name)
        if manifest.fingerprint != mark:
            return None
        home = manifest.home or parent.url
        if stage.name == "tokenizer":
            data = Folder(home).read("tokenizer/tokenizer.json")
            self.folder.create("tokenizer/tokenizer.json", data)
        written = replace(manifest, home=way_to(home, self.folder.url))
        self.folder.create(f"{stage.name}/manifest.json", written.to_json())
        takedowns.note_user(Folder(home), "stages", self.folder.url)
        return replace(manifest, home=home)

    def _find_homes(self) -> None:
        """Where stages that were taken over are not to be found any more, look in the parent that
        the recipe names now."""
        parent = Folder(self.recipe.parent or "")
        for name, manifest in self.stages.items() if self.recipe.parent else ():
            if not manifest.home or Folder(manifest.home).exists(f"{name}/manifest.json"):
                continue
            if parent.exists(f"{name}/manifest.json"):
                theirs = read_manifest(parent, name)
                if theirs.digest == manifest.digest:
                    way = way_to(theirs.home or parent.url, self.folder.url)
                    written = replace(manifest, home=way).to_json()
                    self.folder.replace(f"{name}/manifest.json", written)


def _why(
    stage: Stage, base: Folder | None, frozen: Recipe | None, recipe: Recipe, parts: Parts
) -> tuple[list[str], Manifest | None]:
    """What differs between a stage of the run `base`, whose recipe is `frozen`, and the stage of
    this recipe; and its manifest, if it is finished there."""
    if base is None or frozen is None or not base.exists(f"{stage.name}/manifest.json"):
        return [], None
    manifest = read_manifest(base, stage.name)
    why = different(read_made_of(Folder(manifest.home or base.url), stage.name), parts)
    relevant = stage.module.relevant
    keys = {
        name
        for name in Recipe.model_fields
        if relevant(frozen) != relevant(frozen.model_copy(update={name: getattr(recipe, name)}))
    }
    told = [
        f"{path}: {old} there, {new} now"
        for path, old, new in differences(frozen, recipe)
        if path.partition(".")[0].partition("[")[0] in keys
    ]
    return told + [each for each in why if not told or "recipe" not in each], manifest


def _splits(run: Folder, recipe: Recipe) -> list[Task]:
    """The frozen splits of the run's input; planned now if the run is new."""
    if run.exists("extract/plan.jsonl"):
        return read_plan(run, "extract")
    return sorted(plan_splits(recipe, inherit.splits(recipe)), key=lambda task: task.key)


def _with_parent(recipe: Recipe, home: Folder) -> Recipe:
    """The recipe with its parent where that is, which may have been moved with the run."""
    places = homes(recipe.parent, home.url) if recipe.parent is not None else []
    there = (each for each in places if Folder(each).exists("recipe.yaml"))
    return recipe.model_copy(update={"parent": next(there, recipe.parent)})


@contextmanager
def _room() -> Iterator[None]:
    """Tell of a full disk as of what a user can mend."""
    try:
        yield
    except OSError as error:
        raise (full_disk(error) or error) from None
