"""For which sources the steps of a recipe's chains are, known before any record is read."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby

from pipelines.recipes.files import CHAINS
from pipelines.recipes.mistakes import Mistake
from pipelines.runs.events import PassedBy, Unredacted
from pipelines.runs.receipts import Task
from schemas.chain import RedactStep, Scope
from schemas.inputs import Kind
from schemas.pii import Redact
from schemas.recipe import Recipe

Kinds = Mapping[str, frozenset[Kind]]


def kinds_of(recipe: Recipe, splits: Sequence[Task] = ()) -> Kinds:
    """By source, the kinds that its documents may be of; `splits`, which know the formats of
    files, say it more narrowly."""
    formats: dict[str, set[str]] = {}
    for task in splits:
        read = {piece.get("format", "") for piece in task.spec["ranges"]} - {""}
        formats.setdefault(task.spec["source"], set()).update(read)
    return {
        item.source: frozenset(map(item.kind_of, formats[item.source]))
        if formats.get(item.source, {"tar"}).isdisjoint(("tar", "zip"))
        else item.kinds()
        for item in recipe.inputs
    }


def _is_for(step: Scope, source: str, kinds: Kinds) -> bool:
    of_source = not step.sources or source in step.sources
    return of_source and (not step.kinds or not kinds[source].isdisjoint(step.kinds))


def check_scopes(recipe: Recipe, kinds: Kinds) -> Iterator[Mistake]:
    """A chain of which no step is for any input."""
    for section in CHAINS:
        steps = [step for _, step in getattr(recipe, section).steps()]
        if (
            kinds
            and steps
            and not any(_is_for(step, name, kinds) for step in steps for name in kinds)
        ):
            asked = ", ".join(sorted({value for step in steps for value in step.kinds}))
            there = (f"`{name}` is {' or '.join(sorted(kinds[name]))}" for name in kinds)
            yield (
                f"{section}.chain",
                f"applies to no input: its steps are for {asked}, and {', '.join(there)}. Give "
                "inputs the `kind` that they are, or the steps other `kinds`",
            )


def passed_by(recipe: Recipe, kinds: Kinds) -> list[PassedBy]:
    """Steps that are not for every source, those in a row for the same sources together."""
    found = []
    for section in CHAINS:
        steps = [step for _, step in getattr(recipe, section).steps()]
        skips = [tuple(n for n in kinds if not _is_for(step, n, kinds)) for step in steps]
        for sources, group in groupby(zip(skips, steps, strict=True), lambda each: each[0]):
            if sources:
                titles = tuple(step.title() for _, step in group)
                found.append(PassedBy(section, titles, sources))
    return found


def scoped(recipe: Recipe, kinds: Kinds) -> list[PassedBy | Unredacted]:
    """What is told before the first stage."""
    bare = unredacted(recipe, kinds)
    return [*passed_by(recipe, kinds), *([Unredacted(tuple(bare))] if bare else [])]


def unredacted(recipe: Recipe, kinds: Kinds) -> list[str]:
    """The sources whose personal data no step replaces."""
    steps = [step for section in CHAINS for _, step in getattr(recipe, section).steps()]
    redacts = [step for step in steps if isinstance(step, RedactStep)]
    return [
        name
        for name in kinds
        if not any(_is_for(step, name, kinds) and _replaces(step.asked, name) for step in redacts)
    ]


def _replaces(asked: Redact, source: str) -> bool:
    own = asked.sources.get(source, asked)
    return any(own.policies.get(type_, own.policy) != "keep" for type_ in asked.every_type())
