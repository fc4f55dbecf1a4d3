"""Options that the commands share, files in and out, and what they tell at the end."""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from schemas.problems import Problem

if TYPE_CHECKING:
    import pyarrow as pa

    from pipelines.runs.events import Listener
    from pipelines.runs.rows import Row, Writer
    from schemas.base import Contract
    from schemas.inputs import Input

    Model = TypeVar("Model", bound=Contract)


def add_texts(parser: argparse.ArgumentParser, what: str) -> None:
    """What the commands over texts share."""
    add_files(
        parser,
        "JSONL, Parquet, CSV, text, WET: a file, a folder, a pattern, or an fsspec URL; `-` is "
        "JSON lines on standard input; SOURCE=PATH names its source",
        f"a .jsonl (.gz, .zst) or .parquet file of the rows with {what}",
    )
    add_rows(parser)
    parser.add_argument("--quiet", action="store_true", help="no summary")


def add_files(parser: argparse.ArgumentParser, inputs: str, output: str) -> None:
    """Files in, one file out: `inputs` and `output` say what they are."""
    parser.add_argument("input", nargs="+", metavar="IN", help=inputs)
    parser.add_argument(
        "--output", required=True, metavar="OUT", help=f"{output}; `-` is standard output"
    )
    parser.add_argument(
        "--rejected",
        metavar="FILE",
        help="what is not kept, or could not be read, and why; OUT has only what is kept then",
    )


def add_rows(parser: argparse.ArgumentParser) -> None:
    """How rows are read that keep their names."""
    parser.add_argument(
        "--id",
        default="id",
        metavar="COLUMN",
        help="what rows are called by (default id); numbers come out as text",
    )
    _add_layout(parser)


def add_reading(parser: argparse.ArgumentParser) -> None:
    """How rows are read of which a summary is made."""
    _add_layout(parser)
    parser.add_argument("--quiet", action="store_true", help="no summary")


def _add_layout(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--format", help="of all inputs; default: by name and first bytes")
    parser.add_argument(
        "--columns",
        help="layout of rows, such as fineweb, or names, such as text=content (default text)",
    )


@contextmanager
def reading(
    paths: Sequence[str],
    options: argparse.Namespace,
    *,
    pages: bool = False,
    columns: Mapping[str, Any] | None = None,
    also: str | None = None,
) -> Iterator[tuple[Input, ...]]:
    """The inputs that paths and options name, `-` being standard input. Raises Problem, also where
    `--output` or `--rejected` is one of their files.

    `pages`: records of any kind; else rows that are read whole, with these `columns` besides.
    `also`: another file that is read.
    """
    from pipelines.runs.inputs import Rows, check_apart, columns_of, inputs_of, named
    from schemas.inputs import LAYOUTS

    layout = columns_of(options.columns or "text", pages=pages)
    asked: dict[str, Any] = {"format": options.format} if options.format else {}
    if not pages:
        read = {"text", *(columns or {})}
        if options.columns not in LAYOUTS and (idle := layout.model_fields_set - read):
            raise Problem(
                f"`{min(idle)}` decides nothing here", f"columns {options.columns}", "leave it out"
            )
        own = {"id": getattr(options, "id", "id"), **(columns or {}), **layout.named()}
        asked["columns"] = Rows(**own)
    elif options.columns:
        asked["columns"] = layout
    with tempfile.TemporaryDirectory(prefix="gristmill-") as scratch:
        spool = Path(scratch) / ("standard-input" if pages else "standard-input.jsonl")
        found = []
        for path in paths:
            source, place = named(path)
            if place == "-":
                if not spool.exists():
                    with spool.open("wb") as out:
                        shutil.copyfileobj(sys.stdin.buffer, out)
                path = f"{source}={spool}" if source else str(spool)
            found.append(path)
        inputs = inputs_of(found, asked, pages=pages)
        outputs = (getattr(options, name, None) for name in ("output", "rejected"))
        check_apart(inputs, outputs, also)
        yield inputs


def tell_left_out(inputs: Iterable[Input], listen: Listener) -> None:
    """Warn of the files of folders that are read for their WARC files alone."""
    from pipelines.runs.events import Warned
    from pipelines.runs.inputs import left_out

    for item in inputs:
        if others := left_out(item.root, item.files):
            first = ", ".join(others[:3]) + (", ..." if others[3:] else "")
            more = "name files or a pattern to read them"
            listen(Warned(f"is read for its WARC files; not {first}", item.root, more))


@contextmanager
def writing(path: str, schema: pa.Schema, *, more: bool = False) -> Iterator[Writer]:
    """A writer of rows, see `runs.rows.writing`; `-` is standard output."""
    from pipelines.runs import rows

    if path == "-":
        yield rows.Lines(sys.stdout.buffer)
        sys.stdout.flush()
    else:
        with rows.writing(path, schema, more=more) as writer:
            yield writer


@dataclass(frozen=True, slots=True)
class No:
    """Why a text is not let through: see REJECTION in `schemas.tables`."""

    reason: str
    value: str | None = None
    detail: str | None = None


# Of a row, what its rejection says too.
_OWN = {
    "source": str,
    "url": str,
    "file": str,
    "offset": int,
    "offset_kind": str,
    "row_group": int,
    "length": int,
}


class Rejected:
    """Counts rejections by reason, and writes them if there is a file for them."""

    def __init__(self, writer: Writer | None, names: Sequence[str]) -> None:
        """`names`: the columns of REJECTION."""
        self.counts: Counter[str] = Counter()
        self._writer, self._names = writer, names

    def add(self, row: Mapping[str, Any]) -> None:
        """A rejection; what it does not say is null."""
        self.counts[row["reason"]] += 1
        if self._writer:
            self._writer.write([{name: row.get(name) for name in self._names}])

    def write(self, rows: pa.Table) -> None:
        """Rejections that are counted elsewhere."""
        if self._writer:
            self._writer.write(rows)


@contextmanager
def rejecting(path: str | None) -> Iterator[Rejected]:
    """What takes rejections, to the file `path` if one is named."""
    from schemas.tables import REJECTION

    with nullcontext() if path is None else writing(path, REJECTION) as writer:
        yield Rejected(writer, REJECTION.names)


def rows_of(
    paths: Sequence[str], options: argparse.Namespace, lost: Counter[str] | None = None
) -> Iterator[Row]:
    """The texts of files of which no row is written; `lost` counts what holds none, by reason."""
    from pipelines.commands.progress import listener
    from pipelines.runs.rows import batches

    with reading(paths, options) as inputs:
        lose = Rejected(None, ())
        for batch in batches(inputs, lose.add, listener("auto", quiet=options.quiet)):
            yield from batch
        if lost is not None:
            lost.update(lose.counts)


def map_rows(
    stage: str,
    options: argparse.Namespace,
    fields: Sequence[pa.Field],
    work: Callable[[list[Row]], Iterable[dict[str, Any] | No]],
    *,
    also: str | None = None,
    finish: Callable[[], None] = lambda: None,
) -> Counter[str]:
    """Rows in, rows out: each text's row with `id`, `text` and `fields`, and all of its other
    columns.

    `work` gives for each text of a batch its own columns, or why it is not let through, which goes
    to `--rejected` as what could not be read does. `also`: another file that is read. `finish` is
    called before the files appear. Returns how many records were rejected by reason.
    """
    import pyarrow as pa

    from pipelines.commands.progress import listener
    from pipelines.runs.rows import batches

    names = (pa.field("id", pa.string(), False), pa.field("text", pa.large_string(), False))
    with (
        reading(options.input, options, also=also) as inputs,
        writing(options.output, pa.schema([*names, *fields]), more=True) as out,
        rejecting(options.rejected) as rejected,
    ):
        for batch in batches(inputs, rejected.add, listener("auto", quiet=options.quiet)):
            rows = []
            for row, found in zip(batch, work(batch), strict=True):
                if isinstance(found, No):
                    values = ((name, row.values.get(name), kind) for name, kind in _OWN.items())
                    own = {name: value for name, value, kind in values if isinstance(value, kind)}
                    rejected.add({**own, "id": row.id, "stage": stage, **asdict(found)})
                else:
                    own = {"id": row.id, "text": row.text, **found}
                    rows.append({**own, **{k: v for k, v in row.values.items() if k not in own}})
            out.write(rows)
        finish()
    return rejected.counts


def tell(ends: Mapping[str, int]) -> None:
    """How many records there were, and how they ended."""
    print(f"{sum(ends.values()):,} records", file=sys.stderr)
    for end, count in sorted(ends.items(), key=lambda item: (-item[1], item[0])):
        print(f"{count:>12,} {end}", file=sys.stderr)
