"""`gristmill decontaminate`: an index of test sets, and what of them is in texts, without a run."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa

from curation.decontamination import Detector, Item, Layout, benchmarks, build, load, read_set, save
from pipelines.alone.rows import writing
from pipelines.alone.texts import batches, texts
from schemas.problems import Problem

_BATCH = 64
SCANNED = pa.schema(
    [
        pa.field("id", pa.string(), False),
        pa.field("contaminated", pa.bool_(), False),
        # of the item that is in the text the most; null if none is
        pa.field("benchmark", pa.string()),
        pa.field("item", pa.string()),
        pa.field("score", pa.float64()),
        pa.field("share", pa.float64()),
        # in code points, the end exclusive
        pa.field("start", pa.int64()),
        pa.field("end", pa.int64()),
        pa.field("items", pa.int64(), False),
    ],
    metadata={b"gristmill.schema": b"scanned/1"},
)
_EMPTY = dict.fromkeys(("benchmark", "item", "score", "share", "start", "end"))


def layout_of_fields(text: str) -> Layout:
    """The layout that `text=q,choices=a+b,answer=c,id=key` names. Raises Problem."""
    fields: dict[str, tuple[str, ...]] = {}
    for part in text.split(","):
        name, _, value = part.partition("=")
        if name not in ("text", "choices", "answer", "id") or not value:
            raise Problem(
                f"--fields {text}: write text=FIELD,choices=FIELD,answer=FIELD,id=FIELD (several "
                "fields with + between them)"
            )
        fields[name] = tuple(value.split("+"))
    if "text" not in fields:
        raise Problem(f"--fields {text}: say which field has the text: text=FIELD")
    return Layout(**fields)


def index_sets(
    sets: Sequence[str], output: str, fields: str | None = None
) -> dict[str, dict[str, int]]:
    """Write an index of evaluation sets, `FILE` or `NAME=FILE`, to the new folder `output`.

    Without a name a set is called by its file. Returns by benchmark how many items it has, and how
    many of them can be told. Raises Problem.
    """
    folder = Path(output)
    if folder.exists() and any(folder.iterdir()):
        raise Problem("holds something", output, "give a new folder")
    layout = layout_of_fields(fields) if fields else None

    def items() -> Iterator[Item]:
        for text in sets:
            name, equals, place = text.partition("=")
            if not equals or Path(text).exists():
                name, place = Path(text).name.partition(".")[0], text
            yield from read_set(Path(place), name, layout)

    index = build(items())
    save(index, folder)
    return benchmarks(index)


def scan_files(
    index: str,
    paths: Sequence[str],
    output: str,
    *,
    least: float = 1.0,
    reading: Mapping[str, Any] | None = None,
    id_column: str = "id",
) -> tuple[Counter[str], dict[str, tuple[int, int]]]:
    """Write a row (SCANNED) for every text of files, folders, patterns or `-` to `output`.

    Returns how many are `contaminated` or `clean`, and how many records are no text, why; and by
    benchmark how many of its items were seen in how many texts. Raises Problem.
    """
    detector = Detector(load(Path(index)), least)
    ends: Counter[str] = Counter()
    items: dict[str, set[str]] = {}
    touched: Counter[str] = Counter()
    with writing(output, SCANNED) as rows:
        every = texts(paths, ends, reading=reading, id_column=id_column)
        for batch in batches(every, _BATCH):
            found = detector.find([one.text for one in batch])
            written = []
            for one, hits in zip(batch, found, strict=True):
                ends["contaminated" if hits else "clean"] += 1
                touched.update({hit.benchmark for hit in hits})
                for hit in hits:
                    items.setdefault(hit.benchmark, set()).add(hit.item)
                best = {name: getattr(hits[0], name) for name in _EMPTY} if hits else _EMPTY
                written.append(
                    {"id": one.id, "contaminated": bool(hits), **best, "items": len(hits)}
                )
            rows.write(written)
    return ends, {name: (len(items[name]), touched[name]) for name in sorted(items)}
