"""A chain: steps that measure, change and reject documents, before deduplication or after it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import Discriminator, Field, Tag, model_validator

from schemas.base import Contract, Fraction, Language, ModelFile, Name
from schemas.decontamination import Decontaminate
from schemas.inputs import Format, Kind
from schemas.pii import Redact
from schemas.rules import RuleTable

ClassifierName = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$")]


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


class Scope(Contract):
    """Which documents a step is for. An empty list is for all."""

    KEY: ClassVar[str] = ""

    sources: tuple[Name, ...] = Field((), description="Only documents from one of these sources.")
    kinds: tuple[Kind, ...] = Field((), description="Only documents from inputs of these kinds.")
    formats: tuple[Format, ...] = Field((), description="Only documents from files of these.")

    def limits(self) -> dict[str, tuple[str, ...]]:
        """By column of a document, the values that the step is limited to, where it is."""
        languages = getattr(self, "languages", ())
        limits = {
            "language": () if isinstance(languages, Mapping) else languages,
            "source": self.sources,
            "kind": self.kinds,
            "format": self.formats,
        }
        return {column: values for column, values in limits.items() if values}

    def title(self) -> str:
        """The step in a few words: `edit c4_lines`, `languages en, de`."""
        value = getattr(self, self.KEY)
        return f"{self.KEY} {value if isinstance(value, str) else ', '.join(value)}"

    def scope(self) -> str:
        """Of which documents it is: ` (of en, de; news)`, nothing for all."""
        values = [", ".join(values) for values in self.limits().values()]
        return f" (of {'; '.join(values)})" if values else ""


class _Step(Scope):
    languages: tuple[Language, ...] = Field(
        (), description="Only documents in one of these languages."
    )


class LanguagesStep(Scope):
    """Keep documents in some languages. The signal is `language.score`."""

    KEY: ClassVar[str] = "languages"
    languages: dict[Language, Fraction] = Field(
        min_length=1, description="Languages to keep, each with the score it must exceed."
    )

    def title(self) -> str:
        """With the scores."""
        return f"languages {', '.join(f'{code} > {x:g}' for code, x in self.languages.items())}"


class ChainStep(Scope):
    """Take the steps of another chain here, limited to these documents as well. A recipe is
    resolved with the steps themselves; its classifiers and measures join those of the section,
    which is exhaustive only if all chains in it are."""

    KEY: ClassVar[str] = "chain"
    chain: str = Field(
        description="A bundled chain's or table's name, or a YAML file of one (relative to the "
        "recipe)."
    )
    languages: dict[Language, Fraction] | None = Field(
        None,
        description="Languages to keep, each with the score it must exceed, in place of the "
        "chain's own. `{}` keeps all.",
    )


class RulesStep(_Step):
    """Measure what a table of rules needs, and apply its rules."""

    KEY: ClassVar[str] = "rules"
    rules: Annotated[
        Annotated[str, Tag("str")] | Annotated[RuleTable, Tag("RuleTable")],
        Discriminator(lambda value: "str" if isinstance(value, str) else "RuleTable"),
    ] = Field(
        description="A bundled table's name, a YAML file (relative to the recipe), or the table."
    )

    def title(self) -> str:
        """By the table's name."""
        return f"rules {self.rules if isinstance(self.rules, str) else self.rules.name}"


class EditStep(_Step):
    """Change the text; what follows measures the edited text."""

    KEY: ClassVar[str] = "edit"
    edit: str = Field(
        description="Name of an edit, such as `c4_lines`; one of your own as "
        "`package.module:name`, or by the name of an entry point in `gristmill.edits`."
    )


class ClassifiersStep(_Step):
    """Score by classifiers here, rather than at the first table that asks for their signals."""

    KEY: ClassVar[str] = "classifiers"
    classifiers: tuple[ClassifierName, ...] = Field(
        min_length=1, description="Names of models in `classifiers` of this section."
    )


class RedactStep(_Step):
    """Find and replace personal data. Signals: `pii.count`, how much was found, and of each type
    such as `pii.email_address`."""

    KEY: ClassVar[str] = "redact"
    redact: Annotated[
        Annotated[tuple[str, ...], Tag("str"), Field(min_length=1)]
        | Annotated[Redact, Tag("Redact")],
        Discriminator(lambda value: "str" if isinstance(value, list | tuple) else "Redact"),
    ] = Field(
        description="Types of personal data, such as `[EMAIL_ADDRESS]`, which become stand-ins; or "
        "a mapping that says more."
    )

    @property
    def asked(self) -> Redact:
        """In full."""
        return self.redact if isinstance(self.redact, Redact) else Redact(types=self.redact)

    def title(self) -> str:
        """With the types."""
        return f"redact {', '.join(self.asked.every_type())}"


class DecontaminateStep(_Step):
    """Find test items. Signals: `contamination.score` of the item that is there most, 0 if none is;
    `contamination.items`, and, where passages are cut, `contamination.characters` of these."""

    KEY: ClassVar[str] = "decontaminate"
    decontaminate: Decontaminate = Field(description="By which index, and what becomes of texts.")

    def title(self) -> str:
        """By the index, and with the policy."""
        asked = self.decontaminate
        return f"decontaminate {asked.index.folder.rpartition('/')[2]} ({asked.policy})"


class Cut(Contract):
    """How duplicated spans are cut."""

    least_words: int = Field(
        50,
        ge=1,
        description="A document that has fewer words left after a cut is rejected as `cut_short`; "
        "FineWeb's 50. Words as deduplication counts them: a character is one in the scripts "
        "without spaces.",
    )


class CutStep(_Step):
    """Cut the spans that `deduplicate.spans` found. The first step after deduplication, as their
    places are those in the filtered text. Signals: `cut.characters`, and of each level such as
    `cut.lines`."""

    KEY: ClassVar[str] = "cut"
    cut: Cut = Field(description="`{}`, or what differs from the defaults.")

    def title(self) -> str:
        """With what is left at least."""
        return f"cut (least_words {self.cut.least_words})"


Step = (
    LanguagesStep
    | RulesStep
    | EditStep
    | ClassifiersStep
    | RedactStep
    | DecontaminateStep
    | CutStep
    | ChainStep
)

# A step is known by the key that names it.
_KEYS = {
    step.KEY: step.__name__
    for step in (
        *(RulesStep, EditStep, ClassifiersStep, RedactStep, DecontaminateStep, CutStep),
        ChainStep,
    )
}


def _member(value: object) -> str:
    """Which kind of step a value is meant to be, so that only mistakes of that kind are told."""
    if isinstance(value, Contract):
        return type(value).__name__
    keys = value if isinstance(value, dict) else {}
    if isinstance(keys.get("languages"), dict) and not keys.keys() & _KEYS.keys():
        return "LanguagesStep"
    return next((name for key, name in _KEYS.items() if key in keys), "RulesStep")


Steps = tuple[
    Annotated[
        Annotated[RulesStep, Tag("RulesStep")]
        | Annotated[EditStep, Tag("EditStep")]
        | Annotated[LanguagesStep, Tag("LanguagesStep")]
        | Annotated[ClassifiersStep, Tag("ClassifiersStep")]
        | Annotated[RedactStep, Tag("RedactStep")]
        | Annotated[DecontaminateStep, Tag("DecontaminateStep")]
        | Annotated[CutStep, Tag("CutStep")]
        | Annotated[ChainStep, Tag("ChainStep")],
        Discriminator(_member),
    ],
    ...,
]


class Chain(Contract):
    """Steps in order, and the models that they name."""

    SECTION: ClassVar[str] = "filter"

    classifiers: dict[ClassifierName, Classifier] = Field(
        default_factory=dict,
        description="Models by name; rules test their signals `classifier.NAME`. One that no step "
        "asks for is measured at the end of the chain.",
    )
    measures: tuple[str, ...] = Field(
        (),
        description="Measures of your own, as `package.module:name` or names of entry points in "
        "`gristmill.measures`: rules test their signals.",
    )
    chain: Steps = Field(
        (),
        description="Steps in order. Each is named by its key: `rules`, `edit`, `languages` (a "
        "mapping), `classifiers`, `redact`, `decontaminate`, `cut` or `chain`; beside it "
        "`sources`, `kinds`, `formats` and `languages` (a list) limit it to some documents. The "
        "others pass it by.",
    )
    exhaustive: bool = Field(
        True,
        description="Take every step and record all failing reasons. If false, stop at the "
        "first step that rejects; what was not measured is null.",
    )

    def steps(self) -> list[tuple[str, Step]]:
        """All steps in order, each with its path in the recipe."""
        return [(f"{self.SECTION}.chain[{at}]", step) for at, step in enumerate(self.chain)]

    def with_files(self, change: Callable[[str, Any], Any]) -> Self:
        """The chain with each ModelFile, ModelFolder and PiiKey that it names changed; `change` is
        given its path in the recipe too."""
        models = {
            name: item.model_copy(
                update={"model": change(f"{self.SECTION}.classifiers.{name}.model", item.model)}
            )
            for name, item in self.classifiers.items()
        }
        steps = tuple(
            _with_files(f"{self.SECTION}.chain[{at}]", step, change)
            for at, step in enumerate(self.chain)
        )
        return self.model_copy(update={"classifiers": models, "chain": steps})


def _with_files(path: str, step: Step, change: Callable[[str, Any], Any]) -> Step:
    if isinstance(step, DecontaminateStep):
        index = change(f"{path}.decontaminate.index", step.decontaminate.index)
        asked: Contract = step.decontaminate.model_copy(update={"index": index})
    elif isinstance(step, RedactStep) and isinstance(step.redact, Redact):
        names, key = step.redact.names, step.redact.key
        if names:
            model = change(f"{path}.redact.names.model", names.model)
            names = names.model_copy(update={"model": model})
        key = key and change(f"{path}.redact.key", key)
        asked = step.redact.model_copy(update={"names": names, "key": key})
    else:
        return step
    return step.model_copy(update={step.KEY: asked})
