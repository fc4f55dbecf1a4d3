"""A page that crashes or hangs an engine costs that page only; these pages and signals are real."""

import os
import signal
import threading
import time
from datetime import UTC, datetime
from pathlib import Path

import pytest

from curation.extraction import Extractor, Page, Rejected
from curation.extraction.sandbox import Sandbox
from curation.readers import Damage, Record
from curation.readers.warc import read_warc
from schemas.extract import Extract

SAMPLE = Path(__file__).parents[2] / "data" / "sample"
TEXT = "The mill turns slowly, and the grain becomes flour. " * 10
# what takes trafilatura some seconds and is no error
SLOW = "".join(f"<div><p>{TEXT} {number}</p></div>" for number in range(6000))


def page(body, url="https://mill.example/"):
    html = f"<!DOCTYPE html><html><body>{body}</body></html>".encode()
    when = datetime(2026, 1, 2, tzinfo=UTC)
    return Record(0, len(html), 0, "response", url, when, 200, "text/html", "utf-8", html)


def numbered(records):
    return list(enumerate(records))


def sample():
    for path in sorted(SAMPLE.glob("*.warc.gz")):
        with path.open("rb") as stream:
            yield from read_warc(stream, 0, path.stat().st_size, max_record_bytes=9 << 20)


def process_of(sandbox):
    return sandbox._children[0].pid


@pytest.mark.parametrize("children", [1, 3])
def test_a_sandbox_gives_what_the_extractor_gives_in_the_same_order(children):
    extractor = Extractor(Extract(engine="resiliparse"))
    records = list(sample())
    with Sandbox(extractor, children) as sandbox:
        found = list(sandbox.extract(numbered(records)))
    assert [label for label, _, _ in found] == list(range(len(records)))
    assert [record for _, record, _ in found] == records
    assert [result for _, _, result in found] == [extractor.extract(record) for record in records]
    assert sum(isinstance(result, Page) for _, _, result in found) > 90


def test_a_page_that_takes_too_long_is_the_only_one_lost():
    options = Extract(engine="trafilatura", max_page_seconds=0.5, max_page_nodes=1_000_000)
    good = page(f"<article><p>{TEXT}</p></article>")
    with Sandbox(Extractor(options)) as sandbox:
        results = [each for *_, each in sandbox.extract(numbered([good, page(SLOW), good, good]))]
    assert results[1] == Rejected("timeout", "0.5 s")
    assert [type(each) for each in results] == [Page, Rejected, Page, Page]


def kill_again(sandbox, times):
    """Kill the sandbox's process as soon as there is one, and those that follow it."""
    killed = set()
    end = time.monotonic() + 60
    while len(killed) < times and time.monotonic() < end:
        process = process_of(sandbox)
        if process is not None and process not in killed:
            os.kill(process, signal.SIGSEGV)
            killed.add(process)
        time.sleep(0.001)


@pytest.mark.parametrize(("times", "end"), [(1, Page), (2, Rejected)])
def test_a_page_that_ends_its_process_is_tried_once_more(times, end):
    options = Extract(engine="trafilatura", max_page_nodes=1_000_000)
    good = page(f"<article><p>{TEXT}</p></article>")
    slow = page(SLOW)
    with Sandbox(Extractor(options)) as sandbox:
        killer = threading.Thread(target=kill_again, args=(sandbox, times))
        killer.start()
        results = [each for *_, each in sandbox.extract(numbered([slow, good, good]))]
        killer.join()
    assert [type(each) for each in results] == [end, Page, Page]
    if end is Rejected:
        assert results[0] == Rejected("crash", "SIGSEGV")


def test_children_end_with_the_sandbox():
    with Sandbox(Extractor(Extract(engine="resiliparse"))) as sandbox:
        list(sandbox.extract(numbered([page(f"<p>{TEXT}</p>")])))
        pid = process_of(sandbox)
        os.kill(pid, 0)
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_what_the_cascade_rejects_starts_no_process():
    damage = Damage(5, 10, 0, "truncated", "cut")
    with Sandbox(Extractor(Extract())) as sandbox:
        found = list(sandbox.extract(numbered([damage, damage])))
        assert process_of(sandbox) is None
    assert [result for *_, result in found] == [Rejected("damaged_truncated", "cut")] * 2


def test_nothing_is_imported_from_the_folder_of_the_crawl(tmp_path, monkeypatch):
    for name in ("onnxruntime", "numpy", "selectolax", "curation"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit(7)")
    monkeypatch.chdir(tmp_path)
    with Sandbox(Extractor(Extract())) as sandbox:
        ((*_, found),) = sandbox.extract(numbered([page(f"<article><p>{TEXT}</p></article>")]))
    assert isinstance(found, Page)
