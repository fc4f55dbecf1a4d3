"""Documents signed a second, on one core, beside other libraries in the same run.

    python -m tests.benchmarks.minhash [DOCUMENTS] [--peers PYTHON]

The texts are Python's language reference cut at 926 words (white-space), once in ASCII and once
with typographic quotation marks, dashes and accents, as nearly all web pages have them. Signatures
are 14 x 8 of word 5-grams; times are CPU seconds, the best of some runs. The signer starts from the
text, as does datatrove. datasketch is given the shingles, which favours it; rensa (R-MinHash, one
bulk call) once so, and once lower case words that Python splits and joins. rensa's values have 32
bits, ours and datatrove's 64.

datasketch is one of gristmill's own libraries. The others run if `--peers` names the Python of an
environment of its own that has them (`pip install datatrove==0.10.1 spacy nltk regex tokenizers
rensa`): it runs this file and reads the documents from its input.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import pydoc_data.topics
import subprocess
import sys
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

WORDS = 926
REPEATS = 5
BANDS, ROWS, SIZE, SEED = 14, 8, 5, 1
DATATROVE = 50  # documents that are enough for a slow peer


def texts(count: int) -> list[str]:
    """`count` overlapping pieces of the reference, in ASCII."""
    topics = pydoc_data.topics.topics
    whole = " ".join(topics[name] for name in sorted(topics))
    words = whole.encode("ascii", "ignore").decode().split()
    step = (len(words) - WORDS) // count
    if step < 1:
        raise SystemExit(f"at most {len(words) - WORDS} documents can be made")
    return [" ".join(words[i * step : i * step + WORDS]) for i in range(count)]


def typographic(text: str) -> str:
    """The text with quotation marks, dashes and accents outside ASCII."""
    for plain, other in (("'", "’"), ('"', "”"), (" - ", " – "), ("--", "—"), ("ex", "éx")):
        text = text.replace(plain, other)
    return text


def best(work: Callable[[], object], repeats: int = REPEATS) -> float:
    """Least CPU seconds of some runs."""
    times = []
    for _ in range(repeats):
        start = time.process_time()
        work()
        times.append(time.process_time() - start)
    return min(times)


def processor() -> str:
    """The model name where the system tells it."""
    info = Path("/proc/cpuinfo")
    names = info.read_text().splitlines() if info.exists() else []
    return next((n.split(": ")[1] for n in names if n.startswith("model name")), platform.machine())


def ngrams(words: list[str]) -> list[str]:
    """Runs of words, joined."""
    return [" ".join(words[i : i + SIZE]) for i in range(len(words) - SIZE + 1)]


def peer() -> None:
    """Be the other process: a line of JSON with documents and shingles in, one with seconds out."""
    from datatrove.pipeline.dedup.minhash import MinhashConfig, MinhashDedupSignature
    from datatrove.utils.hashing import HashConfig
    from rensa import RMinHash

    texts, shingles = json.loads(sys.stdin.readline())
    sign, values = RMinHash.digest_matrix_from_token_sets, BANDS * ROWS
    # as FineWeb's
    hashing = HashConfig(precision=64, hash_fc="sha1")
    config = MinhashConfig(SIZE, BANDS, ROWS, SEED, hash_config=hashing)
    step = MinhashDedupSignature("unused", config)
    few = texts[:DATATROVE]
    taken = best(lambda: [step.get_signature(step.get_shingles(text)) for text in few])
    rensa = f"rensa {version('rensa')}"
    found = {
        f"datatrove {version('datatrove')}": taken * len(texts) / len(few),
        f"{rensa}, shingles given": best(lambda: sign(shingles, values, SEED)),
        f"{rensa}, lower case and str.split": best(
            lambda: sign([ngrams(text.lower().split()) for text in texts], values, SEED)
        ),
    }
    print(json.dumps(found))


def peers(python: str, texts: list[str], shingles: list[list[str]]) -> dict[str, float]:
    """Seconds that the libraries of another environment take, on the same core."""
    done = subprocess.run(
        [python, __file__, "--peer"],
        input=json.dumps([texts, shingles]) + "\n",
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    return json.loads(done.stdout.splitlines()[-1])


def main() -> None:
    """Print the machine and the figures."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("documents", type=int, nargs="?", default=1000)
    parser.add_argument("--peers", metavar="PYTHON", help="of their environment")
    parser.add_argument("--peer", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.peer:
        peer()
        return

    import numpy as np
    from datasketch import MinHash

    from curation.dedup.minhash import Signer
    from curation.dedup.words import batches, hashes, normalise
    from schemas.deduplicate import Near

    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    count = arguments.documents
    signer = Signer(Near(bands=BANDS, rows=ROWS, shingle_words=SIZE, seed=SEED))
    plain = texts(count)
    other = list(map(typographic, plain))
    split = [normalise(text).split() for text in plain]
    shingles = list(map(ngrams, split))
    encoded = [[shingle.encode() for shingle in own] for own in shingles]
    seconds = {
        "sign, ASCII text": best(lambda: signer.sign(plain)),
        "sign, typographic text": best(lambda: signer.sign(other)),
        "  of which words, ASCII text": best(lambda: [hashes(b) for b in batches(plain)]),
        "  of which words, typographic text": best(lambda: [hashes(b) for b in batches(other)]),
    }
    for scheme in ("affine64", "affine32"):
        seconds[f"datasketch {version('datasketch')} {scheme}, shingles given"] = best(
            lambda scheme=scheme: MinHash.bulk(
                encoded, num_perm=signer.permutations, seed=SEED, scheme=scheme
            )
        )
    if arguments.peers:
        seconds |= peers(arguments.peers, other, shingles)
    print("command  python -m tests.benchmarks.minhash", *sys.argv[1:])
    print(f"machine  {processor()}, one of {os.cpu_count()} cores")
    print(f"versions Python {platform.python_version()}, numpy {np.__version__}")
    signs = [sum(map(len, some)) / count for some in (plain, other)]
    outside = sum(not char.isascii() for text in other for char in text) / count
    print(f"{count} documents of {WORDS} words, {signs[0]:.0f} characters", end=", ")
    print(f"typographic ones {signs[1]:.0f}, {outside:.0f} outside ASCII; best of {REPEATS}")
    ours = seconds["sign, typographic text"]
    print(f"{'':44} {'documents/s':>11} {'us each':>9} {'of ours':>8}")
    for name, taken in seconds.items():
        each = taken / count
        print(f"{name:44} {1 / each:11,.0f} {each * 1e6:9.1f} {taken / ours:8.2f}")


if __name__ == "__main__":
    main()
