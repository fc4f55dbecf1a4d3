"""The stages of a run, in order, and what each of them is made of."""

from __future__ import annotations

import importlib
import importlib.metadata
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import ModuleType
from typing import Any

from pipelines.runs.receipts import Task
from pipelines.runs.steps import Manifest, fingerprint
from pipelines.runs.store import Folder
from schemas.recipe import Recipe


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
    Stage("index", ("extract", "mix"), "index"),
)
# The shards are what a run is for: they and their index are in its own folder.
OWN = ("mix", "index")
# Of a run that looks for duplicates in files as they are.
DEDUPLICATION = (
    Stage("sign", (), "sign"),
    Stage("deduplicate", ("sign",), "dedup.stage"),
)

Parts = Mapping[str, Any]


def made_of(
    stage: Stage, recipe: Recipe, splits: Sequence[Task], done: Mapping[str, Manifest]
) -> Parts:
    """All that decides what a stage makes; its fingerprint is of this.

    `done`: the stages before it; None stands for the digest of one that is not there yet.
    """
    upstream = {name: done[name].digest if name in done else None for name in stage.upstream}
    module = stage.module
    return {
        "stage": stage.name,
        "version": module.VERSION,
        "libraries": {name: importlib.metadata.version(name) for name in module.LIBRARIES},
        "recipe": fingerprint(module.relevant(recipe)),
        "upstream": upstream,
        "inputs": "" if upstream else fingerprint([task.to_json() for task in splits]),
    }


def read_made_of(run: Folder, stage: str) -> Parts:
    """What a stage that was begun is made of; nothing, if that was not kept."""
    try:
        return dict(json.loads(run.read(f"{stage}/fingerprint.json")))
    except (OSError, ValueError):
        return {}


def different(old: Parts, new: Parts) -> list[str]:
    """What of that differs, in words; an upstream stage that is not there yet does not."""
    found = []
    if old.get("version") != new["version"]:
        found.append(f"version {old.get('version')} of the stage there, {new['version']} now")
    for name in sorted({*old.get("libraries", {}), *new["libraries"]}):
        versions = [parts.get("libraries", {}).get(name, "none") for parts in (old, new)]
        if versions[0] != versions[1]:
            found.append(f"{name} {versions[0]} there, {versions[1]} now")
    if old.get("recipe") != new["recipe"]:
        found.append("what the recipe says of it")
    if old.get("inputs") != new["inputs"]:
        found.append("the files of its inputs")
    return found + [
        f"`{name}` made something else"
        for name, digest in new["upstream"].items()
        if digest is not None and old.get("upstream", {}).get(name) != digest
    ]
