"""Documents signed a second, on one core, beside other libraries in the same run.

    taskset -c 1 python -m tests.benchmarks.minhash [documents]

The texts are Python's language reference cut at 926 words (white-space), once as it is and once
with its quotation marks made typographic, as they are on most web pages: a text outside ASCII
takes the longer way. Signatures are 14 x 8 of word 5-grams, times are CPU seconds, the best of
some runs. The signer starts from the text, as does datatrove. datasketch is given the shingles,
which favours it; rensa (R-MinHash, one bulk call) once so, and once lower case words that Python
splits and joins. rensa's values have 32 bits, ours and datatrove's 64. rensa and datatrove are no
part of gristmill: what is not installed is left out (an environment of its own with rensa,
datatrove, tokenizers, spacy, datasketch, numpy, pydantic and pyyaml runs this file).
"""

from __future__ import annotations

import platform
import pydoc_data.topics
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from datasketch import MinHash
from datasketch import __version__ as datasketch_version

from curation.dedup.minhash import Signer
from curation.dedup.words import batches, hashes, normalise
from schemas.recipe import Near

WORDS = 926
REPEATS = 5


def texts(count: int) -> list[str]:
    """`count` overlapping pieces of the reference."""
    topics = pydoc_data.topics.topics
    words = " ".join(topics[name] for name in sorted(topics)).split()
    step = (len(words) - WORDS) // count
    if step < 1:
        raise SystemExit(f"at most {len(words) - WORDS} documents can be made")
    return [" ".join(words[i * step : i * step + WORDS]) for i in range(count)]


def best(work: Callable[[], object]) -> float:
    """Least CPU seconds of some runs."""
    times = []
    for _ in range(REPEATS):
        start = time.process_time()
        work()
        times.append(time.process_time() - start)
    return min(times)


def processor() -> str:
    """The model name where the system tells it."""
    info = Path("/proc/cpuinfo")
    names = info.read_text().splitlines() if info.exists() else []
    return next((n.split(": ")[1] for n in names if n.startswith("model name")), platform.machine())


def ngrams(text: str, size: int) -> list[str]:
    """What a caller of a library that takes tokens writes, without our normalisation."""
    words = text.lower().split()
    return [" ".join(words[i : i + size]) for i in range(len(words) - size + 1)]


def peers(texts: list[str], shingles: list[list[bytes]], signer: Signer) -> dict[str, float]:
    """Seconds that other libraries take, those that are there."""
    near = signer.near
    found: dict[str, float] = {}
    try:
        from rensa import RMinHash
    except ImportError:
        pass
    else:
        sign, values, seed = RMinHash.digest_matrix_from_token_sets, signer.permutations, near.seed
        strings = [[shingle.decode() for shingle in own] for own in shingles]
        found["rensa, shingles given"] = best(lambda: sign(strings, values, seed))
        found["rensa, lower case and str.split"] = best(
            lambda: sign([ngrams(text, signer.size) for text in texts], values, seed)
        )
    try:
        from datatrove.pipeline.dedup.minhash import MinhashConfig, MinhashDedupSignature
        from datatrove.utils.hashing import HashConfig
    except ImportError:
        pass
    else:
        config = MinhashConfig(signer.size, near.bands, near.rows, near.seed)
        config.hash_config = HashConfig(precision=64, hash_fc="sha1")
        step = MinhashDedupSignature("unused", config)
        few = texts[:50]
        taken = best(lambda: [step.get_signature(step.get_shingles(text)) for text in few])
        found["datatrove"] = taken * len(texts) / len(few)
    return found


def main() -> None:
    """Print the machine and the figures."""
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 1000
    near = Near()
    signer = Signer(near)
    plain = [text.encode("ascii", "ignore").decode() for text in texts(count)]
    typographic = [text.replace("'", "’").replace('"', "”") for text in plain]
    split = [normalise(text).split() for text in plain]
    size = signer.size
    shingles = [
        [" ".join(words[i : i + size]).encode() for i in range(len(words) - size + 1)]
        for words in split
    ]
    seconds: dict[str, float] = {
        "sign, ASCII text": best(lambda: signer.sign(plain)),
        "sign, typographic quotes": best(lambda: signer.sign(typographic)),
        "  of which words, ASCII text": best(lambda: [hashes(b) for b in batches(plain)]),
    }
    seconds |= peers(plain, shingles, signer)
    for scheme in ("affine64", "affine32"):
        seconds[f"datasketch {scheme}, shingles given"] = best(
            lambda scheme=scheme: MinHash.bulk(
                shingles, num_perm=signer.permutations, seed=near.seed, scheme=scheme
            )
        )
    print(f"{processor()}, one core; Python {platform.python_version()}, numpy {np.__version__}, ")
    print(f"datasketch {datasketch_version}; python -m tests.benchmarks.minhash {count}")
    characters = sum(map(len, plain)) / count
    print(f"{count} documents of {WORDS} words, {characters:.0f} characters; best of {REPEATS}")
    for name, taken in seconds.items():
        print(f"{name:40} {count / taken:8.0f} documents/s {taken / count * 1e6:8.1f} us each")


if __name__ == "__main__":
    main()
