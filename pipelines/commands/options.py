"""Options that the commands share, files in and out, and what they tell at the end."""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from schemas.problems import Problem

if TYPE_CHECKING:
    import pyarrow as pa

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

    layout = columns_of(options.columns or "text")
    asked: dict[str, Any] = {"format": options.format} if options.format else {}
    if not pages:
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


# Of a row, what its rejection says too.
_OWN = {"source": str, "url": str, "file": str, "offset": int, "length": int}


class Rejected:
    """Counts rejections by reason, and writes them if there is a file for them."""

    def __init__(self, writer: Writer | None, names: Sequence[str]) -> None:
        """`names`: the columns of REJECTION."""
        self.has_file = writer is not None
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

    def text(self, stage: str, row: Row, reason: str, **more: Any) -> None:
        """A text that a command does not let through."""
        own = {
            name: value
            for name, kind in _OWN.items()
            if isinstance(value := row.values.get(name), kind)
        }
        self.add({"id": row.id, "stage": stage, "reason": reason, **own, **more})


@contextmanager
def rejecting(path: str | None) -> Iterator[Rejected]:
    """What takes rejections, to the file `path` if one is named."""
    from pipelines.runs.export import readable
    from schemas.tables import REJECTION

    if path is None:
        yield Rejected(None, REJECTION.names)
    else:
        with writing(path, readable(REJECTION)) as writer:
            yield Rejected(writer, REJECTION.names)


def validated(key: str, model: type[Model], value: Mapping[str, Any]) -> Model:
    """The value of a recipe's key. Raises Problem with what is first wrong with it."""
    from pydantic import ValidationError

    try:
        return model.model_validate(value)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in (key, *first["loc"]))
        raise Problem(first["msg"].removeprefix("Value error, "), where) from None


def tell(ends: Mapping[str, int]) -> None:
    """How many records there were, and how they ended."""
    print(f"{sum(ends.values()):,} records", file=sys.stderr)
    for end, count in sorted(ends.items(), key=lambda item: (-item[1], item[0])):
        print(f"{count:>12,} {end}", file=sys.stderr)
