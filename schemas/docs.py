"""The references in Markdown, of recipes and of a run's tables, made from models and schemas by
`python -m schemas.docs`."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa

from schemas.recipe import Recipe
from schemas.shard import shard_schema
from schemas.tables import DESCRIPTION, TABLES

FILE = Path(__file__).with_name("RECIPE.md")
TABLES_FILE = Path(__file__).with_name("TABLES.md")
TABLES_HEAD = """# The tables of a run

*Made from the schemas by `python -m schemas.docs`; do not edit.*

Parquet files below the folder of a run, by where they stand. A column may be null if its type says
so. In the files each column has its meaning as metadata `description`, and the table its name and
version as `gristmill.schema`. Changes are additive: read columns by name.
"""

HEAD = """# The recipe

*Made from the model by `python -m schemas.docs`; do not edit.*

A recipe is one YAML file that decides every output byte of a run. Unknown keys are errors.
`gristmill recipe validate FILE` tells all that is wrong in one go, `gristmill recipe show NAME`
prints a recipe with everything it extends and all defaults, `gristmill recipe schema` prints the
JSON Schema that editors complete and check by.

- `extends: NAME` lays this file over a bundled recipe or another file: mappings are merged, every
  other value is replaced. A mapping with `replace: true`, or marked `!replace`, replaces the
  inherited one as a whole; `null` takes an inherited key out, where null is no value of its own.
  `gristmill recipe show` also tells which file each value is from; `gristmill recipe list` names
  the bundled recipes.
- Paths are taken from the folder of the recipe's file, those of rule tables and chains from the
  folder of the file that names them.
- `gristmill recipe validate` wants the files that it names to be there. YAML reads `yes`, `on`,
  `no` and `off` as true and false: put quotes around words.
- `RUN/recipe.yaml` is the resolved recipe as it ran: rule tables in full, models by digest.
"""


def markdown() -> str:
    """The whole reference: a table of keys for each mapping, with type, default and meaning."""
    schema = Recipe.model_json_schema()
    parts = [HEAD, *_section("Recipe", schema, schema["$defs"], set())]
    return "\n".join(parts).rstrip() + "\n"


def tables() -> str:
    """The columns of all tables of a run, with types and meanings."""
    parts = [TABLES_HEAD]
    shards = {"shards/train, shards/validation": shard_schema(2048, 1 << 16)}
    for where, schema in {**TABLES, **shards}.items():
        says = (schema.metadata or {})[DESCRIPTION].decode()
        parts += [f"\n## {where}\n\n{says}\n", *columns(schema)]
    return "\n".join(parts) + "\n"


def columns(schema: pa.Schema) -> Iterator[str]:
    """A table in Markdown of the columns of a schema; those inside a struct that say what they are
    follow it."""
    yield "| column | type | meaning |\n|---|---|---|"
    for place, item in _columns(schema):
        says = (item.metadata or {}).get(DESCRIPTION, b"").decode()
        kind = f"{item.type.value_type}" if pa.types.is_dictionary(item.type) else _shape(item.type)
        yield f"| `{place}` | {kind}{' or null' if item.nullable else ''} | {says} |"


def _columns(fields: Any, inside: str = "") -> Iterator[tuple[str, pa.Field]]:
    for item in fields:
        place = f"{inside}{item.name}"
        yield place, item
        kind = item.type
        while hasattr(kind, "value_field"):
            kind, place = kind.value_field.type, f"{place}[]"
        if pa.types.is_struct(kind):
            yield from _columns([each for each in kind if each.metadata], f"{place}.")


def _shape(kind: pa.DataType) -> str:
    if hasattr(kind, "value_field"):
        return f"list of {_shape(kind.value_field.type)}"
    return "struct" if pa.types.is_struct(kind) else str(kind)


def _section(
    name: str, entry: dict[str, Any], models: dict[str, Any], seen: set[str]
) -> Iterator[str]:
    seen.add(name)
    yield f"\n## {name}\n\n{' '.join(entry['description'].split())}\n"
    yield "| key | type | default | meaning |\n|---|---|---|---|"
    inner: list[str] = []
    for key, value in entry["properties"].items():
        default = "" if key in entry.get("required", []) else _default(value)
        meaning = " ".join(value.get("description", "").split()).replace("|", "\\|")
        yield f"| `{key}` | {_type(value, inner)} | {default} | {meaning} |"
    for item in inner:
        if item not in seen:
            yield from _section(item, models[item], models, seen)


def _default(value: dict[str, Any]) -> str:
    if "default" not in value:
        return "none"
    text = json.dumps(value["default"], ensure_ascii=False)
    return f"`{text}`" if len(text) <= 60 else "see there"


def _type(value: dict[str, Any], inner: list[str]) -> str:
    """A type in words; names of mappings are collected in `inner`."""
    if "$ref" in value:
        name = value["$ref"].rsplit("/", 1)[1]
        inner.append(name)
        return f"[{name}](#{name.lower()})"
    for key in ("anyOf", "oneOf"):
        if key in value:
            return " or ".join(dict.fromkeys(_type(item, inner) for item in value[key]))
    if "enum" in value or "const" in value:
        choices = value.get("enum", [value.get("const")])
        return " or ".join(f"`{item}`" for item in choices)
    if value.get("type") == "array":
        items = value.get("items", {})
        return f"list of {_type(items, inner)}"
    if value.get("type") == "object":
        patterns = list(value.get("patternProperties", {}).values())
        of = value.get("additionalProperties") or (patterns[0] if patterns else {})
        return f"mapping to {_type(of, inner)}" if isinstance(of, dict) and of else "mapping"
    limits = [
        f"{sign} {value[key]}"
        for key, sign in (
            ("minimum", "≥"),
            ("exclusiveMinimum", ">"),
            ("maximum", "≤"),
            ("exclusiveMaximum", "<"),
        )
        if key in value
    ]
    return " ".join([str(value.get("type", "any")), ", ".join(limits)]).strip()


if __name__ == "__main__":
    for path, text in ((FILE, markdown()), (TABLES_FILE, tables())):
        path.write_text(text, "utf-8")
        sys.stdout.write(f"{path}\n")
