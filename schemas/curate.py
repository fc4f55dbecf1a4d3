"""`curate`: what is changed in the text of the survivors."""

from __future__ import annotations

from pydantic import Field

from schemas.base import Contract


class Curate(Contract):
    """What is changed in the survivors before they are published or tokenized."""

    least_words: int = Field(
        50,
        ge=1,
        description="A document that `deduplicate.spans` leaves fewer words of is rejected as "
        "`cut_short`; FineWeb's 50. Words as deduplication counts them: a character is one in the "
        "scripts without spaces.",
    )
    pii: tuple[str, ...] = Field(
        ("EMAIL_ADDRESS", "IP_ADDRESS"), description="Kinds of personal data to replace."
    )
