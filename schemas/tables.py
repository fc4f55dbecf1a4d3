"""Arrow schemas of the files a run writes. Changes are additive; columns are read by name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pyarrow as pa

ID = pa.binary(16)  # of documents, in shards, signatures and shuffles
HEX = pa.string()  # the same in 32 hexadecimal digits, in tables that people read


def _schema(name: str, fields: list[pa.Field]) -> pa.Schema:
    return pa.schema(fields, metadata={b"gristmill.schema": name.encode()})


def _origin() -> list[pa.Field]:
    """Where a record stands: file below the input's root, first byte or row and length, and what
    the offset counts, as `Place` says; of Parquet the row group too."""
    return [
        pa.field("file", pa.string(), False),
        pa.field("offset", pa.int64(), False),
        pa.field("offset_kind", pa.string(), False),
        pa.field("row_group", pa.int32()),
        pa.field("length", pa.int64(), False),
    ]


def declared() -> list[pa.Field]:
    """What a page says of itself; `language` of its own would clash with the one found."""
    return [
        pa.field("title", pa.string()),
        pa.field("author", pa.string()),
        pa.field("published", pa.string()),
        pa.field("canonical", pa.string()),
        pa.field("declared_language", pa.string()),
        pa.field("opt_outs", _names(), False),
        pa.field("licences", _names(), False),
    ]


def _names() -> pa.DataType:
    return pa.list_(pa.field("item", pa.string(), False))


# extract: one row a page whose text was found
DOCUMENT = _schema(
    "document/2",
    [
        pa.field("id", HEX, False),
        pa.field("source", pa.string(), False),
        pa.field("snapshot", pa.string(), False),
        pa.field("url", pa.string()),
        pa.field("crawled", pa.timestamp("s", "UTC")),
        pa.field("text", pa.large_string(), False),
        *declared(),
        # null if no model names it
        pa.field("language", pa.string()),
        pa.field("language_score", pa.float32()),
        # what the document is, and of what format the file or the member of an archive was
        pa.field("kind", pa.string(), False),
        pa.field("format", pa.string(), False),
        # the user's own id
        pa.field("user_id", pa.string()),
        # what found the text; null if it came as text
        pa.field("engine", pa.string()),
        pa.field("charset", pa.string(), False),
        # what is wrong with the record though it could be read
        pa.field("flaw", pa.string()),
        pa.field("page_bytes", pa.int64(), False),
        *_origin(),
    ],
)

# every stage: one row for what it does not keep. A record that became no document has its place,
# a document its id; `value` decided, `detail` says what it had to be, or more
REJECTION = _schema(
    "rejection/3",
    [
        pa.field("id", HEX, False),
        pa.field("stage", pa.string(), False),
        pa.field("reason", pa.string(), False),
        pa.field("value", pa.string()),
        pa.field("detail", pa.string()),
        # the document that is kept instead of a duplicate
        pa.field("representative", HEX),
        pa.field("source", pa.string()),
        pa.field("url", pa.string()),
        *(field.with_nullable(True) for field in _origin()),
    ],
)

# filter, curate: the columns every signals file has; the measured signals follow as
# `family.signal`
VERDICT = _schema(
    "signals/2",
    [
        pa.field("id", HEX, False),
        pa.field("source", pa.string(), False),
        pa.field("url", pa.string()),
        # with `source` these tell for which documents a step is
        pa.field("kind", pa.string(), False),
        pa.field("format", pa.string(), False),
        pa.field("language", pa.string()),
        pa.field("kept", pa.bool_(), False),
        # all failing reasons, in the order of the chain; the first is the ledger's
        pa.field("reasons", pa.list_(pa.field("item", pa.string(), False)), False),
    ],
)

# filter: the text of kept documents that an edit changed
EDIT = _schema("edit/2", [pa.field("id", HEX, False), pa.field("text", pa.large_string(), False)])


def signature_schema(levels: Sequence[str], sketch_bytes: int, bands: int) -> pa.Schema:
    """filter: one row a kept document, what deduplication works on.

    `preference`: the smallest of a cluster is kept; `url_preference`: of the pages of one URL.
    `digest` is of the text, `normalised` of the normalised one. `sketch`: 16 bits of values of
    the MinHash signature, little-endian; none if `sketch_bytes` is 0.
    """
    keyed = []
    if "url" in levels:
        keyed += [pa.field("url", ID), pa.field("url_preference", pa.uint64(), False)]
    if "normalised" in levels:
        keyed.append(pa.field("normalised", ID, False))
    near = [
        pa.field("sketch", pa.binary(sketch_bytes), False),
        *(pa.field(f"band_{band:04d}", pa.uint64(), False) for band in range(bands)),
    ]
    return _schema(
        "signature/2",
        [
            pa.field("id", ID, False),
            pa.field("scope", pa.string(), False),
            pa.field("preference", pa.uint64(), False),
            pa.field("digest", ID, False),
            *keyed,
            *(near if sketch_bytes else []),
        ],
    )


# deduplicate: which documents share a band's key, by part and row of the signature file
CANDIDATE = _schema(
    "candidate/1",
    [
        pa.field("part", pa.uint32(), False),
        pa.field("row", pa.uint32(), False),
        pa.field("bucket", pa.uint32(), False),
    ],
)

# deduplicate: verified edges between documents (a is preferred to b)
EDGE = _schema(
    "edge/1",
    [
        pa.field("a", pa.binary(28), False),
        pa.field("b", pa.binary(28), False),
        pa.field("similarity", pa.float32(), False),
    ],
)

# deduplicate: documents of a part for which others were dropped, and how many
CLUSTER = _schema("cluster/2", [pa.field("id", HEX, False), pa.field("dropped", pa.int64(), False)])

# deduplicate: spans of the documents of a part, in order; `row`: of the survivors of the part;
# `repeated`: stands earlier in the same part
KEYED_SPAN = _schema(
    "keyed_span/1",
    [
        pa.field("key", pa.uint64(), False),
        pa.field("row", pa.uint32(), False),
        pa.field("start", pa.uint32(), False),
        pa.field("end", pa.uint32(), False),
        pa.field("repeated", pa.bool_(), False),
    ],
)

# deduplicate: the document in which a span stands first in a part, by key; `id`: its upper half
FIRST = _schema(
    "first/1",
    [
        pa.field("key", pa.uint64(), False),
        pa.field("preference", pa.uint64(), False),
        pa.field("id", pa.uint64(), False),
    ],
)

# deduplicate: keys of spans of a part that stand first in another part
REPEATED = _schema(
    "repeated/1", [pa.field("part", pa.uint32(), False), pa.field("key", pa.uint64(), False)]
)


def _many(kind: pa.DataType) -> pa.DataType:
    return pa.large_list(pa.field("item", kind, False))


# deduplicate: n-grams of the documents of a part, most preferred first; `starts`, `ends` and
# `counts` of n-grams are of lines
GRAMS = _schema(
    "grams/1",
    [
        pa.field("preference", pa.uint64(), False),
        pa.field("id", ID, False),
        pa.field("row", pa.uint32(), False),
        pa.field("characters", pa.uint32(), False),
        pa.field("starts", _many(pa.uint32()), False),
        pa.field("ends", _many(pa.uint32()), False),
        pa.field("counts", _many(pa.uint32()), False),
        pa.field("grams", _many(pa.uint64()), False),
    ],
)

# deduplicate: what a group of parts repeats
SPAN = _schema(
    "span/1",
    [
        pa.field("part", pa.uint32(), False),
        pa.field("row", pa.uint32(), False),
        pa.field("start", pa.uint32(), False),
        pa.field("end", pa.uint32(), False),
    ],
)

# deduplicate: characters [start, end) to cut of the filtered text; those of a document are
# together, in order and disjoint
CUT = _schema(
    "cut/2",
    [
        pa.field("id", HEX, False),
        pa.field("level", pa.string(), False),
        pa.field("start", pa.uint32(), False),
        pa.field("end", pa.uint32(), False),
    ],
)

# personal data in a document, never its value: its type, where what is in its place, or was left,
# stands in the text (code points, the end exclusive; null if the text was changed after that), and
# how sure it is
FINDINGS = pa.list_(
    pa.field(
        "item",
        pa.struct(
            [
                pa.field("type", pa.string(), False),
                pa.field("start", pa.int32()),
                pa.field("end", pa.int32()),
                pa.field("score", pa.float32(), False),
            ]
        ),
        False,
    )
)

# filter: the kept documents with personal data
PERSONAL_DATA = _schema(
    "personal_data/1",
    [pa.field("id", HEX, False), pa.field("personal_data", FINDINGS, False)],
)

# filter, curate: a row for each test item in a document, kept or not, the best of a document first;
# `share`: of the item that is there; `score`: that as a part of what must be there of an item of
# its length; characters [start, end) of the text that the step was given, null if it was found only
# once others were cut
CONTAMINATION = _schema(
    "contamination/1",
    [
        pa.field("id", HEX, False),
        pa.field("benchmark", pa.string(), False),
        pa.field("item", pa.string(), False),
        pa.field("score", pa.float64(), False),
        pa.field("share", pa.float64(), False),
        pa.field("start", pa.int64()),
        pa.field("end", pa.int64()),
    ],
)

# curate: the survivors, fit to publish
CURATED = _schema(
    "curated/2",
    [
        pa.field("id", HEX, False),
        pa.field("source", pa.string(), False),
        pa.field("url", pa.string()),
        pa.field("text", pa.large_string(), False),
        pa.field("language", pa.string()),
        pa.field("bytes", pa.int64(), False),
        pa.field("holdout", pa.uint64(), False),
        pa.field("pii_replaced", pa.int32(), False),
        # also what was found before deduplication
        pa.field("personal_data", FINDINGS, False),
        pa.field("user_id", pa.string()),
        *_origin(),
    ],
)

_TYPES = {
    "string": pa.string(),
    "integer": pa.int64(),
    "float": pa.float64(),
    "boolean": pa.bool_(),
}
# names that the columns that a recipe keeps cannot have
RESERVED = frozenset({*DOCUMENT.names, *CURATED.names, "cuts", "kept", "reasons"})


def column_type(kind: str) -> pa.DataType:
    """Of a column that a recipe keeps: string, integer, float or boolean."""
    return _TYPES[kind]


def with_columns(schema: pa.Schema, columns: Mapping[str, str]) -> pa.Schema:
    """A schema of documents, with the columns that a recipe keeps."""
    kept = [pa.field(name, column_type(kind)) for name, kind in columns.items()]
    return pa.schema([*schema, *kept], metadata=schema.metadata)


def tokens_schema(token_type: str) -> pa.Schema:
    """tokenize: one row a document, sorted by source and mixing key.

    `tokens` are all ids of the document, begin and end of text included.
    """
    ids = pa.uint16() if token_type == "uint16" else pa.uint32()
    return _schema(
        "tokens/1",
        [
            pa.field("source", pa.string(), False),
            pa.field("key", pa.uint64(), False),
            pa.field("id", ID, False),
            pa.field("holdout", pa.uint64(), False),
            pa.field("bytes", pa.int64(), False),
            pa.field("tokens", pa.large_list(pa.field("item", ids, False)), False),
        ],
    )


# tokenize: documents among which validation is chosen
RESERVE = _schema(
    "reserve/1",
    [
        pa.field("source", pa.string(), False),
        pa.field("key", pa.uint64(), False),
        pa.field("holdout", pa.uint64(), False),
        pa.field("tokens", pa.int64(), False),
    ],
)


# the command `dedup`: one row a document; `representative` is null if it stands in an index,
# `level` if the document is kept; `cut`: characters [start, end) that stand elsewhere
DEDUPLICATED = _schema(
    "deduplicated/1",
    [
        pa.field("id", pa.string(), False),
        pa.field("cluster", pa.string(), False),
        pa.field("representative", pa.string()),
        pa.field("kept", pa.bool_(), False),
        pa.field("level", pa.string()),
        pa.field(
            "cut",
            pa.list_(
                pa.field(
                    "item",
                    pa.struct(
                        [
                            pa.field("level", pa.string(), False),
                            pa.field("start", pa.uint32(), False),
                            pa.field("end", pa.uint32(), False),
                        ]
                    ),
                    False,
                )
            ),
            False,
        ),
    ],
)
