"""A run's curated text or tokens in the formats of other programs."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence

from pipelines.exports import texts, tokens
from pipelines.run import Run
from pipelines.runs import takedowns
from pipelines.runs.store import Folder
from schemas.problems import Problem

Writer = Callable[[Run, Folder, Sequence[str]], None]

# By format: writes the documents, or the shards, of sources into an empty folder.
TEXTS: dict[str, Writer] = {"jsonl": texts.jsonl, "parquet": texts.parquet, "hf": texts.hf}
TOKENS: dict[str, Writer] = {"megatron": tokens.megatron, "nanogpt": tokens.nanogpt}


def export(run: Run, to: str, output: str, sources: Collection[str] = ()) -> None:
    """Write a run into the new folder `output`, all of it or only some sources.

    Raises Problem if the run has no curated text, or no shards, yet or lacks a source, or if the
    folder holds something.
    """
    if "curate" not in run.stages:
        raise Problem(
            "has no curated text yet", run.folder.url, "let it come to its stage `curate`"
        )
    labels = list(dict.fromkeys(item.source for item in run.recipe.inputs))
    if to in TOKENS:
        labels = list(run.shards.splits["train"].sources)
    for source in sources:
        if source not in labels:
            raise Problem(
                "is no source of the run", f"source {source}", f"give {', '.join(labels)}"
            )
    folder = Folder(output)
    if folder.glob("**/*"):
        raise Problem("holds something", output, "give a new folder")
    folder.make()
    takedowns.note_user(run.folder, to, output)
    (TEXTS | TOKENS)[to](
        run, folder, [label for label in labels if not sources or label in sources]
    )
