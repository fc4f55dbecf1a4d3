"""Rules as data: a rule states what must hold for a document to be kept."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Annotated, Any, Literal

from pydantic import Discriminator, Field, Tag, model_validator

from schemas.base import Contract, Name

Operator = Literal[">", ">=", "<", "<=", "==", "!=", "in", "not in"]
Threshold = bool | int | float | str | tuple[str, ...]
Reason = Annotated[Name, Field(description="What a rejection by this rule is called.")]


class Condition(Contract):
    """A comparison: it holds if `signal operator threshold` does."""

    signal: Annotated[str, Field(pattern=r"^(column\.[\w.-]+|[a-z0-9_]+(\.[a-z0-9_]+)+)$")] = Field(
        description="The measured signal, `family.signal`."
    )
    operator: Operator = Field(description="How the signal is compared with the threshold.")
    threshold: Threshold = Field(description="A number, a string, or a list of strings.")

    @model_validator(mode="before")
    @classmethod
    def _is_no_row(cls, value: Any) -> Any:
        if cls is Condition and isinstance(value, dict):
            if "any" in value or "all" in value:
                raise ValueError(
                    "`any` holds conditions and groups `all` of conditions, `all` holds conditions "
                    "and groups `any`, and these hold conditions only: put it that way"
                )
            if "reason" in value:
                raise ValueError("the whole group has one reason, beside it: take this one out")
        return value


class AllOf(Contract):
    """Conditions that must hold together."""

    all: tuple[Condition, ...] = Field(min_length=2, description="The conditions.")


class AnyOf(Contract):
    """Conditions of which one must hold."""

    any: tuple[Condition, ...] = Field(min_length=2, description="The conditions.")


def _kind(group: str, without: str, plain: str) -> Callable[[object], str]:
    """What a row is meant to be, so that only mistakes of that kind are told."""

    def member(value: object) -> str:
        if isinstance(value, Contract):
            return type(value).__name__
        keys = value if isinstance(value, dict) else {}
        return group if "any" in keys else without if "all" in keys else plain

    return member


class Rule(Condition):
    """A row of one condition. A document is kept if it holds."""

    reason: Reason


class AnyRule(Contract):
    """A row of several conditions. A document is kept if one of them holds."""

    any: tuple[
        Annotated[
            Annotated[Condition, Tag("Condition")] | Annotated[AllOf, Tag("AllOf")],
            Discriminator(_kind("Condition", "AllOf", "Condition")),
        ],
        ...,
    ] = Field(min_length=2, description="Conditions, and groups `all` of conditions.")
    reason: Reason


class AllRule(Contract):
    """A row of several conditions. A document is kept if all of them hold."""

    all: tuple[
        Annotated[
            Annotated[Condition, Tag("Condition")] | Annotated[AnyOf, Tag("AnyOf")],
            Discriminator(_kind("AnyOf", "Condition", "Condition")),
        ],
        ...,
    ] = Field(min_length=2, description="Conditions, and groups `any` of conditions.")
    reason: Reason


Row = Rule | AnyRule | AllRule
Group = AllOf | AnyOf
# A condition or a group of them, without what follows from it.
Test = Annotated[
    Annotated[AnyOf, Tag("AnyOf")]
    | Annotated[AllOf, Tag("AllOf")]
    | Annotated[Condition, Tag("Condition")],
    Discriminator(_kind("AnyOf", "AllOf", "Condition")),
]


def conditions(row: Row | Condition | Group) -> Iterator[tuple[str, Condition]]:
    """The conditions of a row, in order, each with its place below the row, such as `any[1]`."""
    if isinstance(row, Condition):
        yield "", row
        return
    key, parts = ("any", row.any) if isinstance(row, AnyRule | AnyOf) else ("all", row.all)
    for number, part in enumerate(parts):
        for place, condition in conditions(part):
            yield f"{key}[{number}]{'.' if place else ''}{place}", condition


class RuleTable(Contract):
    """A named table of rules with its source."""

    name: Name = Field(description="What the table is called.")
    description: str = Field("", description="One or two sentences for a reader.")
    source: str = Field("", description="Where the thresholds come from.")
    rules: tuple[
        Annotated[
            Annotated[Rule, Tag("Rule")]
            | Annotated[AnyRule, Tag("AnyRule")]
            | Annotated[AllRule, Tag("AllRule")],
            Discriminator(_kind("AnyRule", "AllRule", "Rule")),
        ],
        ...,
    ] = Field(min_length=1, description="The rows, in order: a condition or a group, and a reason.")
