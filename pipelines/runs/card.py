"""The card of a curated text: a `README.md` by which Hugging Face's `datasets` loads it, and that
says what is in it and how it was made."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from importlib.metadata import version
from typing import Any

import pyarrow as pa
import yaml

from pipelines.runs.steps import Context
from schemas.docs import columns

NAME = "README.md"
ALL = "default"
# Arrow's names of types, where Hugging Face has others
_TYPES = {"double": "float64", "float": "float32", "halffloat": "float16"}
_SIZES = (1_000, 10_000, 100_000, 10**6, 10**7, 10**8, 10**9, 10**10, 10**11, 10**12)
_MADE_BY = ("extract", "filter", "deduplicate", "curate")


def markdown(
    context: Context,
    schema: pa.Schema,
    files: Mapping[str, str],
    sources: Collection[str] | None = None,
) -> str:
    """The card of the curated text of a run, or of some of its sources.

    `files`: a pattern by configuration: ALL, or the label of a source.
    """
    counts = _Counts(context, sources)
    recipe = context.recipe
    features = [{"name": item.name, **_feature(item.type)} for item in schema]
    head = {
        "pretty_name": recipe.name,
        "language": sorted(filter(None, counts.languages)),
        "license": sorted({name.lower() for name in counts.licences if name}) or ["unknown"],
        "size_categories": [_size(counts.documents.total())],
        "tags": ["gristmill"],
        "configs": [
            {"config_name": name, "data_files": [{"split": "train", "path": pattern}]}
            for name, pattern in files.items()
        ],
        "dataset_info": [
            {
                "config_name": name,
                "features": features,
                "splits": [{"name": "train", "num_examples": counts.rows(name)}],
            }
            for name in files
        ],
    }
    made = {name: recipe.model_dump(mode="json")[name] for name in _MADE_BY}
    # where runs stand is nobody's business
    against = [url.rstrip("/").rpartition("/")[2] for url in recipe.deduplicate.against]
    made["deduplicate"]["against"] = against
    parts = [
        f"---\n{_yaml(head)}---\n\n# {recipe.name}",
        " ".join(recipe.description.split()),
        f"{counts.documents.total():,} documents with {counts.bytes.total():,} bytes of text, "
        f"curated by gristmill {version('gristmill')}.",
        _table(("Source", "Documents", "Bytes"), (counts.documents, counts.bytes)),
        _table(("Licence", "Documents"), (counts.licences,), "none given"),
        _table(("Language", "Documents"), (counts.languages,), "not named"),
        "## Personal data",
        _table(("Replaced in the run", "Times"), (counts.replaced,))
        if counts.replaced
        else "None was replaced.",
        "## Columns",
        "\n".join(columns(schema)),
        "## Recipe",
        f"Seed {recipe.seed}. <details><summary>What decided each text</summary>\n\n"
        f"```yaml\n{_yaml(made)}```\n\n</details>",
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


class _Counts:
    """Documents and bytes by source, and documents by licence and language, from receipts."""

    def __init__(self, context: Context, sources: Collection[str] | None) -> None:
        self.documents: Counter[str] = Counter()
        self.bytes: Counter[str] = Counter()
        self.languages: Counter[str] = Counter()
        self.licences: Counter[str] = Counter()
        self.replaced: Counter[str] = Counter()
        for receipt in context.receipts("curate"):
            for source, named in receipt.counts["named"].items():
                if sources is None or source in sources:
                    self.documents[source] += sum(named["languages"].values())
                    self.bytes[source] += receipt.counts["bytes"][source]
                    self.languages.update(named["languages"])
                    self.licences.update(named["licences"])
        for stage in ("filter", "curate"):
            for receipt in context.receipts(stage):
                for kind, own in receipt.counts["pii"].items():
                    self.replaced[kind] += own["replaced"]
        self.replaced = +self.replaced  # what was looked for and not found is none

    def rows(self, name: str) -> int:
        """Rows of a configuration."""
        return self.documents.total() if name == ALL else self.documents[name]


def _feature(kind: pa.DataType) -> dict[str, Any]:
    """A type as Hugging Face's `dataset_info` has it."""
    if pa.types.is_struct(kind):
        return {"struct": [{"name": item.name, **_feature(item.type)} for item in kind]}
    if pa.types.is_list(kind):
        return {"list": next(iter(_feature(kind.value_type).values()))}
    return {"dtype": _TYPES.get(str(kind), str(kind))}


def _size(rows: int) -> str:
    """Hugging Face's category of a number of rows."""
    if rows < _SIZES[0]:
        return "n<1K"
    names = ("1K", "10K", "100K", "1M", "10M", "100M", "1B", "10B", "100B", "1T")
    at = sum(rows >= size for size in _SIZES) - 1
    return f"n>{names[at]}" if at == len(names) - 1 else f"{names[at]}<n<{names[at + 1]}"


def _table(head: Sequence[str], counted: Sequence[Mapping[str, int]], unnamed: str = "") -> str:
    """Counts side by side, the most frequent first, as a table in Markdown."""
    rows = sorted(counted[0], key=lambda name: (-counted[0][name], name))
    lines = [f"| {' | '.join(head)} |", f"|---{'|---:' * len(counted)}|"]
    for name in rows:
        numbers = " | ".join(f"{each[name]:,}" for each in counted)
        lines.append(f"| {f'`{name}`' if name else unnamed} | {numbers} |")
    return "\n".join(lines) if rows else ""


def _yaml(value: Any) -> str:
    return str(yaml.safe_dump(value, sort_keys=False, allow_unicode=True, width=100))
