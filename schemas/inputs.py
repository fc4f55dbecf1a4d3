"""`inputs` and `splits`: what a run reads, and how that is cut into tasks."""

from __future__ import annotations

from collections.abc import Collection
from functools import lru_cache
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import Field, field_validator, model_validator

from schemas.base import MEBIBYTE, Contract, ModelFile, Name
from schemas.secrets import without_secret
from schemas.stores import Storage

Format = Literal[
    "warc", "arc", "jsonl", "parquet", "csv", "tsv", "tar", "zip", "html", "text", "code"
]
Kind = Literal["web", "code", "papers", "books", "qa", "other"]


ColumnType = Literal["string", "integer", "float", "boolean"]
_USUAL = {"url": "url", "user_id": "id", "language": "language"}
_FIELDS = (
    *("text", "html", "charset", "url", "crawled", "title", "author", "published", "language"),
    *("licence", "user_id"),
)


@lru_cache(64)  # it is asked for every row
def _named(given: tuple[str | None, ...]) -> dict[str, str]:
    return {
        name: str(column or _USUAL[name])
        for name, column in zip(_FIELDS, given, strict=True)
        if column is not None or name in _USUAL
    }


class Columns(Contract):
    """Names of the columns that hold a row's fields. `meta.url` is `url` inside `meta`, be it a
    struct or JSON. Columns `url`, `id` and `language` are taken by these names if a file has them
    and no other column is named for the field."""

    # whether a record brings its row along
    whole: ClassVar[bool] = False

    text: str | None = Field(
        "text", description="The text, or null where `html` is given; all others are optional."
    )
    html: str | None = Field(
        None,
        description="HTML, which goes through extraction as pages do; there is no `text` then.",
    )
    charset: str | None = Field(
        None, description="Character set of `html` that is stored as bytes, as its header named it."
    )
    url: str | None = Field(None, description="Address of the page.")
    crawled: str | None = Field(None, description="Time of the crawl, ISO 8601 or a timestamp.")
    title: str | None = Field(None, description="Its title.")
    author: str | None = Field(None, description="Who wrote it.")
    published: str | None = Field(None, description="Its date of publication, as you write it.")
    language: str | None = Field(None, description="Its language, as declared.")
    licence: str | None = Field(None, description="Its licence.")
    user_id: str | None = Field(None, description="Your id of the row, kept as `user_id`.")
    keep: dict[Annotated[str, Field(pattern=r"^\w[\w.-]*$")], ColumnType] = Field(
        default_factory=dict,
        description="Other columns that travel with a document into the curated text, with their "
        "types; rules test them as `column.NAME`. A value of another type is null, and counted.",
    )

    delimiter: str | None = Field(
        None,
        pattern=r"^[^\w\r\n\"]$",
        description="What divides the fields of CSV and TSV; null finds the one that divides the "
        "header into the named columns.",
    )

    @model_validator(mode="before")
    @classmethod
    def _html_is_the_text(cls, value: Any) -> Any:
        if isinstance(value, dict) and value.get("html") is not None and "text" not in value:
            return {**value, "text": None}
        return value

    @model_validator(mode="after")
    def _text_or_html(self) -> Self:
        if (self.text is None) == (self.html is None):
            raise ValueError("give either `text` or `html`")
        if self.charset and not self.html:
            raise ValueError("`charset` is that of `html`")
        return self

    def named(self) -> dict[str, str]:
        """The columns of fields: those that are named, and those with a usual name."""
        return _named(tuple(getattr(self, name) for name in _FIELDS))

    def required(self) -> dict[str, str]:
        """Those that a file must have."""
        named = {name: column for name, column in self.named().items() if getattr(self, name)}
        return named | {f"keep.{name}": name for name in self.keep}

    def read(self, there: Collection[str]) -> list[str]:
        """Of the columns of a file, those to read."""
        columns = [*self.named().values(), *self.keep]
        tops = (column.partition(".")[0] for column in columns)
        return sorted({*columns, *tops}.intersection(there))


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
ROWS = frozenset({"jsonl", "parquet", "csv", "tsv"})
_WEB_LAYOUTS = tuple(name for name in LAYOUTS if name != "text")
Layout = Literal["text", "fineweb", "redpajama_v1", "redpajama_v2", "redpajama_v2_hub"]


class Input(Contract):
    """One source of documents: files below a root."""

    source: Name = Field(description="Label of the source; weights in `mix` refer to it.")
    root: str = Field(
        description="Folder or fsspec URL that file names are relative to. A relative path is "
        "taken from the recipe's folder. Document ids depend on the path below the root, "
        "never on the root itself."
    )
    storage: Storage = Field(
        Storage(),
        description="Access to the root's store; credentials come from the usual places alone.",
    )
    files: tuple[str, ...] = Field(
        (), min_length=1, description="Globs below the root, such as `**/*.warc.gz`."
    )
    records: ModelFile | None = Field(
        None,
        description="Instead of `files`: a table (Parquet, JSONL) of records of WARC files, of "
        "which nothing else is read. It has the columns of Common Crawl's index: `warc_filename` "
        "(below the root), `warc_record_offset` and `warc_record_length` (bytes). "
        "`gristmill inputs commoncrawl` writes one.",
    )
    format: Format | None = Field(
        None,
        description="How the files are read; null tells by what they begin with and their names. "
        "`warc` are WET and WAT files too; `html`, `text` and `code` are one document a file; "
        "`tar` and `zip` hold such files.",
    )
    reader: str | None = Field(
        None,
        description="A function of your own that reads the files, as `package.module:name` or the "
        "name of an entry point in `gristmill.readers`; `format` is none then.",
    )
    columns: Layout | Columns = Field(
        "text",
        description="Which columns of rows (JSONL, Parquet, CSV) mean what: the name of a known "
        "layout, or the names.",
    )
    run: str | None = Field(
        None,
        description="A finished run whose documents this is, instead of files: give `{run: RUN}` "
        "alone, which stands for all inputs of that run. Its extraction and filtering are taken "
        "over.",
    )
    snapshot: str = Field("", description="Label of the crawl, for deduplication by snapshot.")
    kind: Kind | None = Field(
        None,
        description="What its documents are, for steps that are limited to `kinds`. Null: WARC, "
        "ARC, HTML, rows of HTML and of the layouts `fineweb` and `redpajama_*` are `web`, source "
        "code is `code`, all else is `other`.",
    )

    _no_secret = field_validator("root")(without_secret)

    @model_validator(mode="before")
    @classmethod
    def _records_are_of_warc(cls, value: Any) -> Any:
        if isinstance(value, dict) and value.get("records") is not None:
            given = {name: each for name, each in value.items() if name != "files" or each}
            return {**given, "format": value.get("format") or "warc"}
        return value

    @model_validator(mode="after")
    def _has_files(self) -> Self:
        if bool(self.files) == (self.records is not None):
            raise ValueError("give `files` or `records`")
        if self.records is not None and (self.format != "warc" or self.reader is not None):
            raise ValueError("`records` are of WARC files: leave `format` and `reader` out")
        return self

    @model_validator(mode="after")
    def _storage_is_known(self) -> Self:
        self.storage.options(self.root)
        return self

    @model_validator(mode="after")
    def _is_read_once(self) -> Self:
        if self.reader is not None and self.format is not None:
            raise ValueError("`reader` reads the files: leave `format` out, or `reader`")
        return self

    def kept(self) -> dict[str, ColumnType]:
        """Columns that travel with its documents."""
        return {} if isinstance(self.columns, str) else self.columns.keep

    def kinds(self) -> frozenset[Kind]:
        """The kinds that its documents may be of."""
        told = self.reader or (self.format if self.format not in ("tar", "zip") else None)
        if self.kind is not None or told:
            return frozenset({self.kind_of(told or "")})
        return frozenset({"web", "code", "other"})

    def kind_of(self, format: str) -> Kind:  # noqa: A002
        """The kind of a document that stands in a file, or member of an archive, of a format."""
        if self.kind is not None:
            return self.kind
        if format in ("warc", "arc", "html") or (format in ROWS and self._has_web_rows()):
            return "web"
        return "code" if format == "code" else "other"

    def _has_web_rows(self) -> bool:
        columns = self.columns
        return columns in _WEB_LAYOUTS if isinstance(columns, str) else columns.html is not None


class Splits(Contract):
    """How the work is cut into tasks. Part of the recipe, so that ids of tasks never depend
    on the number of workers."""

    bytes: int = Field(
        64 * MEBIBYTE,
        ge=1,
        description="The most that a task reads: smaller files are put together, larger ones are "
        "read as several byte ranges, when their format can be entered in the middle. Of less than "
        "64 times this, tasks take a 64th, but at least 1 MiB, so that there are enough for "
        "workers. At crawl scale give more than a WARC file holds.",
    )
    part_bytes: int = Field(
        256 * MEBIBYTE,
        ge=1,
        description="Later stages put parts together until their texts hold this much; of less "
        "than 64 times this, a 64th, but at least 1 MiB.",
    )
