"""Train the second opinion on languages: writes curation/models/lid.75.ftz and its card.

    python tests/benchmarks/train_language.py DATA

DATA is the folder with `langid/sentences.jsonl.gz` and `langid/short.jsonl.gz`, JSON lines of
`text` and `lang`. The same data give the same file on the same kind of CPU, in about a minute.
"""

import gzip
import hashlib
import json
import random
import sys
from pathlib import Path

import curation
from curation.classifiers.fitting import Settings, fit_lines
from curation.language import SECOND, words_only

# The vectors' size and n-grams are the best of four tried, on a quarter of the sentences.
SETTINGS = Settings(dim=32, epoch=25, lr=1.0, word_ngrams=1, minn=2, maxn=5, kept=60_000, lists=())
PIECES = 2


def rows(path):
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]


def pieces(text, chance):
    """Parts of a sentence, so that short texts are known too."""
    words = text.split(" ")
    if len(words) >= 6:
        for _ in range(PIECES):
            size = chance.randint(2, max(3, len(words) // 2))
            start = chance.randint(0, len(words) - size)
            yield " ".join(words[start : start + size])
    elif len(text) > 16:
        size = chance.randint(4, len(text) // 2)
        start = chance.randint(0, len(text) - size)
        yield text[start : start + size].strip()


def train(sentences, short, path):
    """Fit the model on rows of `text` and `lang`."""
    chance = random.Random(1)
    lines = []
    for row in sentences:
        text = words_only(row["text"])
        lines += [(row["lang"], each) for each in (text, *pieces(text, chance))]
    lines += [(row["lang"], words_only(row["text"])) for row in short]
    fit_lines(lines, path, SETTINGS)


def is_test(text):
    """The quarter of the sentences that a cross-validation leaves out."""
    return hashlib.blake2b(text.encode(), digest_size=4).digest()[-1] % 4 == 0


if __name__ == "__main__":
    folder = Path(sys.argv[1]) / "langid"
    target = Path(curation.__file__).parent / "models" / SECOND
    train(rows(folder / "sentences.jsonl.gz"), rows(folder / "short.jsonl.gz"), target)
    print(target, target.stat().st_size, hashlib.sha256(target.read_bytes()).hexdigest())
