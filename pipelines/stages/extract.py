"""extract: splits of the input -> documents and rejections.

A task reads the records that start in its split; each becomes a document or a rejection.
"""

from __future__ import annotations

import atexit
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import TYPE_CHECKING, Any

from curation.extraction import NOT_A_PAGE, Extractor, Page, Rejected
from curation.extraction.sandbox import Sandbox
from curation.readers import Damage, Record
from curation.urls import Blocked, Kind, read_list
from pipelines.recipes.saving import read_saved
from pipelines.runs import rejections, takedowns
from pipelines.runs.events import Warned
from pipelines.runs.mill import Mill
from pipelines.runs.quarantine import Care
from pipelines.runs.receipts import Attempt, Receipt, Task
from pipelines.runs.splits import input_of
from pipelines.runs.steps import Context, Manifest, by_digest, model_path
from pipelines.runs.store import Folder
from pipelines.stages import inherit
from schemas.extract import Extract
from schemas.inputs import Format, Input
from schemas.recipe import Recipe
from schemas.tables import DOCUMENT, with_columns

if TYPE_CHECKING:
    from curation.language import Languages

VERSION = 9
LIBRARIES = (
    *("fastwarc", "fasttext", "lxml", "onnxruntime", "resiliparse", "selectolax"),
    "trafilatura",
)

# The lists of addresses that a recipe can name, and what their entries are.
LISTS: dict[str, Kind] = {
    "domains": "domains",
    "urls": "urls",
    "words": "words",
    "soft_words": "words",
    "substrings": "substrings",
}
# Pages whose languages are named by one call.
MICRO_BATCH = 64


def relevant(recipe: Recipe) -> Any:
    """What of the recipe decides this stage's output, besides its splits."""
    return [
        by_digest(recipe.extract.model_dump(mode="json")),
        [
            item.model_dump(
                mode="json", include={"source", "snapshot", "format", "reader", "columns", "kind"}
            )
            for item in recipe.inputs
        ],
        {key: mark for key, mark in recipe.code.items() if key.split()[0] in ("reader", "engine")},
    ]


def run(mill: Mill, step: str, mark: str) -> Manifest:
    """Extract every split."""
    tasks = mill.plan(step, mark, lambda: mill.splits)
    inherit.take_over(mill.context, step, tasks)
    manifest = mill.do(step, extract_split, tasks)
    mistyped: Counter[str] = Counter()
    for receipt in mill.context.receipts(step):
        mistyped.update(receipt.counts["mistyped"])
    for name, count in sorted(mistyped.items()):
        kind = mill.context.recipe.kept_columns()[name]
        mill.listener(
            Warned(
                f"{count:,} documents have a `{name}` that is no {kind}, and is null now",
                f"columns.keep.{name}",
                "give its type there",
            )
        )
    return manifest


@cache
def _languages(run: str, options: str) -> Languages | None:
    from curation.language import languages_of

    return languages_of(
        Extract.model_validate_json(options),
        lambda model: model_path(Folder(run), str(model.sha256)),
    )


# Sandboxes that wait for the next task of this process: a child takes a second to start.
_idle: dict[str, list[Sandbox]] = {}


@atexit.register
def _close_idle() -> None:
    """End the children with their parent, which waits for them."""
    for box in (box for waiting in _idle.values() for box in waiting):
        box.close()


@contextmanager
def _sandbox(context: Context) -> Iterator[Sandbox]:
    """A sandbox for the recipe's options, of one child; after an error it is not used again."""
    key = context.recipe.extract.model_dump_json()
    waiting = _idle.setdefault(key, [])
    box = waiting.pop() if waiting else Sandbox(extractor(context))
    try:
        yield box
    except BaseException:
        box.close()
        raise
    waiting.append(box)


def extractor(context: Context) -> Extractor:
    """The cascade for the recipe's options, with the run's copies of its lists and model."""
    options = context.recipe.extract
    lists = {name: _entries(context, name, kind) for name, kind in LISTS.items()}
    blocked = Blocked(**lists, soft_words_allowed=options.block.soft_words_allowed)
    return Extractor(
        options,
        blocked if any(lists.values()) else None,
        _model(context) if options.languages else None,
    )


def _entries(context: Context, name: str, kind: Kind) -> list[str]:
    """The entries of all files of one of the recipe's lists."""
    files = getattr(context.recipe.extract.block, name)
    paths = [context.model(str(file.sha256)) for file in files]
    return [entry for path in paths for entry in read_list(path, kind)]


def _model(context: Context) -> Languages | None:
    return _languages(context.run.url, context.recipe.extract.model_dump_json())


def extract_split(context: Context, step: str, task: Task) -> Receipt:
    """Read the records of a split, find their main text and its language."""
    if context.recipe.code:  # also of later stages: what a worker lacks is told before any work
        from curation import own

        own.check(context.recipe.code)
    item = input_of(context.recipe, task)
    languages = _model(context)
    rejected: Counter[str] = Counter()
    noted: dict[str, Counter[str]] = {name: Counter() for name in _NOTED}
    formats = {piece["file"]: piece.get("format") for piece in task.spec["ranges"]}
    records = text_bytes = 0
    waiting: list[dict[str, Any]] = []

    with (
        Attempt(context.run, step, task.key) as attempt,
        Care(context, step, task) as care,
        _sandbox(context) as sandbox,
    ):
        columns = context.recipe.kept_columns()
        documents = attempt.writer(
            "documents", with_columns(DOCUMENT, columns), dictionary=_REPEATED
        )
        lost = rejections.writer(attempt, "value")

        def flush() -> None:
            if languages:
                found = languages.identify([row["text"] for row in waiting])
                for row, (code, score) in zip(waiting, found, strict=True):
                    row["language"], row["language_score"] = code, score
            documents.write(waiting)
            waiting.clear()

        gone = _taken_down(context)
        for name, record, result in sandbox.extract(care.read()):
            records += 1
            if gone and rejections.origin(item, name, record)["id"] in gone:
                result = Rejected(takedowns.REASON, None)
            if isinstance(result, Rejected):
                rejected[result.reason] += 1
                if result.reason == NOT_A_PAGE:
                    noted["others"][result.value if result.value in _KINDS else "other"] += 1
                why = (result.reason, result.value)
                lost.write([rejections.of_record("extract", item, name, record, *why)])
                continue
            text_bytes += len(result.text.encode())
            _note(noted, result)
            if isinstance(record, Record):
                noted["mistyped"].update(record.mistyped)
            waiting.append(_document(item, name, formats[name], record, result))
            if len(waiting) == MICRO_BATCH:
                flush()
        if waiting:
            flush()
        counts = {
            "bytes": text_bytes,
            **{name: dict(sorted(counted.items())) for name, counted in noted.items()},
        }
        return attempt.commit(records, records - rejected.total(), rejected, counts)


def _taken_down(context: Context) -> frozenset[str]:
    """Ids of documents that were taken out of this run or out of its parents."""
    found, home = takedowns.documents(context.run), context.recipe.parent
    while home is not None and Folder(home).exists("recipe.yaml"):
        found |= takedowns.documents(Folder(home))
        home = read_saved(Folder(home)).parent
    return found


_NOTED = ("flaws", "opt_outs", "licences", "mistyped", "others")
# records of WARC files that hold no page
_KINDS = frozenset({"request", "metadata", "warcinfo", "revisit", "continuation"})
_REPEATED = (
    *("source", "snapshot", "kind", "format", "language", "declared_language", "engine"),
    *("charset", "file"),
)


def _document(
    item: Input,
    name: str,
    format: Format,  # noqa: A002
    record: Record | Damage,
    page: Page,
) -> dict[str, Any]:
    if isinstance(record, Record) and record.format:
        format = record.format  # noqa: A001 - of a member of an archive
    return {
        **rejections.origin(item, name, record),
        "snapshot": item.snapshot,
        "crawled": record.crawled if isinstance(record, Record) else None,
        "text": page.text,
        **(record.kept if isinstance(record, Record) else {}),
        "user_id": record.user_id if isinstance(record, Record) else None,
        "kind": item.kind_of(format),
        "format": format,
        **page.declared(),
        "engine": page.engine,
        "charset": page.charset,
        "flaw": page.flaw,
        "page_bytes": page.page_bytes,
    }


def _note(noted: dict[str, Counter[str]], page: Page) -> None:
    """Count what is worth knowing of a page that is kept."""
    if page.flaw:
        noted["flaws"][page.flaw] += 1
    noted["opt_outs"].update(page.opt_outs)
    # names that are known; of addresses there can be as many as pages
    noted["licences"].update({"other" if "://" in name else name for name in page.licences})
