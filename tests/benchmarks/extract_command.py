"""`gristmill extract` as a whole against trafilatura alone, on one core.

    python -m tests.benchmarks.extract_command [--stream 2000]

Reads the folder `web` in GRISTMILL_DATA, then a crawl-like stream, as crawl_stream.py makes it, for
English only. Everything is bound to one core and the CPU time of all processes is counted;
trafilatura is given every HTML response of status 200, decoded, and only that call is timed. The
command is run before it and after it, as a machine's speed changes, and the mean is taken.
"""

import argparse
import importlib.metadata
import os
import platform
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import trafilatura

from curation.extraction import HTML_TYPES
from curation.extraction.charset import UndecodableError, decode
from curation.readers import Record
from curation.readers.warc import read_warc
from tests.benchmarks import crawl_stream

REPOSITORY = Path(__file__).resolve().parents[2]


def command(source: Path, *words: str) -> float:
    """CPU seconds of `gristmill extract`, its children and its start included."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    with tempfile.TemporaryDirectory() as folder:
        output = f"{folder}/pages.jsonl"
        run = [
            sys.executable,
            "-m",
            "pipelines.commands.main",
            "extract",
            str(source),
            "--output",
            output,
        ]
        subprocess.run([*run, "--quiet", *words], check=True, cwd=REPOSITORY)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def pages(source: Path) -> Iterator[str]:
    """What an extractor is given of the HTML responses of a folder of WARC files."""
    for path in sorted(source.glob("*.warc.gz")):
        with path.open("rb") as stream:
            for record in read_warc(stream, 0, path.stat().st_size, max_record_bytes=1 << 24):
                if (
                    isinstance(record, Record)
                    and record.kind == "response"
                    and record.status == 200
                    and record.content_type in {"", *HTML_TYPES}
                ):
                    try:
                        yield decode(record.payload, record.charset)[0]
                    except UndecodableError:
                        continue


def peer(source: Path) -> tuple[float, int]:
    """CPU seconds of trafilatura on the pages, and how many there are."""
    seconds, count = 0.0, 0
    for html in pages(source):
        begun = time.process_time()
        trafilatura.extract(html, include_comments=False)
        seconds += time.process_time() - begun
        count += 1
    return seconds, count


def compare(name: str, source: Path, *words: str) -> None:
    """A line of the table."""
    before = command(source, *words)
    theirs, count = peer(source)
    ours = (before + command(source, *words)) / 2
    print(
        f"{name:<28}{count:>7,} pages   gristmill {count / ours:7.1f}/s   "
        f"trafilatura {count / theirs:6.1f}/s   x {theirs / ours:.1f}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    default = os.environ.get("GRISTMILL_DATA", str(REPOSITORY.parent / "shared" / "data"))
    parser.add_argument("--data", type=Path, default=Path(default))
    parser.add_argument("--stream", type=int, default=2000, help="responses of the stream")
    options = parser.parse_args()
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    print(
        f"one of {os.cpu_count()} cores, {platform.machine()}, Python {platform.python_version()}"
    )
    print(f"trafilatura {importlib.metadata.version('trafilatura')}, pages a CPU second")
    compare("web", options.data / "web")
    with tempfile.TemporaryDirectory() as folder:
        crawl_stream.write(options.data, Path(folder), options.stream, seed=1)
        compare("crawl-like, English only", Path(folder), "--languages", "en")


if __name__ == "__main__":
    main()
