"""A recipe's `redact`, ready for texts of its sources."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from pathlib import Path

from curation.pii.finding import TYPES, Finder, Pattern
from curation.pii.names import load_names
from curation.pii.policies import Redacted, Redactor
from schemas.pii import PiiKey, PiiPolicies, Redact
from schemas.problems import Problem, close_to


class Redaction:
    """Finds what `asked` looks for, and does what it says of each text's source."""

    def __init__(self, asked: Redact, seed: int = 0) -> None:
        """`seed`: of fakes. The key of hashes is read, and the model of names loaded, when a text
        is first redacted. Raises Problem for a type that is not known."""
        self._asked, self._seed = asked, seed
        self._redactors: dict[str, Redactor] = {}
        if unknown := sorted(set(asked.types) - TYPES):
            close = close_to(unknown[0], TYPES)
            mend = "" if close else f"one of {', '.join(sorted(TYPES))}"
            raise Problem(f"`{unknown[0]}` is not known{close}", "types", mend)
        self.types = types_of(asked)
        for policies in (asked, *asked.sources.values()):
            if others := sorted(policies.policies.keys() - self.types):
                mend = "look for it, or leave it out"
                raise Problem(f"`{others[0]}` is not looked for", "policies", mend)

    def redact(
        self, texts: Sequence[str], sources: Sequence[str] | None = None
    ) -> list[tuple[Redacted, bool]]:
        """Each text redacted, and whether it holds more than its source's `drop_above`.

        `sources`: a label for each text. Raises Problem if the key or the model is not there.
        """
        labels = [label if label in self._asked.sources else "" for label in sources or ()]
        labels = labels or [""] * len(texts)
        found: dict[int, tuple[Redacted, bool]] = {}
        for label in dict.fromkeys(labels):
            own = [at for at, other in enumerate(labels) if other == label]
            most = self._policies(label).drop_above
            redacted = self._redactor(label).redact([texts[at] for at in own])
            for at, one in zip(own, redacted, strict=True):
                found[at] = one, most is not None and len(one.spans) > most
        return [found[at] for at in range(len(texts))]

    def _policies(self, label: str) -> PiiPolicies:
        return self._asked.sources.get(label, self._asked)

    def _redactor(self, label: str) -> Redactor:
        if not self._redactors:
            asked = self._asked
            patterns = [
                Pattern(one.type, re.compile(one.regex), one.words, one.score)
                for one in asked.patterns
            ]
            model = asked.names
            names = load_names(model.model, frozenset(model.types)) if model else None
            finder = Finder(frozenset(asked.types), patterns, names)
            key = key_of(asked.key) if asked.key else b""
            for each in ("", *asked.sources):
                own = self._policies(each)
                self._redactors[each] = Redactor(finder, own.policy, own.policies, self._seed, key)
        return self._redactors[label]


def types_of(asked: Redact) -> tuple[str, ...]:
    """All types that are looked for: known ones, of patterns, and of names."""
    own = (one.type for one in asked.patterns)
    names = asked.names.types if asked.names else ()
    return tuple(dict.fromkeys((*asked.types, *own, *names)))


def key_of(key: PiiKey) -> bytes:
    """The key of hashes. Raises Problem if it is not there, or empty."""
    if key.variable is not None:
        value, where = os.environ.get(key.variable, "").encode(), f"variable {key.variable}"
    else:
        where = str(key.file)
        try:
            value = Path(where).read_bytes()
        except OSError as error:
            raise Problem(f"cannot be read ({error.strerror})", where) from None
    if not value.strip():
        raise Problem("holds no key", where, "a key of 32 random bytes is good")
    return value
