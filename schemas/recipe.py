"""The recipe: everything that decides an output byte, as one YAML file.

Its sections stand in modules of their names, which check their shape. Names of rule tables, edits
and signals are resolved in `pipelines.recipes`, which knows what exists.
"""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import BeforeValidator, Field, model_validator

from schemas.base import Contract, Name
from schemas.curate import Curate
from schemas.deduplicate import Deduplicate
from schemas.engine import EngineSettings
from schemas.expect import Expect
from schemas.extract import Extract
from schemas.filter import Filter
from schemas.inputs import ColumnType, Input, Splits
from schemas.mix import Mix
from schemas.tables import RESERVED
from schemas.tokenizer import Tokenizer, TrainTokenizer


class Recipe(Contract):
    """A whole run: from input files to training shards."""

    name: Name = Field(description="What the recipe is called.")
    description: str = Field("", description="One or two sentences for a reader.")
    parent: str | None = Field(
        None, description="Folder of a run whose equal stages are used instead of run again."
    )
    seed: int = Field(1, ge=0, description="Seed of every keyed hash: sampling, holdout, order.")
    inputs: tuple[Input, ...] = Field(
        (), description="What is read. A run needs some: here, or given when it is begun."
    )
    limit: int | None = Field(
        None,
        ge=1,
        description="Only the first so many records of each source, in the order of its files' "
        "names: for a try, which is a run of its own. Requests and metadata of WARC do not count.",
    )
    splits: Splits = Field(Splits(), description="How the work is cut into tasks.")
    extract: Extract = Field(Extract(), description="Records to text.")
    filter: Annotated[
        Filter,
        # names are resolved before a recipe is validated, so this is for the reader and editors
        BeforeValidator(lambda value: value, json_schema_input_type=Filter | str),
    ] = Field(
        Filter(),
        description="Text to verdicts: a mapping, or the name or file of a chain, which replaces "
        "the whole section.",
    )
    deduplicate: Deduplicate = Field(Deduplicate(), description="Which copies are kept.")
    curate: Curate = Field(Curate(), description="Survivors to publishable text.")
    tokenizer: Tokenizer = Field(
        Tokenizer(train=TrainTokenizer()), description="Where the tokenizer comes from."
    )
    mix: Mix = Field(Mix(), description="Token parts to shards.")
    expect: Expect = Field(Expect(), description="What the run must come to, or it ends.")
    engine: EngineSettings = Field(EngineSettings(), description="What does the work.")

    code: dict[str, str] = Field(
        default_factory=dict,
        description="Of each function of your own that the recipe names, its version and the "
        "digest of its module's source. Set when a run begins.",
    )

    def mixed(self) -> list[str]:
        """What the mixture shares tokens among: sources and groups, sorted."""
        groups = (group.name for group in self.mix.groups)
        return sorted({*(item.source for item in self.inputs), *groups})

    def kept_columns(self) -> dict[str, ColumnType]:
        """The columns of inputs that travel with documents, with their types."""
        return {name: kind for item in self.inputs for name, kind in item.kept().items()}

    @model_validator(mode="after")
    def _columns_agree(self) -> Self:
        kept = self.kept_columns()
        for item in self.inputs:
            for name, kind in item.kept().items():
                if name in RESERVED:
                    raise ValueError(
                        f"`columns.keep` of `{item.source}`: documents have a `{name}` of their own"
                    )
                if kind != kept[name]:
                    raise ValueError(
                        f"`columns.keep` of `{item.source}`: `{name}` is {kind} here and "
                        f"{kept[name]} in another input: give one type"
                    )
        return self

    @model_validator(mode="after")
    def _sources_agree(self) -> Self:
        labels = [item.source for item in self.inputs]
        for label in sorted(set(labels)):
            runs = [item.run for item in self.inputs if item.source == label]
            # several runs may have one, each of another crawl
            if len(runs) > 1 and (None in runs or len(set(runs)) < len(runs)):
                raise ValueError(f"two inputs have the source `{label}`: give each its own label")
        own = [group.name for group in self.mix.groups]
        for path, shares in self.mix.named() if labels else ():
            for label in sorted(set(shares) - {*labels, *own}):
                raise ValueError(f"`mix.{path}` names `{label}`, which is no source or group")
            if path.endswith("weights"):
                for label in sorted({*labels, *own} - set(shares)):
                    raise ValueError(f"`mix.{path}` has no weight for `{label}`: give one, or 0")
        return self
