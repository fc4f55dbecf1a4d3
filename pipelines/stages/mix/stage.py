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
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from curation.keys import below
from curation.mixture import Range, row_order
from pipelines.runs import rejections
from pipelines.runs.closing import Plan
from pipelines.runs.ids import to_text
from pipelines.runs.mill import Mill, Stretch
from pipelines.runs.parts import read_table
from pipelines.runs.receipts import Attempt, Receipt, Task
from pipelines.runs.steps import Context, Manifest, Work, fingerprint
from pipelines.stages import tokenizer
from pipelines.stages.mix.groups import regroup
from pipelines.stages.mix.plan import epochs_of, make_plan, plan_of
from pipelines.stages.mix.rows import Documents, documents, pack_source, write_rows
from pipelines.stages.mix.shards import write_manifest
from pipelines.stages.mix.tokenparts import (
    TokenFile,
    read_rows,
    step_of,
    token_files,
)
from schemas.recipe import Recipe
from schemas.shard import shard_schema
from schemas.tables import tokens_schema

VERSION = 3
LIBRARIES = ("numpy", "pyarrow")

# A bucket reads a bit of every file: with more reads than this, files are merged first.
MOST_READS = 250_000
FAN_IN = 64  # files that a merge brings together, and ranges that it divides them into

_COLUMNS = ("id", "holdout", "tokens")


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
        table, held = pack_source(recipe.seed, recipe.mix, tokens, found, source, names)
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
    with Attempt(context.run, step, task.key) as attempt:
        written = write_rows(attempt, schema, rows, order, folder)
        counts: dict[str, Any] = {
            "split": split,
            "phase": task.spec.get("phase", 0),
            "sources": sources,
            **written,
        }
        return attempt.commit(totals["documents"], totals["documents"], counts=counts)


def _bucket(
    files: Sequence[TokenFile],
    plan: dict[str, Any],
    source: str,
    place: Mapping[str, int],
    columns: Sequence[str],
) -> Iterator[Documents]:
    """A source's documents in a bucket, with their first token within the epoch's stretch, and
    none outside it."""
    limit = int(plan["sources"][source]["validation_limit"])
    for epoch in epochs_of(plan, source, place["phase"]):
        ranges = epoch.ranges(place["bucket"], place["of"])
        for table in read_rows(files, source, ranges, ("key", *columns)):
            table = _where(table, ~below(table["holdout"].to_numpy(), limit))
            sizes = pc.list_value_length(table["tokens"]).to_numpy()
            yield documents(table, *epoch.pieces(table["key"].to_numpy(), sizes), epoch.number)


def _validation(
    files: Sequence[TokenFile], plan: dict[str, Any], source: str, columns: Sequence[str]
) -> Iterator[Documents]:
    """A source's documents of validation; their keys are known from the plan."""
    entry = plan["sources"][source]
    limit = int(entry["validation_limit"])
    ranges = [(key, key + 1) for key in sorted(set(entry["validation_keys"]))]
    for table in read_rows(files, source, ranges, columns):
        table = _where(table, below(table["holdout"].to_numpy(), limit))
        sizes = pc.list_value_length(table["tokens"]).to_numpy()
        yield documents(table, np.zeros_like(sizes), sizes, 0)


def _where(table: pa.Table, mask: npt.NDArray[np.bool_]) -> pa.Table:
    return table if mask.all() else table.filter(pa.array(mask))
