"""Which documents have another fate in another run, and why: from both runs' Parquet files.

A document is the same in two runs if its id is: a digest of source, file and place.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from curation.extraction import NOT_A_PAGE
from pipelines.run import Run
from pipelines.runs import rejections
from pipelines.runs.documents import find_rows
from pipelines.runs.ids import flat, to_bytes
from pipelines.runs.parts import read_table
from pipelines.runs.steps import Context
from schemas.problems import Problem

KEPT = "kept"
# Stages that reject documents; how a mixture differs its tokens tell.
STAGES = ("extract", "filter", "deduplicate", "curate")
# Records that are held; of larger runs it is 1 in a power of two, by id.
MOST_RECORDS = 16_000_000

Keys = npt.NDArray[np.uint64]
Codes = npt.NDArray[np.int32]


@dataclass(frozen=True)
class Fates:
    """Records of a run by id, sorted: uint64[n] keys, and int32[n] places in `names`, what became
    of each, and in `tasks`, the tasks of `filter`; -1 of what became no document."""

    keys: Keys
    fate: Codes
    task: Codes
    names: list[str]
    tasks: list[str]


@dataclass(frozen=True)
class Move:
    """Documents whose fate differs: `left` and `right` are KEPT, or `stage: reason`; count: how
    many, scaled up to all; chosen: ids of some, by the task of `filter` of the run that has them
    as documents (`on_left`: the left one)."""

    left: str
    right: str
    count: int
    on_left: bool
    chosen: dict[str, list[str]]


@dataclass(frozen=True)
class Changes:
    """Records of both runs: `same` have one fate in both, `moves` others, most frequent first;
    only_left, only_right: records that the other run has not read. Of 1 in `one_in`, scaled up.
    stages: those compared, which both runs have finished."""

    stages: tuple[str, ...]
    one_in: int
    same: int
    moves: list[Move]
    only_left: int
    only_right: int


def changes(left: Run, right: Run, samples: int) -> Changes:
    """Compare the fates of documents up to the last stage that both have finished; of each move
    there are at most `samples` ids. Raises Problem if there is no such stage."""
    done = [left.stages, right.stages]
    stages = tuple(stage for stage in STAGES if all(stage in each for each in done))
    if "filter" not in stages:
        mend = "run both to the end of `filter`"
        raise Problem("both runs must have filtered to be compared", right.folder.url, mend)
    one_in = 1
    while max(each["extract"].records for each in done) > one_in * MOST_RECORDS:
        one_in *= 2
    one, other = (fates(run.context, stages, one_in) for run in (left, right))
    both, at_one, at_other = np.intersect1d(
        one.keys, other.keys, assume_unique=True, return_indices=True
    )
    names = list(dict.fromkeys([*one.names, *other.names]))
    codes = [
        np.array([names.index(name) for name in each.names], np.int64)[each.fate[at]]
        for each, at in ((one, at_one), (other, at_other))
    ]
    differ = np.flatnonzero(codes[0] != codes[1])
    pairs = codes[0][differ] * len(names) + codes[1][differ]
    kinds, counts = np.unique(pairs, return_counts=True)
    moves = []
    for kind, count in zip(kinds.tolist(), counts.tolist(), strict=True):
        places = differ[pairs == kind]
        # what one run reads no text of the other may
        on_left = bool((one.task[at_one[places]] >= 0).all())
        run, side, at = (left, one, at_one) if on_left else (right, other, at_other)
        chosen = [place for place in at[places].tolist() if side.task[place] >= 0][:samples]
        moves.append(
            Move(
                names[kind // len(names)],
                names[kind % len(names)],
                count * one_in,
                on_left,
                _ids(run.context, side, chosen),
            )
        )
    return Changes(
        stages,
        one_in,
        (len(both) - len(differ)) * one_in,
        sorted(moves, key=lambda move: (-move.count, move.left, move.right)),
        (len(one.keys) - len(both)) * one_in,
        (len(other.keys) - len(both)) * one_in,
    )


def fates(context: Context, stages: tuple[str, ...], one_in: int = 1) -> Fates:
    """What became of every record by the end of finished stages, of 1 in `one_in` records."""
    names = [KEPT]
    keys, codes, tasks = [], [], []
    receipts = context.receipts("filter")
    home = context.home("filter")
    for number, receipt in enumerate(receipts):
        own = keys_of(read_table(home, receipt.file("signals").path, ["id"])["id"])
        own = own[own % np.uint64(one_in) == 0]
        keys.append(own)
        codes.append(np.zeros(len(own), np.int32))
        tasks.append(np.full(len(own), number, np.int32))
    documents = np.concatenate(keys) if keys else np.zeros(0, np.uint64)
    order = np.argsort(documents, kind="stable")
    documents = documents[order]
    fate = np.zeros(len(documents), np.int32)
    task = (np.concatenate(tasks) if tasks else np.zeros(0, np.int32))[order]
    unread: list[tuple[Keys, Codes]] = []
    for stage in stages:
        for receipt in context.receipts(rejections.STEPS[stage]):
            file = receipt.file(rejections.KIND)
            table = read_table(context.home(stage), file.path, ["id", "reason"])
            if stage == "extract":
                table = table.filter(pc.not_equal(table["reason"], NOT_A_PAGE))
            own, lost = _rejected(stage, table, names, one_in)
            if stage == "extract":
                unread.append((own, lost))
            else:
                fate[np.searchsorted(documents, own)] = lost
    # of records at one place, such as members of an archive, one may have been read
    every = np.concatenate([documents, *(own for own, _ in unread)])
    fate = np.concatenate([fate, *(lost for _, lost in unread)])
    task = np.concatenate([task, np.full(len(every) - len(task), -1, np.int32)])
    keys_there, first = np.unique(every, return_index=True)
    return Fates(keys_there, fate[first], task[first], names, [r.task for r in receipts])


def _rejected(stage: str, table: pa.Table, names: list[str], one_in: int) -> tuple[Keys, Codes]:
    """Keys and fates of rejected records; new fates are appended to `names`."""
    coded = flat(table["reason"].cast(pa.string())).dictionary_encode()
    own = keys_of(table["id"])
    known = [f"{stage}: {reason}" for reason in coded.dictionary.to_pylist()]
    names += [name for name in known if name not in names]
    places = np.array([names.index(name) for name in known], np.int32)
    among = own % np.uint64(one_in) == 0
    return own[among], places[coded.indices.to_numpy()[among]]


def keys_of(ids: pa.Array | pa.ChunkedArray) -> Keys:
    """uint64[n]: the first 16 of the 32 hexadecimal digits of ids. They are digests, of which half
    is key enough, and sort as the ids do."""
    return np.frombuffer(to_bytes(ids).buffers()[1], ">u8")[: 2 * len(ids) : 2].astype(np.uint64)


def _ids(context: Context, side: Fates, places: list[int]) -> dict[str, list[str]]:
    """The whole ids of records at places of `side`, by their task."""
    wanted: dict[int, list[int]] = {}
    for place in places:
        wanted.setdefault(int(side.task[place]), []).append(int(side.keys[place]))
    found = {}
    for number, keys in sorted(wanted.items()):
        path = context.receipt("filter", side.tasks[number]).file("signals").path
        ids = flat(read_table(context.home("filter"), path, ["id"])["id"])
        own = ids.filter(pa.array(np.isin(keys_of(ids), np.array(keys, np.uint64))))
        found[side.tasks[number]] = own.to_pylist()
    return found


def told(context: Context, fate: str, task: str, ids: list[str]) -> Mapping[str, str]:
    """Why documents of a task of `filter` have the fate `stage: reason`, by id."""
    stage, _, reason = fate.partition(": ")
    if fate == KEPT or stage == "extract":
        return dict.fromkeys(ids, fate)
    receipt = context.receipt(rejections.STEPS[stage], task)
    found: dict[str, dict[str, Any]] = find_rows(
        context.home(stage), receipt.file(rejections.KIND).path, ids, ("value", "detail")
    )
    return {
        id_: f"{stage}: {reason}"
        + (f" (must be {row['detail']}, is {row['value']})" if row["detail"] else "")
        for id_, row in found.items()
    }
