"""`filter`: the chain that documents must pass before deduplication."""

from __future__ import annotations

from pydantic import Field

from schemas.chain import Chain


class Filter(Chain):
    """Signals, verdicts, and the signatures of what is kept."""


class NamedChain(Filter):
    """A chain in a file of its own; a recipe's `filter`, or a step `chain`, may name it."""

    description: str = Field("", description="One or two sentences for a reader.")
