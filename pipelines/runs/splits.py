"""Splits: the byte ranges of the input files, planned once and frozen with the step's tasks."""

from __future__ import annotations

import hashlib
import posixpath
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from itertools import chain, islice
from typing import TYPE_CHECKING, Any, Final, TypeVar

from pipelines.runs.chosen import Place, places, read_chosen
from pipelines.runs.inputs import root_of
from pipelines.runs.receipts import Task, bin_pack, task_bytes
from pipelines.runs.steps import read_manifest, read_plan
from pipelines.runs.store import Folder, etag
from schemas.inputs import LAYOUTS, Columns, Input
from schemas.problems import Problem
from schemas.recipe import Recipe

if TYPE_CHECKING:
    from curation.readers import Damage, Record

Item = TypeVar("Item")
Result = TypeVar("Result")

# Of a range: so many of its records are read, and what comes next is lost.
QUARANTINED: Final = "quarantined"
_MOST_FILES = 4096  # that a task opens
_AT_ONCE = 16  # requests to a store


def plan_splits(recipe: Recipe, old: Sequence[Task] = ()) -> list[Task]:
    """The tasks over every input file; of `old` ones those whose files are there and unchanged
    stay, and only the other files make new ones.

    A file is cut where its format can be entered in the middle, and small ones are put together.
    Ranges depend on names and sizes alone. Raises Problem for a root or glob
    that brings nothing, and for a file of another format that `files` names. Where a pattern
    found it beside others that can be read, it is a loss: see `unreadable`.
    """
    if not recipe.inputs:
        raise Problem(f"the recipe `{recipe.name}` names no input", "inputs", "add some to it")
    each = [files_of(index, item) for index, item in enumerate(recipe.inputs)]
    for path, wrong in (mistake for _, mistakes in each for mistake in mistakes):
        raise Problem(wrong, path)
    found = [files for files, _ in each]
    chosen = [places(item) if item.records else {} for item in recipe.inputs]
    total = sum(
        sum(length for _, length in records[name]) if records else int(info["size"])
        for files, records in zip(found, chosen, strict=True)
        for name, info, _ in files
    )
    most = task_bytes(total, recipe.splits.bytes)
    tasks: list[Task] = []
    for item, files, records in zip(recipe.inputs, found, chosen, strict=True):
        if item.run is not None:
            own = read_plan(extracted(item.run), "extract")
            own = [task for task in own if task.spec["source"] == item.source]
            if double := {task.key for task in tasks} & {task.key for task in own}:
                file = next(t.spec["ranges"][0]["file"] for t in own if t.key in double)
                raise Problem(
                    f"another input has the file {file} of the source `{item.source}` too, and ids "
                    "of documents follow from these names",
                    item.run,
                    "leave one of the runs out, or make it anew with another `source`",
                )
            tasks += own
            continue
        if recipe.limit is not None:
            # in one task, which alone can count
            task = task_of(item, list(_ranges(item, files, records, recipe, total + 1)))
            tasks.append(replace(task, spec={**task.spec, "limit": recipe.limit}))
            continue
        own = [task for task in old if task.spec["source"] == item.source and not records]
        kept = _unchanged(item, files, own)
        tasks += kept
        read = {piece["file"] for task in kept for piece in task.spec["ranges"]}
        rest = [each for each in files if each[0] not in read]
        ranges = list(_ranges(item, rest, records, recipe, most, readable=len(read)))
        # to open a file takes time too, however small it is, and so does a request
        least = most // _MOST_FILES
        weights = [
            (each, max(range_bytes(each), least * len(each.get("records", [1])))) for each in ranges
        ]
        tasks += [task_of(item, group) for group in bin_pack(weights, most)]
    return tasks


def extracted(run: str) -> Folder:
    """The folder that holds `extract` of a run whose documents are an input; Problem if that is not
    finished."""
    try:
        return Folder(read_manifest(Folder(run), "extract").home or run)
    except FileNotFoundError:
        raise Problem(
            "has not extracted its documents yet", run, "finish this run before it is an input"
        ) from None


def _unchanged(
    item: Input, files: Sequence[tuple[str, dict[str, Any], bool]], tasks: Sequence[Task]
) -> list[Task]:
    """The tasks of an input all of whose files are as they were, and are read whole by such
    tasks."""
    if not tasks:
        return []
    root = root_of(item)
    licences = FolderLicences(root)
    pieces = [piece for task in tasks for piece in task.spec["ranges"]]
    marks = {piece["file"]: (piece.get("etag"), piece.get("licence")) for piece in pieces}
    code = {piece["file"] for piece in pieces if piece.get("format") == "code"}
    sizes = {}
    for name, info, _ in files:
        if name in marks:
            licence = licences.of(name) if name in code else None
            if marks[name] == (etag(root, name, info), licence):
                sizes[name] = max(1, int(info["size"]))
    while True:
        kept = [task for task in tasks if all(p["file"] in sizes for p in task.spec["ranges"])]
        covered: Counter[str] = Counter()
        for piece in (piece for task in kept for piece in task.spec["ranges"]):
            covered[piece["file"]] += range_bytes(piece)
        if all(covered[name] == size for name, size in sizes.items()):
            return kept
        sizes = {name: size for name, size in sizes.items() if covered[name] == size}


def unreadable(recipe: Recipe, tasks: Sequence[Task]) -> list[tuple[str, str]]:
    """The files that cannot be read, and are a loss each: their paths, and why."""
    return [
        (f"{input_of(recipe, task).root}/{piece['file']}", str(piece["unreadable"]))
        for task in tasks
        for piece in task.spec["ranges"]
        if "unreadable" in piece
    ]


def task_of(item: Input, ranges: Sequence[dict[str, Any]]) -> Task:
    """The task that reads these ranges of an input."""
    key = split_id(item.source, [(each["file"], each["start"], each["end"]) for each in ranges])
    return Task(key, {"source": item.source, "ranges": ranges}, sum(map(range_bytes, ranges)))


def range_bytes(piece: Mapping[str, Any]) -> int:
    """Bytes of a range, or of the records of it that are read."""
    if "records" in piece:
        return sum(length for _, length in piece["records"])
    return int(piece["end"]) - int(piece["start"])


def within(piece: Mapping[str, Any], start: int, end: int) -> dict[str, Any]:
    """What begins in [start, end) of a range that can be cut there."""
    if "records" not in piece:
        return {**piece, "start": start, "end": end}
    records = [each for each in piece["records"] if start <= each[0] < end]
    return {**piece, "start": start, "end": end, "records": records}


def _ranges(
    item: Input,
    files: Sequence[tuple[str, dict[str, Any], bool]],
    records: Mapping[str, Sequence[Place]],
    recipe: Recipe,
    most: int,
    *,
    readable: int = 0,
) -> Iterator[dict[str, Any]]:
    """What tasks read: ranges of the input's files, of at most `most` bytes where files can be
    cut, in the order of their names; of files with chosen `records` those. Raises Problem if files
    cannot be read, and none can; `readable`: so many others of the input."""
    from curation.readers import storable

    root = root_of(item)
    licences = FolderLicences(root)
    lost: list[Problem] = []

    def examined(file: tuple[str, dict[str, Any], bool]) -> tuple[dict[str, Any], bool] | Problem:
        name, info, is_named = file
        if records:
            if sum(records[name][-1]) > int(info["size"]):
                what = f"ends before the record at {records[name][-1][0]:,} does"
                raise Problem(what, f"{item.root}/{name}", "look after the list of records")
            return {"file": name, "etag": etag(root, name, info), "format": "warc"}, True
        try:
            return _examined(item, root, name, info, recipe, most)
        except Problem as error:
            if is_named:
                raise
            return error

    for (name, info, _), found in zip(files, _mapped(root, examined, files), strict=True):
        size = int(info["size"])
        if isinstance(found, Problem):
            lost.append(found)
            why = str(found).removeprefix(f"{item.root}/{name}: ")
            yield {"file": storable(name), "start": 0, "end": max(1, size), "unreadable": why}
            continue
        readable += 1
        shared, splittable = found
        if records:
            least = most // _MOST_FILES
            for group in bin_pack([(each, max(each[1], least)) for each in records[name]], most):
                end = sum(group[-1])
                yield {**shared, "start": group[0][0], "end": end, "records": group}
            continue
        pieces = -(-size // most) if splittable else 1
        if shared["format"] == "code" and (licence := licences.of(name)):
            shared["licence"] = licence
        for piece in range(pieces):
            # an empty file has a record too, or is a loss: it starts below 1
            start, end = size * piece // pieces, max(1, size * (piece + 1) // pieces)
            yield {**shared, "start": start, "end": end}
    if lost and not readable:
        others = f"; nor can {len(lost) - 1:,} other file(s) be read" if lost[1:] else ""
        raise Problem(f"{lost[0]}{others}")


def _mapped(
    root: Folder, function: Callable[[Item], Result], items: Iterable[Item]
) -> Iterator[Result]:
    """What a function gives for each item, in order; a store is asked for many at a time."""
    if root.local is not None:
        yield from map(function, items)
        return
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        yield from pool.map(function, items)


def _examined(
    item: Input, root: Folder, name: str, info: dict[str, Any], recipe: Recipe, most: int
) -> tuple[dict[str, Any], bool]:
    """What the ranges of a file share, and whether it is to be cut; Problem if it cannot be
    read."""
    from curation.readers import formats, storable

    size, place = int(info["size"]), f"{item.root}/{name}"
    if storable(place) != place:
        raise Problem(f"{place}: its name is not UTF-8: give it another")
    try:
        with root.open(name, size) as stream:
            given = item.reader or item.format
            format_ = given or formats.detect(place, stream.read(formats.HEAD_BYTES))
            stream.seek(0)
            if size:
                formats.check(format_, place, stream, columns(item), record_limit(recipe))
                stream.seek(0)
            splittable = size > most and formats.is_splittable(format_, stream)
        shared = {"file": name, "etag": etag(root, name, info), "format": format_}
    except OSError as error:
        raise Problem(f"{place}: cannot be read: {error.strerror or error}") from None
    return shared, splittable


def columns(item: Input) -> Columns:
    """The columns of an input's rows."""
    return LAYOUTS[item.columns] if isinstance(item.columns, str) else item.columns


def record_limit(recipe: Recipe) -> int:
    """Bytes of a record that are read at all: a page and its headers, before decoding."""
    return 2 * recipe.extract.max_page_bytes + (1 << 20)


class FolderLicences:
    """The licences of folders of code: of the nearest LICENSE file above a file."""

    def __init__(self, root: Folder) -> None:
        """Files above `root` are not looked at."""
        self._root = root
        self._known: dict[str, str | None] = {}

    def of(self, name: str) -> str | None:
        """The SPDX identifier for the file `name`, or None if there is none that is known."""
        folder = posixpath.dirname(name)
        if folder not in self._known:
            above = self.of(folder) if folder else None
            self._known[folder] = self._in(folder) or above
        return self._known[folder]

    def _in(self, folder: str) -> str | None:
        from curation.readers.code import LICENCE_BYTES, is_licence, licence_of

        for name in (self._root / folder).names():
            if is_licence(name):
                with self._root.open(posixpath.join(folder, name)) as stream:
                    if found := licence_of(stream.read(LICENCE_BYTES)):
                        return found
        return None


def split_id(source: str, ranges: Sequence[tuple[str, int, int]]) -> str:
    """Key of the task that reads these (file, start, end), named relative to the input's root."""
    data = "\0".join([source, *(f"{name}\0{start}\0{end}" for name, start, end in ranges)])
    return hashlib.blake2b(data.encode(), digest_size=8).hexdigest()


def files_of(
    index: int, item: Input
) -> tuple[list[tuple[str, dict[str, Any], bool]], list[tuple[str, str]]]:
    """The input's files, sorted, and whether each is named itself; and what is wrong with `root`
    and `files`, each with its path in the recipe. Each pattern must bring some."""
    if item.run is not None:
        return [], []
    where, root = f"inputs[{index}]", root_of(item)
    root.check_host()
    found: dict[str, dict[str, Any]] = {}
    mistakes = []
    try:
        patterns = list(places(item)) if item.records else item.files
        for number, matches in enumerate(_mapped(root, root.glob, patterns)):
            if not matches:
                place = "records" if item.records else f"files[{number}]"
                said = f"no file matches `{patterns[number]}` below {item.root}"
                mistakes.append((f"{where}.{place}", said))
            found.update(matches)
        if not found and not root.exists():
            mistakes = [(f"{where}.root", f"{item.root}: no such folder")]
    except OSError as error:
        return [], [(f"{where}.root", f"{item.root}: cannot be read: {error}")]
    except Problem as error:
        return [], [(f"{where}.{'records' if item.records else 'root'}", str(error))]
    return [(name, info, name in patterns) for name, info in sorted(found.items())], mistakes


def changed_inputs(recipe: Recipe, tasks: Sequence[Task]) -> list[str]:
    """The input files that are new or have changed since tasks were planned over them, by path.

    Those that are gone are none: what was read of them is in the run.
    """
    planned = {
        (task.spec["source"], piece["file"]): piece.get("etag")
        for task in tasks
        for piece in task.spec["ranges"]
    }
    found = []
    for item in (each for each in recipe.inputs if each.run is None):
        root = root_of(item)
        with suppress(OSError, Problem):
            own = (name for source, name in planned if source == item.source)
            patterns = own if item.records else item.files
            for name, info in sorted(dict(chain(*_mapped(root, root.glob, patterns))).items()):
                old = planned.get((item.source, name), "")
                if old is not None and old != etag(root, name, info):
                    found.append(f"{item.root}/{name}")
    return found


def in_order(recipe: Recipe, tasks: Sequence[Task]) -> list[tuple[Task, dict[str, Any]]]:
    """Every range of the tasks, with its task, in the order of inputs, names and first bytes."""
    places = {item.source: place for place, item in enumerate(recipe.inputs)}

    def place(each: tuple[Task, dict[str, Any]]) -> tuple[int, str, int]:
        task, piece = each
        return places[task.spec["source"]], piece["file"], piece["start"]

    return sorted(((task, piece) for task in tasks for piece in task.spec["ranges"]), key=place)


def input_of(recipe: Recipe, task: Task) -> Input:
    """The input that a split belongs to."""
    return next(item for item in recipe.inputs if item.source == task.spec["source"])


def read_split(recipe: Recipe, task: Task) -> Iterator[tuple[str, Record | Damage]]:
    """The records and damage of a split, with the names of their files; no more than its limit.

    Raises Problem if a file changed since it was planned.
    """
    from curation.extraction import PAGES, TEXTS
    from curation.readers import Damage

    left = task.spec.get("limit")
    for name, record in _read_all(recipe, task):
        yield name, record
        if left is not None:
            left -= isinstance(record, Damage) or record.kind in PAGES or record.kind in TEXTS
            if not left:
                return


def _read_all(recipe: Recipe, task: Task) -> Iterator[tuple[str, Record | Damage]]:
    from curation.readers import Damage

    item = input_of(recipe, task)
    for piece in task.spec["ranges"]:
        name = piece["file"]
        if "unreadable" in piece:
            yield name, Damage(0, piece["end"], 0, "unreadable", piece["unreadable"])
            continue
        record = None
        for record in islice(_read(recipe, item, piece), piece.get(QUARANTINED)):
            yield name, record
        if QUARANTINED in piece:  # what comes next ends the process that reads it
            offset = record.offset + 1 if record else piece["start"]
            unit = record.unit if record else "byte"
            yield name, Damage(offset, 1, 0, QUARANTINED, "it ends what reads it", unit=unit)


def _read(recipe: Recipe, item: Input, piece: Mapping[str, Any]) -> Iterator[Record | Damage]:
    from curation.readers import formats

    root, name, limit = root_of(item), piece["file"], record_limit(recipe)
    size = _check_unchanged(item, root, piece)
    if "records" in piece:
        yield from read_chosen(root, name, piece["records"], max_record_bytes=limit)
        return
    with root.open(name, size) as stream:
        yield from formats.read(
            piece["format"],
            name,
            stream,
            piece["start"],
            piece["end"],
            max_record_bytes=limit,
            columns=columns(item),
            licence=piece.get("licence"),
        )
    if root.local is not None:  # an object cannot be written to while it is read
        _check_unchanged(item, root, piece)


def _check_unchanged(item: Input, root: Folder, piece: Mapping[str, Any]) -> int:
    """The size of a range's file. Raises Problem if it is gone or has changed."""
    name = piece["file"]
    place = f"{item.root}/{name}"
    try:
        info = root.info(name)
        now = etag(root, name, info)
    except FileNotFoundError:
        mend = "put it back; the same command goes on from what is done"
        raise Problem("is gone since the run was planned", place, mend) from None
    except OSError as error:
        raise Problem(f"cannot be read: {error.strerror or error}", place) from None
    if now != piece["etag"]:
        mend = "put back what it was, and the same command goes on; or start anew"
        raise Problem("has changed since the run was planned", place, mend)
    return int(info["size"])
