"""What the tests of agreement share: the golden documents and a count of differences."""

import gzip
import hashlib
import json
from collections import Counter
from pathlib import Path
from typing import Any

DOCUMENTS = 1543


class Differences:
    """Counts, and a few examples, of what differs."""

    def __init__(self) -> None:
        self.compared: Counter[str] = Counter()
        self.examples: dict[str, list[str]] = {}

    def compare(self, what: str, document: str, ours: Any, theirs: Any) -> None:
        self.compared[what] += 1
        if ours != theirs:
            self.examples.setdefault(what, []).append(f"{document}: {ours!r}, not {theirs!r}")

    def none(self, *, at_least: int, known: dict[str, int] | None = None) -> None:
        """No difference but as many as are known, which are under one in two hundred."""
        for what, compared in sorted(self.compared.items()):
            examples = self.examples.get(what, [])
            print(
                f"{what}: {compared - len(examples)} of {compared} equal", *examples[:3], sep="\n  "
            )
        assert sum(self.compared.values()) >= at_least
        assert {what: len(examples) for what, examples in self.examples.items()} == (known or {})
        assert all(count <= 0.005 * DOCUMENTS for count in (known or {}).values())


def read(corpus: Path, name: str) -> list[dict[str, Any]]:
    with gzip.open(corpus / "golden" / f"{name}.jsonl.gz", "rt", encoding="utf-8") as lines:
        records = [json.loads(line) for line in lines]
    assert len(records) == DOCUMENTS
    return records


def sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def near(ours: float, theirs: float) -> float:
    """Theirs if the two are equal to 1e-6, ours if not."""
    return theirs if abs(ours - theirs) <= 1e-6 else ours
