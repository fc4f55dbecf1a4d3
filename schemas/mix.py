"""`mix`: proportions, budget and order of the training tokens, and what is held out."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from typing import Annotated, Literal, Self

from pydantic import BeforeValidator, Field, model_validator

from schemas.base import MEBIBYTE, Contract, Name
from schemas.rules import Test

Share = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Epochs = Annotated[float, Field(ge=1, allow_inf_nan=False)]
Packing = Literal["concatenate", "best_fit", "document"]
MAX_EPOCHS = 4.0  # up to which repeated text is about as good as new (arXiv:2305.16264)


class Validation(Contract):
    """Documents that training never sees."""

    tokens: int = Field(
        1_000_000, ge=0, description="Tokens of validation text a source, exact to a document."
    )
    by: Literal["text", "domain"] = Field(
        "text",
        description="What decides: a keyed hash of the normalised text, or of the registered "
        "domain, so that whole sites are held out.",
    )


class Grouping(Contract):
    """Documents that are a source of their own to the mixture."""

    name: Name = Field(description="What the mixture calls them.")
    when: Test = Field(
        description="A condition, or `any` or `all` of several, over any signal of the recipe's "
        "chains, `column.NAME`, `document.source`, `document.language`, `document.kind`, "
        "`document.format`, `document.domain` (registered), and `document.copies`: duplicates that "
        "were dropped for it, and itself."
    )


class Mixture(Contract):
    """Tokens, and how sources share them: by `weights`, `factors`, `temperature` or `unimax`, or
    without any of them as much text as they have."""

    tokens: int | None = Field(
        None, ge=1, description="Training tokens in all; null takes every document once."
    )
    weights: Annotated[
        dict[Name, Share] | None,
        # names are resolved before a recipe is validated, so this is for the reader and editors
        BeforeValidator(lambda value: value, json_schema_input_type=dict[Name, Share] | str | None),
    ] = Field(
        None,
        description="Share of each source in `tokens`; or the name of a mixture of the literature, "
        "see `gristmill plan mixture`.",
    )
    factors: dict[Name, Share] | None = Field(
        None,
        description="How often each source is read, where it is not once: up-sampling of groups by "
        "quality or by copies. Without `tokens`, that makes the budget.",
    )
    temperature: float | None = Field(
        None,
        ge=1,
        le=1000,
        description="Shares go by available tokens to the power of 1 / `temperature` (XLM-R, "
        "arXiv:1911.02116; mT5, arXiv:2010.11934, has 1 / 0.3).",
    )
    unimax: bool = Field(
        False,
        description="Equal shares, but none above `max_epochs`: UniMax, arXiv:2304.09151.",
    )

    @model_validator(mode="after")
    def _is_one_strategy(self) -> Self:
        given = [
            name
            for name in ("weights", "factors", "temperature", "unimax")
            if getattr(self, name) not in (None, False)
        ]
        if len(given) > 1:
            raise ValueError(f"`{given[0]}` and `{given[1]}` both share out tokens: give one")
        if given and given != ["factors"] and self.tokens is None:
            raise ValueError(f"`{given[0]}` share out `tokens`: give the number of tokens too")
        for name in ("weights", "factors"):
            if (shares := getattr(self, name)) is not None and not any(shares.values()):
                raise ValueError(f"`{name}` are all 0: nothing would be taken")
        return self


class Phase(Mixture):
    """A part of the curriculum, with a mixture of its own."""

    name: Name = Field(description="What the phase is called; its shards are in a folder of it.")


class Mix(Mixture):
    """From token parts to shards: proportions, budget, order."""

    groups: tuple[Grouping, ...] = Field(
        (),
        description="Documents by rule, which are sources of their own then; the first rule that "
        "holds decides. A document for which none holds stays with its input's source.",
    )
    max_epochs: Epochs | dict[Name, Epochs] = Field(
        MAX_EPOCHS,
        description="How often, at most, the tokens of a source are taken, all phases together: a "
        "number, or numbers by source, which are 4 for the others.",
    )
    shortfall: Literal["warn", "error", "redistribute", "scale"] = Field(
        "warn",
        description="When a source has too little for its share: `warn` takes what there is, the "
        "others keep theirs; `error` ends the run before shards are written; `redistribute` gives "
        "the rest to the others by their shares; `scale` takes less of all, in proportion "
        "(of those that have something).",
    )
    phases: tuple[Phase, ...] = Field(
        (),
        description="A curriculum: phases in the order in which they are read, each with its own "
        "budget and mixture, instead of one for all. A phase goes on in a source where the one "
        "before it ended.",
    )
    sequence_length: int = Field(2048, ge=2, description="Tokens a row.")
    packing: Packing = Field(
        "concatenate",
        description="How documents fill rows: `concatenate` cuts them where a row ends; `best_fit` "
        "cuts only those longer than a row and pads (arXiv:2404.10830); `document` has one in a "
        "row.",
    )
    bucket_tokens: int = Field(
        64 * MEBIBYTE, ge=1, description="Planned tokens a bucket; a bucket is one shard file."
    )
    validation: Validation = Field(Validation(), description="What is held out.")

    def curriculum(self) -> list[tuple[str, Mixture]]:
        """The mixtures in order, each with its name: one without a name if there are no phases."""
        return [(phase.name, phase) for phase in self.phases] or [("", self)]

    @property
    def is_chosen(self) -> bool:
        """Whether documents may be left out."""
        return any(
            mixture.tokens is not None or mixture.factors is not None
            for _, mixture in self.curriculum()
        )

    @property
    def budget(self) -> int | None:
        """Tokens of all phases, if each has a number of them."""
        tokens = [mixture.tokens for _, mixture in self.curriculum()]
        return None if None in tokens else sum(filter(None, tokens))

    def epochs(self, source: str) -> Fraction:
        """How often the tokens of a source may be taken: the decimal number as it is written."""
        most = self.max_epochs
        return Fraction(str(most.get(source, MAX_EPOCHS) if isinstance(most, dict) else most))

    def named(self) -> Iterator[tuple[str, dict[str, float]]]:
        """Mappings by source, with their paths below `mix`."""
        if isinstance(self.max_epochs, dict):
            yield "max_epochs", self.max_epochs
        for at, (_, mixture) in enumerate(self.curriculum()):
            path = f"phases[{at}]." if self.phases else ""
            for name in ("weights", "factors"):
                if (shares := getattr(mixture, name)) is not None:
                    yield f"{path}{name}", shares

    @model_validator(mode="after")
    def _phases_stand_alone(self) -> Self:
        if self.phases:
            for name in Mixture.model_fields:
                if getattr(self, name) not in (None, False):
                    raise ValueError(f"`phases` have their own `{name}`: leave it out beside them")
        names = [phase.name for phase in self.phases]
        for at, phase in enumerate(self.phases):
            if phase.tokens is None:
                raise ValueError(f"`phases[{at}]` needs `tokens`, the length of the phase")
            if phase.name in names[:at]:
                raise ValueError(f"two phases are called `{phase.name}`: give each its own name")
        return self
