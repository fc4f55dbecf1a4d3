"""From a training step to the documents that it saw, and from a document to the steps.

`steps.jsonl` names the position of each step; the position gives the rows, a row its documents,
and the run's `extract/` their URLs and places in the crawl.
"""

import json
import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from schemas.homes import homes
from schemas.parquet import open_parquet
from schemas.problems import Problem
from train import metrics
from train.data import ShardReader, open_shards
from train.order import Order
from train.remote import localized

TRACED_BYTES = 10**10  # of shards in an object store, kept on the local disk
ORIGIN = ["id", "url", "file", "offset", "length"]
Segment = dict[str, Any]


class Trace:
    """The log of a trained model, beside the shards it was trained on."""

    def __init__(self, model: Path, run: str | None = None) -> None:
        """Read the log in the folder `model`; `run`: where the shards are now, if elsewhere.

        Raises Problem if there is no log, or if the shards are not those it was trained on.
        """
        lines = metrics.read(model / "steps.jsonl")
        starts = [line for line in lines if line["kind"] == "start"]
        if not starts:
            raise Problem(f"{model}: no steps.jsonl of a training run here")
        self.steps = [line for line in lines if line["kind"] == "step"]
        self.run, cache = localized(run or starts[-1]["run"], TRACED_BYTES)
        manifest, shards = open_shards(self.run)
        if manifest.layout_digest != starts[-1]["layout_digest"]:
            raise Problem(f"{self.run}: not the shards that {model} was trained on")
        self.reader = ShardReader(shards, manifest, "train", cache=cache)
        told, phases = starts[-1], manifest.splits["train"].phase_rows
        self.order = Order(told["rows"], told["batch_rows"], told["lanes"], phases)

    def step(self, number: int) -> list[Segment]:
        """What update `number` (1 is the first) saw. Raises Problem if it is not in the log."""
        for line in self.steps:
            if line["step"] == number:
                return self.segments(self.order.batch(line["first_row"]).ravel().tolist())
        raise Problem(f"step {number} is not in the log, which has {len(self.steps)} steps")

    def document(self, identity: str) -> list[dict[str, int]]:
        """The steps that saw a document, with the row of each. Raises Problem if none holds it."""
        if found := self.documents([identity]):
            return found
        if not list(self.reader.rows_of([_key(identity)])):
            raise Problem(f"{identity}: no row of the train split holds this document")
        return []

    def documents(self, identities: Iterable[str]) -> list[dict[str, int]]:
        """The steps that saw one of these documents, with the rows of each. Raises Problem for
        what is no id."""
        rows = list(self.reader.rows_of({_key(each) for each in identities}))
        step_of = {line["first_row"]: line["step"] for line in self.steps}
        before = max(step_of, default=-1) + 1
        seen = [(row, position) for row in rows for position in self.order.positions(row, before)]
        found = sorted((step_of[position], row) for row, position in seen if position in step_of)
        return [{"step": step, "row": row} for step, row in found]

    def segments(self, rows: Sequence[int]) -> list[Segment]:
        """What some rows of the train split hold, with where it comes from."""
        found = list(segments(self.reader, rows))
        origins = find_origins(self.run, {segment["document"] for segment in found})
        return [{**segment, **origins.get(segment["document"], {})} for segment in found]


def _key(identity: str) -> bytes:
    if not re.fullmatch("[0-9a-fA-F]{32}", identity):
        raise Problem(f"{identity}: an id is 32 hexadecimal digits")
    return bytes.fromhex(identity)


def segments(reader: ShardReader, rows: Sequence[int]) -> Iterator[Segment]:
    """What some rows hold, in their order: parts of documents.

    Each has `row`, `source`, `start` (its first token in the row), `document` (its id) and
    `document_offset` (its first token in the document).
    """
    for row in rows:
        value = reader.raw(row)
        for part in value["segments"]:
            given = {"row": row, "source": value["source"], "start": part["start"]}
            offset = part["document_offset"]
            yield {**given, "document": part["document_id"].hex(), "document_offset": offset}


def find_origins(run: Path, documents: set[str]) -> dict[str, dict[str, Any]]:
    """`url`, `file`, `offset` and `length` (bytes) of documents by id, from the run's `extract/`.

    Empty for a run that holds no `extract/`, such as one that only its shards were copied of.
    """
    run = run.parent if run.name == "shards" else run
    folder = run / "extract"
    if (folder / "manifest.json").is_file():
        home = json.loads((folder / "manifest.json").read_text("utf-8")).get("home")
        places = [Path(each) / "extract" for each in homes(home, str(run))] if home else [folder]
        folder = next((each for each in places if each.is_dir()), places[0])
    wanted = pa.array(sorted(documents), pa.string())
    found = {}
    for path in sorted(folder.glob("documents/*.parquet")):
        file = open_parquet(path)
        for group in range(file.num_row_groups):
            ids = file.read_row_group(group, columns=["id"])["id"]
            chosen = np.flatnonzero(pc.is_in(ids, value_set=wanted).to_numpy())
            if len(chosen):
                table = file.read_row_group(group, columns=ORIGIN).take(pa.array(chosen))
                found.update({row.pop("id"): row for row in table.to_pylist()})
    return found
