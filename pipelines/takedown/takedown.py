"""Takes documents out of a run: their text and tokens go from every file of it, and nothing moves.

Stages keep their receipts and digests, shards their layout; `content_revision` of the shards
advances. `pipelines.runs.takedowns` keeps the record. Killed at any point, it goes on when it is
asked for again, from the plan that it began with.
"""

from __future__ import annotations

import getpass
import hashlib
import html
import json
import shutil
import socket
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipelines.report.report import write_report
from pipelines.run import Run
from pipelines.runs import index, ledger, takedowns
from pipelines.runs.lock import alone
from pipelines.runs.parts import file_sha256, logical_digest, read_part
from pipelines.runs.steps import Context
from pipelines.runs.store import Folder
from pipelines.runs.takedowns import FOLDER, Revised, to_json
from pipelines.takedown import cover
from pipelines.takedown.find import (
    TEXTS,
    Asked,
    Touched,
    find,
    flat_text,
    has_texts,
    holding,
    tasks_of,
)
from schemas.parquet import open_parquet
from schemas.problems import Problem
from schemas.shard import RowGroup, ShardManifest

_MANIFEST = "shards/manifest.json"


@dataclass(frozen=True)
class Done:
    """What a takedown has done. name: of its folder; files: how many were written anew."""

    name: str
    documents: int
    tokens: int
    files: int


def take_down(run: Run, asked: Asked, why: str = "") -> Done | None:
    """Take down what is asked for; None if all of it was taken down before.

    A takedown that was begun and not finished is finished first. Raises Problem as `find` does,
    if the run is at work, and if something is still found afterwards.
    """
    with alone(run.folder):
        phrase = None if asked.text is None else flat_text(asked.text)
        finished: Done | None = None
        for name in takedowns.begun(run.folder):
            if not takedowns.is_done(run.folder, name):
                finished = _carry_out(run, name, phrase)
        try:
            touched = find(run, asked)
        except Problem:
            if finished:  # a phrase that is gone now
                return finished
            raise
        if not touched.documents:
            return finished
        name = f"{FOLDER}/{len(takedowns.begun(run.folder)) + 1:04d}"
        run.folder.create(f"{name}/asked.json", to_json(_plan(asked, touched, why)))
        return _carry_out(run, name, phrase)


def _plan(asked: Asked, touched: Touched, why: str) -> dict[str, Any]:
    # the phrase itself is what nobody should find
    digest = asked.text and hashlib.sha256(flat_text(asked.text).encode()).hexdigest()
    return {
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "by": f"{getpass.getuser()}@{socket.gethostname()}",
        "why": why,
        "asked": {**asdict(asked), "text": digest},
        "documents": dict(sorted(touched.documents.items())),
    }


def _carry_out(run: Run, name: str, phrase: str | None) -> Done:
    plan = json.loads(run.folder.read(f"{name}/asked.json"))
    found: dict[str, str] = plan["documents"]
    scratch = (run.folder / FOLDER).scratch()
    try:
        _Revision(run, name, scratch).texts_and_tokens(found)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    if run.folder.exists("report/index.html"):
        write_report(run.folder.url, f"{run.folder.url}/report")
    prove(run, found, phrase)
    tokens = 0
    if "mix" in run.stages:
        tokens = int(pc.sum(index.segments(run.context, found)["tokens"]).as_py() or 0)
    files = {each.path for each in takedowns.revisions(run.folder, name)}
    done = Done(name, len(found), tokens, len(files))
    lists = _lists(run, found, plan["asked"]["domain"])
    takedowns.finish(run.folder, name, {"done.json": to_json(asdict(done)), **lists})
    ledger.write(run.folder, run.stages)
    return done


def _lists(run: Run, found: dict[str, str], domain: str | None) -> dict[str, bytes]:
    """Lists for `extract.block` of other recipes, and the ids of the documents."""
    if domain is not None:
        own = {"domains.txt": [domain]}
    else:
        own = {"urls.txt": sorted({url for url in _urls(run.context, found) if url})}
    lists = {"documents.txt": sorted(found), **own}
    return {name: "".join(f"{each}\n" for each in lines).encode() for name, lines in lists.items()}


def _urls(context: Context, found: dict[str, str]) -> Iterator[str | None]:
    wanted = pa.array(sorted(found), pa.string())
    for part in sorted(set(found.values())):
        path = context.receipt("extract", part).file("documents").path
        for batch in read_part(context.home("extract"), path, ["id", "url"]):
            yield from batch.filter(pc.is_in(batch["id"], wanted))["url"].to_pylist()


class _Revision:
    """Writes files anew for one takedown, each noted in its record before it is put in place."""

    def __init__(self, run: Run, name: str, scratch: Path) -> None:
        self.run, self.name, self.scratch = run, name, scratch
        revised = takedowns.revisions(run.folder, name)
        self.noted = {each.path: each for each in revised}

    def texts_and_tokens(self, found: dict[str, str]) -> None:
        for path in own_texts(self.run, found):
            self._revise(path, cover.texts(found))
        if self.run.folder.exists(_MANIFEST):
            self._shards(found)

    def _shards(self, found: dict[str, str]) -> None:
        manifest = ShardManifest.model_validate_json(self.run.folder.read(_MANIFEST))
        for path in token_parts(self.run):
            self._revise(path, cover.tokens(found, manifest.tokenizer.padding))
        paths = set(index.segments(self.run.context, found)["file"].to_pylist())
        splits = {}
        for split, item in manifest.splits.items():
            files = []
            for file in item.files:
                if file.path in paths:
                    path = f"shards/{file.path}"
                    self._revise(path, cover.rows(found, manifest))
                    groups = _row_groups(self.run.folder, path)
                    noted = self.noted.get(path)
                    update = {"sha256": noted.new, "size": noted.size} if noted else {}
                    file = file.model_copy(update={**update, "row_groups": groups})
                files.append(file)
            splits[split] = item.model_copy(update={"files": tuple(files)})
        revision = int(self.name.rpartition("/")[2])
        new = manifest.model_copy(update={"splits": splits, "content_revision": revision})
        data = (json.dumps(new.model_dump(mode="json"), indent=1) + "\n").encode()
        target = self.scratch / "manifest.json"
        target.write_bytes(data)
        self._put(_MANIFEST, target)

    def _revise(self, path: str, change: cover.Cover) -> None:
        target = self.scratch / "part.parquet"
        if cover.rewrite(self.run.folder, path, target, change):
            self._put(path, target)

    def _put(self, path: str, target: Path) -> None:
        old, new = _sha256(self.run.folder, path), file_sha256(target)
        noted = self.noted.get(path)
        if old == new:
            return
        if noted is None or noted.new != new:
            self.noted[path] = Revised(path, old, new, target.stat().st_size)
            takedowns.note(self.run.folder, self.name, self.noted[path])
        self.run.folder.publish(target, path)


def _row_groups(run: Folder, path: str) -> tuple[RowGroup, ...]:
    """The row groups of a shard file as the manifest has them."""
    found = []
    with run.open(path) as stream:
        file = open_parquet(stream)
        for group in range(file.num_row_groups):
            table = file.read_row_group(group, use_threads=False).combine_chunks()
            tokens = int(table["length"].to_numpy().sum(dtype=np.int64))
            digest = logical_digest(table)
            found.append(RowGroup(rows=table.num_rows, tokens=tokens, digest=digest))
    return tuple(found)


def _sha256(run: Folder, path: str) -> str:
    with run.open(path) as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()  # type: ignore[arg-type]


# --- which files ----------------------------------------------------------------------------


def own_texts(run: Run, found: dict[str, str] | None = None) -> Iterator[str]:
    """The files of the run's own stages that hold texts; of those with documents `found`, if any
    are given."""
    context, done = run.context, run.stages
    parts = None if found is None else set(found.values())
    tasks = set(tasks_of(context, found)) if found is not None and "filter" in done else None
    for stage, kind in TEXTS:
        if stage in done and not done[stage].home and has_texts(context, stage):
            wanted = parts if stage == "extract" else tasks
            for receipt in context.receipts(stage):
                if wanted is None or receipt.task in wanted:
                    yield receipt.file(kind).path


def token_parts(run: Run) -> Iterator[str]:
    """The files of the run's own stages that hold tokens, but for the shards."""
    folder, level = run.folder, 0
    steps = [step for step in ("tokenize", "mix/groups") if folder.exists(f"{step}/manifest.json")]
    while folder.exists(f"mix/merge-{level}/manifest.json"):
        steps.append(f"mix/merge-{level}")
        level += 1
    for step in steps:
        if step != "tokenize" or not run.stages["tokenize"].home:
            for receipt in run.context.receipts(step):
                yield receipt.file("tokens").path


# --- the proof ------------------------------------------------------------------------------


def prove(run: Run, found: dict[str, str], phrase: str | None) -> None:
    """Look through all files of the run that hold text or tokens, not only where documents were
    found. Raises Problem for the first that still has some of theirs, or the phrase."""
    ids = pa.array(sorted(found), pa.string())
    for path in own_texts(run):
        stage = path.partition("/")[0]
        for batch in read_part(run.folder, path, ["id", "text"], 1024):
            text = batch["text"].filter(pc.is_in(batch["id"], ids))
            if pc.any(pc.not_equal(text, "")).as_py():
                raise _still(run, path)
        if phrase and next(holding(run.context, stage, path, phrase), None):
            raise _still(run, path)
    if run.folder.exists(_MANIFEST):
        manifest = ShardManifest.model_validate_json(run.folder.read(_MANIFEST))
        for path in token_parts(run):
            change = cover.tokens(found, manifest.tokenizer.padding)
            _unchanged(run, path, ["id", "tokens"], change)
        for split in manifest.splits.values():
            for file in split.files:
                change = cover.rows(found, manifest)
                names = ["input_ids", "length", "segments"]
                _unchanged(run, f"shards/{file.path}", names, change)
    for name in (run.folder / "report").names() if phrase else ():
        text = flat_text(
            html.unescape(run.folder.read(f"report/{name}").decode("utf-8", "replace"))
        )
        if phrase and phrase in text:
            raise _still(run, f"report/{name}")


def _unchanged(run: Run, path: str, names: list[str], change: cover.Cover) -> None:
    for batch in read_part(run.folder, path, names, 4096):
        table = pa.Table.from_batches([batch])
        if not change(table).equals(table):
            raise _still(run, path)


def _still(run: Run, path: str) -> Problem:
    return Problem(
        "still holds some of what was to be taken down", f"{run.folder.url}/{path}", "report this"
    )
