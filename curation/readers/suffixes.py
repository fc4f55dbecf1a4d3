"""What a file's name says about its format."""

from __future__ import annotations

from pathlib import PurePosixPath

from curation.readers.code import NAMES, is_licence, language_of
from curation.readers.documents import DocumentFormat
from schemas.inputs import Format

COMPRESSED = frozenset({".gz", ".zst", ".lz4"})
_SUFFIXES: tuple[tuple[Format, str], ...] = (
    ("warc", ".warc .wet .wat"),
    ("arc", ".arc"),
    ("jsonl", ".jsonl .ndjson .json"),
    ("parquet", ".parquet"),
    ("csv", ".csv"),
    ("tsv", ".tsv"),
    ("tar", ".tar .tgz"),
    ("zip", ".zip"),
    ("html", ".html .htm .xhtml"),
    ("text", ".txt .text .md .markdown .rst"),
)
_FORMATS = {suffix: found for found, suffixes in _SUFFIXES for suffix in suffixes.split()}


def format_of(name: str) -> Format | None:
    """The format that a name's suffix means, if it means one."""
    path = PurePosixPath(name.lower())
    if path.suffix in COMPRESSED:
        path = path.with_suffix("")
    if path.name in NAMES:
        return "code"
    if found := _FORMATS.get(path.suffix):
        return found
    return "code" if language_of(path.name) else "text" if is_licence(path.name) else None


def document_format(name: str) -> DocumentFormat | None:
    """The format of a file that is one document, if its name says that it is one."""
    found = format_of(name)
    return found if found == "html" or found == "text" or found == "code" else None
