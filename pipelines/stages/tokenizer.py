"""tokenizer: trained on a keyed sample of the curated text, or loaded. One task, a barrier.

It also reserves the documents among which validation is chosen later, so that a tokenizer is
never trained on them.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import Any

import numpy as np
import pyarrow as pa

from curation.histogram import Histogram, from_table
from curation.mixture import exact, reserve_threshold, sample_keys, sample_threshold, shares
from curation.sentencepiece import as_json
from curation.tokenization import Tokens, load_tokenizer
from curation.training import train_tokenizer
from pipelines.runs.mill import Mill
from pipelines.runs.parts import read_part, read_table
from pipelines.runs.receipts import Attempt, Receipt, Task
from pipelines.runs.steps import Context, Manifest
from schemas.recipe import Recipe
from schemas.tokenizer import TrainTokenizer

VERSION = 1
LIBRARIES = ("tokenizers",)
FILE = "tokenizer/tokenizer.json"

# Validation is at most this part of a source, whatever the recipe asks for.
LARGEST_RESERVE = 10


def relevant(recipe: Recipe) -> Any:
    """What of the recipe decides this stage's output."""
    load = recipe.tokenizer.load
    return [
        recipe.tokenizer.model_dump(mode="json", exclude={"load"}),
        load and load.sha256,
        recipe.seed,
        recipe.mix.validation.tokens,
    ]


def run(mill: Mill, step: str, mark: str) -> Manifest:
    """Make the tokenizer."""
    tasks = mill.plan(step, mark, lambda: [Task("tokenizer", {})])
    return mill.do(step, make_tokenizer, tasks)


def reserves(context: Context) -> dict[str, int]:
    """For each source the holdout key below which documents are reserved for validation."""
    counts = context.receipt("tokenizer", "tokenizer").counts
    return {source: int(value) for source, value in counts["reserve"].items()}


def load(context: Context) -> Tokens:
    """The run's tokenizer."""
    spec = context.recipe.tokenizer
    data = context.home("tokenizer").read(FILE)
    return load_tokenizer(data, FILE, spec.end_of_text, spec.begin_of_text)


def histograms(context: Context, step: str, kind: str) -> dict[str, Histogram]:
    """The histograms that the tasks of a step wrote, added up by source."""
    home = context.home(step)
    tables = [read_table(home, receipt.file(kind).path) for receipt in context.receipts(step)]
    return from_table(pa.concat_tables(tables))


def make_tokenizer(context: Context, step: str, task: Task) -> Receipt:
    """Train or load the tokenizer; check that it is one."""
    recipe = context.recipe
    spec = recipe.tokenizer
    reserve = reserved(context)
    sampled: dict[str, int] = {}
    if spec.load is not None:
        name = spec.load.file
        data = as_json(context.model(str(spec.load.sha256)).read_bytes(), name)
    elif spec.train is not None:
        texts = Sample(context, spec.train)
        data = train_tokenizer(texts, spec.train, spec.end_of_text, spec.begin_of_text)
        name, sampled = FILE, texts.bytes
    else:
        raise AssertionError("the recipe model asks for one of the two")
    tokens = load_tokenizer(data, name, spec.end_of_text, spec.begin_of_text)
    with Attempt(context.run, step, task.key) as attempt:
        attempt.add("tokenizer", FILE, data)
        counts = {
            "reserve": dict(sorted(reserve.items())),
            "sampled_bytes": {source: sampled.get(source, 0) for source in sorted(reserve)},
            "vocabulary": tokens.vocabulary,
            "sha256": hashlib.sha256(data).hexdigest(),
        }
        return attempt.commit(0, 0, counts=counts)


def reserved(context: Context) -> dict[str, int]:
    """As `reserves`, of what is curated."""
    wanted = context.recipe.mix.validation.tokens
    return {
        source: reserve_threshold(histogram, min(wanted, histogram.total // (8 * LARGEST_RESERVE)))
        for source, histogram in histograms(context, "curate", "holdout").items()
    }


class Sample:
    """Curated texts to train a tokenizer on, by a keyed hash, without what is reserved; may be
    read several times."""

    def __init__(self, context: Context, spec: TrainTokenizer) -> None:
        """Decides how much to take of each source."""
        self.bytes: dict[str, int] = {}
        """UTF-8 bytes by source, of the last reading."""
        self._context, self._reserve = context, reserved(context)
        by_sample = histograms(context, "curate", "sample")
        totals = {source: histogram.total for source, histogram in by_sample.items()}
        weights = spec.weights
        parts = totals if weights is None else {s: exact(weights.get(s, 0)) for s in totals}
        wanted = shares(spec.sample_bytes, parts)
        self._limits = {s: sample_threshold(by_sample[s], wanted[s]) for s in wanted}

    def __iter__(self) -> Iterator[str]:
        """The texts, and their bytes into `bytes`."""
        self.bytes.clear()
        context = self._context
        seed, home = context.recipe.seed, context.home("curate")
        columns = ("id", "source", "text", "bytes", "holdout")
        for receipt in context.receipts("curate"):
            for batch in read_part(home, receipt.file("text").path, columns):
                rows = batch.to_pylist()
                for source in sorted({row["source"] for row in rows}):
                    own = [
                        row
                        for row in rows
                        if row["source"] == source and row["holdout"] >= self._reserve[source]
                    ]
                    ids = np.array([bytes.fromhex(row["id"]) for row in own], "V16")
                    keys = sample_keys(seed, source, ids)
                    for row, key in zip(own, keys.tolist(), strict=True):
                        if key < self._limits[source]:
                            self.bytes[source] = self.bytes.get(source, 0) + row["bytes"]
                            yield row["text"]
