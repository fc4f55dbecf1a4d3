"""Pages a second from WARC to shards, memory of each process, and cost a document by step.

    python tests/benchmarks/end_to_end.py [--data FOLDER] [--workers 1 2]

FOLDER holds WARC files; the default is the folder `web` in GRISTMILL_DATA.
"""

import argparse
import importlib.metadata
import os
import platform
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterable
from pathlib import Path

import psutil
import pyarrow as pa

from curation.chain import Chain
from curation.dedup.exact import digest
from curation.dedup.minhash import Signer
from curation.extraction import Extractor, Page
from curation.language import bundled, languages_of
from curation.readers import Record
from curation.readers.warc import read_warc
from curation.tokenization import load_tokenizer
from pipelines.recipes.loading import load

REPOSITORY = Path(__file__).resolve().parents[2]


def recipe_for(data: Path, folder: Path) -> Path:
    path = folder / "recipe.yaml"
    path.write_text(
        "extends: fineweb\nname: benchmark\n"
        f"inputs: [{{source: web, root: {data}, files: ['*.warc.gz']}}]\n"
        "splits: {bytes: 4194304, part_bytes: 8388608}\n"
        "tokenizer: {train: {vocabulary: 16384}}\n"
        "mix: {validation: {tokens: 50000}}\n"
    )
    return path


def whole(recipe: Path, output: Path, workers: int) -> tuple[float, dict[str, float]]:
    """Seconds of a run, and the largest resident set of each of its processes, in MB."""
    command = [
        sys.executable,
        "-m",
        "pipelines.commands.main",
        "run",
        str(recipe),
        "--output",
        str(output),
    ]
    begun = time.monotonic()
    command += ["--output", str(output), "--workers", str(workers)]
    process = subprocess.Popen(command, cwd=REPOSITORY)
    peak: dict[int, float] = {}

    def watch() -> None:
        me = psutil.Process(process.pid)
        while process.poll() is None:
            try:
                for one in [me, *me.children(recursive=True)]:
                    size = one.memory_info().rss / 1e6
                    peak[one.pid] = max(peak.get(one.pid, 0), size)
            except psutil.NoSuchProcess:
                pass
            time.sleep(0.05)

    watcher = threading.Thread(target=watch)
    watcher.start()
    assert process.wait() == 0
    watcher.join()
    others = [size for pid, size in peak.items() if pid != process.pid]
    return time.monotonic() - begun, {"driver": peak[process.pid], "worker": max(others, default=0)}


def timed(work: Callable[[], Iterable[object]]) -> tuple[float, list[object]]:
    begun = time.process_time()
    result = list(work())
    return time.process_time() - begun, result


def steps(data: Path, run: Path) -> None:
    """CPU milliseconds a document of every step, by the same functions as the jobs call."""
    recipe = load("fineweb")
    files = sorted(data.glob("*.warc.gz"))

    def read() -> Iterable[object]:
        for file in files:
            with file.open("rb") as stream:
                yield from read_warc(stream, 0, file.stat().st_size, max_record_bytes=1 << 24)

    rows: list[tuple[str, float, int]] = []
    seconds, found = timed(read)
    records = [r for r in found if isinstance(r, Record) and r.kind == "response"]
    rows.append(("read WARC", seconds, len(found)))
    extractor = Extractor(recipe.extract)
    extractor.prepare()
    seconds, found = timed(lambda: map(extractor.extract, records))
    texts = [page.text for page in found if isinstance(page, Page)]
    rows.append(("extract (trafilatura)", seconds, len(records)))
    languages = languages_of(recipe.extract, lambda model: bundled(model.file))
    seconds, named = timed(lambda: languages.identify(texts))
    rows.append(("language", seconds, len(texts)))
    chain = Chain(recipe.filter)
    codes, scores = zip(*named, strict=True)  # type: ignore[misc]
    pages = pa.record_batch({"text": texts, "language": codes, "language_score": scores})
    chain.apply(pages.slice(0, 1))
    seconds, judged = timed(lambda: chain.apply(pages).documents())
    rows.append(("filter (fineweb chain)", seconds, len(texts)))
    kept = [j.text for j in judged if j.kept]  # type: ignore[attr-defined]
    assert recipe.deduplicate.near is not None
    signer = Signer(recipe.deduplicate.near)
    signer.sign(kept[:1])
    seconds, _ = timed(lambda: signer.sign(kept)[0])
    rows.append(("sign (14 x 8)", seconds, len(kept)))
    seconds, _ = timed(lambda: map(digest, kept))
    rows.append(("digest", seconds, len(kept)))
    chain = Chain(recipe.curate)
    pages = pa.record_batch({"text": kept})
    chain.apply(pages.slice(0, 1))
    seconds, _ = timed(lambda: chain.apply(pages).documents())
    rows.append(("personal data", seconds, len(kept)))
    data_ = (run / "tokenizer" / "tokenizer.json").read_bytes()
    tokens = load_tokenizer(data_, "tokenizer.json", "<|end_of_text|>", None)
    seconds, _ = timed(lambda: tokens.encode(kept).tokens[:1])
    rows.append(("tokenize", seconds, len(kept)))
    print(f"\n{'step':<24}{'documents':>10}{'CPU ms each':>14}")
    for name, seconds, count in rows:
        print(f"{name:<24}{count:>10,}{1000 * seconds / max(count, 1):>14.3f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    default = os.environ.get("GRISTMILL_DATA", str(REPOSITORY.parent / "shared" / "data"))
    parser.add_argument("--data", type=Path, default=Path(default) / "web")
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2])
    options = parser.parse_args()
    versions = [f"{n} {importlib.metadata.version(n)}" for n in ("apache-beam", "trafilatura")]
    print(f"{os.cpu_count()} cores, {platform.machine()}, Python {platform.python_version()}")
    print(", ".join(versions))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        recipe = recipe_for(options.data.resolve(), folder)
        for workers in options.workers:
            run = folder / f"run-{workers}"
            seconds, peak = whole(recipe, run, workers)
            ledger = (run / "ledger.json").read_text()
            import json

            entry = json.loads(ledger)["extract"]
            pages = entry["records"] - entry["rejected"].get("not_a_page", 0)
            print(
                f"{workers} workers: {pages:,} pages in {seconds:.1f} s, {pages / seconds:.1f} a "
                f"second; peak {peak['driver']:.0f} MB driver, {peak['worker']:.0f} MB a worker"
            )
        steps(options.data.resolve(), folder / f"run-{options.workers[0]}")


if __name__ == "__main__":
    main()
