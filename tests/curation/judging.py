"""One document at a time, for tests: chains and rules take batches."""

from collections.abc import Iterable, Mapping

import pyarrow as pa

from curation.chain import Chain, Document
from curation.rules import holds
from schemas.rules import Row


def judge(chain: Chain, text: str, language: str, score: float, source: str = "") -> Document:
    """What a chain makes of a document; without a source the column is not there."""
    columns = {"text": [text], "language": [language], "language_score": [float(score)]}
    found = columns | ({"source": [source]} if source else {})
    (document,) = chain.apply(pa.RecordBatch.from_pydict(found)).documents()
    return document


def failing(rules: Iterable[Row], signals: Mapping[str, float]) -> list[str]:
    """The reasons of the rules that do not hold; each is decided."""
    columns = {name: pa.array([value]) for name, value in signals.items()}
    held = [(rule.reason, holds(rule, columns)[0].as_py()) for rule in rules]
    assert None not in [value for _, value in held]
    return [reason for reason, value in held if not value]
