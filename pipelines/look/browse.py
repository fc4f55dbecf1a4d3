"""Documents of a run to browse: pages of rows by an SQL expression, and each with its story."""

from __future__ import annotations

from typing import Any

from pipelines.look import why
from pipelines.look.display import excerpt, line, visible
from pipelines.look.query import TABLES, query
from pipelines.run import Run
from schemas.problems import Problem

ROWS = 500  # of a page
_CHARACTERS = 20_000  # of a text
_SHARED = "id, source, url, kind, format, language"  # columns of signals that documents have too
SHOWN = ("id", "source", "host", "language", "fate", "title")


def documents(run: Run, where: str = "", skip: int = 0, rows: int = ROWS) -> list[dict[str, Any]]:
    """Documents for which an SQL expression holds, all if it is empty: SHOWN of each, by id.

    The expression may name the columns of `documents` and `signals`, and the `stage` and `reason`
    of a rejection. Personal data in titles is replaced. Raises Problem for a wrong expression.
    """
    found = query(run, f"SELECT {_SELECTED} FROM ({_pages(run)}) WHERE ({where or 'true'}\n) "  # noqa: S608 - it can only read the run
                  f"ORDER BY id LIMIT {rows:d} OFFSET {skip:d}")  # fmt: skip
    return [{**row, "title": line(row["title"], 80)} for row in found.read_all().to_pylist()]


def count(run: Run, where: str = "") -> int:
    """How many documents there are for which an expression holds."""
    asked = f"SELECT count(*) AS n FROM ({_pages(run)}) WHERE ({where or 'true'}\n)"  # noqa: S608
    return int(query(run, asked).read_all()["n"][0].as_py())


_SELECTED = "id, source, host, language, coalesce(stage || ': ' || reason, 'kept') AS fate, title"


def _pages(run: Run) -> str:
    """Documents with their signals and what rejected them, as far as the run is."""
    if "extract" not in run.stages:
        raise Problem("has read nothing yet", run.folder.url)
    there = TABLES["signals"].needs in run.stages
    signals = f"s.* EXCLUDE ({_SHARED})," if there else ""
    join = "JOIN signals s ON d.id = s.id" if there else ""
    chosen = f"SELECT d.*, {signals} r.stage, r.reason, r.representative"
    return f"{chosen} FROM documents d {join} LEFT JOIN rejections r ON d.id = r.id"


def condition(where: str = "", reason: str = "", source: str = "", domain: str = "") -> str:
    """An expression of these together."""
    parts = [f"({where})"] if where else []
    for name, value in (("reason", reason), ("source", source)):
        if value:
            parts.append(f"{name} = {_quoted(value)}")
    if domain:
        host = domain.lower()
        parts.append(f"(host = {_quoted(host)} OR ends_with(host, {_quoted('.' + host)}))")
    return " AND ".join(parts)


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def detail(run: Run, id_: str, *, raw: bool = False) -> str:
    """The story of a document and its text; without personal data unless `raw`. Nothing in it does
    anything to a terminal."""
    (told,) = why.stories(run, id_)
    try:
        text = why.text_of(run, told)
    except Problem as problem:
        text = str(problem)
    shown = visible(text) if raw else excerpt(text, _CHARACTERS)[0]
    story = why.tell(told)
    head, _, rest = story.partition("\n\n")
    if not raw:
        head, rest = (excerpt(part, len(story) + _CHARACTERS)[0] for part in (head, rest))
    return f"{head}\n\n{shown}\n\n{rest}"
