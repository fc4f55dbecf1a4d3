"""`extract`: how records become main text, and which pages are not wanted."""

from __future__ import annotations

from typing import Any, Literal, Self

from pydantic import Field, model_validator

from schemas.base import MEBIBYTE, Contract, Language, ModelFile

LANGUAGE_MODEL = "lid.176.ftz"

ENGINES = ("blocks", "trafilatura", "resiliparse")

# What of `structure` the engines heed that do not heed all of it.
_HEEDED = {"trafilatura": {"tables"}, "resiliparse": {"tables", "lists"}}

# The lists of `BlockList`.
LISTS = ("domains", "urls", "words", "soft_words", "substrings")

OptOut = Literal["noai", "noimageai", "notrain", "tdm"]


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


# By the names that `gristmill extract --structure` has for them.
STRUCTURES = {"text": Structure(), "markdown": Structure(headings=True, tables="markdown")}


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


class Extract(Contract):
    """Records to main text, metadata and language."""

    engine: str = Field(
        "blocks",
        description="What finds the main text: `blocks`, `trafilatura` or `resiliparse`; one of "
        "your own as `package.module:name`, or by the name of an entry point in "
        "`gristmill.engines`.",
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
        "these, by a quick look at their bytes. Empty looks at none. A step `languages` decides "
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
    language_model: ModelFile | None = Field(
        ModelFile(file=LANGUAGE_MODEL),
        description="fastText model that names the language: `lid.176.ftz` (bundled), or a file "
        "such as GlotLID's. Languages in a recipe are written as it writes them. Null names none.",
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
    def _models_go_together(self) -> Self:
        if self.language_model is None and self.second_opinion is not None:
            raise ValueError("`second_opinion` needs a `language_model`: give both or none")
        if self.language_model is None and self.languages:
            raise ValueError("`languages` needs a `language_model`: name one")
        return self

    @model_validator(mode="after")
    def _engine_can(self) -> Self:
        for name, default in Structure():
            heeded = name in _HEEDED.get(self.engine, Structure.model_fields)
            if not heeded and getattr(self.structure, name) != default:
                raise ValueError(f"`structure.{name}`: the engine `{self.engine}` cannot do it")
        if self.engine == "resiliparse" and self.favor == "precision":
            raise ValueError("`favor: precision`: the engine `resiliparse` cannot do it")
        return self
