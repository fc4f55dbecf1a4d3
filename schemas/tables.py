"""Arrow schemas of the files a run writes. Changes are additive; columns are read by name."""

from __future__ import annotations

import pyarrow as pa

ID = pa.binary(16)


def _schema(name: str, fields: list[pa.Field]) -> pa.Schema:
    return pa.schema(fields, metadata={b"gristmill.schema": name.encode()})


def _origin() -> list[pa.Field]:
    """Where a record stands: file below the input's root, first byte and length."""
    return [
        pa.field("file", pa.string(), False),
        pa.field("offset", pa.int64(), False),
        pa.field("length", pa.int64(), False),
    ]


# extract: one row a page whose text was found
DOCUMENT = _schema(
    "document/1",
    [
        pa.field("id", ID, False),
        pa.field("source", pa.string(), False),
        pa.field("snapshot", pa.string(), False),
        pa.field("url", pa.string(), False),
        pa.field("crawled", pa.timestamp("s", "UTC")),
        pa.field("text", pa.large_string(), False),
        pa.field("title", pa.string()),
        pa.field("author", pa.string()),
        pa.field("published", pa.string()),
        pa.field("language", pa.string(), False),
        pa.field("language_score", pa.float32(), False),
        pa.field("charset", pa.string(), False),
        pa.field("page_bytes", pa.int64(), False),
        *_origin(),
    ],
)

# extract: one row a record that did not become a document, and a damaged gap of a file
REJECTION = _schema(
    "rejection/1",
    [
        pa.field("id", ID, False),
        pa.field("source", pa.string(), False),
        pa.field("url", pa.string()),
        pa.field("reason", pa.string(), False),
        pa.field("value", pa.string()),
        *_origin(),
    ],
)

# judge: the columns every signals file has; the measured signals follow as `family.signal`
VERDICT = _schema(
    "signals/1",
    [
        pa.field("id", ID, False),
        pa.field("source", pa.string(), False),
        pa.field("url", pa.string(), False),
        pa.field("kept", pa.bool_(), False),
        # all failing reasons, in the order of the chain; the first is the ledger's
        pa.field("reasons", pa.list_(pa.field("item", pa.string(), False)), False),
    ],
)

# judge: the text of kept documents that an edit changed
EDIT = _schema("edit/1", [pa.field("id", ID, False), pa.field("text", pa.large_string(), False)])


def signature_schema(permutations: int, bands: int) -> pa.Schema:
    """judge: one row a kept document, what deduplication works on.

    `preference`: the smallest of a cluster is kept. `signature` is null for a document with
    fewer words than a shingle; then its bands are null too.
    """
    near = [
        pa.field("signature", pa.list_(pa.field("item", pa.uint64(), False), permutations)),
        *(pa.field(f"band_{band:04d}", pa.uint64()) for band in range(bands)),
    ]
    return _schema(
        "signature/1",
        [
            pa.field("id", ID, False),
            pa.field("scope", pa.string(), False),
            pa.field("preference", pa.uint64(), False),
            pa.field("digest", ID, False),
            *(near if permutations else []),
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

# deduplicate: documents that are not kept, and the one that is kept instead
DROP = _schema(
    "drop/1",
    [
        pa.field("id", ID, False),
        pa.field("level", pa.string(), False),
        pa.field("kept_id", ID, False),
    ],
)

# curate: the survivors, fit to publish
CURATED = _schema(
    "curated/1",
    [
        pa.field("id", ID, False),
        pa.field("source", pa.string(), False),
        pa.field("url", pa.string(), False),
        pa.field("text", pa.large_string(), False),
        pa.field("language", pa.string(), False),
        pa.field("bytes", pa.int64(), False),
        pa.field("holdout", pa.uint64(), False),
        pa.field("pii_replaced", pa.int32(), False),
        *_origin(),
    ],
)


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
