"""Repeated lines, paragraphs and sentences: keys of spans cross a shuffle, text never does.

A part sends each key once, with the document in which the span stands first in the part; so a
line that is in every document of a crawl is as many rows as there are parts. The smallest of all
is the one that stays.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from hashlib import blake2b

import numpy as np
import pyarrow as pa

from curation.dedup import bloom, keyed_spans, runs
from curation.dedup.keyed_spans import Lines
from curation.dedup.nodes import Array, Words, pack
from curation.dedup.spans import Spans, disjoint
from curation.dedup.words import mix
from pipelines.runs import rejections
from pipelines.runs.ids import to_bytes, to_text
from pipelines.runs.parts import read_table
from pipelines.runs.receipts import Attempt, Receipt, Task
from pipelines.runs.steps import Context
from pipelines.stages.dedup.groups import grams_table, group_spans
from pipelines.stages.dedup.shuffles import Commit, unpacked, write_index
from pipelines.stages.dedup.survivors import Survivors
from schemas.deduplicate import Spans as AskedSpans
from schemas.parquet import open_parquet
from schemas.tables import CLUSTER, CUT, FIRST, GRAMS, KEYED_SPAN, REPEATED

KEYED = ("lines", "paragraphs", "sentences")
# A span where it stands first in a part: the document's preference, the upper half of its id.
ROW = np.dtype([("key", "<u8"), ("preference", "<u8"), ("id", "<u8"), ("part", "<u4")])
KEY_BYTES = 8

_ROW_GROUP = 1 << 16


def keyed_span_levels(asked: AskedSpans) -> list[str]:
    """The levels whose spans have a key, of those that are asked for."""
    return [level for level in asked.levels() if level in KEYED]


def find_spans(context: Context, step: str, task: Task) -> Receipt:
    """Keys, n-grams and numbers of tokens of what is left of a part; each text is read once."""
    asked = context.recipe.deduplicate.spans
    keyed = keyed_span_levels(asked)
    own = Survivors(context, task.spec["part"])
    scopes = np.array([_hash(scope) for scope in own.scopes], np.uint64)
    found: dict[str, list[keyed_spans.KeyedSpans]] = {level: [] for level in keyed}
    grams: list[tuple[int, int, bloom.Grams]] = []
    tokens = 0
    for first, texts in own.texts():
        lines = Lines(texts) if asked.lines or asked.paragraphs or asked.bloom else None
        for level in keyed:
            here = _spans(level, texts, lines, asked.sentences)
            rows = here.spans.texts + first
            keys = _salted(here.keys, scopes[rows] ^ np.uint64(_hash(f"level {level}")))
            found[level].append(keyed_spans.KeyedSpans(here.spans._replace(texts=rows), keys))
        if asked.bloom and lines is not None:
            for at, each in enumerate(bloom.grams(lines, asked.bloom.words)):
                salted = each._replace(grams=_salted(each.grams, scopes[first + at]))
                grams.append((first + at, len(texts[at]), salted))
        if asked.substring:
            tokens += sum(len(runs.tokens(text)[0]) for text in texts)
    ranks = own.ranks()
    with Attempt(context.run, step, task.key) as attempt:
        firsts = [_write_spans(attempt, level, found.pop(level), ranks, own) for level in keyed]
        table = pa.concat_tables([FIRST.empty_table(), *firsts]).sort_by("key")
        attempt.writer("firsts", FIRST, row_group_rows=_ROW_GROUP).write(table)
        if asked.bloom:
            writer = attempt.writer("grams", GRAMS, row_group_rows=64)
            grams.sort(key=lambda each: int(ranks[each[0]]))
            for start in range(0, len(grams), 64):
                writer.write(grams_table(own, grams[start : start + 64]))
        counts = {
            "keys": table.num_rows,
            "grams": sum(len(each.grams) for _, _, each in grams),
            "tokens": tokens,
        }
        return attempt.commit(len(own), len(own), counts=counts)


def _spans(
    level: str, texts: Sequence[str], lines: Lines | None, sentences: int | None
) -> keyed_spans.KeyedSpans:
    if level == "sentences":
        return keyed_spans.sentences(texts, sentences or 1)
    lines = lines or Lines(texts)
    return lines.lines() if level == "lines" else lines.paragraphs()


def _hash(label: str) -> int:
    return int.from_bytes(blake2b(label.encode(), digest_size=8).digest(), "little")


def _salted(keys: Words, salt: Words | np.uint64) -> Words:
    """Keys that differ from those of another scope or level."""
    return mix(keys + salt)


def _write_spans(
    attempt: Attempt,
    level: str,
    batches: list[keyed_spans.KeyedSpans],
    ranks: Array,
    own: Survivors,
) -> pa.Table:
    """Write the spans of a level; returns their FIRST rows."""
    empty = np.empty(0, np.int64)
    rows, starts, ends = (
        np.concatenate([empty, *(batch.spans[column] for batch in batches)]) for column in range(3)
    )
    keys = np.concatenate([np.empty(0, np.uint64), *(batch.keys for batch in batches)])
    order = (ranks[rows].astype(np.uint64) << np.uint64(32)) | starts.astype(np.uint64)
    first = keyed_spans.firsts(keys, order)
    repeated = np.ones(len(keys), np.bool_)
    repeated[first] = False
    columns = [keys, rows.astype("<u4"), starts.astype("<u4"), ends.astype("<u4"), repeated]
    table = pa.Table.from_arrays([pa.array(column) for column in columns], schema=KEYED_SPAN)
    attempt.writer(level, KEYED_SPAN, row_group_rows=_ROW_GROUP).write(table)
    nodes = own.nodes[rows[first]]
    columns = [keys[first], nodes["preference"], nodes["id_high"]]
    return pa.Table.from_arrays([pa.array(column) for column in columns], schema=FIRST)


class FirstChunks:
    """Part -> (range, packed ROW rows): each of its keys, where it stands first."""

    def __init__(self, context: Context, step: str, tasks: Sequence[Task]) -> None:
        """`step` found the spans; `tasks`: the ranges that are wanted."""
        self.context, self.step, self.tasks = context, step, tasks

    def process(self, element: int) -> Iterator[tuple[str, bytes]]:
        """`element` is the number of a part."""
        file = self.context.receipts(self.step)[element].file("firsts")
        count = self.tasks[0].spec["of"]
        # the keys of a range of `_range_of`: its upper half is below the next one's
        edges = {
            task.key: [-(-(index << 32) // count) << 32 for index in (number, number + 1)]
            for task in self.tasks
            for number in [task.spec["index"]]
        }
        low = min(edge for edge, _ in edges.values())
        high = max(edge for _, edge in edges.values())
        table = self._between(file.path, low, high)
        rows = np.empty(table.num_rows, ROW)
        for name in ("key", "preference", "id"):
            rows[name] = table[name].to_numpy()
        rows["part"] = element
        for key, (start, end) in edges.items():
            first = np.searchsorted(rows["key"], np.uint64(start))
            last = np.searchsorted(rows["key"], np.uint64(end - 1), side="right")
            yield key, pack(rows[first:last])

    def _between(self, path: str, low: int, high: int) -> pa.Table:
        """The row groups that have a key from `low` to below `high`."""
        with self.context.home("deduplicate").open(path) as stream:
            file = open_parquet(stream)
            groups = []
            for group in range(file.num_row_groups):
                keys = file.metadata.row_group(group).column(0).statistics
                if keys.max >= low and keys.min < high:
                    groups.append(group)
            return file.read_row_groups(groups, use_threads=False)


class CommitRepeated(Commit):
    """Which keys of a range stand first in another part, by part."""

    def commit(self, attempt: Attempt, chunks: Iterable[bytes]) -> None:
        """`chunks`: ROW."""
        rows = unpacked(chunks, ROW)
        counts = {"rows": len(rows)}
        # documents of one preference whose ids have equal upper halves are as their parts are
        rows = rows[np.lexsort((rows["part"], rows["id"], rows["preference"], rows["key"]))]
        later = np.zeros(len(rows), np.bool_)
        later[1:] = rows["key"][1:] == rows["key"][:-1]
        rows = rows[later]
        rows = rows[np.argsort(rows["part"], kind="stable")]
        table = pa.Table.from_arrays(
            [pa.array(rows["part"]), pa.array(rows["key"])], schema=REPEATED
        )
        attempt.writer("repeated", REPEATED, row_group_rows=_ROW_GROUP).write(table)
        attempt.commit(len(rows), len(rows), counts=counts)


class RepeatedChunks:
    """File of repeated keys -> (task of the part, packed keys)."""

    def __init__(self, context: Context, keys: dict[int, str]) -> None:
        """`keys`: tasks of the parts that are wanted."""
        self.context, self.keys = context, keys

    def process(self, element: str) -> Iterator[tuple[str, bytes]]:
        """`element` is the path of a file."""
        table = read_table(self.context.home("deduplicate"), element)
        numbers, starts = np.unique(table["part"].to_numpy(), return_index=True)
        keys = np.split(table["key"].to_numpy(), starts[1:])
        for number, own in zip(numbers.tolist(), keys, strict=False):
            if number in self.keys:
                yield self.keys[number], pack(own)


class CommitCuts(Commit):
    """The drop list, the cut list and the index of one part, and the ledger of its documents."""

    def __init__(self, context: Context, step: str, numbers: dict[str, int]) -> None:
        """`numbers`: of the parts, by task."""
        super().__init__(context, step)
        self.numbers = numbers

    def commit(self, attempt: Attempt, chunks: Iterable[bytes]) -> None:
        """`chunks`: keys of the part that stand first in another one."""
        number = self.numbers[attempt.task]
        elsewhere = np.sort(unpacked(chunks, np.dtype("<u8")))
        own = Survivors(self.context, number)
        levels = self.context.recipe.deduplicate.spans.levels()
        spans = disjoint(
            [
                self._repeated(level, number, elsewhere)
                if level in KEYED
                else group_spans(self.context, f"{self.step}/{level}", number)
                for level in levels
            ]
        )
        attempt.writer("cuts", CUT, dictionary=("level",)).write(_cuts(own, levels, spans))
        documents = self.context.receipts(f"{self.step}/documents")[number]
        drops = read_table(self.context.home(self.step), documents.file("rejections").path)
        rejections.writer(attempt).write(drops)
        clusters = read_table(self.context.home(self.step), documents.file("clusters").path)
        attempt.writer("clusters", CLUSTER).write(clusters)
        write_index(attempt, self.context, number, to_bytes(drops["id"]))
        cut = {
            level: {
                "documents": int(np.count_nonzero(np.diff(each.texts, prepend=-1))),
                "characters": int((each.ends - each.starts).sum()),
            }
            for level, each in zip(levels, spans, strict=True)
        }
        counts = {"cut": cut, "elsewhere": len(elsewhere)}
        attempt.commit(documents.records, documents.kept, documents.rejected, counts=counts)

    def _repeated(self, level: str, number: int, elsewhere: Words) -> Spans:
        """The spans of a part that stand earlier, in it or in another one: sorted keys."""
        receipt = self.context.receipts(f"{self.step}/spans")[number]
        table = read_table(self.context.home(self.step), receipt.file(level).path)
        keys, repeated = table["key"].to_numpy(), table["repeated"].to_numpy()
        if len(elsewhere):
            at = np.minimum(np.searchsorted(elsewhere, keys), len(elsewhere) - 1)
            repeated = repeated | (elsewhere[at] == keys)
        return Spans.of(*(table[name].to_numpy()[repeated] for name in ("row", "start", "end")))


def _cuts(own: Survivors, levels: Sequence[str], spans: Sequence[Spans]) -> pa.Table:
    """CUT rows, those of a document together and in order."""
    empty = [np.empty(0, np.int64)]
    rows, starts, ends = (
        np.concatenate([*empty, *(each[column] for each in spans)]) for column in range(3)
    )
    names = np.repeat(np.arange(len(levels)), [len(each.texts) for each in spans])
    order = np.lexsort((starts, rows))
    return pa.table(
        {
            "id": to_text(own.ids.take(pa.array(rows[order]))),
            "level": pa.array(levels, pa.string()).take(pa.array(names[order])),
            "start": starts[order].astype("<u4"),
            "end": ends[order].astype("<u4"),
        },
        CUT,
    )
