"""Real pages with known main text: the `web` data and the measure of an extraction."""

import gzip
import json
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from curation.extraction.charset import UndecodableError, decode
from curation.readers.warc import read_warc
from curation.urls import registered_domain

REPOSITORY = Path(__file__).resolve().parents[2]
SETS = ("articles", "charsets", "trafilatura-eval", "wcxb")
_TOKEN = re.compile(r"\w+")
_MOST_BYTES = 1 << 26


@dataclass(frozen=True, slots=True)
class Labelled:
    """A page and what is known of its main text: all of it, or snippets."""

    name: str  # of the set
    kind: str  # its type; the set's name where types are not known
    site: str  # registered domain
    payload: bytes
    charset: str | None  # of the HTTP header
    gold: str | None
    wanted: tuple[str, ...]
    unwanted: tuple[str, ...]

    def html(self) -> str:
        """The decoded page, "" if it is no text."""
        try:
            return decode(self.payload, self.charset)[0]
        except UndecodableError:
            return ""


def pages(folder: Path, sets: tuple[str, ...] = SETS) -> Iterator[Labelled]:
    """The pages of the `web` data in `folder`, in the order of their files."""
    for name in sets:
        with gzip.open(folder / f"{name}.gold.jsonl.gz", "rt", encoding="utf-8") as lines:
            golds = iter([json.loads(line) for line in lines])  # in the order of the pages
        for path in sorted(folder.glob(f"{name}-*.warc.gz")):
            with path.open("rb") as stream:
                for record in read_warc(stream, 0, 1 << 40, max_record_bytes=_MOST_BYTES):
                    if record.kind != "response":
                        continue
                    row = next(golds)
                    if row["url"] != record.url:
                        raise ValueError(f"{path}: {record.url} is not {row['url']}")
                    yield Labelled(
                        name,
                        row["page_type"] or name,
                        registered_domain(row["url"]) or row["url"],
                        record.payload,
                        record.charset,
                        row["main_text"],
                        tuple(row.get("with") or ()),
                        tuple(row.get("without") or ()),
                    )


def tokens(text: str) -> list[str]:
    """Lower-case words, as the measure counts them."""
    return _TOKEN.findall(text.lower())


def f1(found: str, gold: str) -> float:
    """F1 of two texts' multisets of lower-case words; 0 if they share none."""
    one, two = Counter(tokens(found)), Counter(tokens(gold))
    joint = (one & two).total()
    return 2 * joint / (one.total() + two.total()) if joint else 0.0
