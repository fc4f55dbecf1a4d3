"""The reference of recipes in Markdown, made from the model: `python -m schemas.docs`."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from schemas.recipe import Recipe

FILE = Path(__file__).with_name("RECIPE.md")

HEAD = """# The recipe

*Made from the model by `python -m schemas.docs`; do not edit.*

A recipe is one YAML file that decides every output byte of a run. Unknown keys are errors.
`gristmill recipe validate FILE` tells all that is wrong in one go, `gristmill recipe show NAME`
prints a recipe with everything it extends and all defaults, `gristmill recipe schema` prints the
JSON Schema that editors complete and check by.

- `extends: NAME` lays this file over a bundled recipe or another file: mappings are merged, every
  other value is replaced. `gristmill recipe list` names the bundled ones.
- Paths are taken from the folder of the recipe's file.
- `RUN/recipe.yaml` is the resolved recipe as it ran: rule tables in full, models by digest.
"""


def markdown() -> str:
    """The whole reference: a table of keys for each mapping, with type, default and meaning."""
    schema = Recipe.model_json_schema()
    parts = [HEAD, *_section("Recipe", schema, schema["$defs"], set())]
    return "\n".join(parts).rstrip() + "\n"


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
    FILE.write_text(markdown(), "utf-8")
    sys.stdout.write(f"{FILE}\n")
