"""Runs to report on: real ones, of pages that mean harm among pages that do not."""

import gzip
import html
import itertools
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pipelines.engines.runners import Engine
from pipelines.recipes.loading import resolve
from pipelines.run import Run
from pipelines.runs.store import Folder

Pages = list[tuple[str, str, str, str]]  # url, status line, content type, body

MAIL = "jane.roe@mail-of-jane.org"
PAYLOADS = (
    "<script>alert(document.cookie)</script> <img src=x onerror=alert(1)> {{ 7 * 7 }} "
    "</script><script>alert(2)</script> <!-- --!> <svg/onload=alert(3)> javascript:alert(4) "
    "'\"><details open ontoggle=alert(5)> {a|b} ${alert(6)} \u2028alert(7)// ]]> \\u003cb>"
)
HOSTILE = f"{PAYLOADS} </blockquote></article><h1>owned</h1> {MAIL} " + "w" * 5000
# the last of a source's files
HOSTILE_FILE = "b'\"><img src=x onerror=alert(8)>&lt;script&gt;.warc.gz"
# the extractor takes such characters out of texts, but not out of addresses
HOSTILE_URL = f'https://evil.example/\u202egnp.exe/"><script>alert(1)</script>{MAIL}'


@pytest.fixture(scope="session")
def texts(sample: Path) -> list[str]:
    """English texts of real pages."""
    with gzip.open(sample / "sample.gold.jsonl.gz", "rt", encoding="utf-8") as lines:
        rows = [json.loads(line) for line in lines]
    found = [row["main_text"] for row in rows if row["language"] == "en" and row["main_text"]]
    return sorted({text for text in found if 1500 < len(text) < 6000})[:14]


def page(text: str, title: str = "A page") -> str:
    """A page that an extractor finds the text of."""
    paragraphs = "".join(f"<p>{html.escape(line)}</p>" for line in text.splitlines() if line)
    return (
        f"<!doctype html><html><head><title>{html.escape(title)}</title></head><body><article>"
        f"<h1>{html.escape(title)}</h1>{paragraphs}</article></body></html>"
    )


def write_warc(path: Path, pages: Pages) -> None:
    """A WARC file of responses."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as stream:
        for number, (url, status, kind, body) in enumerate(pages):
            data = body.encode()
            block = (
                f"HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {len(data)}\r\n\r\n"
            ).encode() + data
            head = (
                f"WARC/1.0\r\nWARC-Type: response\r\nWARC-Target-URI: {url}\r\n"
                f"WARC-Record-ID: <urn:uuid:00000000-0000-0000-0000-{number:012d}>\r\n"
                "WARC-Date: 2024-05-01T12:00:00Z\r\n"
                "Content-Type: application/http; msgtype=response\r\n"
                f"Content-Length: {len(block)}\r\n\r\n"
            ).encode()
            stream.write(gzip.compress(head + block + b"\r\n\r\n", mtime=0))


def html_page(url: str, text: str, title: str = "A page") -> tuple[str, str, str, str]:
    """A page that was served as it should be."""
    return url, "200 OK", "text/html; charset=utf-8", page(text, title)


RECIPE: dict[str, Any] = {
    "name": "hostile",
    "description": 'Pages & <b>"harm"</b>.',
    "splits": {"bytes": 20_000, "part_bytes": 20_000},
    "filter": {"chain": [{"rules": "gopher_quality"}]},
    "curate": {"chain": []},
    "tokenizer": {"train": {"vocabulary": 512, "sample_bytes": 1 << 20}},
    "mix": {
        "tokens": 40_000,
        "weights": {"web": 3, "other-web_2.0": 1},
        "max_epochs": 2,
        "sequence_length": 64,
        "bucket_tokens": 8192,
        "validation": {"tokens": 256},
    },
}

MakeRun = Callable[..., str]


@pytest.fixture(scope="session")
def make_run(tmp_path_factory: pytest.TempPathFactory) -> MakeRun:
    """Runs RECIPE, changed at the top, over inputs; gives the folder of the run."""
    folder = tmp_path_factory.mktemp("runs")
    numbers = itertools.count()

    def make(inputs: dict[str, Pages], **changes: Any) -> str:
        root = folder / f"input-{next(numbers)}"
        for source, pages in inputs.items():
            half = -(-len(pages) // 2)
            write_warc(root / source / "a.warc.gz", pages[:half])
            write_warc(root / source / HOSTILE_FILE, pages[half:])
        value = {
            **RECIPE,
            **changes,
            "inputs": [
                {"source": source, "root": str(root / source), "files": ["*.warc.gz"]}
                for source in inputs
            ],
        }
        output = f"{root}-run"
        Run.create(resolve("test", value, root), output).go(Engine("local", 1, 1 << 28))
        return output

    return make


@pytest.fixture(scope="session")
def inputs(texts: list[str]) -> dict[str, Pages]:
    """Pages of two sources: good ones, copies, hostile ones, and what cannot be read."""
    web = [html_page(f"https://site{n}.example/", text) for n, text in enumerate(texts[:9])]
    copy = texts[0]
    near = copy.replace(copy.split()[60], "otherwise")
    web += [
        html_page("https://copy.example/1", copy),
        html_page("https://copy.example/2", copy),
        html_page("https://copy.example/3", near + " And one more word."),
        html_page(HOSTILE_URL, f"{texts[9]}\n{HOSTILE}\n{texts[10]}", HOSTILE),
        html_page("https://evil.example/first", f"{HOSTILE}\n{texts[13]}", HOSTILE),
        html_page("https://evil.example/short", f"A short page. {HOSTILE}", HOSTILE),
        ("https://evil.example/gone", "404 Not Found", "text/html", page("Gone.")),
        (HOSTILE_URL, "200 OK", "image/<script>alert(9)</script>", "no picture"),
    ]
    other = [html_page(f"https://other{n}.example/", text) for n, text in enumerate(texts[11:13])]
    return {"web": web, "other-web_2.0": other}


@pytest.fixture(scope="session")
def finished(make_run: MakeRun, inputs: dict[str, Pages]) -> str:
    """The folder of a finished run over `inputs`."""
    return make_run(inputs)


@pytest.fixture
def ledger(finished: str) -> dict[str, Any]:
    """The ledger of the finished run."""
    return dict(json.loads(Folder(finished).read("ledger.json")))
