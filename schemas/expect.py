"""`expect`: what a run must come to, so that a snapshot that is unlike the others is noticed."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from schemas.base import Contract, Name


def _ordered(value: tuple[float | None, float | None]) -> tuple[float | None, float | None]:
    least, most = value
    if least is not None and most is not None and least > most:
        raise ValueError(f"the least, {least:g}, is above the most, {most:g}")
    return value


Range = Annotated[tuple[float | None, float | None], AfterValidator(_ordered)]
Stage = Literal["extract", "filter", "deduplicate", "curate"]


class Expect(Contract):
    """Ranges `[least, most]`, ends included; null leaves an end open. A run ends after the stage
    that is out of one. They decide nothing else: with other ranges the same run goes on."""

    survival: dict[Stage, Range] = Field(
        default_factory=dict, description="Share of its records that a stage keeps."
    )
    reasons: dict[Stage, dict[Name, Range]] = Field(
        default_factory=dict,
        description="Share of its records that a stage rejects for a reason, the first of each.",
    )
    quarantined: float = Field(
        0.001,
        ge=0,
        le=1,
        description="Most of a stage's records that may be left out because they end the process "
        "that works on them. One may in any case.",
    )
    tokens: dict[Name, Range] = Field(
        default_factory=dict,
        description="Tokens of a source's curated text, before the mixture takes its share.",
    )
