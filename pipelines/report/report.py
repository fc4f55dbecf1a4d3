"""Writes the report of a run: `index.html`, one page that needs nothing else, and `report.json`."""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import Sequence
from hashlib import sha256
from importlib import resources
from itertools import groupby
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape

from pipelines.report import formats, plots
from pipelines.report.collect import collect
from pipelines.report.shape import Cost, Report
from pipelines.run import Run
from pipelines.runs.store import Folder


def write_report(run: str, output: str, compare: str | None = None) -> None:
    """Write the report of the run in the folder `run` into the folder `output`, compared with
    another run if one is named.

    Either may be a path or an fsspec URL. A run that is not finished is reported as far as it
    is. Raises Problem if there is no run, nothing is finished, or `output` cannot be written.
    """
    report = collect(Run.open(run), Run.open(compare) if compare else None)
    folder = Folder(output)
    folder.make()
    folder.write_listed({"index.html": to_html(report).encode(), "report.json": to_json(report)})


def to_json(report: Report) -> bytes:
    """The report as stored."""
    return (json.dumps(report, indent=1, ensure_ascii=False, allow_nan=False) + "\n").encode()


def to_html(report: Report) -> str:
    """The page. Every text of the report is escaped; no script but ours can run in it."""
    environment = Environment(
        loader=PackageLoader("pipelines.report", "page"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "breakable": _breakable,
        "bins": plots.bins,
        "range": formats.size_range,
        "tokens": _tokens,
        **{
            name: getattr(formats, name)
            for name in (
                *("count", "plural", "share", "size", "duration", "value", "rate", "must"),
                "decide",
            )
        },
    }
    panels = plots.signals(report["filtering"]) if report["filtering"] else ()
    drawn = plots.numbers(report)
    scripts = [_text("echarts", "echarts.js"), _text("page", "plots.js")]
    samples = [
        *report["kept_samples"],
        *(item for group in report["rejected_samples"] for item in group["samples"]),
    ]
    return environment.get_template("index.html").render(
        report=report,
        bar=plots.bar,
        # of one table they stand together
        tables=[(name, list(own)) for name, own in groupby(panels, lambda it: it[1]["table"])],
        drawn=drawn,
        numbers=_inert(drawn),
        sizes={stage["name"]: stage["bytes"] for stage in report["stages"]},
        choices={
            "source": sorted({item["source"] for item in samples}),
            "language": sorted({item["language"] for item in samples} - {""}),
            "reason": ["kept", *dict.fromkeys(g["reason"] for g in report["rejected_samples"])],
        },
        style=_text("page", "style.css"),
        scripts=scripts,
        policy="; ".join(
            [
                "default-src 'none'",
                "style-src 'unsafe-inline'",
                f"script-src {' '.join(map(_digest, scripts))}",
                "require-trusted-types-for 'script'",
                "trusted-types 'none'",
            ]
        ),
    )


def _text(folder: str, name: str) -> str:
    return resources.files("pipelines.report").joinpath(folder, name).read_text("utf-8")


def _digest(script: str) -> str:
    """As a policy names an inline script, CSP level 3, 6.7.3."""
    return f"'sha256-{b64encode(sha256(script.encode()).digest()).decode()}'"


def _inert(value: Any) -> str:
    """JSON that can stand in a script element: no tag, comment or line of it can end it."""
    text = json.dumps(value, ensure_ascii=True, allow_nan=False, separators=(",", ":"))
    return text.translate({ord(c): f"\\u{ord(c):04x}" for c in "<>&"})


def _tokens(costs: Sequence[Cost]) -> str:
    """Tokens of all sources together; nothing before there are any."""
    known = [cost["tokens"] for cost in costs if cost["tokens"] is not None]
    return formats.count(sum(known)) if known or not costs else "–"


def _breakable(name: str) -> Markup:
    """A name such as a reason, that may go on in the next line after an underscore."""
    return escape(name).replace("_", Markup("_<wbr>"))
