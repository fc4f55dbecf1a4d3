"""The recipe: everything that decides an output byte, as one YAML file.

This module checks the shape of a recipe. Names of rule tables, edits and signals are
resolved in `pipelines.recipe`, which knows what exists.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Discriminator, Field, Tag, model_validator

from schemas.rules import Contract, Name, RuleTable

MEBIBYTE = 1 << 20

Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
# As the language model writes it, `en`, or GlotLID's `eng_Latn`: which there are is checked there.
Language = Annotated[str, Field(pattern=r"^[a-z]{2,8}([-_][A-Za-z0-9]{2,8})*$")]
ClassifierName = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$")]
Fraction = Annotated[float, Field(ge=0, le=1)]


Format = Literal["warc", "jsonl", "parquet", "csv", "tsv", "tar", "zip", "html", "text", "code"]


class Columns(Contract):
    """Names of the columns that hold a row's fields. `meta.url` is `url` inside `meta`, be it a
    struct or JSON."""

    text: str = Field("text", description="The text; all other fields are optional.")
    url: str | None = Field(None, description="Address of the page.")
    crawled: str | None = Field(None, description="Time of the crawl, ISO 8601 or a timestamp.")
    title: str | None = Field(None, description="Its title.")
    language: str | None = Field(None, description="Its language, as declared.")
    licence: str | None = Field(None, description="Its licence.")

    # for every row; a cached property would go along into a copy that has other columns
    @lru_cache(64)  # noqa: B019
    def named(self) -> dict[str, str]:
        """The columns there are, by field."""
        fields = ("text", "url", "crawled", "title", "language", "licence")
        return {name: column for name in fields if (column := getattr(self, name)) is not None}

    def required(self) -> dict[str, str]:
        """Those that a file must have."""
        return self.named()

    def top(self) -> list[str]:
        """The columns to read, each once."""
        return sorted({column.partition(".")[0] for column in self.named().values()})


# Column names as the data sets' cards give them.
LAYOUTS = {
    "text": Columns(),
    "fineweb": Columns(url="url", crawled="date", language="language"),
    # RedPajama-1T: `meta` of its JSON lines, or the JSON in it on the Hugging Face hub
    "redpajama_v1": Columns(
        url="meta.url", crawled="meta.timestamp", title="meta.title", language="meta.language"
    ),
    # RedPajama-V2: its JSON lines, and its rows as the Hugging Face hub serves them
    "redpajama_v2": Columns(
        text="raw_content", url="url", crawled="date_download", title="title", language="language"
    ),
    "redpajama_v2_hub": Columns(
        text="raw_content", url="meta.url", crawled="meta.date_download", language="meta.language"
    ),
}
Layout = Literal["text", "fineweb", "redpajama_v1", "redpajama_v2", "redpajama_v2_hub"]


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
    format: Format | None = Field(
        None,
        description="How the files are read; null tells by what they begin with and their names. "
        "`warc` are WET and WAT files too; `html`, `text` and `code` are one document a file; "
        "`tar` and `zip` hold such files.",
    )
    columns: Layout | Columns = Field(
        "text",
        description="Which columns of rows (JSONL, Parquet, CSV) mean what: the name of a known "
        "layout, or the names.",
    )
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
    """A file of a model or a list: a bundled name, a path, or a URL with its checksum."""

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


class Structure(Contract):
    """How the structure of a page stands in its text."""

    headings: bool = Field(False, description="Mark headings by a `#` a level.")
    lists: bool = Field(True, description="Mark the items of lists by `-` or their number.")
    tables: Literal["text", "markdown", "none"] = Field(
        "text",
        description="Tables as lines of cells, with the marks of Markdown, or left out.",
    )
    code: bool = Field(True, description="Fence blocks of code by three backticks.")
    formulas: bool = Field(
        True, description="Formulas (MathML, MathJax, KaTeX) as LaTeX between dollar signs."
    )


# The lists of `BlockList`.
LISTS = ("domains", "urls", "words", "soft_words", "substrings")


class BlockList(Contract):
    """Addresses that are not wanted. All lists are files with an entry a line; `#` comments."""

    domains: tuple[ModelFile, ...] = Field(
        (), description="Hosts; an entry also means the hosts below it."
    )
    urls: tuple[ModelFile, ...] = Field((), description="Exact addresses, compared normalised.")
    words: tuple[ModelFile, ...] = Field(
        (), description="Words of which one in the address is enough."
    )
    soft_words: tuple[ModelFile, ...] = Field(
        (), description="Words of which `soft_words_allowed` may be in the address, no more."
    )
    soft_words_allowed: int = Field(
        1, ge=0, description="How many words of `soft_words` an address may have."
    )
    substrings: tuple[ModelFile, ...] = Field(
        (),
        description="Strings of which one among the letters and digits of the address is enough.",
    )


LANGUAGE_MODEL = "lid.176.ftz"

OptOut = Literal["noai", "noimageai", "notrain", "tdm"]


class Rights(Contract):
    """Which declarations of a page are honoured. All of them are recorded."""

    opt_outs: tuple[OptOut, ...] = Field(
        ("noai", "notrain", "tdm"),
        description="Pages that opt out by these, in X-Robots-Tag, robots meta or TDMRep, are "
        "rejected as `opt_out_NAME`. `noimageai` is about pictures. `noindex` is no opt-out.",
    )
    licences: tuple[str, ...] = Field(
        (),
        description="Keep only pages that declare one of these, such as `cc-by`, `cc0`. Empty "
        "keeps all.",
    )


# What of `structure` the engines heed that do not heed all of it.
_HEEDED = {"trafilatura": {"tables"}, "resiliparse": {"tables", "lists"}}


class Extract(Contract):
    """Records to main text, metadata and language."""

    engine: Literal["blocks", "trafilatura", "resiliparse"] = Field(
        "blocks", description="What finds the main text."
    )
    favor: Literal["balanced", "precision", "recall"] = Field(
        "balanced", description="Which error of the engine is worse: too much or too little text."
    )
    comments: bool = Field(
        False,
        description="Keep readers' comments below an article. `blocks` without it keeps those "
        "that it takes for the page's main text, as in a forum.",
    )
    structure: Structure = Field(
        Structure(),
        description="How headings, lists, tables, code and formulas are written. The other engines "
        "have their own ways: `trafilatura` heeds `tables`, `resiliparse` also `lists`.",
    )
    languages: tuple[Language, ...] = Field(
        (),
        description="Reject, before the main text is looked for, pages that surely are in none of "
        "these, by a quick look at their bytes. Empty looks at none. `judge.languages` decides "
        "exactly, later.",
    )
    block: BlockList = Field(BlockList(), description="Addresses that are not wanted.")
    rights: Rights = Field(Rights(), description="Opt-outs and licences.")
    max_page_bytes: int = Field(
        8 * MEBIBYTE,
        ge=1,
        description="A decoded page larger than this is rejected as `page_too_large`.",
    )
    max_page_nodes: int = Field(
        100_000,
        ge=1,
        description="A page with more markup tags than this is rejected as `too_many_nodes`.",
    )
    max_page_seconds: float = Field(
        30,
        gt=0,
        le=86_400,
        allow_inf_nan=False,
        description="A page that takes longer is rejected as `timeout`: the last resort, and the "
        "only limit that depends on the machine.",
    )
    language_model: ModelFile = Field(
        ModelFile(file=LANGUAGE_MODEL),
        description="fastText model that names the language: `lid.176.ftz` (bundled), or a file "
        "such as GlotLID's. Languages in a recipe are written as it writes them.",
    )
    second_opinion: ModelFile | None = Field(
        ModelFile(file="lid.75.ftz"),
        description="Model that is asked where lid.176 is unsure; null leaves all to the first, "
        "as FineWeb did. It is null where another `language_model` is named.",
    )

    @model_validator(mode="before")
    @classmethod
    def _second_goes_with_the_first(cls, value: Any) -> Any:
        if isinstance(value, dict) and "second_opinion" not in value:
            first = value.get("language_model", LANGUAGE_MODEL)
            first = first.get("file") if isinstance(first, dict) else getattr(first, "file", first)
            if first != LANGUAGE_MODEL:
                return {**value, "second_opinion": None}
        return value

    @model_validator(mode="after")
    def _engine_can(self) -> Self:
        for name, default in Structure():
            heeded = name in _HEEDED.get(self.engine, Structure.model_fields)
            if not heeded and getattr(self.structure, name) != default:
                raise ValueError(f"`structure.{name}`: the engine `{self.engine}` cannot do it")
        if self.engine == "resiliparse" and self.favor == "precision":
            raise ValueError("`favor: precision`: the engine `resiliparse` cannot do it")
        return self


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
        (), description="Judge only documents in one of these languages. Empty: in any."
    )
    sources: tuple[Name, ...] = Field(
        (), description="Judge only documents from one of these sources. Empty: from any."
    )


class EditStep(Contract):
    """Change the text; what follows measures the edited text."""

    edit: str = Field(description="Name of an edit, such as `c4_lines`.")


class Classifier(Contract):
    """A model that scores documents: its score is the signal `classifier.NAME`.

    A fastText model gives the probability of a label, a KenLM model the perplexity. The label and
    features of a model that `gristmill classifier fit` made are taken from the card beside it.
    """

    model: ModelFile = Field(description="A fastText model, or a KenLM model (ARPA or binary).")
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


class Judge(Contract):
    """Signals, verdicts, and the signatures of what is kept."""

    languages: dict[Language, Fraction] = Field(
        default_factory=dict,
        description="Languages to keep, each with the score it must exceed. Empty keeps all.",
    )
    classifiers: dict[ClassifierName, Classifier] = Field(
        default_factory=dict,
        description="Models by name; rules judge their signals `classifier.NAME`. One that no rule "
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


class NamedChain(Judge):
    """A chain in a file of its own; a recipe's `judge` may name it."""

    description: str = Field("", description="One or two sentences for a reader.")


class Near(Contract):
    """MinHash LSH over shingles: `bands` x `rows` permutations.

    Shingles are of the normalised text: case folded, diacritics removed, every digit 0, what is
    no letter or number a blank. A text shorter than a shingle is one shingle as a whole, so it
    is a duplicate of the texts that are equal to it then.
    """

    bands: int = Field(14, ge=1, le=1000, description="Bands; a pair is a candidate if one agrees.")
    rows: int = Field(8, ge=1, le=1000, description="Hash values a band.")
    shingle_words: int = Field(5, ge=1, le=50, description="Words in a shingle.")
    shingle_characters: int | None = Field(
        None, ge=1, le=200, description="Characters in a shingle, instead of words."
    )
    seed: int = Field(1, ge=0, lt=1 << 32, description="Seed of the permutations.")
    verify: Fraction = Field(0.7, description="Least Jaccard similarity of an edge.")
    verify_by: Literal["signatures", "shingles"] = Field(
        "signatures",
        description="Estimate the similarity by the signatures, or compute it from the shingles, "
        "for which the texts of all candidates are read again.",
    )
    rounds: int = Field(
        4, ge=1, description="How often the leaves of a bucket that fail get another hub."
    )
    max_bucket: int = Field(
        10_000, ge=2, description="A bucket with more members is divided by the next band."
    )


# Parameters as their publications give them.
NEAR = {
    "fineweb": Near(),
    "refinedweb": Near(bands=450, rows=20, verify=0.8),
    "redpajama": Near(bands=9, rows=13, shingle_words=13, verify=0.8),
    "nemo": Near(bands=20, rows=13, shingle_characters=24, verify=0.8),
}
NearPreset = Literal["fineweb", "refinedweb", "redpajama", "nemo"]


def _preset(value: object) -> object:
    if not isinstance(value, str):
        return value
    if value not in NEAR:
        raise ValueError(f"`{value}` is not known; one of {', '.join(NEAR)}, or a mapping")
    return NEAR[value]


def _keep(value: str) -> str:
    if value in ("newest", "longest", "oldest", "smallest_id") or "." in value:
        return value
    raise ValueError(
        f"`{value}` is none of 'newest', 'longest', 'oldest' or 'smallest_id', nor the name of a "
        "signal, such as 'fineweb.line_punct_ratio'"
    )


class Bloom(Contract):
    """Lines whose n-grams stand in earlier documents, by a Bloom filter, as DCLM's BFF does.

    Documents are taken in the order of preference, within groups of parts whose n-grams fit the
    filter: what a group repeats of another one is not found. A line that is cut is one with a
    share of its n-grams in the filter; a document with as many of all its n-grams is cut whole.
    Lines with fewer words than an n-gram stay.
    """

    words: int = Field(13, ge=1, le=100, description="Words in an n-gram.")
    share: float = Field(0.8, gt=0, le=1, description="N-grams that were seen, of all in a line.")
    false_share: float = Field(
        0.01, gt=0, le=0.5, description="N-grams, of those that are new, that are taken for seen."
    )
    memory: int = Field(
        1 << 30,
        ge=64,
        description="Bytes of a filter at most, to the power of two below; a task has one.",
    )


class Substring(Contract):
    """Runs of tokens that stand in an earlier document, or earlier in the same, exactly.

    A token is what stands between white space, as it is written; in the scripts without spaces, a
    character. Found within groups of parts that fit the memory: what a group repeats of another
    one is not found.
    """

    tokens: int = Field(50, ge=2, le=1000, description="Tokens of the shortest run.")
    memory: int = Field(
        4 << 30, ge=1, description="Bytes that a task takes, at some 40 bytes a token."
    )


class Pieces(Contract):
    """Pieces that repeat in what is left of the documents, all looked for in the same text.

    Of equal pieces the first stays, in the order in which `keep` and `prefer` choose documents,
    then in the order of the text. Lines, paragraphs and sentences are equal if their words are:
    case, diacritics, digits and punctuation make no difference. What of it `curate` cuts, see
    `least_words` there.
    """

    lines: bool = Field(False, description="Cut repeated lines, as C4 and CCNet do.")
    paragraphs: bool = Field(False, description="Cut repeated paragraphs, parted by blank lines.")
    sentences: int | None = Field(
        None, ge=1, le=100, description="Cut repeated runs of so many sentences; C4 and FineWeb: 3."
    )
    bloom: Bloom | None = Field(None, description="Cut lines whose n-grams repeat; `{}` for DCLM.")
    substring: Substring | None = Field(
        None, description="Cut repeated runs of tokens; `{}` for runs of 50."
    )

    def levels(self) -> list[str]:
        """Those that are asked for, in order."""
        return [name for name in Pieces.model_fields if getattr(self, name)]


class Deduplicate(Contract):
    """Levels of duplicates, one after the other; one document is kept of each cluster."""

    scope: Literal["global", "source", "snapshot"] = Field(
        "global", description="Within what duplicates are looked for."
    )
    url: Literal["newest", "best"] | None = Field(
        None,
        description="Keep one page of each normalised URL: the newest capture, or what `keep` "
        "says; null keeps all.",
    )
    exact: bool = Field(True, description="Remove documents whose text has an equal digest.")
    normalised: bool = Field(
        False, description="Remove documents whose normalised text has an equal digest."
    )
    near: Annotated[
        Near | None,
        BeforeValidator(_preset, json_schema_input_type=Near | NearPreset | None),
    ] = Field(
        Near(), description="Remove near duplicates: parameters by name or number; null for none."
    )
    keep: Annotated[str, AfterValidator(_keep)] = Field(
        "longest",
        description="Which document of a cluster is kept: `longest`, `oldest`, `newest`, "
        "`smallest_id`, or by the name of a signal, such as `fineweb.line_punct_ratio`, the one "
        "that has most of it. Ties go to the smallest digest of the text, then to the smallest id.",
    )
    prefer: tuple[Name, ...] = Field(
        (), max_length=200, description="Sources whose documents are kept before any other's."
    )
    against: tuple[str, ...] = Field(
        (),
        description="Folders of finished runs: what they hold is removed here. Their "
        "`deduplicate` must have the same scope and parameters of `near`.",
    )
    pieces: Pieces = Field(
        Pieces(), description="Which pieces of the documents that are left are cut."
    )

    @model_validator(mode="after")
    def _against_can_be_compared(self) -> Self:
        if self.against and self.scope == "snapshot":
            raise ValueError(
                "with `scope: snapshot` nothing of another run is a duplicate: for `against` give "
                "`scope: global` or `source`"
            )
        if self.against and self.near is not None and self.near.verify_by == "shingles":
            raise ValueError(
                "`against` names runs that keep signatures, no texts: give `near.verify_by: "
                "signatures`"
            )
        return self


class Curate(Contract):
    """What is changed in the survivors before they are published or tokenized."""

    least_words: int = Field(
        50,
        ge=1,
        description="A document that `deduplicate.pieces` leaves fewer words of is rejected as "
        "`cut_short`; FineWeb's 50. Words as deduplication counts them: a character is one in the "
        "scripts without spaces.",
    )
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
    judge: Annotated[
        Judge,
        # names are resolved before a recipe is validated, so this is for the reader and editors
        BeforeValidator(lambda value: value, json_schema_input_type=Judge | str),
    ] = Field(
        Judge(),
        description="Text to verdicts: a mapping, or the name or file of a chain, which replaces "
        "the whole section.",
    )
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
