"""The recipe: everything that decides an output byte, as one YAML file.

This module checks the shape of a recipe. Names of rule tables, edits and signals are
resolved in `pipelines.recipe`, which knows what exists.
"""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Discriminator, Field, Tag, model_validator

from schemas.rules import Contract, Name, RuleTable

MEBIBYTE = 1 << 20

Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Language = Annotated[str, Field(pattern=r"^[a-z]{2,3}$")]
Fraction = Annotated[float, Field(ge=0, le=1)]


class Input(Contract):
    """One source of documents: files below a root."""

    source: Name = Field(description="Label of the source; weights in `mix` refer to it.")
    root: str = Field(
        description="Folder or fsspec URL that file names are relative to. A relative path is "
        "taken from the recipe's folder. Document ids depend on the path below the root, "
        "never on the root itself."
    )
    files: tuple[str, ...] = Field(
        min_length=1, description="Globs below the root, such as `**/*.warc.gz`."
    )
    format: Literal["warc"] = Field("warc", description="How the files are read.")
    snapshot: str = Field("", description="Label of the crawl, for deduplication by snapshot.")


class Splits(Contract):
    """How the work is cut into tasks. Part of the recipe, so that ids of tasks never depend
    on the number of workers."""

    bytes: int = Field(
        64 * MEBIBYTE,
        ge=1,
        description="A file larger than this is read as several byte ranges, when its format can "
        "be entered in the middle. At crawl scale give more than a WARC file holds.",
    )
    part_bytes: int = Field(
        256 * MEBIBYTE,
        ge=1,
        description="Later stages put parts together until their files hold this much.",
    )


class ModelFile(Contract):
    """A model file: a bundled name, a path, or a URL with its checksum."""

    file: str = Field(
        description="`lid.176.ftz` (bundled), a path (relative to the recipe's folder), or a URL."
    )
    sha256: Sha256 | None = Field(
        None, description="Checksum of the file. A URL must have one; a path may."
    )

    @model_validator(mode="after")
    def _url_has_checksum(self) -> Self:
        if "://" in self.file and self.sha256 is None:
            raise ValueError("a URL needs `sha256`, the checksum of the file it must bring")
        return self


class Extract(Contract):
    """Records to main text, metadata and language."""

    engine: Literal["trafilatura"] = Field("trafilatura", description="What finds the main text.")
    favor: Literal["balanced", "precision", "recall"] = Field(
        "balanced", description="Which error of the engine is worse: too much or too little text."
    )
    comments: bool = Field(False, description="Keep readers' comments below an article.")
    tables: bool = Field(True, description="Keep the text of tables.")
    max_page_bytes: int = Field(
        4 * MEBIBYTE,
        ge=1,
        description="A decoded page larger than this is rejected as `page_too_large`.",
    )
    max_page_nodes: int = Field(
        100_000,
        ge=1,
        description="A page with more markup tags than this is rejected as `too_many_nodes`.",
    )
    language_model: ModelFile = Field(
        ModelFile(file="lid.176.ftz"), description="fastText model that names the language."
    )


def _member(value: object) -> str:
    """Which kind of step a value is meant to be, so that only mistakes of that kind are told."""
    if isinstance(value, Contract):
        return type(value).__name__
    return "EditStep" if isinstance(value, dict) and "edit" in value else "RulesStep"


class RulesStep(Contract):
    """Measure what a table of rules needs, and judge by it."""

    rules: Annotated[
        Annotated[str, Tag("str")] | Annotated[RuleTable, Tag("RuleTable")],
        Discriminator(lambda value: "str" if isinstance(value, str) else "RuleTable"),
    ] = Field(
        description="A bundled table's name, a YAML file (relative to the recipe), or the table."
    )


class EditStep(Contract):
    """Change the text; what follows measures the edited text."""

    edit: str = Field(description="Name of an edit, such as `c4_lines`.")


class Judge(Contract):
    """Signals, verdicts, and the signatures of what is kept."""

    languages: dict[Language, Fraction] = Field(
        default_factory=dict,
        description="Languages to keep, each with the score it must exceed. Empty keeps all.",
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


class Near(Contract):
    """MinHash LSH over word shingles: `bands` x `rows` permutations."""

    bands: int = Field(14, ge=1, le=1000, description="Bands; a pair is a candidate if one agrees.")
    rows: int = Field(8, ge=1, le=1000, description="Hash values a band.")
    shingle_words: int = Field(5, ge=1, le=50, description="Words in a shingle.")
    seed: int = Field(1, ge=0, lt=1 << 32, description="Seed of the permutations.")
    verify: Fraction = Field(
        0.7, description="Least Jaccard similarity, estimated by the signatures, of an edge."
    )
    rounds: int = Field(
        4, ge=1, description="How often the leaves of a bucket that fail get another hub."
    )
    max_bucket: int = Field(
        10_000, ge=2, description="A bucket with more members is divided by the next band."
    )


class Deduplicate(Contract):
    """Exact and near duplicates, one document kept of each cluster."""

    scope: Literal["global", "source", "snapshot"] = Field(
        "global", description="Within what duplicates are looked for."
    )
    exact: bool = Field(True, description="Remove documents whose text has an equal digest.")
    near: Near | None = Field(Near(), description="Remove near duplicates; null for none.")
    keep: Literal["longest", "oldest", "smallest_id"] = Field(
        "longest", description="Which document of a cluster is kept; ties go to the smallest id."
    )


class Curate(Contract):
    """What is changed in the survivors before they are published or tokenized."""

    pii: tuple[str, ...] = Field(
        ("EMAIL_ADDRESS", "IP_ADDRESS"), description="Kinds of personal data to replace."
    )


class TrainTokenizer(Contract):
    """A byte-level BPE, trained on a keyed sample of the curated text."""

    vocabulary: int = Field(
        32_768, ge=384, description="Ids in all: bytes, merges and 128 special ids; x 128."
    )
    sample_bytes: int = Field(
        1 << 30, ge=1, description="UTF-8 bytes of text, divided over sources by `mix.weights`."
    )

    @model_validator(mode="after")
    def _multiple_of_128(self) -> Self:
        if self.vocabulary % 128:
            low = self.vocabulary // 128 * 128
            raise ValueError(
                f"`vocabulary` must be a multiple of 128, such as {max(low, 384)} or {low + 128}"
            )
        return self


class Tokenizer(Contract):
    """Trained here, or loaded from a `tokenizer.json`."""

    train: TrainTokenizer | None = Field(None, description="Train one.")
    load: ModelFile | None = Field(None, description="Load one.")
    end_of_text: str = Field("<|end_of_text|>", description="Token that closes every document.")
    begin_of_text: str | None = Field(
        None, description="Token that opens every document; null for none."
    )

    @model_validator(mode="after")
    def _one_of_two(self) -> Self:
        if (self.train is None) == (self.load is None):
            raise ValueError("give either `train` or `load`")
        return self


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


class Mix(Contract):
    """From token parts to shards: proportions, budget, order."""

    tokens: int | None = Field(
        None, ge=1, description="Training tokens in all; null takes every document once."
    )
    weights: dict[Name, Annotated[float, Field(gt=0)]] | None = Field(
        None, description="Share of each source in `tokens`; null means as available."
    )
    max_epochs: float = Field(
        4, ge=1, description="How often, at most, a document may be repeated to reach its share."
    )
    sequence_length: int = Field(2048, ge=2, description="Tokens a row.")
    bucket_tokens: int = Field(
        64 * MEBIBYTE, ge=1, description="Planned tokens a bucket; a bucket is one shard file."
    )
    validation: Validation = Field(Validation(), description="What is held out.")

    @model_validator(mode="after")
    def _weights_need_a_budget(self) -> Self:
        if self.weights is not None and self.tokens is None:
            raise ValueError("`weights` share out `tokens`: give the number of tokens too")
        return self


class Recipe(Contract):
    """A whole run: from input files to training shards."""

    name: Name = Field(description="What the recipe is called.")
    description: str = Field("", description="One or two sentences for a reader.")
    parent: str | None = Field(
        None, description="Folder of a run whose equal stages are used instead of run again."
    )
    seed: int = Field(1, ge=0, description="Seed of every keyed hash: sampling, holdout, order.")
    inputs: tuple[Input, ...] = Field(
        (), description="What is read. A run needs some: here, or by `--input`."
    )
    splits: Splits = Field(Splits(), description="How the work is cut into tasks.")
    extract: Extract = Field(Extract(), description="Records to text.")
    judge: Judge = Field(Judge(), description="Text to verdicts.")
    deduplicate: Deduplicate = Field(Deduplicate(), description="Which copies are kept.")
    curate: Curate = Field(Curate(), description="Survivors to publishable text.")
    tokenizer: Tokenizer = Field(
        Tokenizer(train=TrainTokenizer()), description="Where the tokenizer comes from."
    )
    mix: Mix = Field(Mix(), description="Token parts to shards.")

    @model_validator(mode="after")
    def _sources_agree(self) -> Self:
        labels = [item.source for item in self.inputs]
        for label in sorted(set(labels)):
            if labels.count(label) > 1:
                raise ValueError(f"two inputs have the source `{label}`: give each its own label")
        if self.mix.weights is not None and labels:
            for label in sorted(set(labels) - set(self.mix.weights)):
                raise ValueError(f"`mix.weights` has no weight for the source `{label}`")
            for label in sorted(set(self.mix.weights) - set(labels)):
                raise ValueError(f"`mix.weights` names `{label}`, which is no input's source")
        return self
