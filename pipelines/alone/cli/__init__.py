"""The commands that do a step on its own; what does the work is imported when it is needed."""

from __future__ import annotations

from pipelines.alone.cli.classifier import add_classifier
from pipelines.alone.cli.dedup import add_dedup, add_plan
from pipelines.alone.cli.extract import add_extract
from pipelines.alone.cli.judge import add_judge
from pipelines.alone.cli.language import add_language
from pipelines.alone.cli.rules import add_rules
from pipelines.commands import Add


def add_commands(add: Add) -> None:
    """Add `extract`, `judge`, `rules`, `dedup`, `plan`, `language` and `classifier`."""
    add_extract(add)
    add_judge(add)
    add_rules(add)
    add_dedup(add)
    add_plan(add)
    add_language(add)
    add_classifier(add)
