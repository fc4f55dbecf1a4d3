"""Rules as data: a rule states what must hold for a document to be kept."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

Operator = Literal[">", ">=", "<", "<=", "==", "!=", "in", "not in"]
Threshold = bool | int | float | str | tuple[str, ...]
Name = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_.-]*$")]


class Contract(BaseModel):
    """Base of everything that is read from a user's file: unknown keys are errors."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Rule(Contract):
    """One row of a rule table. A document is kept if `signal operator threshold` holds."""

    signal: Annotated[str, Field(pattern=r"^[a-z0-9_]+(\.[a-z0-9_]+)+$")] = Field(
        description="The measured signal, `family.signal`."
    )
    operator: Operator = Field(description="How the signal is compared with the threshold.")
    threshold: Threshold = Field(description="A number, a string, or a list of strings.")
    reason: Name = Field(description="What a rejection by this rule is called.")


class RuleTable(Contract):
    """A named table of rules with its source."""

    name: Name = Field(description="What the table is called.")
    description: str = Field("", description="One or two sentences for a reader.")
    source: str = Field("", description="Where the thresholds come from.")
    rules: tuple[Rule, ...] = Field(min_length=1, description="The rows, in order.")
