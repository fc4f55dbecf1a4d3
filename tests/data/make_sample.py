"""Make the sample crawl in `tests/data/sample` from the larger data sets.

    python tests/data/make_sample.py DATA [OUTPUT]

DATA is the folder that holds `web`, `sources`, `quality` and `pii`. Real pages, named in
`selection.csv`, are copied member by member, so their records are byte for byte those of the
data sets. Pages that no data set has (spam, copies, personal data) are built around real or
published text and say so in the gold. Running it again gives the same files.
"""

from __future__ import annotations

import csv
import gzip
import json
import random
import re
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from captures import STARTED, Builder, Entry, captures, damage, record, render

HERE = Path(__file__).parent
SEED = 3
FILES = 3
WEB = ("articles", "charsets", "trafilatura-eval", "wcxb")

PERSONAL = ("EMAIL_ADDRESS", "IP_ADDRESS", "PHONE_NUMBER", "CREDIT_CARD", "IBAN_CODE", "US_SSN")
# (real page, share of its paragraphs left out of the copy)
NEAR_REAL = (("wcxb-dev-0379", 0.05), ("wcxb-dev-2722", 0.03), ("wcxb-dev-0064", 0.05))
NEAR_BOOK = ("mary-shelley_frankenstein/chapter-5", 0.08)
EXACT_REAL = "wcxb-dev-4515"
EXACT_BOOK = "jane-austen_pride-and-prejudice/chapter-34"
DAMAGED = "wcxb-dev-4105"


def read_jsonl(path: Path) -> Iterator[dict[str, Any]]:
    with gzip.open(path, "rt", encoding="utf-8") if path.suffix == ".gz" else path.open() as lines:
        for line in lines:
            yield json.loads(line)


def selected(*corpora: str) -> dict[str, dict[str, str]]:
    """Rows of `selection.csv` by id, in its order."""
    with (HERE / "selection.csv").open(encoding="utf-8", newline="") as rows:
        return {row["id"]: row for row in csv.DictReader(rows) if row["corpus"] in corpora}


def pick(path: Path, corpus: str) -> list[dict[str, Any]]:
    ids = selected(corpus)
    found = {row["id"]: row for row in read_jsonl(path) if row["id"] in ids}
    return [found[name] for name in ids]


# --- real pages -------------------------------------------------------------------------------


def real_pages(web: Path) -> dict[str, tuple[Entry, bytes]]:
    """The selected captures by page id, each with its HTML."""
    chosen = selected(*WEB)
    gold = {
        row["record_id"]: row | {"corpus": corpus}
        for corpus in WEB
        for row in read_jsonl(web / f"{corpus}.gold.jsonl.gz")
        if row["id"] in chosen
    }
    origins = origins_of(web)
    found: dict[str, tuple[Entry, bytes]] = {}
    for name in sorted({row["warc"] for row in gold.values()}):
        data = (web / name).read_bytes()
        for urn, (members, body) in captures(data).items():
            if urn not in gold:
                continue
            row = gold[urn]
            choice = chosen[row["id"]]
            line = {key: row.get(key) for key in ("record_id", "url", "id", "page_type", "title")}
            line |= {key: row.get(key) for key in ("author", "date", "encoding", "main_text")}
            line |= {"language": choice["language"], "licence": choice["licence"]}
            line |= {"origin": origins[row["corpus"]], "constructed": None}
            line |= {key: row[key] for key in ("with", "without") if row.get(key)}
            found[row["id"]] = (Entry(members, line), body)
    missing = sorted(set(chosen) - set(found))
    if missing:
        raise SystemExit(f"{web}: no page {', '.join(missing)}")
    return {name: found[name] for name in chosen}


def origins_of(web: Path) -> dict[str, str]:
    manifest = json.loads((web / "MANIFEST.json").read_text("utf-8"))
    return {
        item["file"].split(".gold")[0]: f"{item['origin']} at {item['commit']}"
        for item in manifest["files"]
        if ".gold." in item["file"]
    }


# --- pages built around published text --------------------------------------------------------


def paragraphs_of(text: str) -> list[str]:
    return [" ".join(part.split()) for part in re.split(r"\n\s*\n", text) if part.strip()]


def slug(name: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")


def constructed(name: str, kind: str, text: str | None, how: str, **more: Any) -> dict[str, Any]:
    gold = {"id": name, "page_type": kind, "main_text": text, "language": "en", "constructed": how}
    return {"title": None, "licence": "", "origin": ""} | gold | more


def book_pages(build: Builder, data: Path, rng: random.Random) -> Iterator[Entry]:
    how = "page built around a chapter"
    for row in pick(data / "sources/books.jsonl.gz", "books"):
        title = " ".join(row["id"].replace("_", " ").replace("/", " ").split("-")).title()
        parts = paragraphs_of(row["text"])
        more = {"title": title, "licence": row["license"], "origin": row["url"]}
        url = f"https://library.example/{slug(row['id'])}.html"
        page = render(title, parts, "The Library", "Public domain text.")
        yield build.page(
            url, page, constructed(row["id"], "article", "\n\n".join(parts), how, **more)
        )
        if row["id"] == EXACT_BOOK:
            page = render(title, parts, "Old Books Mirror", "Mirrored with care. Contact us.")
            copy = constructed(
                f"{row['id']}#exact",
                "article",
                "\n\n".join(parts),
                "the same text in another frame",
                copy_of=row["id"],
                **more,
            )
            yield build.page(f"https://mirror.example/old/{slug(row['id'])}", page, copy)
        if row["id"] == NEAR_BOOK[0]:
            left = leave_out(parts, NEAR_BOOK[1], rng)
            page = render(title, left, "Reading Room", "Abridged for the reading room.")
            copy = constructed(
                f"{row['id']}#near",
                "article",
                "\n\n".join(left),
                "the same text with paragraphs left out",
                copy_of=row["id"],
                **more,
            )
            yield build.page(f"https://reading.example/{slug(row['id'])}", page, copy)


def leave_out(parts: list[str], share: float, rng: random.Random) -> list[str]:
    gone = set(rng.sample(range(len(parts)), max(1, round(share * len(parts)))))
    return [part for at, part in enumerate(parts) if at not in gone]


def copies(
    build: Builder, pages: dict[str, tuple[Entry, bytes]], rng: random.Random
) -> Iterator[Entry]:
    """An exact copy and near copies of real pages under other addresses."""
    keys = ("title", "page_type", "language", "licence", "origin", "encoding")
    entry, body = pages[EXACT_REAL]
    gold = constructed(
        f"{EXACT_REAL}#exact",
        "",
        entry.gold["main_text"],
        "the same page at another address",
        copy_of=EXACT_REAL,
    )
    gold |= {key: entry.gold[key] for key in keys}
    yield build.page("https://mirror.example/climate-solvers", body, gold)
    for name, share in NEAR_REAL:
        entry, body = pages[name]
        pieces = re.split(rb"(<p\b[^>]*>.*?</p>)", body, flags=re.DOTALL)
        long = [at for at in range(1, len(pieces), 2) if len(pieces[at]) > 200]
        for at in rng.sample(long, max(1, round(share * len(long)))):
            pieces[at] = b""
        gold = constructed(
            f"{name}#near",
            "",
            None,
            f"the same page, {share:.0%} of its long paragraphs left out",
            copy_of=name,
        )
        gold |= {key: entry.gold[key] for key in keys}
        yield build.page(f"https://reader.example/{slug(name)}", b"".join(pieces), gold)


def question_pages(build: Builder, data: Path) -> Iterator[Entry]:
    for row in pick(data / "sources/qa.jsonl.gz", "qa"):
        title = row["text"].split("\n")[0].removeprefix("Q: ")
        parts = paragraphs_of(row["text"])
        kind = "forum" if row["id"].startswith("counsel") else "collection"
        gold = constructed(
            row["id"],
            kind,
            "\n\n".join(parts),
            "page built around questions and answers",
            title=title,
            licence=row["license"],
            origin=row["url"],
        )
        page = render(title, parts, "Questions", "Questions and answers.")
        yield build.page(f"https://answers.example/{slug(row['id'])}", page, gold)


def spam_pages(build: Builder, data: Path) -> Iterator[Entry]:
    for row in pick(data / "quality/passages.jsonl.gz", "quality"):
        parts = paragraphs_of(row["text"])
        gold = constructed(
            row["id"],
            "spam",
            "\n\n".join(parts),
            "page built around a spam mail",
            title="Special offer",
            licence="PDDL-1.0",
            origin=row["source"],
        )
        page = render("Special offer", parts, "Best Deals", "You are receiving this for free.")
        yield build.page(f"http://deals.example/{slug(row['id'])}", page, gold)


def grams(text: str) -> set[tuple[str, ...]]:
    words = text.split()
    return set(zip(words, words[1:], words[2:], words[3:], strict=False))


def personal_page(build: Builder, data: Path, rng: random.Random) -> Entry:
    """A page of made-up customers' messages with made-up personal data."""
    rows = list(read_jsonl(data / "pii/labelled.jsonl"))
    parts: list[str] = []
    spans: list[dict[str, str]] = []
    for kind in PERSONAL:
        having = [row for row in rows if any(span["type"] == kind for span in row["spans"])]
        for row in rng.sample(having, 2):
            parts.append(" ".join(row["text"].split()))
            spans += [
                {"type": span["type"], "text": row["text"][span["start"] : span["end"]]}
                for span in row["spans"]
                if span["type"] in PERSONAL
            ]
    seen = {gram for part in parts for gram in grams(part)}
    for row in rng.sample(rows, len(rows)):
        text = " ".join(row["text"].split())
        clean = {*PERSONAL, "ADDRESS", "STREET_ADDRESS"}.isdisjoint(
            span["type"] for span in row["spans"]
        )
        if clean and len(text) > 90 and seen.isdisjoint(grams(text)) and len(parts) < 42:
            parts.append(text)
            seen.update(grams(text))
    rng.shuffle(parts)
    title = "What our customers write to us"
    gold = constructed(
        "personal-data",
        "forum",
        "\n\n".join(parts),
        "page built from made-up messages",
        title=title,
        licence="MIT",
        origin="microsoft/presidio-research",
        pii=spans,
    )
    page = render(title, parts, "Help desk", "All names and numbers are made up.")
    return build.page("https://helpdesk.example/messages", page, gold)


def odd_pages(build: Builder) -> Iterator[Entry]:
    """Captures that are no pages."""
    how = "made up"
    gone = render("Not found", ["The page was not found."], "The Library", "Public domain text.")
    yield build.page(
        "https://library.example/gone",
        gone,
        constructed("odd-404", "error", None, how),
        status="404 Not Found",
    )
    yield build.page(
        "https://library.example/",
        b"",
        constructed("odd-301", "redirect", None, how),
        status="301 Moved Permanently",
    )
    yield build.page(
        "https://library.example/api/books",
        b'{"books": []}',
        constructed("odd-json", "data", None, how),
        content_type="application/json",
    )
    yield build.page("https://library.example/empty", b"", constructed("odd-empty", "", None, how))


# --- the files --------------------------------------------------------------------------------


def main(data: Path, output: Path) -> None:
    rng = random.Random(SEED)
    build = Builder()
    real = real_pages(data / "web")
    entries = [entry for entry, _ in real.values()]
    entries += [*book_pages(build, data, rng), *copies(build, real, rng)]
    entries += [*question_pages(build, data), *spam_pages(build, data)]
    entries += [personal_page(build, data, rng), *odd_pages(build)]
    damage(real[DAMAGED][0])
    rng.shuffle(entries)

    output.mkdir(parents=True, exist_ok=True)
    lines = []
    for number in range(FILES):
        name = f"web-{number:05d}.warc.gz"
        info = f"software: make_sample.py\r\nformat: WARC File Format 1.0\r\nisPartOf: {name}\r\n"
        urn = uuid.uuid5(uuid.NAMESPACE_URL, f"gristmill-sample/{name}").urn
        with (output / name).open("wb") as file:
            file.write(record("warcinfo", urn, STARTED, info.encode()))
            for entry in entries[number::FILES]:
                file.writelines(entry.members)
                lines.append(json.dumps({"warc": name} | entry.gold, ensure_ascii=False) + "\n")
    with (
        (output / "sample.gold.jsonl.gz").open("wb") as file,
        gzip.GzipFile(filename="", mode="wb", fileobj=file, mtime=0) as packed,
    ):
        packed.write("".join(lines).encode())


if __name__ == "__main__":
    if len(sys.argv) not in (2, 3):
        raise SystemExit(__doc__)
    main(Path(sys.argv[1]), Path(sys.argv[2]) if len(sys.argv) == 3 else HERE / "sample")
