"""The story of a record: where it stands, and what every stage made of it and why."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import pyarrow as pa

from curation.readers import Damage
from curation.verdicts import Criterion, criteria
from pipelines.look.display import visible
from pipelines.run import Run
from pipelines.runs import documents, index, rejections, takedowns
from pipelines.runs.receipts import Task
from pipelines.runs.splits import input_of, read_split
from pipelines.runs.steps import Context
from schemas.chain import Chain
from schemas.problems import Problem
from schemas.tables import REJECTION

Row = dict[str, Any]

_ID = 32  # hexadecimal digits
_PLACE = ("source", "file", "offset", "offset_kind", "row_group", "length")
_BY_BYTE = ("warc", "arc", "jsonl")  # formats of which a record is read without those before it
_FOUND = ("pii.", "contamination.")  # signals that count what was found in a text


@dataclass(frozen=True)
class Verdict:
    """What a test said of a document. result: `passed`, `failed`, `not measured`, or `passed by`
    if it is not for such documents."""

    table: str
    reason: str
    asked: str
    values: dict[str, Any]
    result: str


@dataclass(frozen=True)
class Tested:
    """What a chain made of a document. found: personal data and test items, by their signals."""

    kept: bool
    reasons: list[str]
    signals: Row
    verdicts: list[Verdict]
    found: dict[str, int | float]


@dataclass(frozen=True)
class Story:
    """Of a record of the input; what its way did not come to is None or empty.

    place: source, root and file, offset and length; end: in a few words.
    extracted: the columns of DOCUMENT but the text; rejected: the row of REJECTION that ended it.
    cluster: for a duplicate the `representative` that is kept and the `level` that found it, for
    what is kept how many were `dropped` for it. cuts: spans cut after deduplication.
    rows: where it is in the shards, rows of SEGMENT.
    """

    id: str
    url: str | None
    place: Row
    end: str
    part: str
    task: str | None = None
    extracted: Row | None = None
    rejected: Row | None = None
    filter: Tested | None = None
    cluster: Row | None = None
    curate: Tested | None = None
    curated: Row | None = None
    cuts: list[Row] = field(default_factory=list)
    rows: list[Row] = field(default_factory=list)


def stories(run: Run, named: str) -> Iterator[Story]:
    """The stories of the record with an id, or of all records at a URL, in the order of ids.

    Raises Problem if the run has read none.
    """
    if "extract" not in run.stages:
        raise Problem("has read nothing yet", run.folder.url, "run it")
    is_id = len(named) == _ID and not set(named.lower()) - set("0123456789abcdef")
    context = run.context
    found = index.places(context, [named.lower()]) if is_id else index.at_url(context, named)
    if not found:
        what = "no record has this id" if is_id else "no record is of this URL"
        raise Problem(f"{what} in {run.folder.url}", named)
    gone = takedowns.documents(run.folder)
    for id_, part in sorted(found.items()):
        told = story(run, id_, part)
        yield replace(told, end=f"{told.end}; taken down since") if id_ in gone else told


def story(run: Run, id_: str, part: str) -> Story:
    """The story of the record `id_`, which the task `part` of `extract` has read."""
    context, done = run.context, run.stages
    told: Row = {"id": id_, "part": part}
    receipt, home = context.receipt("extract", part), context.home("extract")
    row = documents.find_rows(home, receipt.file("documents").path, [id_]).get(id_)
    if row is None:
        unread = documents.find_rows(home, receipt.file(rejections.KIND).path, [id_])[id_]
        return Story(**told, **_origin(context, unread), end=_ended(unread), rejected=unread)
    row.pop("text", None)
    told |= _origin(context, row) | {"extracted": row}
    if "filter" not in done:
        return Story(**told, end="extracted; the run is not finished")
    task = next(key for key, parts in documents.parts(context).items() if part in parts)
    told |= {"task": task, "filter": _tested(context, "filter", task, id_)}
    if lost := _rejected(context, "filter", task, id_):
        return Story(**told, end=_ended(lost), rejected=lost)
    if "deduplicate" not in done:
        return Story(**told, end="filtered; the run is not finished")
    if lost := _rejected(context, "deduplicate", task, id_):
        told["cluster"] = {"representative": lost["representative"], "level": lost["reason"]}
        return Story(**told, end=_ended(lost), rejected=lost)
    own = _row(context, "deduplicate", task, "clusters", id_)
    told["cluster"] = {"dropped": own["dropped"]} if own else None
    told["cuts"] = documents.Cuts(context, task).of(id_)
    if "curate" not in done:
        return Story(**told, end="kept by deduplication; the run is not finished")
    told["curate"] = _tested(context, "curate", task, id_)
    if lost := _rejected(context, "curate", task, id_):
        return Story(**told, end=_ended(lost), rejected=lost)
    curated = _row(context, "curate", task, "text", id_)
    told["curated"] = {name: (curated or {})[name] for name in ("bytes", "pii_replaced")}
    if not index.has_index(context):
        return Story(**told, end="curated; the run is not finished")
    rows = index.segments(context, [id_]).drop_columns(["id"])
    rows = rows.sort_by([(name, "ascending") for name in ("split", "row", "start")])
    told["rows"] = rows.to_pylist()
    if not told["rows"]:
        left = dict.fromkeys(REJECTION.names) | {
            "id": id_, "stage": "mix", "reason": "not_sampled", "source": row["source"]
        }  # fmt: skip
        return Story(**told, end=_ended(left), rejected=left)
    splits = dict.fromkeys(segment["split"] for segment in told["rows"])
    return Story(**told, end=f"in the {' and '.join(splits)} shards")


def text_of(run: Run, told: Story) -> str:
    """The text as the run has it in the end: cut and redacted if it was curated, else as `filter`
    or `extract` left it. Raises Problem if none was extracted."""
    context = run.context
    if told.extracted is None:
        raise Problem(f"no text was extracted of it: {told.end}", told.id)
    if told.curated is None:
        documents.check_raw(context)
    if told.curated is not None:
        path = context.receipt("curate", told.task or "").file("text").path
        found = documents.find_rows(context.home("curate"), path, [told.id], ["text"])
    elif told.task is not None:
        wanted = {told.task: [told.id]}
        found = documents.find(context, wanted, ["text"], edited=bool(told.filter))
    else:
        path = context.receipt("extract", told.part).file("documents").path
        found = documents.find_rows(context.home("extract"), path, [told.id], ["text"])
    return str(found[told.id]["text"])


def original(run: Run, told: Story) -> bytes:
    """The payload of the original record. Raises Problem if its file is gone or has changed, or
    the record cannot be read."""
    (task,) = [task for task in run.plan() if task.key == told.part]
    place = told.place
    for span in task.spec["ranges"]:
        narrow = dict(span)
        if place["offset_kind"] == "byte" and span.get("format") in _BY_BYTE:
            if not span["start"] <= place["offset"] < span["end"]:
                continue
            narrow |= {"start": place["offset"], "end": place["offset"] + 1}
        if span["file"] != place["file"]:
            continue
        for _, record in read_split(run.recipe, Task(task.key, {**task.spec, "ranges": [narrow]})):
            if (record.offset, record.offset_kind) == (place["offset"], place["offset_kind"]):
                if isinstance(record, Damage):
                    raise Problem(f"cannot be read: {told.end}", told.id)
                text = record.text
                return record.payload if text is None else text.encode()
    raise Problem("its record is not where it was", f"{place['root']}/{place['file']}")


def _origin(context: Context, row: Row) -> Row:
    """`url` and `place` of a row of a document or of a rejection by `extract`."""
    item = input_of(context.recipe, Task("", {"source": row["source"]}))
    place = {**{name: row[name] for name in _PLACE}, "root": item.root}
    return {"url": row["url"], "place": place}


def _ended(row: Row) -> str:
    value = "" if row["value"] is None else f" ({row['value']})"
    return f"rejected by {row['stage']}: {row['reason']}{value}"


def _row(context: Context, stage: str, task: str, kind: str, id_: str) -> Row | None:
    path = context.receipt(stage, task).file(kind).path
    return documents.find_rows(context.home(stage), path, [id_]).get(id_)


def _rejected(context: Context, stage: str, task: str, id_: str) -> Row | None:
    return _row(context, stage, task, rejections.KIND, id_)


def _tested(context: Context, stage: str, task: str, id_: str) -> Tested:
    row = _row(context, stage, task, "signals", id_)
    assert row is not None  # noqa: S101 - every document of a chain has a row
    signals = {name: value for name, value in row.items() if "." in name}
    found = {k: v for k, v in signals.items() if k.startswith(_FOUND) and v}
    spec: Chain = getattr(context.recipe, stage)
    verdicts = [_verdict(test, row) for test in criteria(spec)]
    return Tested(row["kept"], row["reasons"], signals, verdicts, found)


def _verdict(test: Criterion, row: Row) -> Verdict:
    columns = {name: pa.array([row[name]]) for name in test.columns if row.get(name) is not None}
    limits = test.scope.limits()
    values = {name: row.get(name) for name in test.signals or ("language",)}
    if any(row[name] not in among for name, among in limits.items() if name in row):
        result = "passed by"
    elif test.reason in row["reasons"]:
        result = "failed"
    elif all(name in columns for name in test.signals):
        result = "passed"
    else:
        result = "not measured"
    return Verdict(test.table, test.reason, test.asked, values, result)


def tell(told: Story) -> str:
    """The story as text to read. Nothing in it does anything to a terminal."""
    place, lines = told.place, [f"{told.id}  {told.end}"]
    at = f"{place['offset_kind']} {place['offset']:,}"
    lines += _section("record", {
        "url": told.url,
        "file": f"{place['root']}/{place['file']}",
        "at": f"{at}, length {place['length']:,}",
        "source": place["source"],
    })  # fmt: skip
    if told.extracted:
        skipped = {"id", "url", *_PLACE}
        given = {
            k: v for k, v in told.extracted.items() if k not in skipped and v not in (None, [], "")
        }
        lines += _section("extract", given)
    lines += _lines_of("filter", told.filter)
    if told.cluster:
        lines += _section("deduplicate", told.cluster)
    if told.cuts:
        cut = sum(span["end"] - span["start"] for span in told.cuts)
        lines += _section("cut", {"spans": len(told.cuts), "characters": cut})
    lines += _lines_of("curate", told.curate)
    if told.curated:
        lines += _section("curated", told.curated)
    if told.rejected and not told.filter:
        lines += _section("rejected", {k: told.rejected[k] for k in ("stage", "reason", "value")})
    if told.rows:
        lines += ["", "shards"]
        lines += [
            f"  {row['split']} row {row['row']:,} from token {row['start']:,}: {row['tokens']:,} "
            f"tokens, of the document from {row['document_offset']:,} ({row['file']})"
            for row in told.rows
        ]
    return "\n".join(visible(line) for line in lines)


def _section(title: str, values: Row) -> list[str]:
    shown = (
        (name, ", ".join(map(str, value)) if isinstance(value, list) else value)
        for name, value in values.items()
    )
    flat = ((name, " ".join(str(value).split())) for name, value in shown)
    return ["", title, *(f"  {name:<24} {value}" for name, value in flat)]


def _lines_of(stage: str, tested: Tested | None) -> list[str]:
    if tested is None:
        return []
    lines = ["", f"{stage}: {'kept' if tested.kept else ', '.join(tested.reasons)}"]
    for each in tested.verdicts:
        numbers = (f"{v:.6g}" if isinstance(v, float) else str(v) for v in each.values.values())
        lines.append(f"  {each.result:<12} {each.reason:<36} {each.asked}: {', '.join(numbers)}")
    return [*lines, *(f"  {name:<24} {value:g}" for name, value in tested.found.items())]
