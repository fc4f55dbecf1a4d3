"""Personal data: what is found, and what a document costs, beside others in the same run.

    python -m tests.benchmarks.pii [--datatrove PYTHON] [--names MODEL]

Found: in the data sets' labelled texts (overlap of a span of the same type) and in their passages
full of digits, where nothing is to be found, by the same six types. Costs: CPU milliseconds on one
core for pieces of 6,000 characters of the data sets' web pages, books, papers, documentation, code
and questions. Presidio's analyzer runs its own recognizers of the same types over a pipeline of
spaCy that only splits words, which is the least that it can do; datatrove's PIIFormatter finds
e-mail and IP addresses alone, and runs if `--datatrove` names the Python of an environment that has
it (`pip install datatrove==0.10.1 regex spacy nltk`). MODEL, a spaCy pipeline's folder or name,
finds people and places. The data sets are in the folder named by GRISTMILL_DATA.
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from importlib.metadata import version
from pathlib import Path

SIZE = 6_000
PIECES = 300  # of each kind of text
SLOW = 30  # pieces that are enough for a slow peer
SAME = ("CREDIT_CARD", "EMAIL_ADDRESS", "IBAN_CODE", "IP_ADDRESS", "PHONE_NUMBER", "US_SSN")
KINDS = ("web", "books", "papers", "docs", "code", "qa")
PLACES = ("ADDRESS", "GPE", "LOCATION", "STREET_ADDRESS")

Spans = list[tuple[int, int, str]]
Find = Callable[[Sequence[str]], list[Spans]]


def texts_of(data: Path, kind: str) -> list[str]:
    """Pieces of a kind of text."""
    with gzip.open(data / f"sources/{kind}.jsonl.gz", "rt", encoding="utf-8") as lines:
        whole = "\n\n".join(json.loads(line)["text"] for line in lines)
    return [whole[at : at + SIZE] for at in range(0, len(whole) - SIZE, SIZE)][:PIECES]


def cost(work: Callable[[Sequence[str]], object], texts: Sequence[str]) -> float:
    """CPU milliseconds a text, the better of two runs."""
    work(texts[:5])
    taken = []
    for _ in range(2):
        start = time.process_time()
        work(texts)
        taken.append(time.process_time() - start)
    return min(taken) / len(texts) * 1e3


def overlap(one: tuple[int, int, str], other: tuple[int, int, str]) -> bool:
    """Whether two spans of a type share a character."""
    return one[2] == other[2] and one[0] < other[1] and other[0] < one[1]


def score(find: Find, texts: list[str], gold: list[Spans]) -> str:
    """Precision, recall and F1 of spans."""
    right = own = hit = wanted = 0
    for found, spans in zip(find(texts), gold, strict=True):
        right += sum(any(overlap(one, span) for span in spans) for one in found)
        hit += sum(any(overlap(one, span) for one in found) for span in spans)
        own, wanted = own + len(found), wanted + len(spans)
    precision, recall = right / max(own, 1), hit / wanted
    f1 = 2 * precision * recall / max(precision + recall, 1e-9)
    return f"P {precision:.3f}  R {recall:.3f}  F1 {f1:.3f}  of {wanted}"


def ours(types: frozenset[str], names: str | None = None) -> Find:
    """gristmill's finder."""
    from curation.pii import Finder
    from curation.pii.names import load_names

    finder = Finder(types, names=load_names(names) if names else None)
    return lambda texts: [
        [(one.start, one.end, one.type) for one in spans] for spans in finder.find(texts)
    ]


def presidio() -> Find:
    """Presidio's analyzer with its recognizers of the same types; English, no network."""
    import spacy
    from presidio_analyzer import AnalyzerEngine, RecognizerRegistry
    from presidio_analyzer import predefined_recognizers as known
    from presidio_analyzer.nlp_engine import SpacyNlpEngine

    engine = SpacyNlpEngine(models=[{"lang_code": "en", "model_name": "blank"}])
    engine.nlp = {"en": spacy.blank("en")}
    mail = known.EmailRecognizer()
    mail.validate_result = lambda _: True  # its own asks the network for the suffix list
    others = (
        *(known.IpRecognizer, known.PhoneRecognizer, known.CreditCardRecognizer),
        *(known.IbanRecognizer, known.UsSsnRecognizer),
    )
    registry = RecognizerRegistry([mail, *(make() for make in others)])
    analyzer = AnalyzerEngine(registry=registry, nlp_engine=engine, supported_languages=["en"])
    return lambda texts: [
        [
            (one.start, one.end, one.entity_type)
            for one in analyzer.analyze(text, "en", entities=list(SAME), score_threshold=0.4)
        ]
        for text in texts
    ]


def peer() -> None:
    """Be the other process: a line of JSON with texts a kind in, milliseconds a text out."""
    from datatrove.data import Document
    from datatrove.pipeline.formatters import PIIFormatter

    formatter = PIIFormatter()

    def work(texts: Sequence[str]) -> list[str]:
        return [formatter.format(Document(text=text, id="0").text) for text in texts]

    kinds = json.loads(sys.stdin.readline())
    print(json.dumps({kind: cost(work, texts) for kind, texts in kinds.items()}))


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--datatrove", metavar="PYTHON", help="of its environment")
    parser.add_argument("--names", metavar="MODEL", help="a spaCy pipeline")
    parser.add_argument("--peer", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.peer:
        return peer()
    from curation.pii import TYPES

    data = Path(os.environ["GRISTMILL_DATA"])
    with (data / "pii/labelled.jsonl").open(encoding="utf-8") as lines:
        labelled = [json.loads(line) for line in lines]
    with (data / "pii/negatives.jsonl").open(encoding="utf-8") as lines:
        negatives = [json.loads(line)["text"] for line in lines]
    texts = [row["text"] for row in labelled]
    gold = [[(s["start"], s["end"], s["type"]) for s in row["spans"]] for row in labelled]
    same = [[span for span in spans if span[2] in SAME] for spans in gold]
    theirs = f"Presidio {version('presidio-analyzer')}"
    finders = {"gristmill": ours(frozenset(SAME)), theirs: presidio()}
    for name, find in finders.items():
        alarms = sum(map(len, find(negatives)))
        print(f"{name:18} {score(find, texts, same)}; {alarms} in {len(negatives)} without")
    if arguments.names:
        find = ours(frozenset(), arguments.names)
        for type_, labels in (("PERSON", ("PERSON",)), ("LOCATION", PLACES)):
            wanted = [[(a, b, type_) for a, b, label in spans if label in labels] for spans in gold]
            own = [[one for one in spans if one[2] == type_] for spans in find(texts)]
            print(f"{type_:18} {score(lambda _, own=own: own, texts, wanted)}")
    kinds = {kind: texts_of(data, kind) for kind in KINDS}
    told = None
    if arguments.datatrove:
        done = subprocess.run(
            [arguments.datatrove, __file__, "--peer"],
            input=json.dumps(kinds) + "\n",
            stdout=subprocess.PIPE,
            text=True,
            check=True,
        )
        told = json.loads(done.stdout.splitlines()[-1])
    print(f"\nms a document of {SIZE:,} characters")
    every = ours(TYPES)
    for kind, pieces in kinds.items():
        row = {
            "the six types": cost(finders["gristmill"], pieces),
            f"all {len(TYPES)}": cost(every, pieces),
            theirs: cost(finders[theirs], pieces[:SLOW]),
        }
        if told:
            row["datatrove (2 types)"] = told[kind]
        print(f"{kind:8}", "  ".join(f"{name} {taken:.3f}" for name, taken in row.items()))
    return None


if __name__ == "__main__":
    main()
