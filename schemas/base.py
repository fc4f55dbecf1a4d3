"""Base types for files that users write: strict mappings, names, model files."""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, field_validator, model_validator

from schemas.secrets import without_secret

MEBIBYTE = 1 << 20

Name = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_.-]*$")]
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
# As the language model writes it, `en`, or GlotLID's `eng_Latn`: which there are is checked there.
Language = Annotated[str, Field(pattern=r"^[a-z]{2,8}([-_][A-Za-z0-9]{2,8})*$")]
Fraction = Annotated[float, Field(ge=0, le=1)]


class Contract(BaseModel):
    """Base of everything that is read from a user's file: unknown keys are errors."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class ModelFile(Contract):
    """A file of a model or a list: a bundled name, a path, or a URL with its checksum."""

    file: str = Field(
        description="`lid.176.ftz` (bundled), a path (relative to the recipe's folder), or a URL."
    )
    sha256: Sha256 | None = Field(
        None, description="Checksum of the file. A URL must have one; a path may."
    )

    _no_secret = field_validator("file")(without_secret)

    @model_validator(mode="after")
    def _url_has_checksum(self) -> Self:
        if "://" in self.file and self.sha256 is None:
            raise ValueError("a URL needs `sha256`, the checksum of the file it must bring")
        return self


class ModelFolder(Contract):
    """A folder of a model or an index; a path alone says the same."""

    folder: str = Field(
        description="A path (relative to the recipe's folder), or the name of an installed package "
        "that holds it. A run keeps a copy."
    )
    sha256: Sha256 | None = Field(
        None, description="Digest of its files' names and checksums. Set when a run begins."
    )


FolderName = Annotated[
    ModelFolder,
    BeforeValidator(
        lambda value: {"folder": value} if isinstance(value, str) else value,
        json_schema_input_type=ModelFolder | str,
    ),
]
