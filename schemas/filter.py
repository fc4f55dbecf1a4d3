"""`filter`: the languages, classifiers, edits and rule tables that documents must pass."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Discriminator, Field, Tag, model_validator

from schemas.base import Contract, Fraction, Language, ModelFile, Name
from schemas.rules import RuleTable

ClassifierName = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$")]


def _member(value: object) -> str:
    """Which kind of step a value is meant to be, so that only mistakes of that kind are told."""
    if isinstance(value, Contract):
        return type(value).__name__
    return "EditStep" if isinstance(value, dict) and "edit" in value else "RulesStep"


class RulesStep(Contract):
    """Measure what a table of rules needs, and judge by it.

    Of a document in another language, or from another source, nothing is measured for it.
    """

    rules: Annotated[
        Annotated[str, Tag("str")] | Annotated[RuleTable, Tag("RuleTable")],
        Discriminator(lambda value: "str" if isinstance(value, str) else "RuleTable"),
    ] = Field(
        description="A bundled table's name, a YAML file (relative to the recipe), or the table."
    )
    languages: tuple[Language, ...] = Field(
        (), description="Filter only documents in one of these languages. Empty: in any."
    )
    sources: tuple[Name, ...] = Field(
        (), description="Filter only documents from one of these sources. Empty: from any."
    )


class EditStep(Contract):
    """Change the text; what follows measures the edited text."""

    edit: str = Field(description="Name of an edit, such as `c4_lines`.")


class Classifier(Contract):
    """A model that scores documents: its score is the signal `classifier.NAME`.

    A fastText model gives the probability of a label, importance weights (DSIR) the log of the
    ratio of likelihoods in their two sets, a KenLM model the perplexity. The label and features of
    a model that `gristmill classifier fit` made are taken from the card beside it.
    """

    model: ModelFile = Field(
        description="A fastText model, importance weights (`.npz`), or a KenLM model (ARPA or "
        "binary)."
    )
    label: str | None = Field(
        None, description="Whose probability of a fastText model; null takes its card's."
    )
    features: tuple[str, ...] | None = Field(
        None,
        description="Of a model that gristmill fitted, the languages of the bad-word lists that "
        "its features count; null takes its card's. Without either it reads the text as it is.",
    )
    over: Literal["document", "highest_sentence", "share_of_sentences"] = Field(
        "document",
        description="What is scored: the document as a whole, or its sentences, of which the "
        "highest score counts, or the share that reach `threshold`.",
    )
    threshold: float | None = Field(
        None, description="Score that a sentence must reach for `share_of_sentences`."
    )
    cutoffs: dict[Language, tuple[float, float]] = Field(
        default_factory=dict,
        description="By language the scores below which a document is in the head, and in the "
        "middle, as CCNet divides perplexities: gives the signal `classifier.NAME.bucket`, 0 head, "
        "1 middle, 2 tail, 3 a language without cut-offs.",
    )

    @model_validator(mode="after")
    def _threshold_for_shares(self) -> Self:
        if (self.over == "share_of_sentences") != (self.threshold is not None):
            raise ValueError("`threshold` goes with `over: share_of_sentences`: give both or none")
        for language, (head, middle) in self.cutoffs.items():
            if not head <= middle:
                raise ValueError(f"`cutoffs.{language}`: the head's {head:g} is above {middle:g}")
        return self


class Filter(Contract):
    """Signals, verdicts, and the signatures of what is kept."""

    languages: dict[Language, Fraction] = Field(
        default_factory=dict,
        description="Languages to keep, each with the score it must exceed. Empty keeps all.",
    )
    classifiers: dict[ClassifierName, Classifier] = Field(
        default_factory=dict,
        description="Models by name; rules test their signals `classifier.NAME`. One that no rule "
        "asks for is measured at the end of the chain.",
    )
    chain: tuple[
        Annotated[
            Annotated[RulesStep, Tag("RulesStep")] | Annotated[EditStep, Tag("EditStep")],
            Discriminator(_member),
        ],
        ...,
    ] = Field((), description="Rule tables and edits, in order.")
    exhaustive: bool = Field(
        True,
        description="Measure every signal and record all failing reasons. If false, stop at the "
        "first table that rejects; what was not measured is null.",
    )


class NamedChain(Filter):
    """A chain in a file of its own; a recipe's `filter` may name it."""

    description: str = Field("", description="One or two sentences for a reader.")
