"""Parallel efficiency of a whole run: CPU seconds of all its processes / (wall seconds x cores).

    python -m tests.benchmarks.efficiency [--data FOLDER] [--pages 10000] [--workers 1 2]
                                          [--runner local]

The recipe is `fineweb` with `blocks`, over copies of the WARC files of FOLDER (default: `web` in
GRISTMILL_DATA) until they hold so many pages. Processes that outlive their parent are counted too.
"""

import argparse
import ctypes
import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
_PR_SET_CHILD_SUBREAPER = 36


def copies(data: Path, folder: Path, pages: int) -> int:
    """Copy WARC files of `data` to `folder` until they hold `pages` responses; how many they do."""
    files = sorted(data.glob("*.warc.gz"), key=lambda path: path.stat().st_size)
    assert files, f"{data}: no WARC files"
    counts = {path: _responses(path) for path in files}
    held = turn = 0
    while held < pages:
        for path in files:
            if held < pages:
                shutil.copy(path, folder / f"{turn:03d}-{path.name}")
                held += counts[path]
        turn += 1
    return held


def _responses(path: Path) -> int:
    from curation.readers import Record
    from curation.readers.warc import read_warc

    with path.open("rb") as stream:
        size = path.stat().st_size
        records = read_warc(stream, 0, size, max_record_bytes=1 << 24)
        return sum(isinstance(each, Record) and each.kind == "response" for each in records)


def measured(command: list[str]) -> tuple[float, float]:
    """Wall and CPU seconds of a command, with all processes that it leaves."""
    ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    before, begun = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    process = subprocess.Popen(command, cwd=REPOSITORY)
    assert process.wait() == 0
    wall = time.monotonic() - begun
    while True:  # those that were left to us
        try:
            os.wait()
        except ChildProcessError:
            break
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return wall, cpu


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    default = os.environ.get("GRISTMILL_DATA", str(REPOSITORY.parent / "shared" / "data"))
    parser.add_argument("--data", type=Path, default=Path(default) / "web")
    parser.add_argument("--pages", type=int, default=10_000)
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--runner", nargs="+", default=["local"])
    options = parser.parse_args()
    cores = len(os.sched_getaffinity(0))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "crawl").mkdir()
        pages = copies(options.data, folder / "crawl", options.pages)
        recipe = folder / "recipe.yaml"
        recipe.write_text(
            "extends: fineweb\nname: efficiency\nextract: {engine: blocks}\n"
            "inputs: [{source: web, root: crawl, files: ['*.warc.gz']}]\n"
            "tokenizer: {train: {vocabulary: 16384}}\n"
        )
        print(f"{pages:,} pages, {cores} cores", flush=True)
        for runner in options.runner:
            for workers in options.workers:
                run = folder / f"{runner}-{workers}"
                command = [sys.executable, "-m", "pipelines.commands.main", "run", str(recipe)]
                command += ["--output", str(run), "--quiet", "--runner", runner]
                wall, cpu = measured([*command, "--workers", str(workers)])
                tasks = {
                    stage: json.loads((run / stage / "manifest.json").read_text())["tasks"]
                    for stage in ("extract", "filter", "tokenize")
                }
                print(
                    f"{runner}, {workers} workers: {wall:.1f} s, {cpu:.1f} CPU s, "
                    f"{1000 * cpu / pages:.2f} CPU ms a page, efficiency "
                    f"{cpu / (wall * min(workers, cores)):.2f} of the cores asked for; "
                    f"load {os.getloadavg()[0]:.1f}; tasks {tasks}",
                    flush=True,
                )


if __name__ == "__main__":
    main()
