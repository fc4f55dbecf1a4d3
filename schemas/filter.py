"""`filter`: the chain that documents must pass before deduplication."""

from __future__ import annotations

from pydantic import Field

from schemas.base import Fraction, Language
from schemas.chain import Chain, LanguagesStep, Step


class Filter(Chain):
    """Signals, verdicts, and the signatures of what is kept."""

    languages: dict[Language, Fraction] = Field(
        default_factory=dict,
        description="Languages to keep, each with the score it must exceed: a first step "
        "`languages` for all documents. Empty keeps all.",
    )

    def steps(self) -> list[tuple[str, Step]]:
        """All steps in order, each with its path in the recipe; `languages` is the first."""
        first = LanguagesStep(languages=self.languages) if self.languages else None
        return [*([(f"{self.SECTION}.languages", first)] if first else []), *super().steps()]


class NamedChain(Filter):
    """A chain in a file of its own; a recipe's `filter` may name it."""

    description: str = Field("", description="One or two sentences for a reader.")
