"""What a takedown is asked for: documents of a domain, of a URL, or with a phrase."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from pipelines.run import Run
from pipelines.runs import documents, index, takedowns
from pipelines.runs.parts import read_part, read_table
from pipelines.runs.steps import Context
from schemas.problems import Problem
from schemas.tables import SEGMENT


@dataclass(frozen=True)
class Asked:
    """One of the three."""

    domain: str | None = None
    url: str | None = None
    text: str | None = None


@dataclass(frozen=True)
class Touched:
    """What a takedown touches.

    documents: by id the task of `extract` that has it; already: how many others were taken down
    before. segments: SEGMENT rows of the shards. stay: ids of documents elsewhere of which some of
    these are duplicates, and which stay. others: runs and exports with the same texts.
    """

    documents: dict[str, str]
    already: int
    segments: pa.Table
    stay: list[str]
    others: list[dict[str, str]]

    @property
    def tokens(self) -> int:
        """Of the shards."""
        return int(pc.sum(self.segments["tokens"]).as_py() or 0)


def find(run: Run, asked: Asked) -> Touched:
    """What is asked for. Raises Problem if the run has read nothing or has shards and no index, or
    if no document is found."""
    context, done = run.context, run.stages
    if "extract" not in done:
        raise Problem("has read nothing yet", run.folder.url)
    if "mix" in done and not index.has_index(context):
        raise Problem("has shards and no index of them", run.folder.url, "finish the run first")
    if asked.domain is not None:
        found = index.below(context, asked.domain)
    elif asked.url is not None:
        found = index.at_url(context, asked.url)
    else:
        found = index.places(context, set(with_phrase(context, asked.text or "")))
    found = dict(_with_text(context, found))
    if not found:
        raise Problem("no document is found", run.folder.url)
    before = takedowns.documents(run.folder)
    new = {id_: part for id_, part in found.items() if id_ not in before}
    segments = index.segments(context, new) if "mix" in done else SEGMENT.empty_table()
    return Touched(
        new,
        len(found) - len(new),
        segments,
        _representatives(context, new) if "deduplicate" in done else [],
        others(run),
    )


def others(run: Run) -> list[dict[str, str]]:
    """Runs and exports that hold what this one does, as far as it knows."""
    homes = dict.fromkeys(run.context.homes.values())
    lent = [{"what": "lent its stages", "url": home} for home in homes]
    return [*lent, *takedowns.users(run.folder)]


def _with_text(context: Context, found: dict[str, str]) -> Iterator[tuple[str, str]]:
    """Those that became documents."""
    for part in sorted(set(found.values())):
        path = context.receipt("extract", part).file("documents").path
        there = read_table(context.home("extract"), path, ["id"])["id"].to_pylist()
        yield from ((id_, part) for id_ in there if id_ in found)


def flat_text(text: str) -> str:
    """A text as phrases are looked for: white space and case do not count."""
    return " ".join(text.split()).casefold()


TEXTS = (("extract", "documents"), ("filter", "edits"), ("curate", "text"))


def with_phrase(context: Context, phrase: str) -> Iterator[str]:
    """Ids of the documents with a phrase in a text or title that a stage holds. Raises Problem for
    an empty phrase."""
    wanted = flat_text(phrase)
    if not wanted:
        raise Problem("is empty", "text")
    for stage, kind in TEXTS:
        if has_texts(context, stage):
            for receipt in context.receipts(stage):
                yield from holding(context, stage, receipt.file(kind).path, wanted)


def has_texts(context: Context, stage: str) -> bool:
    """Whether a stage is finished, and its texts were not pruned."""
    home = context.home(stage)
    pruned = stage in documents.RAW and home.exists(documents.PRUNED)
    return not pruned and home.exists(f"{stage}/manifest.json")


def holding(context: Context, stage: str, path: str, wanted: str) -> Iterator[str]:
    """Ids of the rows of a file whose text or title has a flat phrase."""
    longest = max(wanted.split(), key=len)  # which stands whole in any text that has the phrase
    names = ["id", "text"] if stage == "filter" else ["id", "text", "title"]
    for batch in read_part(context.home(stage), path, names, 256):
        table = pa.Table.from_batches([batch])
        for name in names[1:]:
            if longest.isascii():
                some = table.filter(pc.match_substring(table[name], longest, ignore_case=True))
            else:
                some = table
            for id_, text in zip(some["id"].to_pylist(), some[name].to_pylist(), strict=True):
                if text and wanted in flat_text(text):
                    yield id_


def _representatives(context: Context, found: dict[str, str]) -> list[str]:
    """Of duplicates among the documents, those that are kept instead and are not among them."""
    kept: set[str] = set()
    for task in tasks_of(context, found):
        path = context.receipt("deduplicate", task).file("rejections").path
        table = read_table(context.home("deduplicate"), path, ["id", "representative"])
        own = table.filter(pc.is_in(table["id"], pa.array(sorted(found), pa.string())))
        kept.update(own["representative"].to_pylist())
    return sorted(kept - found.keys() - {None})


def tasks_of(context: Context, found: dict[str, str]) -> list[str]:
    """The tasks of `filter` that have documents of these."""
    parts = set(found.values())
    return [task for task, own in documents.parts(context).items() if parts.intersection(own)]
