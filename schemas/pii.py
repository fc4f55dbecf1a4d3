"""`redact`: what personal data is looked for, and what becomes of it."""

from __future__ import annotations

import re
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from schemas.base import Contract, FolderName, Name, Sha256

Policy = Literal["stand_in", "placeholder", "fake", "hash", "keep"]


def _compiles(regex: str) -> str:
    try:
        re.compile(regex)
    except re.error as error:
        raise ValueError(f"is no regular expression of Python: {error}") from None
    return regex


class PiiPattern(Contract):
    """A type of personal data of your own."""

    type: str = Field(pattern=r"^[A-Z][A-Z0-9_]*$", description="Its name: `EMPLOYEE_ID`.")
    regex: Annotated[str, AfterValidator(_compiles)] = Field(
        description="Python's regular expression of a value."
    )
    words: tuple[str, ...] = Field(
        (), description="Of which one must stand in the 60 characters before it; none: anywhere."
    )
    score: float = Field(1.0, gt=0, le=1, description="Where two overlap, the higher is taken.")


class PiiNames(Contract):
    """A model that finds people's names and addresses."""

    model: FolderName = Field(
        description="Folder of a spaCy pipeline or of a transformers model for token "
        "classification, or the name of an installed spaCy package."
    )
    types: tuple[Literal["PERSON", "LOCATION", "ORGANIZATION", "NRP"], ...] = Field(
        ("PERSON", "LOCATION"), min_length=1, description="What is taken of what it finds."
    )


class PiiKey(Contract):
    """Where the key of `hash` is; it never stands in a recipe or a run, its digest does."""

    file: str | None = Field(None, description="A file whose bytes are the key.")
    variable: str | None = Field(None, description="An environment variable that holds the key.")
    sha256: Sha256 | None = Field(
        None,
        description="The key's digest: a worker with another key stops. Set when a run begins.",
    )

    @model_validator(mode="after")
    def _one(self) -> Self:
        if (self.file is None) == (self.variable is None):
            raise ValueError("give `file` or `variable`")
        return self


class PiiPolicies(Contract):
    """What becomes of what is found."""

    policy: Policy = Field(
        "stand_in",
        description="`stand_in`: one fixed value of the type that is nobody's, "
        "`email@example.com`; `placeholder`: `<EMAIL_ADDRESS>`; `fake`: a value that is nobody's "
        "and the same wherever the found one stands; `hash`: `<EMAIL_ADDRESS:...>` by a key; "
        "`keep`: found, counted, left. A type that no range is reserved for becomes its "
        "placeholder instead of a stand-in or a fake.",
    )
    policies: dict[str, Policy] = Field({}, description="By type, where it is another.")
    drop_above: int | None = Field(
        None,
        ge=0,
        description="Drop a document with more findings than these, as `personal_data`.",
    )


class Redact(PiiPolicies):
    """Personal data: what is looked for, and what becomes of it."""

    types: tuple[str, ...] = Field(
        ("EMAIL_ADDRESS", "IP_ADDRESS"), description="Types to look for, by Presidio's names."
    )
    patterns: tuple[PiiPattern, ...] = Field((), description="Types of your own.")
    names: PiiNames | None = Field(None, description="People's names and addresses, by a model.")
    key: PiiKey | None = Field(None, description="Of the policy `hash`.")
    sources: dict[Name, PiiPolicies] = Field({}, description="Policies of some sources.")

    def every_type(self) -> tuple[str, ...]:
        """All types that are looked for: known ones, of patterns, and of names."""
        own = (one.type for one in self.patterns)
        names = self.names.types if self.names else ()
        return tuple(dict.fromkeys((*self.types, *own, *names)))

    @model_validator(mode="after")
    def _hash_has_key(self) -> Self:
        every: list[PiiPolicies] = [self, *self.sources.values()]
        hashes = any("hash" in (each.policy, *each.policies.values()) for each in every)
        if hashes and self.key is None:
            raise ValueError("the policy `hash` needs `key`, a file or variable that holds it")
        return self
