"""`decontaminate`: test sets that are kept out."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from schemas.base import Contract, FolderName, Name


class Decontaminate(Contract):
    """Test items in the texts, by an index of them, and what becomes of these texts."""

    index: FolderName = Field(
        description="Folder of an index that `gristmill decontaminate index` made."
    )
    policy: Literal["drop", "cut", "flag"] = Field(
        "drop",
        description="Of a document with a test item: `drop` it, `cut` the passage out, or `flag`: "
        "leave it, for rules on `contamination.score`.",
    )
    least_words: int = Field(
        50, ge=1, description="A document with fewer words left after a cut is dropped."
    )
    least_score: float = Field(
        1.0,
        gt=0,
        le=1,
        description="Score from which an item is in a document: the part of what must be there of "
        "an item of its length, which is all of a short one.",
    )
    benchmarks: tuple[Name, ...] = Field((), description="Of the index only these; none: all.")
