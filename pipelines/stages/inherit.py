"""Tasks of the parent's `extract` and `filter` that are still equal, taken over one by one, so
that one more file costs one more file.

Their files are linked, or copied, into the run, which needs the parent no more.
"""

from __future__ import annotations

import importlib.metadata
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from pipelines.recipes.saving import read_saved
from pipelines.runs import takedowns
from pipelines.runs.documents import PRUNED
from pipelines.runs.receipts import Receipt, Task, has_receipt
from pipelines.runs.steps import Context, read_manifest, read_plan, read_receipts
from pipelines.runs.store import Folder
from pipelines.stages.order import STAGES, read_made_of
from schemas.recipe import Recipe


@dataclass(frozen=True)
class _Old:
    """A finished stage of the parent."""

    step: str
    home: Folder
    recipe: Recipe

    @cached_property
    def tasks(self) -> dict[str, Task]:
        return {task.key: task for task in read_plan(self.home, self.step)}

    @cached_property
    def receipts(self) -> dict[str, Receipt]:
        return {receipt.task: receipt for receipt in read_receipts(self.home.url, self.step)}


def _parent(recipe: Recipe, step: str) -> _Old | None:
    """The parent's stage, if it is finished, by the versions of today, and has its raw text."""
    if recipe.parent is None:
        return None
    parent = Folder(recipe.parent)
    frozen = read_saved(parent)
    if not parent.exists(f"{step}/manifest.json"):
        return None
    home = Folder(read_manifest(parent, step).home or parent.url)
    if home.exists(PRUNED):
        return None
    (module,) = (stage.module for stage in STAGES if stage.name == step)
    versions = {name: importlib.metadata.version(name) for name in module.LIBRARIES}
    made_of = read_made_of(home, step)
    is_same = (made_of.get("version"), made_of.get("libraries")) == (module.VERSION, versions)
    return _Old(step, home, frozen) if is_same else None


def splits(recipe: Recipe) -> list[Task]:
    """The parent's tasks over inputs that are read in the same way, whatever files are there."""
    old = _parent(recipe, "extract")
    limits = (recipe.limit, old and old.recipe.limit)
    if old is None or old.recipe.splits != recipe.splits or limits != (None, None):
        return []
    ways = [
        {item.source: item.model_dump(exclude={"root", "files"}) for item in each.inputs}
        for each in (old.recipe, recipe)
    ]
    return [
        task
        for task in old.tasks.values()
        if ways[0][task.spec["source"]] == ways[1].get(task.spec["source"])
    ]


def parts(context: Context) -> list[Task]:
    """The parent's tasks of `filter` over parts of documents that are still equal."""
    old = _parent(context.recipe, "filter")
    return (
        [] if old is None else [task for task in old.tasks.values() if _is_same(context, old, task)]
    )


def take_over(context: Context, step: str, tasks: Sequence[Task]) -> None:
    """Give equal tasks the parent's receipts, and the files that these name."""
    old = _parent(context.recipe, step)
    # what was taken down there is neither what its receipt says, nor to be had from it
    covered = takedowns.superseded(old.home) if old else {}
    for task in tasks if old else ():
        assert old is not None  # noqa: S101 - there are tasks only then
        if old.tasks.get(task.key) != task or has_receipt(context.run, step, task.key):
            continue
        if _is_same(context, old, task):
            receipt = old.receipts[task.key]
            if any(file.path in covered for file in receipt.files):
                continue
            takedowns.note_user(old.home, "stages", context.run.url)
            for file in receipt.files:
                context.run.adopt(old.home, file.path)
            (context.run / f"{step}/receipts").create(f"{task.key}.json", receipt.to_json())


def _is_same(context: Context, old: _Old, task: Task) -> bool:
    """Whether the recipe, and what the task reads, are as they were."""
    (module,) = (stage.module for stage in STAGES if stage.name == old.step)
    recipes = (old.recipe, context.recipe)
    if old.step == "extract":
        source = task.spec["source"]
        own = [
            each.model_copy(
                update={"inputs": tuple(item for item in each.inputs if item.source == source)}
            )
            for each in recipes
        ]
        columns = [each.kept_columns() for each in recipes]
        return columns[0] == columns[1] and module.relevant(own[0]) == module.relevant(own[1])
    if module.relevant(recipes[0]) != module.relevant(recipes[1]):
        return False
    before = _parent(context.recipe, "extract")
    now = {receipt.task: receipt for receipt in context.receipts("extract")}
    return before is not None and all(
        key in now and now[key].files == before.receipts[key].files for key in task.spec["parts"]
    )
