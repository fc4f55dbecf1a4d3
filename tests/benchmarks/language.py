"""How right and how fast language identification is, on texts that no model here has seen.

    python -m tests.benchmarks.language DATA [TEXTS.jsonl.gz ...]

DATA is the folder with `langid/sentences.jsonl.gz`. A quarter of its sentences, chosen by a hash
of the text, is left out; the second model is trained on the others and measured on the quarter.
Other files of `text` and `lang` (ISO 639-1, 639-3 or BCP 47) are measured with the model that is
shipped; the main texts of `web/wcxb.gold.jsonl.gz` show what whole pages cost, all of them and
those on which lid.176 is sure, in batches as a run has them. Prints macro
accuracy (the mean over languages), by language and by length, and of parts of 2 and 4 words of the
sentences how often scores of .5 and more are right; CPU time of one core, best of three. Takes
some minutes.
"""

import sys
import tempfile
import time
from collections import Counter, defaultdict
from pathlib import Path
from statistics import median

from curation.language import FIRST, SECOND, Languages, bundled, canonical, is_asked
from pipelines.stages.extract import MICRO_BATCH
from tests.benchmarks.train_language import is_test, rows, train

LENGTHS = (20, 40, 80, 120, 200, 1 << 30)


def measured(languages, examples):
    """Right answers by language, and texts a second."""
    texts = [row["text"] for row in examples]
    seconds = []
    for _ in range(3):
        start = time.process_time()
        found = languages.identify(texts)
        seconds.append(time.process_time() - start)
    return [canonical(code) for code, _ in found], len(texts) / min(seconds)


def cost(pages, models):
    """CPU time a page, in ms: the medians of seven turns, by turns."""
    spent = {title: [] for title in models}
    for _ in range(7):
        for title, languages in models.items():
            start = time.process_time()
            for at in range(0, len(pages), MICRO_BATCH):
                languages.identify([row["text"] for row in pages[at : at + MICRO_BATCH]])
            spent[title].append((time.process_time() - start) / len(pages) * 1000)
    return ", ".join(f"{title} {median(each):.3f} ms" for title, each in spent.items())


def macro(examples, found):
    right = defaultdict(list)
    for row, code in zip(examples, found, strict=True):
        right[canonical(row["lang"])].append(code == canonical(row["lang"]))
    shares = {code: sum(each) / len(each) for code, each in right.items()}
    return sum(shares.values()) / len(shares), shares


def report(name, examples, models):
    print(f"\n{name}: {len(examples):,} texts")
    shares = {}
    for title, languages in models.items():
        found, rate = measured(languages, examples)
        mean, shares[title] = macro(examples, found)
        print(
            f"  {title}: macro accuracy {mean:.4f} over {len(shares[title])} languages, "
            f"{rate:,.0f} texts/s"
        )
        confused = Counter(
            f"{canonical(row['lang'])}>{code}"
            for row, code in zip(examples, found, strict=True)
            if code != canonical(row["lang"])
        )
        lengths = []
        for low, high in zip((0, *LENGTHS), LENGTHS, strict=False):
            some = [at for at, row in enumerate(examples) if low <= len(row["text"]) < high]
            if some:
                mean, _ = macro([examples[at] for at in some], [found[at] for at in some])
                lengths.append(f"{low}+: {mean:.3f} ({len(some)})")
        print("    by characters:", ", ".join(lengths))
        print("    most confused:", ", ".join(f"{k} {v}" for k, v in confused.most_common(12)))
    print("    by language:")
    for code in sorted(shares[title], key=lambda code: shares[title][code]):
        print(f"      {code}", *(f"{shares[each][code]:.3f}" for each in models))


def reliability(examples, languages):
    """Of parts of sentences by their length: how many are sure, how often right, as scores say."""
    parts = []
    for row in examples:
        words = row["text"].split()
        for size in (2, 4):
            start = (len(words) - size) // 2
            parts.append((" ".join(words[max(0, start) : start + size]), canonical(row["lang"])))
    found = languages.identify([text for text, _ in parts])
    print("  parts of sentences with a score of .5 and more:")
    for low, high in ((1, 10), (10, 20), (20, 40)):
        sure = [
            (canonical(code) == right, score)
            for (text, right), (code, score) in zip(parts, found, strict=True)
            if low <= len(text) < high and score >= 0.5
        ]
        every = sum(low <= len(text) < high for text, _ in parts)
        right, said = (sum(each) / len(sure) for each in zip(*sure, strict=True))
        print(f"    {low}+: {len(sure) / every:.2f} of {every}, right {right:.2f}, said {said:.2f}")


if __name__ == "__main__":
    folder = Path(sys.argv[1]) / "langid"
    sentences = rows(folder / "sentences.jsonl.gz")
    one = Languages(bundled(FIRST))
    with tempfile.TemporaryDirectory() as scratch:
        path = Path(scratch) / SECOND
        short = rows(folder / "short.jsonl.gz")
        train([row for row in sentences if not is_test(row["text"])], short, path)
        models = {"lid.176": one, "both": Languages(bundled(FIRST), path)}
        held_out = [row for row in sentences if is_test(row["text"])]
        report("held-out sentences", held_out, models)
        reliability(held_out, models["both"])
    models = {"lid.176": one, "both": Languages(bundled(FIRST), bundled(SECOND))}
    pages = rows(Path(sys.argv[1]) / "web/wcxb.gold.jsonl.gz")
    texts = [{"text": row["main_text"]} for row in pages if row["main_text"]]
    named = one.identify([row["text"] for row in texts])
    sure = [row for row, each in zip(texts, named, strict=True) if not is_asked(*each)]
    for title, some in (("whole pages", texts), ("of them sure", sure)):
        print(f"\n{title}, {len(some):,}:", cost(some, models))
    for each in sys.argv[2:]:
        report(each, rows(Path(each)), models)
