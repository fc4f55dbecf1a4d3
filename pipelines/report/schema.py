"""The JSON Schema of `report.json`, made from its types by `python -m pipelines.report.schema`."""

from __future__ import annotations

import json
from importlib import resources

from pydantic import TypeAdapter

from pipelines.report.shape import SCHEMA, Report

FILE = resources.files("pipelines.report").joinpath("report.schema.json")


def to_json() -> str:
    """The schema as published."""
    schema = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": SCHEMA,
        **TypeAdapter(Report).json_schema(),
    }
    return json.dumps(schema, indent=1, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    with resources.as_file(FILE) as path:
        path.write_text(to_json(), "utf-8")
