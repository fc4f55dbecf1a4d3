"""Tasks of `extract` and `filter` of other runs, taken over one by one: those of the parent that
are still equal, so that one more file costs one more file; and all of runs that are inputs.

Their files are linked, or copied, into the run, which needs the other runs no more.
"""

from __future__ import annotations

import importlib.metadata
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from types import ModuleType

from pipelines.recipes.saving import read_saved
from pipelines.runs import takedowns
from pipelines.runs.documents import PRUNED
from pipelines.runs.receipts import Receipt, Task, has_receipt
from pipelines.runs.steps import Context, read_manifest, read_plan, read_receipts
from pipelines.runs.store import Folder
from pipelines.stages.order import STAGES, read_made_of
from schemas.problems import Problem
from schemas.recipe import Recipe


@dataclass(frozen=True)
class _Old:
    """A finished stage of another run."""

    step: str
    home: Folder
    recipe: Recipe

    @cached_property
    def tasks(self) -> dict[str, Task]:
        return {task.key: task for task in read_plan(self.home, self.step)}

    @cached_property
    def receipts(self) -> dict[str, Receipt]:
        return {receipt.task: receipt for receipt in read_receipts(self.home.url, self.step)}

    def give(self, context: Context, key: str, task: str) -> None:
        """Give a task the receipt of task `key`, and the files that it names."""
        receipt = replace(self.receipts[key], task=task)
        takedowns.note_user(self.home, "stages", context.run.url)
        for file in receipt.files:
            context.run.adopt(self.home, file.path)
        (context.run / f"{self.step}/receipts").create(f"{task}.json", receipt.to_json())


def _module(step: str) -> ModuleType:
    (module,) = (stage.module for stage in STAGES if stage.name == step)
    return module


def _old(run: str, step: str) -> _Old | None:
    """A stage of a run; None if it is not finished. Raises Problem if there is no run."""
    frozen, folder = read_saved(Folder(run)), Folder(run)
    if not folder.exists(f"{step}/manifest.json"):
        return None
    return _Old(step, Folder(read_manifest(folder, step).home or run), frozen)


def _parent(recipe: Recipe, step: str) -> _Old | None:
    """The parent's stage, if it is finished, by the versions of today, and has its raw text."""
    old = _old(recipe.parent, step) if recipe.parent is not None else None
    if old is None or old.home.exists(PRUNED):
        return None
    module, made_of = _module(step), read_made_of(old.home, step)
    versions = {name: importlib.metadata.version(name) for name in module.LIBRARIES}
    is_same = (made_of.get("version"), made_of.get("libraries")) == (module.VERSION, versions)
    return old if is_same else None


def _runs(recipe: Recipe, step: str) -> list[_Old]:
    """A stage of the runs that are inputs, in their order. Raises Problem if it is not finished, or
    something was taken out of the run."""
    found = []
    for run in dict.fromkeys(item.run for item in recipe.inputs if item.run is not None):
        old = _old(run, step)
        if old is None:
            mend = "finish this run before it is an input"
            raise Problem(f"has not come through its stage `{step}`", run, mend)
        if old.home.exists(PRUNED) or takedowns.superseded(old.home):
            mend = "give its files as inputs, with the run as `parent`"
            raise Problem("is no input any more: text was taken out of it", run, mend)
        found.append(old)
    return found


def splits(recipe: Recipe) -> list[Task]:
    """The parent's tasks over inputs that are read in the same way, whatever files are there."""
    old = _parent(recipe, "extract")
    limits = (recipe.limit, old and old.recipe.limit)
    if old is None or old.recipe.splits != recipe.splits or limits != (None, None):
        return []
    ways = [
        {item.source: item.model_dump(exclude={"root", "files", "storage"}) for item in each.inputs}
        for each in (old.recipe, recipe)
    ]
    return [
        task
        for task in old.tasks.values()
        if ways[0][task.spec["source"]] == ways[1].get(task.spec["source"])
    ]


def parts(context: Context) -> list[Task]:
    """The tasks of `filter` of other runs that stay: all of runs that are inputs, numbered in a
    row, or else the parent's over parts of documents that are still equal.

    Raises Problem for an input that was filtered otherwise than this recipe says.
    """
    recipe, relevant = context.recipe, _module("filter").relevant
    found: list[Task] = []
    for number, old in enumerate(_runs(recipe, "filter")):
        theirs = old.recipe.model_copy(update={"splits": recipe.splits})
        if (relevant(theirs), theirs.kept_columns()) != (relevant(recipe), recipe.kept_columns()):
            raise Problem(
                "was filtered, or signed for deduplication, otherwise than this recipe says, or "
                "keeps other columns",
                old.home.url,
                "give the run's own `filter` and `deduplicate`, or its files as inputs",
            )
        for task in old.tasks.values():
            spec = {**task.spec, "input": number, "task": task.key}
            found.append(Task(f"{len(found):06d}", spec, task.size))
    parent = None if found else _parent(recipe, "filter")
    same = parent.tasks.values() if parent else ()
    return found or [task for task in same if parent and _is_same(context, parent, task)]


def take_over(context: Context, step: str, tasks: Sequence[Task]) -> None:
    """Give tasks of runs that are inputs, and those that are equal to the parent's, their receipts,
    and the files that these name."""
    missing = [task for task in tasks if not has_receipt(context.run, step, task.key)]
    if not missing:
        return
    runs, parent = _runs(context.recipe, step), _parent(context.recipe, step)
    covered = takedowns.superseded(parent.home) if parent else {}
    whole = {item.source for item in context.recipe.inputs if item.run is not None}
    for task in missing:
        if "input" in task.spec:
            runs[task.spec["input"]].give(context, task.spec["task"], task.key)
        elif task.spec.get("source") in whole:
            next(each for each in runs if task.key in each.tasks).give(context, task.key, task.key)
        elif (
            parent
            and parent.tasks.get(task.key) == task
            and _is_same(context, parent, task)
            # what was taken down there is neither what its receipt says, nor to be had from it
            and not any(file.path in covered for file in parent.receipts[task.key].files)
        ):
            parent.give(context, task.key, task.key)


def _is_same(context: Context, old: _Old, task: Task) -> bool:
    """Whether the recipe, and what the task reads, are as they were."""
    relevant, recipes = _module(old.step).relevant, (old.recipe, context.recipe)
    if old.step == "extract":
        source = task.spec["source"]
        own = [
            each.model_copy(
                update={"inputs": tuple(item for item in each.inputs if item.source == source)}
            )
            for each in recipes
        ]
        columns = [each.kept_columns() for each in recipes]
        return columns[0] == columns[1] and bool(relevant(own[0]) == relevant(own[1]))
    if relevant(recipes[0]) != relevant(recipes[1]):
        return False
    before = _parent(context.recipe, "extract")
    now = {receipt.task: receipt for receipt in context.receipts("extract")}
    return before is not None and all(
        key in now and now[key].files == before.receipts[key].files for key in task.spec["parts"]
    )
