"""Writes the report of a run: `index.html`, one page that needs nothing else, and `report.json`."""

from __future__ import annotations

import json
from importlib import resources
from itertools import groupby
from operator import itemgetter

from jinja2 import Environment, StrictUndefined
from markupsafe import Markup, escape

from pipelines.report import formats, plots
from pipelines.report.collect import collect
from pipelines.report.shape import Report
from pipelines.run import Run
from pipelines.runs.store import Folder


def write_report(run: str, output: str) -> None:
    """Write the report of the run in the folder `run` into the folder `output`.

    Either may be a path or an fsspec URL. A run that is not finished is reported as far as it
    is. Raises Problem if there is no run, nothing is finished, or `output` cannot be written.
    """
    report = collect(Run.open(run))
    folder = Folder(output)
    folder.make()
    folder.write_listed({"index.html": to_html(report).encode(), "report.json": to_json(report)})


def to_json(report: Report) -> bytes:
    """The report as stored."""
    return (json.dumps(report, indent=1, ensure_ascii=False, allow_nan=False) + "\n").encode()


def to_html(report: Report) -> str:
    """The page. Every text of the report is escaped."""
    page = resources.files("pipelines.report").joinpath("page.html").read_text("utf-8")
    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters["breakable"] = _breakable
    environment.filters.update(
        {
            name: getattr(formats, name)
            for name in ("count", "plural", "share", "size", "duration", "value", "must", "decide")
        }
    )
    panels = report["filtering"]["panels"] if report["filtering"] else []
    # of one table they stand together
    tables = [(name, list(own)) for name, own in groupby(panels, itemgetter("table"))]
    return environment.from_string(page).render(report=report, plots=plots, tables=tables)


def _breakable(name: str) -> Markup:
    """A name such as a reason, that may go on in the next line after an underscore."""
    return escape(name).replace("_", Markup("_<wbr>"))
