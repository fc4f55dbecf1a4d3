"""gristmill's steps as Beam transforms, for pipelines of your own.

A document is an element of the pipeline here, so its text crosses the engine's shuffles where the
pipeline has some. For whole corpora a run is cheaper: there text stays in files, and each step is
resumable and accounted for.

`ExtractText`, `Filter`, `Redact` and `Decontaminate` give two collections, what is kept and what is
rejected; `NearDuplicates` gives a verdict for each document, `TokenizeToShards` a data set that
`gristmill train` reads.
"""

from pipelines.transforms.documents import (
    Decontaminate,
    Document,
    ExtractText,
    Filter,
    Page,
    Redact,
    Rejection,
)
from pipelines.transforms.duplicates import NearDuplicates, Verdict
from pipelines.transforms.shards import TokenizeToShards

__all__ = [
    "Decontaminate",
    "Document",
    "ExtractText",
    "Filter",
    "NearDuplicates",
    "Page",
    "Redact",
    "Rejection",
    "TokenizeToShards",
    "Verdict",
]
