"""A run's curated text or tokens in the formats of other programs."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence

from pipelines.exports import texts
from pipelines.run import Run
from pipelines.runs.store import Folder
from schemas.problems import Problem

Writer = Callable[[Run, Folder, Sequence[str]], None]

# By format: writes the documents of sources into an empty folder.
WRITERS: dict[str, Writer] = {"jsonl": texts.jsonl, "parquet": texts.parquet, "hf": texts.hf}


def export(run: Run, to: str, output: str, sources: Collection[str] = ()) -> None:
    """Write a run into the new folder `output`, all of it or only some sources.

    Raises Problem if the run has no curated text yet or lacks a source, or if the folder holds
    something.
    """
    if "curate" not in run.stages:
        raise Problem(
            "has no curated text yet", run.folder.url, "let it come to its stage `curate`"
        )
    labels = [item.source for item in run.recipe.inputs]
    for source in sources:
        if source not in labels:
            raise Problem(
                "is no source of the run", f"source {source}", f"give {', '.join(labels)}"
            )
    folder = Folder(output)
    if folder.glob("**/*"):
        raise Problem("holds something", output, "give a new folder")
    folder.make()
    WRITERS[to](run, folder, [label for label in labels if not sources or label in sources])
