"""A recipe's `redact`, ready for texts of its sources."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cache
from pathlib import Path

from curation.folders import find_folder
from curation.pii.finding import TYPES, Finder, Names, Pattern
from curation.pii.names import load_names
from curation.pii.policies import Redacted, Redactor
from curation.pii.spans import Span
from schemas.base import ModelFolder
from schemas.pii import PiiKey, PiiPolicies, Redact
from schemas.problems import Problem, close_to


class Redaction:
    """Finds what `asked` looks for, and does what it says of each text's source."""

    def __init__(
        self, asked: Redact, seed: int = 0, find: Callable[[ModelFolder], Path] = find_folder
    ) -> None:
        """`seed`: of fakes; `find`: where the model of names is. It is loaded, and the key of
        hashes read, when a text is first redacted. Raises Problem with what `check` finds first."""
        self._asked, self._seed, self._find = asked, seed, find
        self._redactors: dict[str, Redactor] = {}
        for path, what in check(asked):
            raise Problem(what, path)
        self.types = asked.every_type()

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
            model = asked.names
            names = (
                load_names(str(self._find(model.model)), frozenset(model.types)) if model else None
            )
            finder = Finder(frozenset(asked.types), _patterns(asked), names)
            key = key_of(asked.key) if asked.key else b""
            for each in ("", *asked.sources):
                own = self._policies(each)
                self._redactors[each] = Redactor(finder, own.policy, own.policies, self._seed, key)
        return self._redactors[label]


def everything(
    asked: Iterable[Redact], find: Callable[[ModelFolder], Path] = find_folder
) -> Redactor:
    """Puts stand-ins in the place of all that needs no model, and of what these settings look for
    besides: their patterns, and names by their models, which are loaded with the first text."""
    asked = list(asked)
    models = dict.fromkeys(each.names for each in asked if each.names)

    @cache
    def loaded() -> list[Names]:
        return [load_names(str(find(one.model)), frozenset(one.types)) for one in models]

    def names(texts: Sequence[str]) -> list[list[Span]]:
        found = (each(texts) for each in loaded())
        return [[span for own in each for span in own] for each in zip(*found, strict=True)]

    patterns = [pattern for each in asked for pattern in _patterns(each)]
    return Redactor(Finder(TYPES, patterns, names if models else None))


def _patterns(asked: Redact) -> list[Pattern]:
    return [
        Pattern(one.type, re.compile(one.regex), one.words, one.score) for one in asked.patterns
    ]


def check(asked: Redact) -> Iterator[tuple[str, str]]:
    """What is wrong: the path below `redact`, and what would be right."""
    for at, name in enumerate(asked.types):
        if name not in TYPES:
            mend = close_to(name, TYPES) or "."
            known = ", ".join(sorted(TYPES))
            yield f"types[{at}]", f"`{name}` is no type of personal data{mend} There are {known}"
    every = {"": asked.policies} | {
        f"sources.{name}.": own.policies for name, own in asked.sources.items()
    }
    for path, policies in every.items():
        for name in sorted(policies.keys() - set(asked.every_type())):
            yield (
                f"{path}policies.{name}",
                f"`{name}` is not looked for: look for it, or leave it out",
            )


def key_of(key: PiiKey) -> bytes:
    """The key of hashes. Raises Problem if it is not there, empty, or another than `sha256`."""
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
    if key.sha256 not in (None, key_digest(value)):
        raise Problem("holds another key than the run began with", where, "put that one there")
    return value


def key_digest(key: bytes) -> str:
    """What a run tells a key by; not what hashes are made with."""
    return hashlib.sha256(b"gristmill: the digest of a key\0" + key).hexdigest()
