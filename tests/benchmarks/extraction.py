"""How well and how fast the engines find the main text of real pages.

    python -m tests.benchmarks.extraction [--data FOLDER] [--every N] [--folds]

Data: `web/*` (see its README). F1 is the mean over pages of the F1 of the multisets of lower-case
words; snippets are judged as trafilatura's own evaluation does: the share that is found where it
must be and not found where it must not. Time is CPU time of the whole way from bytes to text, page
by page, one engine after the other, on one core. `blocks` is the model as shipped, which has
learned from these pages; with `--folds` the table also has what it finds on sites that it has not
seen. rs-trafilatura takes part where it can be imported.
"""

import argparse
import os
import platform
import sys
import time
from collections import defaultdict
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import numpy as np
from selectolax.lexbor import LexborHTMLParser

from curation.extraction import blocks, trafilatura
from schemas.extract import Extract
from tests.benchmarks import train_blocks
from tests.benchmarks.web_pages import REPOSITORY, SETS, Labelled, f1, pages

OPTIONS = Extract()
Engine = Callable[[str], str]


def engines() -> dict[str, Engine]:
    """What takes a decoded page to its main text."""
    found: dict[str, Engine] = {
        "blocks": lambda html: blocks.main_text(LexborHTMLParser(html), OPTIONS),
        "trafilatura": lambda html: trafilatura.main_text(html, OPTIONS),
    }
    try:
        from resiliparse.extract.html2text import extract_plain_text
    except ImportError:
        pass
    else:
        found["resiliparse"] = lambda html: extract_plain_text(html, main_content=True)
    try:
        import rs_trafilatura
    except ImportError:
        pass
    else:
        found["rs-trafilatura"] = lambda html: rs_trafilatura.extract(html).main_content
    return found


def measure(data: Path, every: int) -> tuple[dict[str, float], dict[str, dict[str, list[float]]]]:
    """Pages a CPU second by engine; F1s, and whether each snippet was right, by engine and kind."""
    run = engines()
    for engine in run.values():
        engine("<p>Load what is loaded once.</p>")
    seconds = dict.fromkeys(run, 0.0)
    scores: dict[str, dict[str, list[float]]] = {name: defaultdict(list) for name in run}
    taken = 0
    for at, page in enumerate(pages(data / "web", SETS)):
        if at % every:
            continue
        taken += 1
        for name, engine in run.items():
            start = time.process_time()
            try:
                text = engine(page.html()) or ""
            except Exception as error:
                text = ""  # as the pipeline, which rejects the page
                print(f"{name} failed on {page.kind} of {page.site}: {error!r}", file=sys.stderr)
            seconds[name] += time.process_time() - start
            judge(page, text, scores[name])
    return {name: taken / spent for name, spent in seconds.items()}, scores


def judge(page: Labelled, text: str, scores: dict[str, list[float]]) -> None:
    """Add what a page's text scores."""
    if page.gold and page.gold.strip():
        score = f1(text, page.gold)
        for key in dict.fromkeys((page.name, f"{page.name} {page.kind}")):
            scores[key].append(score)
    if page.name == "trafilatura-eval":
        scores["snippets"] += [float(snippet in text) for snippet in page.wanted]
        scores["snippets"] += [float(snippet not in text) for snippet in page.unwanted]


def release(name: str) -> str:
    """The version of a package, "" if it is not installed."""
    try:
        return version(name)
    except PackageNotFoundError:
        return ""


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    data = os.environ.get("GRISTMILL_DATA", str(REPOSITORY.parent / "shared" / "data"))
    parser.add_argument("--data", type=Path, default=Path(data))
    parser.add_argument("--every", type=int, default=1, help="one page of so many")
    parser.add_argument("--folds", action="store_true", help="cross-validate blocks as well")
    arguments = parser.parse_args()
    rates, scores = measure(arguments.data, arguments.every)
    if arguments.folds:
        train_blocks.load(arguments.data / "web", 2)
        train_blocks.cross_validated(2, keep=False)
        scores["blocks, new sites"] = train_blocks.figures()
    info = Path("/proc/cpuinfo")
    names = info.read_text().splitlines() if info.exists() else []
    processor = next((n.split(": ")[1] for n in names if n.startswith("model name")), "")
    packages = ("onnxruntime", "selectolax", "trafilatura", "Resiliparse", "rs-trafilatura")
    print("command  python -m tests.benchmarks.extraction", *sys.argv[1:])
    print(f"machine  {processor or platform.machine()}, python {platform.python_version()}")
    print("versions", ", ".join(f"{name} {release(name)}" for name in packages if release(name)))
    print(f"\n{'':28}{'pages':>6}", *(f"{name:>18}" for name in scores))
    for key in sorted(next(iter(scores.values()))):
        means = [np.mean(by[key]) if by.get(key) else np.nan for by in scores.values()]
        many = len(next(iter(scores.values()))[key])
        print(f"{key:28}{many:6}", *(f"{mean:18.4f}" for mean in means))
    print(f"{'pages/CPU s':34}", *(f"{rates.get(name, np.nan):18.1f}" for name in scores))


if __name__ == "__main__":
    main()
