"""`gristmill redact`: personal data in texts, without a run."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import pyarrow as pa

from curation.pii.settings import Redaction
from pipelines.alone.rows import writing
from pipelines.alone.texts import batches, texts
from schemas.pii import Redact

_BATCH = 256
_SPAN = pa.struct(
    [
        pa.field("start", pa.int64(), False),
        pa.field("end", pa.int64(), False),
        pa.field("type", pa.string(), False),
        pa.field("score", pa.float64(), False),
    ]
)
REDACTED = pa.schema(
    [
        pa.field("id", pa.string(), False),
        pa.field("source", pa.string()),
        pa.field("text", pa.large_string(), False),
        # in the text of the input, in code points, the end exclusive
        pa.field("spans", pa.list_(pa.field("item", _SPAN, False)), False),
    ],
    metadata={b"gristmill.schema": b"redacted/1"},
)


def redact_files(
    paths: Sequence[str],
    output: str,
    asked: Redact,
    *,
    keep_text: bool = False,
    seed: int = 0,
    reading: Mapping[str, Any] | None = None,
    id_column: str = "id",
) -> Counter[str]:
    """Write a row (REDACTED) for every text of files, folders, patterns or `-` to `output`.

    `keep_text` leaves the texts as they are. A document above `drop_above` has no row. Its source
    is its row's `source`. Returns how many findings there are of each type, how many documents
    are `dropped`, and how many records are no text, why. Raises Problem.
    """
    redaction = Redaction(asked, seed)
    ends: Counter[str] = Counter()
    with writing(output, REDACTED) as rows:
        every = texts(paths, ends, reading=reading, id_column=id_column, group="source")
        for batch in batches(every, _BATCH):
            done = redaction.redact([one.text for one in batch], [one.group or "" for one in batch])
            found = []
            for one, (redacted, dropped) in zip(batch, done, strict=True):
                ends.update(span.type for span in redacted.spans)
                ends["dropped"] += dropped
                if not dropped:
                    row = {
                        "id": one.id,
                        "source": one.group,
                        "text": one.text if keep_text else redacted.text,
                        "spans": [asdict(span) for span in redacted.spans],
                    }
                    found.append(row)
            rows.write(found)
    return +ends
