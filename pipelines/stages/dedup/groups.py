"""What is looked for in groups of parts, each by one task: n-grams seen earlier, runs of tokens."""

from __future__ import annotations

import heapq
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from curation.dedup import bloom, runs
from curation.dedup.nodes import Array, ids
from curation.dedup.spans import Spans
from pipelines.runs.parts import read_part, read_table
from pipelines.runs.receipts import Attempt, Receipt, Task, bin_pack
from pipelines.runs.steps import Context
from pipelines.stages.dedup.survivors import Survivors
from schemas.deduplicate import Spans as AskedSpans
from schemas.tables import GRAMS, SPAN

# What finding runs takes, tokens and their places included.
BYTES_PER_TOKEN = 40


def groups(context: Context, level: str) -> list[Task]:
    """Consecutive parts that fit the memory of the level together; a larger one comes alone."""
    asked = context.recipe.deduplicate.spans
    unit, most = _unit(asked, level)
    sizes = [int(receipt.counts[unit]) for receipt in context.receipts("deduplicate/spans")]
    bins = bin_pack([(str(part), size) for part, size in enumerate(sizes)], most)
    return [
        Task(
            f"{number:06d}",
            {"parts": [int(part) for part in own]},
            sum(sizes[int(part)] for part in own),
        )
        for number, own in enumerate(bins)
    ]


def _unit(asked: AskedSpans, level: str) -> tuple[str, int]:
    """What a level counts, and how many of it fit its memory."""
    if asked.bloom and level == "bloom":
        most = bloom.capacity(bloom.bits_for(asked.bloom.memory), asked.bloom.false_share)
        return "grams", most
    if asked.substring and level == "substring":
        return "tokens", asked.substring.memory // BYTES_PER_TOKEN
    raise AssertionError(level)


def group_spans(context: Context, step: str, part: int) -> Spans:
    """What a level found in a part."""
    (task,) = [task for task in context.tasks(step) if part in task.spec["parts"]]
    table = read_table(
        context.home("deduplicate"), context.receipt(step, task.key).file("spans").path
    )
    own = table["part"].to_numpy() == part
    return Spans.of(*(table[name].to_numpy()[own] for name in ("row", "start", "end")))


def grams_table(own: Survivors, documents: Sequence[tuple[int, int, bloom.Grams]]) -> pa.Table:
    """GRAMS rows of documents: row, characters, n-grams."""
    rows = np.array([row for row, _, _ in documents])
    nodes = own.nodes[rows]
    lists = [
        pa.LargeListArray.from_arrays(
            np.cumsum([0, *(len(each[column]) for _, _, each in documents)]),
            np.concatenate([each[column] for _, _, each in documents]),
        )
        for column in range(4)
    ]
    return pa.Table.from_arrays(
        [
            pa.array(nodes["preference"]),
            pa.array([bytes(each) for each in ids(nodes)], pa.binary(16)),
            pa.array(rows.astype("<u4")),
            pa.array([characters for _, characters, _ in documents], pa.uint32()),
            *lists,
        ],
        names=GRAMS.names,
    ).cast(GRAMS)


class _Document(NamedTuple):
    """A document with its n-grams; compared by preference and id, which no two share."""

    preference: int
    id: bytes
    part: int
    row: int
    characters: int
    grams: bloom.Grams


def _documents(context: Context, part: int) -> Iterator[_Document]:
    """Those of a part, most preferred first."""
    path = context.receipts("deduplicate/spans")[part].file("grams").path
    for batch in read_part(context.home("deduplicate"), path, batch_rows=64):
        lists = []
        for name in ("starts", "ends", "counts", "grams"):
            column = batch[name]
            values = column.flatten().to_numpy()
            after = np.cumsum(column.value_lengths().to_numpy())
            lists.append(np.split(values, after[:-1]))
        heads = zip(*(batch[name].to_pylist() for name in GRAMS.names[:4]), strict=True)
        for (preference, id_, row, characters), starts, ends, counts, grams in zip(
            heads, *lists, strict=True
        ):
            own = bloom.Grams(
                starts.astype(np.int64), ends.astype(np.int64), counts.astype(np.int64), grams
            )
            yield _Document(preference, id_, part, row, characters, own)


def filter_lines(context: Context, step: str, task: Task) -> Receipt:
    """Lines and documents whose n-grams stand in more preferred documents of the group."""
    asked = context.recipe.deduplicate.spans.bloom
    assert asked is not None  # noqa: S101 - the step is asked for
    bits = 64
    while (
        bits < bloom.bits_for(asked.memory) and bloom.capacity(bits, asked.false_share) < task.size
    ):
        bits *= 2
    seen = bloom.Bloom(bits, bloom.hashes_for(asked.false_share))
    documents = 0
    found = []
    parts = [_documents(context, part) for part in task.spec["parts"]]
    for each in heapq.merge(*parts, key=lambda each: (each.preference, each.id)):
        documents += 1
        starts, ends = bloom.seen(each.grams, each.characters, seen, asked.share)
        if len(starts):
            found.append((each.part, each.row, starts, ends))
    counts = {"grams": task.size, "false_share": seen.false_share()}
    with Attempt(context.run, step, task.key) as attempt:
        attempt.writer("spans", SPAN).write(_spans(found))
        return attempt.commit(documents, documents, counts=counts)


def find_runs(context: Context, step: str, task: Task) -> Receipt:
    """Runs of tokens that stand earlier in the group, in the order of preference."""
    asked = context.recipe.deduplicate.spans.substring
    assert asked is not None  # noqa: S101 - the step is asked for
    own = {part: Survivors(context, part) for part in task.spec["parts"]}
    texts = [
        (part, first + at, *runs.tokens(text))
        for part, survivors in own.items()
        for first, batch in survivors.texts()
        for at, text in enumerate(batch)
    ]
    scopes = [own[part].scopes[row] for part, row, *_ in texts]
    nodes = np.concatenate([survivors.nodes for survivors in own.values()])
    order = np.lexsort((nodes["id_low"], nodes["id_high"], nodes["preference"]))
    by_scope: dict[str, list[int]] = {}
    for at in order.tolist():
        by_scope.setdefault(scopes[at], []).append(at)
    found = []
    for scope in sorted(by_scope):
        chosen = by_scope[scope]
        lengths = np.array([len(texts[at][2]) for at in chosen])
        firsts = np.cumsum(lengths) - lengths
        begins, ends = runs.repeated_runs(
            np.concatenate([texts[at][2] for at in chosen]), lengths, asked.tokens
        )
        numbers, borders = np.unique(
            np.searchsorted(firsts, begins, side="right") - 1, return_index=True
        )
        for number, begin, end in zip(
            numbers.tolist(),
            np.split(begins, borders[1:]),
            np.split(ends, borders[1:]),
            strict=False,
        ):
            part, row, _, starts, stops = texts[chosen[number]]
            first = firsts[number]
            some, last = starts[begin - first], stops[end - 1 - first]
            found.append((part, row, some[some < last], last[some < last]))
    with Attempt(context.run, step, task.key) as attempt:
        attempt.writer("spans", SPAN).write(_spans(found))
        return attempt.commit(len(texts), len(texts), counts={"tokens": task.size})


def _spans(found: Sequence[tuple[int, int, Array, Array]]) -> pa.Table:
    """SPAN rows of spans of documents: part, row, starts, ends."""
    counts = [len(starts) for _, _, starts, _ in found]
    none = np.empty(0, np.uint32)
    columns = [
        np.repeat([part for part, *_ in found], counts) if found else none,
        np.repeat([row for _, row, *_ in found], counts) if found else none,
        np.concatenate([none, *(starts for *_, starts, _ in found)]),
        np.concatenate([none, *(ends for *_, ends in found)]),
    ]
    return pa.Table.from_arrays([pa.array(each.astype("<u4")) for each in columns], schema=SPAN)
