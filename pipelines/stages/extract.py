"""extract: splits of the input -> documents and rejections.

A task reads the records that start in its split; each becomes a document or a rejection.
"""

from __future__ import annotations

from collections import Counter
from functools import cache
from typing import TYPE_CHECKING, Any

from curation.extraction import Rejected, extract
from curation.keys import document_id
from curation.readers import Record
from curation.readers.warc import read_warc
from pipelines.mill import Mill
from pipelines.receipts import Attempt, Receipt, Task
from pipelines.splits import open_split
from pipelines.steps import Context, Manifest
from schemas.recipe import Recipe
from schemas.tables import DOCUMENT, REJECTION

if TYPE_CHECKING:
    from curation.language import Languages

VERSION = 1
LIBRARIES = ("fastwarc", "fasttext", "lxml", "trafilatura")

# Pages whose languages are named by one call.
MICRO_BATCH = 64


def relevant(recipe: Recipe) -> Any:
    """What of the recipe decides this stage's output, besides its splits."""
    return [
        recipe.extract.model_dump(mode="json", exclude={"language_model": {"file"}}),
        [[item.source, item.snapshot, item.format] for item in recipe.inputs],
    ]


def run(mill: Mill, step: str, mark: str) -> Manifest:
    """Extract every split."""
    return mill.do(step, extract_split, mill.plan(step, mark, lambda: mill.splits))


@cache
def _languages(path: str) -> Languages:
    from curation.language import Languages

    return Languages(path)


def extract_split(context: Context, step: str, task: Task) -> Receipt:
    """Read the records of a split, find their main text and its language."""
    recipe = context.recipe
    item, root = open_split(recipe, task)
    languages = _languages(str(context.model(str(recipe.extract.language_model.sha256))))
    name = str(task.spec["file"])
    rejected: Counter[str] = Counter()
    records = text_bytes = 0
    waiting: list[dict[str, Any]] = []

    with Attempt(context.run, step, task.key) as attempt:
        documents = attempt.writer(
            "documents", DOCUMENT, dictionary=("source", "snapshot", "language", "charset", "file")
        )
        rejections = attempt.writer(
            "rejections", REJECTION, dictionary=("source", "reason", "value", "file")
        )

        def flush() -> None:
            found = languages.identify([row["text"] for row in waiting])
            for row, (code, score) in zip(waiting, found, strict=True):
                row["language"], row["language_score"] = code, score
            documents.write(waiting)
            waiting.clear()

        with root.open(name) as stream:
            for record in read_warc(
                stream,
                task.spec["start"],
                task.spec["end"],
                max_record_bytes=_record_limit(recipe),
            ):
                records += 1
                row: dict[str, Any] = {
                    "id": document_id(item.source, name, record.offset, record.offset_kind),
                    "source": item.source,
                    "url": None,
                    "file": name,
                    "offset": record.offset,
                    "length": record.length,
                }
                if isinstance(record, Record):
                    row["url"] = record.url
                result = extract(record, recipe.extract)
                if isinstance(result, Rejected):
                    rejected[result.reason] += 1
                    rejections.write([{**row, "reason": result.reason, "value": result.value}])
                    continue
                text_bytes += len(result.text.encode())
                waiting.append(
                    {
                        **row,
                        "snapshot": item.snapshot,
                        "crawled": record.crawled if isinstance(record, Record) else None,
                        "text": result.text,
                        "title": result.title,
                        "author": result.author,
                        "published": result.published,
                        "charset": result.charset,
                        "page_bytes": result.page_bytes,
                    }
                )
                if len(waiting) == MICRO_BATCH:
                    flush()
        if waiting:
            flush()
        kept = records - rejected.total()
        return attempt.commit(records, kept, rejected, {"bytes": text_bytes})


def _record_limit(recipe: Recipe) -> int:
    """Bytes of a record that are read at all: a page and its headers, before decoding."""
    return 2 * recipe.extract.max_page_bytes + (1 << 20)
