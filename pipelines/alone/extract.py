"""`gristmill extract`: files to main text, without a run."""

from __future__ import annotations

import sys
import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import nullcontext
from typing import Any

from pydantic import ValidationError

from curation.extraction import Page, Rejected
from curation.extraction.sandbox import Sandbox
from curation.readers import Damage, Record
from pipelines.alone.rows import Rows, writing
from pipelines.recipes.loading import load
from pipelines.recipes.saving import check_models, with_models
from pipelines.runs.inputs import input_at, left_out
from pipelines.runs.receipts import Task
from pipelines.runs.splits import input_of, plan_splits, read_split
from pipelines.runs.steps import Context
from pipelines.runs.store import Folder
from pipelines.stages.extract import extractor
from schemas.extract import Extract, Rights
from schemas.inputs import Input, Splits
from schemas.problems import Problem
from schemas.recipe import Recipe
from schemas.tables import EXTRACTED, NOT_EXTRACTED

_WHOLE = 1 << 62  # bytes of a split: every file in one
_BATCH = 64
_EVERY = 1 << 20  # bytes between two looks at the progress


def extract_files(
    paths: Sequence[str],
    output: str,
    *,
    rejected: str | None = None,
    recipe: str | None = None,
    over: Mapping[str, Any] | None = None,
    reading: Mapping[str, Any] | None = None,
    workers: int = 1,
    quiet: bool = False,
) -> Counter[str]:
    """Write the pages of files, folders or patterns to `output`, what is not one to `rejected`.

    Order is that of the paths, of names, and of records. `recipe` gives the options, `over` lies
    over its `extract`, `reading` is `format` and `columns` of the inputs. Returns how many
    records ended how: `written`, or a reason.
    """
    if workers < 1:
        raise Problem(f"--workers {workers}: must be 1 or more")
    if rejected and rejected == output:
        raise Problem(f"--rejected {rejected}: is --output too: name another file")
    found = list(map(input_at, paths))
    if not quiet:
        for path, each in zip(paths, found, strict=True):
            if others := left_out(each):
                first = ", ".join(others[:3]) + (", ..." if others[3:] else "")
                print(f"{path}: read for its WARC files; not {first}", file=sys.stderr)
    inputs = [
        Input(source=f"in{index}", **each, **(reading or {})) for index, each in enumerate(found)
    ]
    asked = Recipe(
        name="extract",
        inputs=tuple(inputs),
        extract=_options(recipe, over or {}),
        splits=Splits(bytes=_WHOLE),
    )
    ends: Counter[str] = Counter()
    with tempfile.TemporaryDirectory(prefix="gristmill-") as scratch:
        context = Context(Folder(scratch), with_models(asked, Folder(scratch)))
        if context.recipe.extract.languages:  # else no model is asked
            check_models(context.recipe, context.run)
        tasks = plan_splits(context.recipe)
        with (
            Sandbox(extractor(context), workers) as sandbox,
            writing(output, EXTRACTED) as pages,
            writing(rejected, NOT_EXTRACTED) if rejected else nullcontext() as losses,
        ):
            records = _records(context.recipe, tasks, quiet)
            kept = _Batch(pages)
            lost = _Batch(losses) if losses else None
            for file, record, result in sandbox.extract(records):
                if isinstance(result, Rejected):
                    ends[result.reason] += 1
                    if lost:
                        lost.add(_lost(file, record, result))
                else:
                    ends["written"] += 1
                    kept.add(_row(file, record, result))
            kept.flush()
            if lost:
                lost.flush()
    return ends


def _options(recipe: str | None, over: Mapping[str, Any]) -> Extract:
    # without a recipe there is no policy: opt-outs are told in each row, and left to the reader
    base = load(recipe).extract if recipe else Extract(rights=Rights(opt_outs=()))
    try:
        return Extract.model_validate({**base.model_dump(), **over})
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"])
        raise Problem(
            f"extract.{key}: {first['msg'].removeprefix('Value error, ')}".replace(".:", ":")
        ) from None


class _Batch:
    """Rows that go to a file some at a time."""

    def __init__(self, rows: Rows) -> None:
        self._rows = rows
        self._waiting: list[dict[str, Any]] = []

    def add(self, row: dict[str, Any]) -> None:
        self._waiting.append(row)
        if len(self._waiting) == _BATCH:
            self.flush()

    def flush(self) -> None:
        self._rows.write(self._waiting)
        self._waiting.clear()


def _records(
    recipe: Recipe, tasks: Sequence[Task], quiet: bool
) -> Iterator[tuple[str, Record | Damage]]:
    """All records with the paths of their files; says how far it is on standard error."""
    from tqdm import tqdm

    tqdm.monitor_interval = 0  # no thread: where there is one alone the sandbox copies the process

    sizes = {
        (task.key, piece["file"]): piece["end"] - piece["start"]
        for task in tasks
        for piece in task.spec["ranges"]
    }
    with tqdm(
        total=sum(sizes.values()),
        unit="B",
        unit_scale=True,
        file=sys.stderr,
        disable=quiet or not sys.stderr.isatty(),
    ) as bar:
        before = 0
        for task in tasks:
            root = input_of(recipe, task).root
            current = ""
            for name, record in read_split(recipe, task):
                if name != current:
                    before += sizes.get((task.key, current), 0)
                    current = name
                if record.unit == "byte" and before + record.offset - bar.n >= _EVERY:
                    bar.update(before + record.offset - bar.n)
                yield f"{root.rstrip('/')}/{name}", record
            before += sizes.get((task.key, current), 0)
            bar.update(max(0, before - bar.n))


def _origin(file: str, record: Record | Damage) -> dict[str, Any]:
    return {
        "file": file,
        "offset": record.offset,
        "offset_kind": record.offset_kind,
        "row_group": record.group,
        "length": record.length,
        "digest": record.digest.hex() if isinstance(record, Record) else None,
    }


def _lost(file: str, record: Record | Damage, result: Rejected) -> dict[str, Any]:
    url = record.url if isinstance(record, Record) else None
    origin = _origin(file, record)
    return {"url": url, "reason": result.reason, "value": result.value, "origin": origin}


def _row(file: str, record: Record | Damage, page: Page) -> dict[str, Any]:
    return {
        "url": record.url if isinstance(record, Record) else None,
        "text": page.text,
        "metadata": {
            **page.declared(),
            "crawled": record.crawled if isinstance(record, Record) else None,
            "charset": page.charset,
            "flaw": page.flaw,
            "page_bytes": page.page_bytes,
        },
        "engine": page.engine,
        "origin": _origin(file, record),
    }
