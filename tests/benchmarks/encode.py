"""Encoding by tiktoken beside `tokenizers`: python -m tests.benchmarks.encode FILE...

FILE: JSON lines with a column `text`. Trains a byte-level BPE of 32,768 on the first 8 MB; prints
tokens a second of processor time, each the best of three, and whether all ids are equal.
"""

import gzip
import json
import os
import sys
import time

import numpy as np

os.environ["TOKENIZERS_PARALLELISM"] = "false"

from curation.tokenization import Encoded, Tokens, load_tokenizer
from curation.training import train_tokenizer
from schemas.tokenizer import TrainTokenizer


def read(paths: list[str]) -> list[str]:
    """The texts of files."""
    found = []
    for path in paths:
        with (gzip.open if path.endswith(".gz") else open)(path, "rt") as lines:
            found += [json.loads(line).get("text") or "" for line in lines]
    return found


def timed(tokens: Tokens, texts: list[str]) -> tuple[float, Encoded]:
    """The least processor seconds, and what came out."""
    best = float("inf")
    for _ in range(3):
        begun = time.process_time()
        encoded = tokens.encode(texts)
        best = min(best, time.process_time() - begun)
    return best, encoded


def main() -> None:
    """Train, encode, print."""
    texts = read(sys.argv[1:])
    few, size = [], 0
    for text in texts:
        few.append(text)
        size += len(text)
        if size > 8 << 20:
            break
    data = train_tokenizer(few, TrainTokenizer(vocabulary=32_768))
    own = load_tokenizer(data, "own", "<|end_of_text|>", None)
    begun = time.process_time()
    assert own._ranks is not None
    print(f"checked in {time.process_time() - begun:.2f} s")
    quick, found = timed(own, texts)
    own.__dict__["_ranks"] = None
    slow, right = timed(own, texts)
    rate = len(found.tokens) / 1e6
    equal = np.array_equal(found.tokens, right.tokens)
    print(f"{len(texts):,} documents, {rate:.1f} M tokens; all ids equal: {equal}")
    print(f"tiktoken {rate / quick:.2f} M tokens a second, tokenizers {rate / slow:.2f}")


if __name__ == "__main__":
    main()
