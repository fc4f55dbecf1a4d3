"""A stream of pages as a crawl has them: mostly not what a recipe for English wants.

    python -m tests.benchmarks.crawl_stream --output FOLDER [--count 2000] [--seed 1]

Writes `crawl.warc.gz` and `crawl.jsonl` (url, kind, language of each response) from the data sets
`web`, `langid` and `quality` in GRISTMILL_DATA: a quarter English pages as they are; more than
half pages in 74 other languages, which are real pages with their text replaced by sentences, piece
by piece and of equal length; the rest junk (other types, errors, empty shells, spam). The answer
depends on the count and the seed alone.
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
import random
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from curation.extraction.charset import UndecodableError, decode
from curation.language import Languages
from curation.readers import Record
from curation.readers.warc import read_warc

REPOSITORY = Path(__file__).resolve().parents[2]
LARGEST = 300_000  # bytes; so that the median is that of a crawl, 60 to 100 kB
SHARES = {"english": 25, "other": 55, "junk": 20}
# More of what a crawl has more of.
FREQUENT = [
    "de",
    "ru",
    "zh",
    "ja",
    "fr",
    "es",
    "it",
    "pt",
    "pl",
    "nl",
    "tr",
    "cs",
    "vi",
    "fa",
    "id",
]
LEGACY = {
    **dict.fromkeys(("ru", "bg", "uk", "be"), "windows-1251"),
    **dict.fromkeys(("pl", "hu"), "iso-8859-2"),
    **dict.fromkeys(("de", "fr", "es", "it", "pt", "nl", "sv", "da", "fi"), "iso-8859-1"),
    "cs": "windows-1250",
    "tr": "windows-1254",
    "el": "windows-1253",
    "ar": "windows-1256",
    "ja": "shift_jis",
    "zh": "gb18030",
    "ko": "euc-kr",
}
_PIECE = re.compile(
    r"<(script|style|noscript|template|svg)\b.*?</\1\s*>|<!--.*?-->|(?<=>)[^<>]*\w[^<>]*(?=<)",
    re.DOTALL | re.IGNORECASE,
)
_LANG = re.compile(r"(<html\b[^>]*?\blang\s*=\s*[\"']?)[\w-]+", re.IGNORECASE)
_META = re.compile(r"<meta\b[^>]*\bcharset\b[^>]*>", re.IGNORECASE)


class Item(NamedTuple):
    """A response of the stream."""

    kind: str
    language: str | None
    status: int
    content_type: str  # with its charset
    payload: bytes


class Sources(NamedTuple):
    """What pages are made of: English ones as they are, HTML of others, sentences by language,
    passages of low quality."""

    english: list[bytes]
    pages: list[str]
    sentences: dict[str, list[str]]
    low: list[str]


def _lines(path: Path) -> Iterator[dict[str, str]]:
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        yield from map(json.loads, lines)


def sources(data: Path) -> Sources:
    """Read the data sets."""
    model = Languages(REPOSITORY / "curation/models/lid.176.ftz")
    english, pages = [], []
    for path in sorted((data / "web").glob("*.warc.gz")):
        if path.name.startswith("charsets"):
            continue
        gold = {
            row["record_id"]: row["main_text"] or ""
            for row in _lines(path.with_name(path.name.rpartition("-")[0] + ".gold.jsonl.gz"))
            if row["warc"] == path.name
        }
        with path.open("rb") as stream:
            items = list(read_warc(stream, 0, path.stat().st_size, max_record_bytes=1 << 24))
        records = [item for item in items if isinstance(item, Record) and item.kind == "response"]
        for record, text in zip(records, gold.values(), strict=True):
            if len(record.payload) > LARGEST:
                continue
            try:
                html, _ = decode(record.payload, record.charset)
            except UndecodableError:
                continue
            pages.append(html)
            ((language, score),) = model.identify([text])
            if language == "en" and score >= 0.65:
                english.append(html.encode("utf-8", "replace"))
    sentences: dict[str, list[str]] = {}
    for row in _lines(data / "langid/sentences.jsonl.gz"):
        sentences.setdefault(row["lang"], []).append(row["text"])
    low = [
        row["text"]
        for row in _lines(data / "quality/passages.jsonl.gz")
        if row["label"] == "low" and len(row["text"]) > 300
    ]
    return Sources(english, pages, sentences, low)


def rewritten(html: str, texts: list[str], rng: random.Random, scale: float = 1.0) -> str:
    """A page with each piece of its text replaced by one of `scale` times its length."""
    pool = " ".join(rng.sample(texts, min(len(texts), 120)))
    at = 0

    def piece(found: re.Match[str]) -> str:
        nonlocal at
        old = found[0]
        if old.startswith("<"):
            return old
        size = max(2, int(len(old.strip()) * scale))
        if at + size > len(pool):
            at = 0
        text = pool[at : at + size]
        cut = text.rfind(" ")
        if cut > size // 2:
            text = text[:cut]
        at += len(text) + 1
        return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")

    return _PIECE.sub(piece, html)


def other(source: Sources, rng: random.Random) -> Item:
    """A page in another language, one in five in a charset of old."""
    languages = sorted(set(source.sentences) - {"en"})
    language = rng.choice(FREQUENT if rng.random() < 0.7 else languages)
    language = language if language in source.sentences else rng.choice(languages)
    scale = 0.45 if language in {"zh", "ja", "ko"} else 1.0
    html = rewritten(rng.choice(source.pages), source.sentences[language], rng, scale)
    html = _LANG.sub(rf"\g<1>{language}", html)
    charset = LEGACY.get(language, "utf-8") if rng.random() < 0.2 else "utf-8"
    html = _META.sub(f'<meta charset="{charset}">', html, count=1)
    payload = html.encode(charset, "xmlcharrefreplace")
    named = f"; charset={charset}" if charset != "utf-8" or rng.random() < 0.7 else ""
    return Item("other", language, 200, f"text/html{named}", payload)


def junk(source: Sources, rng: random.Random) -> Item:
    """What is no page, or one that nobody wants to read."""
    page = rng.choice(source.pages)
    match rng.randrange(10):
        case 0 | 1 | 2:
            status = rng.choice((301, 302, 403, 404, 404, 500, 503))
            body = page[: rng.choice((500, 3000, 60_000))].encode("utf-8", "replace")
            return Item("status", None, status, "text/html", body)
        case 3:
            return Item("type", None, 200, "application/pdf", b"%PDF-1.7\n" + rng.randbytes(40_000))
        case 4:
            body = json.dumps({"items": rng.sample(source.low, 20)}).encode()
            return Item("type", None, 200, "application/json", body)
        case 5:
            return Item(
                "binary", None, 200, "text/html", b"\x89PNG\r\n\x1a\n" + rng.randbytes(30_000)
            )
        case 6:
            body = "<html><head><title>App</title></head><body><div id=root></div>" + "".join(
                found[0] for found in _PIECE.finditer(page) if found[0][:7].lower() == "<script"
            )
            return Item(
                "shell", None, 200, "text/html; charset=utf-8", body.encode("utf-8", "replace")
            )
        case 7:
            body = (
                '<html><head><meta http-equiv="refresh" content="0; url=/en/home"></head>'
                "<body><p>If you are not redirected, <a href=/en/home>follow this link</a>.</body>"
            )
            return Item("redirect", None, 200, "text/html", body.encode())
        case _:
            html = rewritten(page, source.low, rng)
            return Item(
                "spam", "en", 200, "text/html; charset=utf-8", html.encode("utf-8", "replace")
            )


def stream(source: Sources, count: int, seed: int) -> Iterator[Item]:
    """So many responses."""
    rng = random.Random(seed)
    for _ in range(count):
        match rng.choices(list(SHARES), list(SHARES.values()))[0]:
            case "english":
                payload = rng.choice(source.english)
                yield Item("english", "en", 200, "text/html; charset=utf-8", payload)
            case "other":
                yield other(source, rng)
            case _:
                yield junk(source, rng)


def record(number: int, item: Item) -> tuple[str, bytes]:
    """Its address, and it as a member of a WARC file."""
    url = f"https://site-{number % 977}.example/{item.kind}/{number}"
    http = (
        f"HTTP/1.1 {item.status} X\r\nContent-Type: {item.content_type}\r\n"
        f"Content-Length: {len(item.payload)}\r\n\r\n"
    ).encode()
    head = (
        "WARC/1.0\r\nWARC-Type: response\r\n"
        f"WARC-Record-ID: <urn:uuid:00000000-0000-4000-8000-{number:012d}>\r\n"
        f"WARC-Target-URI: {url}\r\nWARC-Date: 2025-01-01T00:00:00Z\r\n"
        "Content-Type: application/http; msgtype=response\r\n"
        f"Content-Length: {len(http) + len(item.payload)}\r\n\r\n"
    ).encode()
    return url, gzip.compress(head + http + item.payload + b"\r\n\r\n", 6, mtime=0)


def write(data: Path, output: Path, count: int, seed: int) -> Path:
    """Write the stream into a folder; the path of its WARC file."""
    output.mkdir(parents=True, exist_ok=True)
    path = output / "crawl.warc.gz"
    with path.open("wb") as warc, (output / "crawl.jsonl").open("w") as index:
        for number, item in enumerate(stream(sources(data), count, seed)):
            url, member = record(number, item)
            warc.write(member)
            row = {"url": url, "kind": item.kind, "language": item.language}
            index.write(json.dumps(row | {"bytes": len(item.payload)}) + "\n")
    return path


def main() -> None:
    """Write a stream."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--count", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    default = REPOSITORY.parent / "shared" / "data"
    data = Path(os.environ.get("GRISTMILL_DATA", default))
    print(write(data, options.output, options.count, options.seed))


if __name__ == "__main__":
    main()
