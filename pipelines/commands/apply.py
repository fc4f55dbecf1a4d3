"""`gristmill apply`: the texts that a table keeps."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from pipelines.commands.options import No, add_texts, map_rows, tell
from pipelines.commands.parsing import Add
from schemas.problems import Problem

if TYPE_CHECKING:
    from pipelines.runs.rows import Row


def add_apply(add: Add) -> None:
    """Add `apply` with its options."""
    apply = add(
        "apply",
        "Write the texts that a table keeps, without what it cuts of them.",
        "gristmill apply clusters.parquet pages.jsonl --output unique.jsonl",
        _apply,
    )
    apply.add_argument(
        "table",
        metavar="TABLE",
        help="what `dedup` or `filter` wrote of the texts, or a run's rejections or cuts: a .jsonl "
        "(.gz, .zst) or .parquet file with an `id`, and with `kept` (and `cut`), `reason`, or "
        "`start` and `end`",
    )
    add_texts(apply, "the texts that are kept")


@dataclass(slots=True)
class Fate:
    """What a table says of a text; `reason`: why it is not kept, else None."""

    reason: str | None
    cut: list[tuple[int, int]] = field(default_factory=list)
    is_met: bool = False


_COLUMNS = ("id", "kept", "cut", "start", "end", "reason", "reasons", "level")


def fates(path: str) -> tuple[dict[str, Fate], bool]:
    """What a table says by id, and whether it has a row for every text. Raises Problem."""
    found: dict[str, Fate] = {}
    is_whole = False
    for row in _rows(path):
        value = row.get("id")
        name = value.hex() if isinstance(value, bytes) else str(value)
        try:
            if row.get("start") is not None:
                found.setdefault(name, Fate(None)).cut.append((int(row["start"]), int(row["end"])))
                continue
            if row.get("kept") is not None:
                is_whole = True
                cut = [(int(each["start"]), int(each["end"])) for each in row.get("cut") or ()]
                why = row.get("level") or next(iter(row.get("reasons") or ()), "not_kept")
                fate = Fate(None if row["kept"] else str(why), cut)
            elif row.get("reason"):
                fate = Fate(str(row["reason"]))
            else:
                raise Problem(
                    "is no table of verdicts, clusters, rejections or cuts: a row has neither "
                    "`kept`, nor `reason`, nor `start` and `end`",
                    path,
                )
        except (KeyError, TypeError, ValueError) as error:
            raise Problem(f"the row of `{name}` cannot be read: {error}", path) from None
        if name in found:
            raise Problem(f"`{name}` stands twice: it does not tell which text is meant", path)
        found[name] = fate
    return found, is_whole


def _rows(path: str) -> Iterator[Mapping[str, Any]]:
    """The rows of a table, in whatever format."""
    import pyarrow as pa

    from pipelines.runs.store import Folder
    from schemas.parquet import open_parquet

    parent, _, name = path.rpartition("/")
    try:
        with Folder(parent or ("/" if path.startswith("/") else ".")).open(name) as stream:
            if name.endswith(".parquet"):
                file = open_parquet(stream)
                columns = [each for each in _COLUMNS if each in file.schema_arrow.names]
                for batch in file.iter_batches(columns=columns, use_threads=False):
                    yield from batch.to_pylist()
                return
            packed = {".gz": "gzip", ".zst": "zstd"}
            codec = next((codec for end, codec in packed.items() if name.endswith(end)), None)
            with pa.input_stream(stream, compression=codec) as inside:
                for line in inside:
                    row = json.loads(line)
                    if not isinstance(row, dict):
                        raise Problem("has a line that is no JSON object", path)
                    yield row
    except (OSError, ValueError, pa.ArrowException) as error:
        raise Problem(f"cannot be read: {error}", path) from None


def _apply(options: argparse.Namespace) -> int:
    import numpy as np

    from curation.dedup.spans import cut

    said, is_whole = fates(options.table)
    kept = 0

    def work(batch: list[Row]) -> Iterator[dict[str, Any] | No]:
        nonlocal kept
        for row in batch:
            fate = said.get(row.id, Fate("not_in_table" if is_whole else None))
            if fate.is_met:
                raise Problem("stands twice: the table does not tell which is meant", row.id)
            fate.is_met = True
            spans = np.array(fate.cut, np.int64).reshape(-1, 2)
            text = cut(row.text, spans[:, 0], spans[:, 1])
            reason = fate.reason or ("cut_whole" if fate.cut and not text.strip() else None)
            kept += reason is None
            yield No(reason) if reason else {"text": text}

    def check() -> None:
        if said and not any(fate.is_met for fate in said.values()):
            raise Problem("none of its ids is one of the texts'", options.table)

    lost = map_rows("apply", options, (), work, also=options.table, finish=check)
    if not options.quiet:
        tell({"kept": kept, **lost})
    return 0
