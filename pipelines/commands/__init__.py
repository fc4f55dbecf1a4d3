"""The commands that do a step on its own; what does the work is imported when it is needed."""

from __future__ import annotations

from pipelines.commands.classifier import add_classifier
from pipelines.commands.dedup import add_dedup, add_plan
from pipelines.commands.extract import add_extract
from pipelines.commands.filter import add_filter
from pipelines.commands.language import add_language
from pipelines.commands.parsing import Add
from pipelines.commands.rules import add_rules


def add_commands(add: Add) -> None:
    """Add `extract`, `filter`, `rules`, `dedup`, `plan`, `language` and `classifier`."""
    add_extract(add)
    add_filter(add)
    add_rules(add)
    add_dedup(add)
    add_plan(add)
    add_language(add)
    add_classifier(add)
