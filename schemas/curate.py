"""`curate`: the chain that survivors of deduplication go through before they are published."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from schemas.chain import Chain, RedactStep, Steps


class Curate(Chain):
    """What is changed in the survivors, and by which rules they are tested again.

    If `deduplicate.spans` finds spans and no step `cut` is here, `cut: {}` is put in front.
    """

    SECTION: ClassVar[str] = "curate"

    chain: Steps = Field(
        (RedactStep(redact=("EMAIL_ADDRESS", "IP_ADDRESS")),),
        description="Steps in order, as in `filter`.",
    )
