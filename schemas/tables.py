"""Arrow schemas of a run's tables, with what each column means.

Changes are additive; columns are read by name. `TABLES` says where each stands; the reference in
`TABLES.md` is made from it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pyarrow as pa

ID = pa.binary(16)  # of documents, in shards, signatures and shuffles
HEX = pa.string()  # the same in 32 hexadecimal digits, in tables that people read

DESCRIPTION = b"description"


def field(name: str, kind: pa.DataType, says: str, *, null: bool = False) -> pa.Field:
    """A column, with its meaning in its metadata; `null`: whether it may be null."""
    return pa.field(name, kind, null, {DESCRIPTION: says.encode()})


def maybe(name: str, kind: pa.DataType, says: str) -> pa.Field:
    """A column that may be null."""
    return field(name, kind, says, null=True)


def _schema(name: str, says: str, fields: list[pa.Field]) -> pa.Schema:
    return pa.schema(fields, {b"gristmill.schema": name.encode(), DESCRIPTION: says.encode()})


def _names() -> pa.DataType:
    return pa.list_(pa.field("item", pa.string(), False))


def _many(kind: pa.DataType) -> pa.DataType:
    return pa.large_list(pa.field("item", kind, False))


_ID = field(
    "id",
    HEX,
    "Id of the document: 32 hexadecimal digits, a digest of its source, file and place.",
)
_PACKED = field("id", ID, "Id of the document, 16 bytes.")
_SOURCE = field("source", pa.string(), "Label of the input, as in the recipe.")
_URL = maybe("url", pa.string(), "Address of the page.")
_TEXT = field("text", pa.large_string(), "The text.")
_LANGUAGE = maybe("language", pa.string(), "As the language model names it; null without one.")
_SCORE = maybe("language_score", pa.float32(), "The model's score of that language, 0 to 1.")
_CRAWLED = maybe("crawled", pa.timestamp("s", "UTC"), "Time of the capture.")
_USER_ID = maybe("user_id", pa.string(), "Your own id of the row.")
_KIND = field("kind", pa.string(), "`web`, `code`, `papers`, `books`, `qa` or `other`.")
_FORMAT = field("format", pa.string(), "Of the file, or of the member of an archive.")
_PREFERENCE = field("preference", pa.uint64(), "The smallest of a cluster is kept.")
_HOLDOUT = field("holdout", pa.uint64(), "Key that chooses validation; equal for equal texts.")
_ABOUT = [
    maybe("title", pa.string(), "As the page or row gives it."),
    maybe("author", pa.string(), "As the page or row gives it."),
    maybe("published", pa.string(), "Date of publication, ISO 8601, as the page or row gives it."),
]
_LICENCES = field("licences", _names(), "Licences that the page or row declares, by name.")


def _span(kind: pa.DataType, of: str) -> list[pa.Field]:
    return [
        field("start", kind, f"First character of the span in the {of}, counted from 0."),
        field("end", kind, "The character behind its last one."),
    ]


def _origin() -> list[pa.Field]:
    """Where a record stands, as `Place` says."""
    return [
        field("file", pa.string(), "File of the record, below the root of its input."),
        field(
            "offset",
            pa.int64(),
            "Where the record begins: a byte of the file (`byte`), of what the compressed file "
            "inflates to (`inflated`), or a row (`row`), counted from 0.",
        ),
        field(
            "offset_kind",
            pa.string(),
            "What `offset` counts; `byte+N`: the record begins at inflated byte N of the member "
            "that begins there.",
        ),
        maybe("row_group", pa.int32(), "Row group of a row of Parquet."),
        field("length", pa.int64(), "Bytes of the record, or rows, in the unit of `offset`."),
    ]


def declared() -> list[pa.Field]:
    """What a page says of itself; `language` of its own would clash with the one found."""
    return [
        *_ABOUT,
        maybe("canonical", pa.string(), "Address of the page as it gives it."),
        maybe("declared_language", pa.string(), "Language as the page or row gives it."),
        field("opt_outs", _names(), "How it opts out of use for training."),
        _LICENCES,
    ]


DOCUMENT = _schema(
    "document/2",
    "A row for each record of which a text was found.",
    [
        _ID,
        _SOURCE,
        field("snapshot", pa.string(), "Label of the crawl, as in the recipe."),
        _URL,
        _CRAWLED,
        _TEXT,
        *declared(),
        _LANGUAGE,
        _SCORE,
        _KIND,
        _FORMAT,
        _USER_ID,
        maybe("engine", pa.string(), "What found the text; null if it came as text."),
        field("charset", pa.string(), "Codec it was decoded by; empty if it came as text."),
        maybe("flaw", pa.string(), "What is wrong with the record though it could be read."),
        field("page_bytes", pa.int64(), "Bytes of the page before extraction."),
        *_origin(),
    ],
)

REJECTION = _schema(
    "rejection/3",
    "A row for each record or document that a stage does not keep, and why. A record that became "
    "no document has its place, a document its id.",
    [
        _ID,
        field("stage", pa.string(), "The stage that rejected it."),
        field("reason", pa.string(), "Why: of several reasons the first."),
        maybe("value", pa.string(), "The value that decided."),
        maybe("detail", pa.string(), "What it had to be, or more."),
        maybe("representative", HEX, "Id of the document that is kept instead of this duplicate."),
        _SOURCE.with_nullable(True),
        _URL,
        *(each.with_nullable(True) for each in _origin()),
    ],
)

VERDICT = _schema(
    "signals/3",
    "A row for each document, kept or not. The measured signals follow, as `family.signal`; "
    "`gristmill rules explain SIGNAL` says what each is. Null: not measured.",
    [
        _ID,
        _SOURCE,
        _URL,
        _KIND,
        _FORMAT,
        _LANGUAGE,
        field("kept", pa.bool_(), "Whether nothing failed."),
        field("reasons", _names(), "All that failed, in the order of the chain."),
        field("bytes", pa.int64(), "Bytes of the text in UTF-8, as the chain left it."),
    ],
)

EDIT = _schema("edit/2", "Texts of kept documents that an edit changed.", [_ID, _TEXT])


def signature_schema(
    levels: Sequence[str], bands: int, band_bytes: int, sketch_bytes: int = 0
) -> pa.Schema:
    """Of what deduplication works on, a row a kept document. `bands` hold so many bytes of the
    signature each; where it is too long for that, keys, beside a sketch of `sketch_bytes`."""
    keyed = []
    if "url" in levels:
        preference = field("url_preference", pa.uint64(), "The smallest of one URL is kept.")
        keyed += [maybe("url", ID, "Digest of the normalised address."), preference]
    if "normalised" in levels:
        keyed.append(field("normalised", ID, "Digest of the normalised text."))
    values = "16 bits of each value of a band of the MinHash signature, little-endian."
    near = [field(f"band_{band:04d}", pa.binary(band_bytes), values) for band in range(bands)]
    if sketch_bytes:
        near = [
            field("sketch", pa.binary(sketch_bytes), values.replace("a band of", "the first of")),
            *(
                field(f"band_{band:04d}", pa.uint64(), "Key of a band of the signature.")
                for band in range(bands)
            ),
        ]
    return _schema(
        "signature/3",
        "What deduplication compares, of each kept document.",
        [
            _PACKED,
            field("scope", pa.string(), "Only documents of one scope are compared."),
            _PREFERENCE,
            field("digest", ID, "Digest of the text."),
            *keyed,
            *near,
        ],
    )


_PART = field("part", pa.uint32(), "Number of the part.")
_LEVEL = field("level", pa.string(), "What found it: lines, paragraphs, sentences, ...")
_ROW = field("row", pa.uint32(), "Of the survivors of the part.")
_KEY = field("key", pa.uint64(), "Digest of the span.")

CANDIDATE = _schema(
    "candidate/1",
    "Documents that share the key of a band.",
    [
        _PART,
        field("row", pa.uint32(), "Of the part's file of signatures."),
        field("bucket", pa.uint32(), "Documents of one bucket share the key."),
    ],
)

EDGE = _schema(
    "edge/1",
    "Verified pairs of documents; `a` is preferred to `b`.",
    [
        *(
            field(end, pa.binary(28), "Preference, id and part of a document, packed.")
            for end in ("a", "b")
        ),
        field("similarity", pa.float32(), "Jaccard similarity, or its estimate."),
    ],
)

CLUSTER = _schema(
    "cluster/2",
    "Documents of a part for which others were dropped.",
    [_ID, field("dropped", pa.int64(), "How many were dropped for it.")],
)

KEYED_SPAN = _schema(
    "keyed_span/1",
    "Spans of the documents of a part, in order.",
    [
        _KEY,
        _ROW,
        *_span(pa.uint32(), "filtered text"),
        field("repeated", pa.bool_(), "Whether it stands earlier in the same part."),
    ],
)

FIRST = _schema(
    "first/1",
    "The document in which a span stands first in a part, by key.",
    [_KEY, _PREFERENCE, field("id", pa.uint64(), "Upper half of the document's id.")],
)

REPEATED = _schema("repeated/1", "Spans that stand first in another part.", [_PART, _KEY])

GRAMS = _schema(
    "grams/1",
    "N-grams of the documents of a part, most preferred first.",
    [
        _PREFERENCE,
        _PACKED,
        _ROW,
        field("characters", pa.uint32(), "Of the text."),
        field("starts", _many(pa.uint32()), "First character of each line."),
        field("ends", _many(pa.uint32()), "The character behind each line."),
        field("counts", _many(pa.uint32()), "N-grams of each line."),
        field("grams", _many(pa.uint64()), "Digests of the n-grams."),
    ],
)

SPAN = _schema(
    "span/1",
    "Spans that a group of parts repeats.",
    [_PART, _ROW, *_span(pa.uint32(), "filtered text")],
)

CUT = _schema(
    "cut/2",
    "Spans to cut of texts as they were filtered; those of a document are together, in order and "
    "disjoint.",
    [
        _ID,
        _LEVEL,
        *_span(pa.uint32(), "filtered text"),
    ],
)

FINDINGS = pa.list_(
    pa.field(
        "item",
        pa.struct(
            [
                field("type", pa.string(), "Such as `EMAIL_ADDRESS`."),
                maybe("start", pa.int32(), "First character of what is in its place, or was left."),
                maybe("end", pa.int32(), "The character behind its last one."),
                field("score", pa.float32(), "How sure it is, 0 to 1."),
            ]
        ),
        False,
    )
)
_PERSONAL = field(
    "personal_data",
    FINDINGS,
    "Personal data that was found, never its value; the place is null if the text was changed "
    "after that.",
)

PERSONAL_DATA = _schema("personal_data/1", "Kept documents with personal data.", [_ID, _PERSONAL])

CONTAMINATION = _schema(
    "contamination/1",
    "A row for each test item in a document, kept or not, the best of a document first.",
    [
        _ID,
        field("benchmark", pa.string(), "The test set."),
        field("item", pa.string(), "Its item."),
        field("score", pa.float64(), "`share` by what must be there of an item of its length."),
        field("share", pa.float64(), "How much of the item is there."),
        maybe(
            "start",
            pa.int64(),
            "First character of the text that the step was given; null if it was found only once "
            "others were cut.",
        ),
        maybe("end", pa.int64(), "The character behind its last one."),
    ],
)

CURATED = _schema(
    "curated/2",
    "The curated text, fit to publish: a row for each document that is left. The columns that the "
    "recipe keeps follow, and `signals`, what its chains measured.",
    [
        _ID,
        _SOURCE,
        _URL,
        _TEXT,
        *_ABOUT,
        _CRAWLED,
        _LICENCES,
        _LANGUAGE,
        _SCORE,
        _KIND,
        _FORMAT,
        field("bytes", pa.int64(), "Bytes of the text in UTF-8."),
        _HOLDOUT,
        field("pii_replaced", pa.int32(), "How many pieces of personal data were replaced."),
        _PERSONAL,
        _USER_ID,
        *_origin(),
    ],
)

_TYPES = {
    "string": pa.string(),
    "integer": pa.int64(),
    "float": pa.float64(),
    "boolean": pa.bool_(),
}
SIGNALS = "signals"
# names that the columns that a recipe keeps cannot have
RESERVED = frozenset({*DOCUMENT.names, *CURATED.names, SIGNALS, "cuts", "kept", "reasons"})


def column_type(kind: str) -> pa.DataType:
    """Of a column that a recipe keeps: string, integer, float or boolean."""
    return _TYPES[kind]


def with_columns(
    schema: pa.Schema, columns: Mapping[str, str], signals: Mapping[str, pa.DataType] | None = None
) -> pa.Schema:
    """A schema of documents, with the columns that a recipe keeps, and signals if there are."""
    kept = [maybe(name, column_type(kind), "Of your rows.") for name, kind in columns.items()]
    if signals:
        measured = pa.struct([pa.field(name, kind) for name, kind in signals.items()])
        kept.append(field(SIGNALS, measured, "As `family.signal`. Null: not measured."))
    return pa.schema([*schema, *kept], metadata=schema.metadata)


def tokens_schema(token_type: str, widths: bool) -> pa.Schema:
    """Of tokenized documents; with `widths` if their ids do not tell bytes."""
    ids = pa.uint16() if token_type == "uint16" else pa.uint32()
    of_places = field(
        "widths",
        _many(pa.uint32()),
        "Bytes of text that each token stands for; only of tokenizers whose ids do not tell.",
    )
    return _schema(
        "tokens/1",
        "Tokenized documents, sorted by source and mixing key.",
        [
            _SOURCE,
            field("key", pa.uint64(), "Mixing key: its place in the mixture."),
            _PACKED,
            _HOLDOUT,
            field("bytes", pa.int64(), "Bytes of the text in UTF-8."),
            field("tokens", _many(ids), "All ids, begin and end of text included."),
            *([of_places] if widths else []),
        ],
    )


HISTOGRAMS = _schema(
    "histogram/1",
    "Histograms of 64-bit keys by source.",
    [
        _SOURCE,
        field("bin", pa.uint16(), "Bin of the key: its upper bits."),
        field("amount", pa.int64(), "Sum of what is counted: tokens, or bytes."),
        field("documents", pa.int64(), "How many documents."),
    ],
)

RESERVE = _schema(
    "reserve/1",
    "Documents among which validation is chosen.",
    [
        _SOURCE,
        field("key", pa.uint64(), "Mixing key."),
        _HOLDOUT,
        field("tokens", pa.int64(), "How many tokens it has."),
    ],
)

PLACE = _schema(
    "place/1",
    "Every record of the input, kept or not, sorted by its id.",
    [_ID, field("part", pa.string(), "The task of `extract` that read it.")],
)

ADDRESS = _schema(
    "address/1",
    "Every record of the input that has an address, sorted by it.",
    [
        field("address", pa.string(), "Its URL with the labels of the host reversed."),
        *(PLACE.field(at) for at in range(2)),
    ],
)

SEGMENT = _schema(
    "segment/1",
    "The segments of all shard rows, sorted by their document.",
    [
        _ID,
        field("split", pa.string(), "`train` or `validation`."),
        field("row", pa.int64(), "Number of the row in its split, counted from 0."),
        field("file", pa.string(), "File of the row, below the folder `shards`."),
        _SOURCE,
        field("start", pa.int32(), "Its first token in the row."),
        field("tokens", pa.int32(), "How many tokens it has in the row."),
        field("document_offset", pa.int64(), "Its first token in the document."),
        field("bytes", pa.int32(), "Bytes of UTF-8 text that end in it."),
    ],
)

DEDUPLICATED = _schema(
    "deduplicated/1",
    "What `gristmill dedup` writes: a row for each document.",
    [
        field("id", pa.string(), "The row's id, or its file and place."),
        field("cluster", pa.string(), "Documents of one cluster are alike."),
        maybe(
            "representative", pa.string(), "The one that is kept; null if it stands in an index."
        ),
        field("kept", pa.bool_(), "Whether it is kept."),
        maybe("level", pa.string(), "What found the duplicate; null if the document is kept."),
        field(
            "cut",
            pa.list_(pa.field("item", pa.struct([_LEVEL, *_span(pa.uint32(), "text")]), False)),
            "Spans of the text that stand elsewhere too.",
        ),
    ],
)

# What a run's folders hold, in the order of its stages; then what the commands write.
TABLES: dict[str, pa.Schema] = {
    "STAGE/rejections": REJECTION,
    "extract/documents": DOCUMENT,
    "filter/signals, curate/signals": VERDICT,
    "filter/edits": EDIT,
    "filter/personal_data": PERSONAL_DATA,
    "filter/contamination, curate/contamination": CONTAMINATION,
    "filter/signatures, deduplicate/index": signature_schema(("url", "normalised"), 1, 16),
    "deduplicate/clusters": CLUSTER,
    "deduplicate/cuts": CUT,
    "deduplicate/candidates": CANDIDATE,
    "deduplicate/*/edges": EDGE,
    "deduplicate/spans/LEVEL": KEYED_SPAN,
    "deduplicate/spans/LEVEL-first": FIRST,
    "deduplicate/repeated": REPEATED,
    "deduplicate/spans/grams": GRAMS,
    "deduplicate/bloom, deduplicate/substring": SPAN,
    "curate/text": CURATED,
    "curate/sample, curate/holdout, tokenize/histogram": HISTOGRAMS,
    "tokenize/tokens": tokens_schema("uint16", widths=True),
    "tokenize/reserve": RESERVE,
    "index/places": PLACE,
    "index/addresses": ADDRESS,
    "index/segments": SEGMENT,
    "gristmill dedup": DEDUPLICATED,
}
