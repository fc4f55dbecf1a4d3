"""How well and how fast classifiers fitted here tell texts apart, beside plain fastText.

    python -m tests.benchmarks.classifiers DATA [TEXTS.jsonl ...]

DATA is the folder with `quality/` and `toxicity/`. Area under ROC, mean over folds: of quality by
book, of the forum by post, of tweets and comments by item; across data sets, a model of two kinds
of toxicity on the third, and on the made cases of tests/data/toxicity. Plain fastText: the text as
it is, words and pairs of words, its better setting of two. Unquantised; CPU time of one core.
Other files of `text` and `toxic`, such as HateCheck, are measured as the cases are. Takes some
minutes.
"""

import gzip
import hashlib
import json
import sys
import tempfile
import time
from pathlib import Path

from fasttext_pybind import args, fasttext, loss_name, model_name, train

from curation.classifiers.features import features
from curation.classifiers.figures import evaluate
from curation.classifiers.fitting import Example, Settings, fit_lines

FOLDS = 4
CASES = Path(__file__).resolve().parents[1] / "data" / "toxicity" / "cases.jsonl"
PLAIN = ({"dim": 100, "epoch": 5, "lr": 0.1}, {"dim": 16, "epoch": 25, "lr": 0.5})


def rows(path):
    with (gzip.open if path.suffix == ".gz" else open)(path, "rt", encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]


def quality(folder):
    found = []
    for row in rows(folder / "quality/passages.jsonl.gz"):
        book = row["source"].split("/" if row["kind"] == "book" else ":")[0]
        whole = row["kind"] in ("book", "textbook", "reference")
        found.append(Example(row["label"], row["text"], book if whole else row["id"]))
    return found


def toxicity(path):
    found = []
    for row in rows(path):
        group = row["id"].split("_")[0] if path.name == "forum.jsonl.gz" else row["id"]
        found.append(Example("toxic" if row["toxic"] else "clean", row["text"], group))
    return found


def ours(examples, path):
    fit_lines([(each.label, features(each.text)) for each in examples], path, Settings(kept=0))
    return features


def plain(examples, path, settings):
    asked = args()
    asked.model, asked.loss = model_name.supervised, loss_name.softmax
    asked.thread, asked.verbose, asked.minCount, asked.seed = 1, 0, 1, 1
    asked.wordNgrams, asked.minn, asked.maxn, asked.bucket = 2, 0, 0, 600_000
    for name, value in settings.items():
        setattr(asked, name, value)
    with tempfile.NamedTemporaryFile("w", suffix=".txt", encoding="utf-8") as lines:
        for each in sorted(examples, key=lambda each: fold(each.text, 1 << 60)):
            lines.write(f"__label__{each.label} {' '.join(each.text.split())}\n")
        lines.flush()
        asked.input = lines.name
        model = fasttext()
        train(model, asked)
    model.saveModel(str(path))
    return lambda text: " ".join(text.split())


def area(path, reading, examples, label):
    """Area under ROC, and texts a second, reading included."""
    model = fasttext()
    model.loadModel(str(path))
    start = time.process_time()
    texts = [reading(each.text) + "\n" for each in examples]
    labels, scores = model.multilinePredict(texts, 2, 0.0, "strict")
    rate = len(texts) / (time.process_time() - start)
    found = [
        dict(zip(names, map(float, values), strict=True)).get(f"__label__{label}", 0.0)
        for names, values in zip(labels, scores, strict=True)
    ]
    return evaluate([each.label == label for each in examples], found)["area_under_roc"], rate


def fold(group, count=FOLDS):
    return int.from_bytes(hashlib.blake2b(group.encode(), digest_size=8).digest(), "big") % count


def compare(name, label, splits):
    with tempfile.TemporaryDirectory() as scratch:
        path = Path(scratch) / "model.bin"
        found = {}
        for title, fit in (
            ("ours", ours),
            *((f"plain {at}", lambda e, p, s=s: plain(e, p, s)) for at, s in enumerate(PLAIN)),
        ):
            figures = [area(path, fit(rest, path), held, label) for rest, held in splits]
            found[title] = [sum(each) / len(figures) for each in zip(*figures, strict=True)]
    best = max(found["plain 0"], found["plain 1"])
    print(
        f"{name:<42} ours {found['ours'][0]:.3f} ({found['ours'][1]:,.0f} texts/s), "
        f"plain fastText {best[0]:.3f} ({best[1]:,.0f} texts/s)",
        flush=True,
    )


def folds(examples):
    return [
        (
            [each for each in examples if fold(each.group) != at],
            [each for each in examples if fold(each.group) == at],
        )
        for at in range(FOLDS)
    ]


if __name__ == "__main__":
    folder = Path(sys.argv[1])
    names = ("tweets", "forum", "comments")
    sets = {name: toxicity(folder / f"toxicity/{name}.jsonl.gz") for name in names}
    for each in (CASES, *map(Path, sys.argv[2:])):
        for chosen in (("tweets",), ("tweets", "forum"), names):
            rest = [example for name in chosen for example in sets[name]]
            title = f"{each.name}, from {', '.join(chosen)}"
            compare(title, "toxic", [(rest, toxicity(each))])
    compare("quality", "high", folds(quality(folder)))
    for name, examples in sets.items():
        compare(name, "toxic", folds(examples))
    for name, examples in sets.items():
        others = [each for other, all_ in sets.items() if other != name for each in all_]
        compare(f"{name}, from the other two", "toxic", [(others, examples)])
