"""mix: token parts -> a plan -> shards of training and validation rows, and their manifest.

Steps: `groups`, if there are some, sorts the token parts anew by groups of documents; `plan`
decides from histograms what is taken of each source; `merge-N` brings parts together by ranges of
the key, only while there are very many; `buckets` writes a shard file for each bucket of each
phase, and the validation shard; `rejections` names the documents that the budget leaves out; the
stage's own step writes the manifest and closes the ledger.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from curation.histogram import Counts
from curation.keys import below
from curation.mixture import Range, document_order, row_order
from curation.packing import pack
from curation.tokenization import Tokens
from pipelines.runs import rejections
from pipelines.runs.closing import Plan
from pipelines.runs.ids import to_text
from pipelines.runs.mill import Mill, Stretch
from pipelines.runs.parts import logical_digest, read_table
from pipelines.runs.receipts import Attempt, Receipt, Task
from pipelines.runs.steps import Context, Manifest, Work, fingerprint
from pipelines.stages import tokenizer
from pipelines.stages.mix.groups import regroup
from pipelines.stages.mix.plan import epochs_of, make_plan, plan_of
from pipelines.stages.mix.shards import write_manifest
from pipelines.stages.mix.tokenparts import (
    TokenArray,
    TokenFile,
    flat_tokens,
    read_rows,
    step_of,
    token_files,
)
from schemas.recipe import Recipe
from schemas.shard import row_group_rows, shard_schema
from schemas.tables import tokens_schema

VERSION = 2
LIBRARIES = ("numpy", "pyarrow")

# A bucket reads a bit of every file: with more reads than this, files are merged first.
MOST_READS = 250_000
FAN_IN = 64  # files that a merge brings together, and ranges that it divides them into

# How the leaves of shard columns are called in Parquet, of those with few distinct values.
_COLUMNS = ("id", "holdout", "tokens")
_DICTIONARY = ("input_ids.list.element", "source")


def relevant(recipe: Recipe) -> Any:
    """What of the recipe decides this stage's output."""
    return [recipe.seed, recipe.mix.model_dump(mode="json"), recipe.name]


def run(mill: Mill, step: str, mark: str) -> Manifest:
    """All steps, in order."""
    context = mill.context

    def plan(name: str, tasks: list[Task]) -> tuple[str, list[Task]]:
        path = f"{step}/{name}"
        return path, mill.plan(path, fingerprint(mark, name), lambda: tasks)

    if context.recipe.mix.groups:
        mill.do(*_with(plan("groups", _parts(context)), regroup))
    mill.do(*_with(plan("plan", [Task("plan", {})]), make_plan))
    count = sum(phase["buckets"] for phase in plan_of(context)["phases"])
    level, files = 0, len(context.receipts("tokenize"))
    while files * count > MOST_READS and files > FAN_IN:
        name, tasks = plan(f"merge-{level}", _merge_tasks(context, level))
        mill.do(name, merge, tasks)
        # files of one range: a bucket reads only those of its own
        files, level = -(-files // FAN_IN), level + 1

    def stretch(name: str, tasks: Plan, work: Work) -> Stretch:
        return Stretch(f"{step}/{name}", fingerprint(mark, name), tasks, work)

    stretches = [stretch("buckets", partial(_bucket_tasks, level), write_bucket)]
    if context.recipe.mix.is_chosen:
        stretches.append(stretch("rejections", _parts, reject_part))
    return mill.chain([*stretches, Stretch(step, mark, _manifest, write_manifest)])


def _bucket_tasks(level: int, context: Context) -> list[Task]:
    tasks: list[Task] = []
    for number, phase in enumerate(plan_of(context)["phases"]):
        for bucket in range(phase["buckets"]):
            place = {"phase": number, "bucket": bucket, "of": phase["buckets"], "level": level}
            tasks.append(Task(f"train-{len(tasks):06d}", {"number": len(tasks), **place}))
    return [*tasks, Task("validation", {"level": level})]


def _parts(context: Context) -> list[Task]:
    return [Task(receipt.task, {}) for receipt in context.receipts("tokenize")]


def _manifest(_: Context) -> list[Task]:
    return [Task("manifest", {})]


def _with(planned: tuple[str, list[Task]], work: Any) -> tuple[str, Any, list[Task]]:
    return planned[0], work, planned[1]


# --- merging --------------------------------------------------------------------------------


def _files(context: Context, level: int) -> list[TokenFile]:
    """The token files after `level` levels of merging."""
    if level == 0:
        return token_files(context)
    tasks = {task.key: task for task in context.tasks(f"mix/merge-{level - 1}")}
    return [
        TokenFile(
            context.run,
            receipt.file("tokens").path,
            (int(tasks[receipt.task].spec["low"]), int(tasks[receipt.task].spec["high"])),
        )
        for receipt in context.receipts(f"mix/merge-{level - 1}")
    ]


def _merge_tasks(context: Context, level: int) -> list[Task]:
    """Tasks that merge files of one range, FAN_IN at a time, into FAN_IN ranges of theirs."""
    by_range: dict[Range, list[int]] = {}
    for index, item in enumerate(_files(context, level)):
        by_range.setdefault(item.keys, []).append(index)
    tasks: list[Task] = []
    for (low, high), indices in sorted(by_range.items()):
        for group in range(0, len(indices), FAN_IN):
            for piece in range(FAN_IN):
                start = low + (high - low) * piece // FAN_IN
                end = low + (high - low) * (piece + 1) // FAN_IN
                spec = {
                    "files": indices[group : group + FAN_IN],
                    "level": level,
                    "low": start,
                    "high": end,
                }
                tasks.append(Task(f"{len(tasks):08d}", spec))
    return tasks


def merge(context: Context, step: str, task: Task) -> Receipt:
    """Bring the documents of some files with keys in a range into one file, sorted."""
    files = _files(context, task.spec["level"])
    chosen = [files[index] for index in task.spec["files"]]
    tokens = tokenizer.load(context)
    schema = tokens_schema(tokens.token_type, widths=tokens.byte_lengths is None)
    names = schema.names
    with Attempt(context.run, step, task.key) as attempt:
        writer = attempt.writer("tokens", schema, row_group_rows=512, dictionary=("source",))
        rows = 0
        for source in sorted(plan_of(context)["sources"]):
            ranges = [(int(task.spec["low"]), int(task.spec["high"]))]
            tables = [schema.empty_table(), *read_rows(chosen, source, ranges, names)]
            table = pa.concat_tables(tables)
            writer.write(table.sort_by([("key", "ascending"), ("id", "ascending")]))
            rows += table.num_rows
        return attempt.commit(rows, rows)


# --- what is left out -----------------------------------------------------------------------


def reject_part(context: Context, step: str, task: Task) -> Receipt:
    """Write the documents of a token part that the budget leaves out."""
    plan = plan_of(context)
    step_of_parts = step_of(context.recipe)
    path = context.receipt(step_of_parts, task.key).file("tokens").path
    home = context.home(step_of_parts.split("/")[0])
    table = read_table(home, path, ["id", "source", "key", "holdout"]).combine_chunks()
    left_out = np.ones(table.num_rows, np.bool_)
    keys, holdout = table["key"].to_numpy(), table["holdout"].to_numpy()
    for source in plan["sources"]:
        own = pc.equal(table["source"], source).to_numpy()
        taken = below(holdout, int(plan["sources"][source]["validation_limit"]))
        for phase in range(len(plan["phases"])):
            for first in (each for each in epochs_of(plan, source, phase) if not each.number):
                taken |= below(keys, first.top)
        left_out &= ~(own & taken)
    rows = table.filter(pa.array(left_out))
    ids, names = (
        pa.concat_arrays([*rows[name].chunks, pa.array([], rows[name].type)])
        for name in ("id", "source")
    )
    with Attempt(context.run, step, task.key) as attempt:
        found = rejections.table("mix", to_text(ids), "not_sampled", source=names)
        rejections.writer(attempt).write(found)
        kept = table.num_rows - len(ids)
        return attempt.commit(table.num_rows, kept, {"not_sampled": len(ids)})


# --- shards ---------------------------------------------------------------------------------


class _Documents(NamedTuple):
    """Some documents of a source, or pieces of them, in the order in which files have them."""

    tokens: TokenArray  # of one after the other
    widths: TokenArray | None  # bytes of each token, where ids do not tell
    sizes: Counts
    ids: pa.Array
    firsts: Counts  # tokens of a document before its piece
    epoch: int


def write_bucket(context: Context, step: str, task: Task) -> Receipt:
    """Pack the documents of a bucket, or those of validation, and write their rows.

    Holds their tokens twice, and little more.
    """
    plan, tokens = plan_of(context), tokenizer.load(context)
    recipe, files = context.recipe, _files(context, task.spec["level"])
    names = sorted(plan["sources"])
    columns = [*_COLUMNS, *(["widths"] if tokens.byte_lengths is None else [])]
    is_training = "bucket" in task.spec
    rows, totals = [], Counter[str]()
    sources: dict[str, dict[str, int]] = {}
    for source in names:
        if is_training:
            found = list(_bucket(files, plan, source, task.spec, columns))
        else:
            found = list(_validation(files, plan, source, columns))
        table, held = _pack(recipe, tokens, found, source, names)
        rows.append(table)
        sources[source] = held
        totals.update(held)
    split = "train" if is_training else "validation"
    schema = shard_schema(recipe.mix.sequence_length, tokens.vocabulary)
    folder = f"shards/{split}"
    order = np.arange(totals["rows"])
    if is_training:
        order = row_order(
            recipe.seed,
            task.spec["number"],
            [(source, sources[source]["rows"]) for source in names],
        )
        if phase := plan["phases"][task.spec["phase"]]["name"]:
            folder += f"/{phase}"
    size = row_group_rows(recipe.mix.sequence_length)
    groups: list[dict[str, Any]] = []
    layout = _layout(rows, order)
    with Attempt(context.run, step, task.key) as attempt:
        if len(order):
            writer = attempt.writer(
                "rows",
                schema,
                folder=folder,
                row_group_rows=size,
                dictionary=_DICTIONARY,
            )
        for start in range(0, len(order), size):
            ids = _input_ids(rows, order[start : start + size], schema.field("input_ids").type)
            group = layout.slice(start, size).add_column(0, schema.field("input_ids"), ids)
            groups.append({"rows": len(ids), "tokens": pc.sum(group["length"]).as_py()})
            writer.write(group)
        if groups:
            writer.close()
            for each, (_, digest) in zip(groups, writer.digests, strict=True):
                each["digest"] = digest
        counts: dict[str, Any] = {
            "split": split,
            "phase": task.spec.get("phase", 0),
            "sources": sources,
            "row_groups": groups,
            "layout": logical_digest(layout),
        }
        return attempt.commit(totals["documents"], totals["documents"], counts=counts)


def _layout(rows: Sequence[pa.Table], order: Counts) -> pa.Table:
    """All columns of rows in another order but their tokens."""
    others = pa.concat_tables([table.drop_columns(["input_ids"]) for table in rows])
    return others.take(pa.array(order)).combine_chunks()


def _input_ids(rows: Sequence[pa.Table], order: Counts, kind: pa.DataType) -> pa.Array:
    """The tokens of some rows; no others are copied."""
    first = 0
    found = np.empty((len(order), kind.list_size), str(kind.value_type))
    for table in rows:
        for chunk in table["input_ids"].chunks:
            matrix = chunk.flatten().to_numpy().reshape(-1, kind.list_size)
            own = (order >= first) & (order < first + len(matrix))
            found[own] = matrix[order[own] - first]
            first += len(matrix)
    return pa.FixedSizeListArray.from_arrays(found.reshape(-1), type=kind)


def _bucket(
    files: Sequence[TokenFile],
    plan: dict[str, Any],
    source: str,
    place: Mapping[str, int],
    columns: Sequence[str],
) -> Iterator[_Documents]:
    """A source's documents in a bucket, with their first token within the epoch's stretch, and
    none outside it."""
    limit = int(plan["sources"][source]["validation_limit"])
    for epoch in epochs_of(plan, source, place["phase"]):
        ranges = epoch.ranges(place["bucket"], place["of"])
        for table in read_rows(files, source, ranges, ("key", *columns)):
            table = _where(table, ~below(table["holdout"].to_numpy(), limit))
            sizes = pc.list_value_length(table["tokens"]).to_numpy()
            yield _documents(table, *epoch.pieces(table["key"].to_numpy(), sizes), epoch.number)


def _validation(
    files: Sequence[TokenFile], plan: dict[str, Any], source: str, columns: Sequence[str]
) -> Iterator[_Documents]:
    """A source's documents of validation; their keys are known from the plan."""
    entry = plan["sources"][source]
    limit = int(entry["validation_limit"])
    ranges = [(key, key + 1) for key in sorted(set(entry["validation_keys"]))]
    for table in read_rows(files, source, ranges, columns):
        table = _where(table, below(table["holdout"].to_numpy(), limit))
        sizes = pc.list_value_length(table["tokens"]).to_numpy()
        yield _documents(table, np.zeros_like(sizes), sizes, 0)


def _where(table: pa.Table, mask: npt.NDArray[np.bool_]) -> pa.Table:
    return table if mask.all() else table.filter(pa.array(mask))


def _documents(table: pa.Table, firsts: Counts, lasts: Counts, epoch: int) -> _Documents:
    tokens = flat_tokens(table["tokens"], firsts, lasts)
    has_widths = "widths" in table.column_names
    widths = flat_tokens(table["widths"], firsts, lasts) if has_widths else None
    # copied: a slice would keep its row group
    ids = table["id"].combine_chunks().take(pa.array(np.arange(table.num_rows)))
    return _Documents(tokens, widths, lasts - firsts, ids, firsts, epoch)


def _pack(
    recipe: Recipe,
    tokens: Tokens,
    found: list[_Documents],
    source: str,
    names: Sequence[str],
) -> tuple[pa.Table, dict[str, int]]:
    """The rows of one source, and what they hold; `found` is emptied."""
    none = np.empty(0, np.int64)
    epoch = np.repeat([each.epoch for each in found], [len(each.ids) for each in found])
    sizes = np.concatenate([none, *(each.sizes for each in found)])
    firsts = np.concatenate([none, *(each.firsts for each in found)])
    ids = pa.concat_arrays([pa.array([], pa.binary(16)), *(each.ids for each in found)])
    flat = np.concatenate([np.empty(0, tokens.token_type), *(each.tokens for each in found)])
    widths = None
    if tokens.byte_lengths is None:
        those = (each.widths for each in found if each.widths is not None)
        widths = np.concatenate([np.empty(0, np.uint32), *those])
    found.clear()
    keys = np.frombuffer(ids.buffers()[1] or b"", "V16", len(ids))
    order = document_order(recipe.seed, source, epoch.astype(np.int64), keys)
    starts = (np.cumsum(sizes) - sizes)[order]
    epoch, sizes, firsts = epoch[order], sizes[order], firsts[order]
    rows, cut = pack(
        flat,
        np.concatenate([[0], np.cumsum(sizes)]),
        ids.take(pa.array(order)),
        packing=recipe.mix.packing,
        starts=starts,
        firsts=firsts,
        vocabulary=tokens.vocabulary,
        byte_lengths=tokens.byte_lengths,
        widths=widths,
        padding=tokens.padding,
        sequence_length=recipe.mix.sequence_length,
        source=source,
        sources=names,
    )
    first = epoch == 0
    begun = firsts == 0  # what goes on from an earlier phase is counted there
    spelled = pc.sum(pc.struct_field(pc.list_flatten(rows["segments"]), "bytes")).as_py()
    return rows, {
        "rows": rows.num_rows,
        "cut": cut,
        "tokens": len(flat),
        "documents": int(begun.sum()),
        "bytes": spelled or 0,
        "first_documents": int((first & begun).sum()),
        "first_tokens": int(sizes[first].sum()),
    }
