"""Seeded fuzz of the extraction: real pages, damaged in many ways, through every engine.

    python -m tests.benchmarks.fuzz_extraction --count 100000 --seed 1

No exception may escape, a page must take bounded time, memory must not grow from page to page, and
the same page must give the same answer again, whatever was read in between.
"""

from __future__ import annotations

import argparse
import random
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import psutil

from curation.extraction import Extractor, Page, Rejected
from curation.language import Languages
from curation.readers import Record
from curation.readers.warc import read_warc
from schemas.extract import Extract, Structure

REPOSITORY = Path(__file__).resolve().parents[2]
SAMPLE = REPOSITORY / "tests/data/sample"
LARGEST = 30_000  # bytes of a page to begin with
SECONDS = 10.0  # of CPU time for a page
GROWTH = 400 << 20  # bytes of resident memory, after the first cases
SETTLED = 500  # cases until all that is loaded once is loaded
CHARSETS = [None, "utf-8", "iso-8859-1", "shift_jis", "windows-1251", "gb18030", "utf-16", "bogus"]
ENGINES = [
    ("blocks", Structure()),
    ("blocks", Structure(headings=True, tables="markdown")),
    ("resiliparse", Structure()),
    ("blocks", Structure(lists=False, tables="none", code=False, formulas=False)),
    ("trafilatura", Structure(tables="none")),
]
TOKENS = [
    *(b"<div>", b"</div>", b"<p>", b"</p>", b"<table><tr><td>", b"</td></tr></table>", b"<pre>"),
    *(b"<ul><li>", b"<ol start=9999><li value=-1>", b"<!--", b"-->", b"<![CDATA[", b"]]>", b"<"),
    *(b"<script>", b"</script>", b"<style>", b"<title>", b"<textarea>", b"<select>", b"<template>"),
    *(b"<math><msup><mi>", b"<svg><foreignObject>", b"<frameset>", b"<plaintext>", b"<body>"),
    *(
        b"&#xd800;",
        b"&#0;",
        b"&#x110000;",
        b"&bogus",
        b"&amp;amp;",
        b"\x00",
        b"\xff\xfe",
        b"\xef\xbb",
    ),
    *(b"<meta charset=shift_jis>", b"<meta http-equiv=refresh content='0;url=x'>", b"\x1b$B"),
    *(b"<td rowspan=65534 colspan=1000>", b"<span class=katex>", b"<script type='math/tex'>"),
    *(b"<td class=gutter>1<td class=code>x", b"<a href='", b"<p style='display:none'>", b"```"),
    *(b"<script>window.__STATE__={'a':\"", b'<script type=application/json>{"b":"', b"\\u003cp\\"),
    *("\u202e\u200b\u0301".encode(), "мельница".encode("cp1251"), "粉屋".encode("shift_jis")),
]


def seeds() -> list[bytes]:
    """Smaller pages of the sample."""
    pages = []
    for path in sorted(SAMPLE.glob("*.warc.gz")):
        with path.open("rb") as stream:
            items = list(read_warc(stream, 0, path.stat().st_size, max_record_bytes=1 << 24))
        pages += [
            item.payload
            for item in items
            if isinstance(item, Record) and item.kind == "response" and item.status == 200
        ]
    return [page for page in pages if 500 < len(page) < LARGEST]


def bomb(rng: random.Random) -> bytes:
    """A piece of markup that is much of one thing."""
    many = rng.choice((50, 400, 3000))
    token = rng.choice(TOKENS)
    match rng.randrange(12):
        case 0:
            return rng.choice((b"<div>", b"<b><i>", b"<ul><li>", b"<table><tr><td>", b"<q>")) * many
        case 1:
            return b"<p " + b"title='" + rng.choice((b"x", b"&lt;", b"y ")) * many * 10 + b"'>"
        case 2:
            return b"<p " + b" ".join(b"a%d=b" % at for at in range(many)) + b">"
        case 3:
            return rng.choice((b"<!--", b"<!-- x -->", b"<!---->", b"<?php ")) * many
        case 4:
            return (
                rng.choice((b"&amp;", b"&#x1F600;", b"&nbsp", b"&#99999999999;", b"&lt;b")) * many
            )
        case 5:
            return rng.choice((b"x", b"1", "é".encode(), "水".encode(), b"\xe9", b"-")) * many * 10
        case 6:
            row = b"<tr>" + rng.choice((b"<td>a", b"<td rowspan=9 colspan=3>a", b"<th><p>b")) * 9
            return b"<table>" + row * (many // 5) + b"</table>"
        case 7:
            return b"<math>" + rng.choice((b"<msup><mi>x", b"<mrow>", b"<mi>&alpha;</mi>")) * many
        case 8:
            return (
                b"<pre><code>" + rng.choice((b"a<br>", b"<span>b\n", b"`" * 9)) * many + b"</pre>"
            )
        case 9:
            return rng.choice((b"a<br>", b"<p>b", b"<h2>c", b"<a href=x>d</a> ", b"<li>e")) * many
        case 10:
            return rng.randbytes(many)
        case _:
            return token * many


def mutate(page: bytes, rng: random.Random, other: bytes) -> bytes:
    """Some of the ways in which pages are broken, some times."""
    broken = bytearray(page)
    for _ in range(rng.choice((1, 1, 2, 4, 12))):
        at = rng.randrange(len(broken) + 1)
        length = rng.choice((1, 2, 30, 500, 8000))
        match rng.randrange(11):
            case 0:
                broken[at : at + 1] = rng.randbytes(1)
            case 1:
                for _ in range(30):
                    where = rng.randrange(len(broken) + 1)
                    broken[where : where + 1] = rng.randbytes(1)
            case 2:
                del broken[at : at + length]
            case 3:
                if rng.random() < 0.3:
                    del broken[at:]
            case 4:
                broken[at:at] = rng.choice(TOKENS)
            case 5:
                start = rng.randrange(len(other))
                broken[at:at] = other[start : start + length]
            case 6:
                tag = broken[at : at + length] * rng.choice((2, 5))
                broken[at:at] = tag[:40_000]
            case 7:
                name = rng.choice((b"</p>", b"</div>", b"</a>", b"</table>", b"</script>", b"-->"))
                broken = broken.replace(name, rng.choice((b"", name * 2)))
            case 8:
                name = rng.choice((b"<div", b"<p", b"<span", b"<li", b"<a "))
                broken = broken.replace(
                    name, rng.choice((b"<pre", b"<table", b"<td", b"<math ")), 50
                )
            case 9:
                start = rng.randrange(len(broken) + 1)
                text = broken[start : start + length].decode("utf-8", "replace")
                codec = rng.choice(("utf-16-le", "cp1251", "shift_jis", "utf-7", "cp1252"))
                broken[start : start + length] = text.encode(codec, "replace")
            case _:
                broken[at:at] = bomb(rng)
    return bytes(broken)


class Fuzz:
    """Extractors of all kinds, and what they gave."""

    def __init__(self, seed: int) -> None:
        """Load models and pages."""
        self.seed = seed
        self.pages = seeds()
        languages = Languages(REPOSITORY / "curation/models/lid.176.ftz")
        self.extractors = [
            Extractor(
                Extract(engine=engine, structure=structure, favor=favor, languages=wanted),
                languages=languages if wanted else None,
            )
            for favor, wanted in (("balanced", ()), ("precision", ("de",)), ("recall", ()))
            for engine, structure in ENGINES
            if (engine, favor) != ("resiliparse", "precision")  # which it refuses
        ]
        self.slowest = (0.0, 0)

    def case(self, number: int) -> tuple[Extractor, Record]:
        """Which extractor reads what; the same for the same seed and number."""
        rng = random.Random(f"{self.seed} {number}")
        page = mutate(rng.choice(self.pages), rng, rng.choice(self.pages))
        record = Record(
            *(0, 1, 0, "response", "https://mill.example/flour", None, 200),
            rng.choice(("text/html", "text/html", "application/xhtml+xml", "")),
            rng.choice(CHARSETS),
            page,
        )
        return self.extractors[number % len(self.extractors)], record

    def examine(self, number: int) -> str:
        """Read a case and check the answer: its engine, and `page` or why there is none."""
        extractor, record = self.case(number)
        begun = time.process_time()
        found = extractor.extract(record)
        seconds = time.process_time() - begun
        self.slowest = max(self.slowest, (seconds, number))
        engine = extractor.options.engine
        assert seconds < SECONDS, f"{seconds:.1f} s, {engine}"
        if number % 7 == 0:
            assert extractor.extract(record) == found, "another answer"
        if isinstance(found, Page):
            assert found.text.strip()
            assert len(found.text.encode()) < 40 * len(record.payload) + 1000
            return f"{engine}: page"
        assert isinstance(found, Rejected)
        assert engine != "blocks" or found.reason != "extractor_error", found.value
        return f"{engine}: {found.reason}"

    def run(self, count: int) -> Iterator[str]:
        """Examine so many cases; AssertionError names the one that fails."""
        process = psutil.Process()
        before = 0
        for number in range(count):
            try:
                yield self.examine(number)
            except Exception as error:
                raise AssertionError(f"seed {self.seed}, case {number}: {error!r}") from error
            if number == SETTLED:
                before = process.memory_info().rss
            if before and number % 500 == 0:
                growth = process.memory_info().rss - before
                assert growth < GROWTH, f"{growth >> 20} MB more after {number} cases"


def main() -> None:
    """Fuzz, and print what came of it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    fuzz = Fuzz(options.seed)
    begun = time.perf_counter()
    total = Counter(fuzz.run(options.count))
    seconds = time.perf_counter() - begun
    print(f"{options.count} damaged pages in {seconds:.0f} s, the slowest {fuzz.slowest[0]:.2f} s")
    for answer, number in sorted(total.items()):
        print(f"{number:8} {answer}")


if __name__ == "__main__":
    main()
